//! Whether a run still moves.
//!
//! Progress is anything that is heard of an answer: words, also single pieces of them, a tool call that begins, changes
//! or ends, a new step, and all of that of a subagent. What waits for a person, for tasks of its own or for the host's
//! retry does not stand still: that has its own bound and its own words. A tool at work may be silent for [`IN_TOOL`]
//! times as long as a model: nobody can tell a test suite of ten minutes from one that hangs.

use std::time::Duration;

/// How many times longer a tool may be silent than a model.
pub const IN_TOOL: u32 = 4;

/// What is known of a run that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// How long nothing was heard of it.
    pub silent: Duration,
    /// Whether a tool is at work.
    pub in_tool: bool,
    /// Whether it waits for a person, or the host for its next try.
    pub waits: bool,
    /// Whether it was nudged already.
    pub nudged: bool,
}

/// What to do about a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing; look again after this time.
    Wait(Duration),
    /// Tell the agent that nothing was heard.
    Nudge,
    /// Stop the run: it has stalled.
    Stop,
}

/// The guard of one run.
#[derive(Debug, Clone, Copy)]
pub struct Stall {
    limit: Option<Duration>,
}

impl Stall {
    /// A guard that lets a run be silent for so long; zero switches it off.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self { limit: Some(limit).filter(|limit| !limit.is_zero()) }
    }

    /// The verdict; none when the guard is switched off.
    #[must_use]
    pub fn verdict(&self, seen: Seen) -> Option<Verdict> {
        let limit = self.limit?;
        let limit = if seen.in_tool { limit * IN_TOOL } else { limit };
        Some(match limit.checked_sub(seen.silent).filter(|left| !left.is_zero()) {
            // Even if it went on right now, it could not have stalled before that.
            _ if seen.waits => Verdict::Wait(limit),
            Some(left) => Verdict::Wait(left),
            None if seen.nudged => Verdict::Stop,
            None => Verdict::Nudge,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(300);

    fn seen(silent: u64) -> Seen {
        Seen { silent: Duration::from_secs(silent), in_tool: false, waits: false, nudged: false }
    }

    #[test]
    fn silence_is_followed_by_one_nudge_and_then_by_the_end() {
        let stall = Stall::new(LIMIT);
        let wait = |seconds| Some(Verdict::Wait(Duration::from_secs(seconds)));
        assert_eq!(stall.verdict(seen(0)), wait(300));
        assert_eq!(stall.verdict(seen(299)), wait(1));
        assert_eq!(stall.verdict(seen(300)), Some(Verdict::Nudge));
        assert_eq!(stall.verdict(Seen { nudged: true, ..seen(299) }), wait(1));
        assert_eq!(stall.verdict(Seen { nudged: true, ..seen(300) }), Some(Verdict::Stop));
    }

    #[test]
    fn a_tool_may_be_silent_for_longer_but_not_for_ever() {
        let stall = Stall::new(LIMIT);
        let in_tool = |silent| stall.verdict(Seen { in_tool: true, ..seen(silent) });
        assert_eq!(in_tool(540), Some(Verdict::Wait(Duration::from_secs(660))));
        assert_eq!(in_tool(1_200), Some(Verdict::Nudge));
    }

    #[test]
    fn nothing_stalls_without_a_limit() {
        assert_eq!(Stall::new(Duration::ZERO).verdict(seen(1 << 40)), None);
    }

    proptest! {
        #[test]
        fn what_waits_is_never_stopped_and_every_wait_is_of_some_length(
            limit in 1_u64..100_000, silent in 0_u64..1_000_000, in_tool: bool, waits: bool, nudged: bool,
        ) {
            let seen = Seen { silent: Duration::from_millis(silent), in_tool, waits, nudged };
            match Stall::new(Duration::from_millis(limit)).verdict(seen) {
                Some(Verdict::Wait(time)) => prop_assert!(!time.is_zero()),
                Some(Verdict::Nudge) => prop_assert!(!waits && !nudged),
                Some(Verdict::Stop) => prop_assert!(!waits && nudged),
                None => prop_assert!(false, "it is switched on"),
            }
        }
    }
}
