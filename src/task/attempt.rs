//! Whether a failed attempt is followed by another, and when.

use std::time::Duration;

use super::{ErrorClass, Failure, FailureKind};

/// The most attempts a task may be given: the seed's guard against endless retries.
pub const MAX_ATTEMPTS: u32 = 5;

/// The pause after the first failed attempt; each further one is twice as long.
pub const FIRST_BACKOFF: Duration = Duration::from_secs(1);

/// How the next attempt starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// After this pause, in the same session if `same_session`.
    Retry {
        /// How long to wait.
        after: Duration,
        /// Whether the session of the failed attempt is good for another.
        same_session: bool,
    },
    /// Not at all.
    GiveUp,
}

/// Decides what follows when attempt number `attempt` of `max_attempts` failed. `jitter` in `0.0..=1.0` spreads the
/// pause upwards by up to a quarter, so that tasks that failed together do not come back together.
#[must_use]
pub fn after_failure(failure: &Failure, attempt: u32, max_attempts: u32, jitter: f64) -> Next {
    if failure.kind != FailureKind::Error || attempt >= max_attempts.min(MAX_ATTEMPTS) {
        return Next::GiveUp;
    }
    let same_session = match failure.class {
        ErrorClass::RateLimit | ErrorClass::Network | ErrorClass::Provider => true,
        ErrorClass::SessionLost | ErrorClass::NoOutput => false,
        ErrorClass::Invalid
        | ErrorClass::Auth
        | ErrorClass::TooLarge
        | ErrorClass::Aborted
        | ErrorClass::Limit
        | ErrorClass::Unknown => return Next::GiveUp,
    };
    let doubled = FIRST_BACKOFF * 2_u32.pow(attempt.saturating_sub(1).min(MAX_ATTEMPTS));
    Next::Retry { after: doubled.mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 4.0), same_session }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(kind: FailureKind, class: ErrorClass) -> Failure {
        Failure { kind, class, message: String::new() }
    }

    #[test]
    fn pauses_double_from_one_second_and_end_with_the_fifth_attempt() {
        let network = failure(FailureKind::Error, ErrorClass::Network);
        let pauses: Vec<_> = (1..=5).map(|attempt| after_failure(&network, attempt, 9, 0.0)).collect();
        let retry = |secs| Next::Retry { after: Duration::from_secs(secs), same_session: true };
        assert_eq!(pauses, [retry(1), retry(2), retry(4), retry(8), Next::GiveUp]);
    }

    #[test]
    fn jitter_only_lengthens_and_by_a_quarter_at_most() {
        let network = failure(FailureKind::Error, ErrorClass::Network);
        for (jitter, millis) in [(0.0, 1000), (1.0, 1250), (7.0, 1250), (-1.0, 1000)] {
            let expected = Next::Retry { after: Duration::from_millis(millis), same_session: true };
            assert_eq!(after_failure(&network, 1, 5, jitter), expected);
        }
    }

    #[test]
    fn a_lost_session_is_replaced_and_a_refusal_is_final() {
        let lost = failure(FailureKind::Error, ErrorClass::SessionLost);
        assert!(matches!(after_failure(&lost, 1, 5, 0.0), Next::Retry { same_session: false, .. }));
        for class in [ErrorClass::Invalid, ErrorClass::Auth, ErrorClass::Aborted, ErrorClass::Limit] {
            assert_eq!(after_failure(&failure(FailureKind::Error, class), 1, 5, 0.0), Next::GiveUp);
        }
        let timeout = failure(FailureKind::Timeout, ErrorClass::Limit);
        assert_eq!(after_failure(&timeout, 1, 5, 0.0), Next::GiveUp);
    }
}
