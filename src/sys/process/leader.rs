//! Knowing a program again that an earlier process of ours has started, and ending it.

use serde::{Deserialize, Serialize};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::platform;

/// How far two readings of one start may be apart, in seconds: the system counts from its own start, whose time it
/// rounds.
const ROUNDED: u64 = 1;

/// A program, told from every other that has or had its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leader {
    /// Its number, which is its group's as well.
    pub pid: u32,
    /// When it was started, in seconds since 1970.
    pub started: u64,
}

impl Leader {
    /// The program that has this number now.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let number = Pid::from_u32(pid);
        let mut system = System::new();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[number]), true, ProcessRefreshKind::nothing());
        system.process(number).map(|process| Self { pid, started: process.start_time() })
    }

    /// Whether it is still there.
    #[must_use]
    pub fn is_there(self) -> bool {
        Self::of(self.pid).is_some_and(|now| now.started.abs_diff(self.started) <= ROUNDED)
    }
}

/// Ends a program that a dead process has left behind, with all of its group, unless its number is another's by now.
/// Blocks for [`super::GRACE`] at most. Says whether it was there.
#[must_use]
pub fn end_stray(stray: Leader) -> bool {
    let is_there = stray.is_there();
    if is_there {
        platform::end_led_group(stray.pid);
    }
    is_there
}
