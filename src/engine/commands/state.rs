//! How a command stands, in words.

use std::{fmt, time::Duration};

use crate::{engine::report_text::duration, sys::process::Status, task::Timestamp};

/// How a command stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It runs.
    Running {
        /// When its time is over.
        until: Timestamp,
    },
    /// Nothing of it is left.
    Ended {
        /// Since when.
        at: Timestamp,
        /// How it ended.
        end: End,
    },
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself, with this exit code.
    Exited(i32),
    /// By this signal, which was not ours.
    Signalled(i32),
    /// Its time was over.
    TimedOut,
    /// It was stopped.
    Stopped(Why),
}

/// Why a command was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Somebody asked for it.
    Killed,
    /// Its task has ended.
    TaskEnded,
    /// The host lets go of the project or of the directory.
    Closed,
}

impl State {
    /// Whether it runs.
    #[must_use]
    pub fn is_running(self) -> bool {
        matches!(self, Self::Running { .. })
    }

    /// In words, for one that was started at this time.
    #[must_use]
    pub fn words(self, started_at: Timestamp, now: Timestamp) -> String {
        match self {
            Self::Running { until } => {
                let (ran, left) = (duration(now.since(started_at)), duration(until.since(now)));
                format!("running for {ran}, {left} left")
            }
            Self::Ended { at, end } => format!("{end} after {}", duration(at.since(started_at))),
        }
    }
}

impl End {
    /// The end that a program came to; whoever stopped it said why.
    #[must_use]
    pub fn of(status: &Status, why: Option<Why>) -> Self {
        match status {
            Status::Exited(code) => Self::Exited(*code),
            Status::Signalled(signal) => Self::Signalled(*signal),
            Status::TimedOut => Self::TimedOut,
            Status::Cancelled | Status::NotStarted(_) => Self::Stopped(why.unwrap_or(Why::Closed)),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited with {code}"),
            Self::Signalled(signal) => write!(f, "ended by signal {signal}"),
            Self::TimedOut => f.write_str("ended by its time limit"),
            Self::Stopped(Why::Killed) => f.write_str("killed"),
            Self::Stopped(Why::TaskEnded) => f.write_str("ended with its task"),
            Self::Stopped(Why::Closed) => f.write_str("ended with its OpenCode"),
        }
    }
}

/// The time that is left when a limit is set to so long from now, unless it would run longer than a day in all.
#[must_use]
pub fn limit_from(now: Timestamp, started_at: Timestamp, more: Duration, most: Duration) -> Option<Timestamp> {
    (now.since(started_at) + more <= most).then(|| now.after(more))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_told_in_words() {
        let at = |seconds: i64| Timestamp(seconds * 1_000);
        let words = |state: State| state.words(at(100), at(112));
        assert_eq!(words(State::Running { until: at(172) }), "running for 12.0s, 1m00s left");
        for (status, why, told) in [
            (Status::Exited(3), None, "exited with 3 after 5.0s"),
            // It ended by itself just before it was killed.
            (Status::Exited(0), Some(Why::Killed), "exited with 0 after 5.0s"),
            (Status::Signalled(9), None, "ended by signal 9 after 5.0s"),
            (Status::TimedOut, None, "ended by its time limit after 5.0s"),
            (Status::Cancelled, Some(Why::Killed), "killed after 5.0s"),
            (Status::Cancelled, Some(Why::TaskEnded), "ended with its task after 5.0s"),
            (Status::Cancelled, None, "ended with its OpenCode after 5.0s"),
        ] {
            assert_eq!(words(State::Ended { at: at(105), end: End::of(&status, why) }), told);
        }
    }

    #[test]
    fn no_limit_is_moved_past_the_longest() {
        let (start, now, day) = (Timestamp(0), Timestamp(3_600_000), Duration::from_secs(86_400));
        let limit = |seconds| limit_from(now, start, Duration::from_secs(seconds), day);
        assert_eq!((limit(60), limit(82_801)), (Some(Timestamp(3_660_000)), None));
    }
}
