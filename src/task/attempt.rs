//! Whether a failed attempt is followed by another, when, where, and with which model.

use std::time::Duration;

use super::{
    Failure, ModelChoice, Recovery,
    recovery::{self, Pause, Place, Why},
};

/// The most attempts a task may be given: the seed's guard against endless retries.
pub const MAX_ATTEMPTS: u32 = 5;

/// The pause after the first failed attempt; each further one is twice as long.
pub const FIRST_BACKOFF: Duration = Duration::from_secs(1);

/// How the next attempt starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// After this pause.
    Retry {
        /// How long to wait.
        after: Duration,
        /// Whether the session of the failed attempt is good for another.
        same_session: bool,
        /// The model that takes over.
        model: Option<ModelChoice>,
        /// What the agent is told instead of its prompt.
        says: Option<Why>,
    },
    /// Not at all.
    GiveUp,
}

/// Decides what follows when attempt number `attempt` of `max_attempts` failed, by the [table](recovery::RULES).
/// `earlier` is what is remembered of the attempts before it, `next_model` the model that would take over. `jitter` in
/// `0.0..=1.0` spreads a pause upwards by up to a quarter, so that tasks that failed together do not come back together.
#[must_use]
pub fn after_failure(
    failure: &Failure,
    attempt: u32,
    max_attempts: u32,
    earlier: &Recovery,
    next_model: Option<ModelChoice>,
    jitter: f64,
) -> Next {
    let rule = recovery::rule(failure.class);
    let model = next_model.filter(|_| rule.next_model);
    let is_spent = earlier.failed_of(failure.class) >= rule.tries;
    if attempt >= max_attempts.min(MAX_ATTEMPTS) || (model.is_none() && is_spent) {
        return Next::GiveUp;
    }
    let after = match rule.pause {
        // Another model has not asked for patience.
        _ if model.is_some() => Duration::ZERO,
        Pause::None => Duration::ZERO,
        Pause::Doubling => {
            let doubled = FIRST_BACKOFF * 2_u32.pow(attempt.saturating_sub(1).min(MAX_ATTEMPTS));
            doubled.mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 4.0)
        }
    };
    Next::Retry { after, same_session: rule.place == Place::Same, model, says: rule.says }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{ErrorClass, FailureKind};

    fn failure(class: ErrorClass) -> Failure {
        Failure { kind: FailureKind::Error, class, message: String::new() }
    }

    fn next(class: ErrorClass, attempt: u32, max_attempts: u32, jitter: f64) -> Next {
        after_failure(&failure(class), attempt, max_attempts, &Recovery::default(), None, jitter)
    }

    fn retry(after: Duration) -> Next {
        Next::Retry { after, same_session: true, model: None, says: None }
    }

    #[test]
    fn pauses_double_from_one_second_and_end_with_the_fifth_attempt() {
        let pauses: Vec<_> = (1..=5).map(|attempt| next(ErrorClass::Network, attempt, 9, 0.0)).collect();
        let [one, two, four, eight] = [1, 2, 4, 8].map(|seconds| retry(Duration::from_secs(seconds)));
        assert_eq!(pauses, [one, two, four, eight, Next::GiveUp]);
    }

    #[test]
    fn jitter_only_lengthens_and_by_a_quarter_at_most() {
        for (jitter, millis) in [(0.0, 1000), (1.0, 1250), (7.0, 1250), (-1.0, 1000)] {
            assert_eq!(next(ErrorClass::Network, 1, 5, jitter), retry(Duration::from_millis(millis)));
        }
    }

    #[test]
    fn a_lost_session_is_replaced_and_a_refusal_is_final() {
        use ErrorClass::{Aborted, Auth, Invalid, Limit, Loop, Quota, Refused, Unknown};
        assert!(matches!(next(ErrorClass::SessionLost, 1, 5, 0.0), Next::Retry { same_session: false, .. }));
        for class in [Aborted, Auth, Invalid, Limit, Loop, Quota, Refused, Unknown] {
            assert_eq!(next(class, 1, 5, 0.0), Next::GiveUp, "{class:?}");
        }
    }

    #[test]
    fn a_class_that_is_tried_twice_is_given_up_the_third_time_and_others_do_not_count() {
        for (class, says) in [
            (ErrorClass::Parse, None),
            (ErrorClass::Stall, None),
            (ErrorClass::ContextOverflow, Some(Why::Compacted)),
            (ErrorClass::OutputLimit, Some(Why::CutOff)),
        ] {
            let mut earlier = Recovery { failures: vec![ErrorClass::Network], ..Recovery::default() };
            for attempt in 2..4 {
                let next = after_failure(&failure(class), attempt, 9, &earlier, None, 0.0);
                assert!(matches!(next, Next::Retry { same_session: true, says: said, .. } if said == says), "{next:?}");
                earlier.failures.push(class);
            }
            assert_eq!(after_failure(&failure(class), 4, 9, &earlier, None, 0.0), Next::GiveUp, "{class:?}");
        }
    }

    #[test]
    fn a_turn_that_a_tool_took_with_it_is_gone_on_with_once() {
        let failed = failure(ErrorClass::ToolCrash);
        let says = Some(Why::ToolCrashed);
        let expected = Next::Retry { after: Duration::ZERO, same_session: true, model: None, says };
        assert_eq!(after_failure(&failed, 1, 9, &Recovery::default(), None, 0.0), expected);
        let earlier = Recovery { failures: vec![ErrorClass::ToolCrash], ..Recovery::default() };
        assert_eq!(after_failure(&failed, 2, 9, &earlier, None, 0.0), Next::GiveUp);
    }

    #[test]
    fn another_model_takes_over_at_once_where_it_can_help_and_attempts_are_left() {
        let model = ModelChoice { provider: "p".into(), model: "m".into(), variant: None };
        let with =
            |class, attempt| after_failure(&failure(class), attempt, 3, &Recovery::default(), Some(model.clone()), 1.0);
        for class in [ErrorClass::RateLimit, ErrorClass::Quota, ErrorClass::Provider, ErrorClass::Auth] {
            let expected =
                Next::Retry { after: Duration::ZERO, same_session: true, model: Some(model.clone()), says: None };
            assert_eq!(with(class, 2), expected, "{class:?}");
            assert_eq!(with(class, 3), Next::GiveUp, "{class:?}");
        }
        assert!(matches!(with(ErrorClass::Network, 1), Next::Retry { model: None, .. }));
        assert_eq!(with(ErrorClass::Refused, 1), Next::GiveUp);
    }
}
