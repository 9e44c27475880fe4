//! Which process: its number and when it began, so that a later one of the same number is told apart.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(not(target_os = "linux"))]
use other as platform;

/// A process, as it can be written down and known again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Its number. Numbers come again.
    pub pid: u32,
    /// When it began, in the system's own terms and below 2^53: to be compared, not to be read.
    pub birth: u64,
}

impl Identity {
    /// Of the process of this number; none when there is none, or only a dead one that was not reaped yet.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        Some(Self { pid, birth: platform::birth(pid)? })
    }

    /// Whether this very process lives.
    #[must_use]
    pub fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }
}

/// The groups that have a member with this variable in its environment; `only` that group is looked at, if it is given.
pub(super) fn marked(name: &str, value: &str, only: Option<u32>) -> BTreeSet<u32> {
    platform::marked(&format!("{name}={value}"), only)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_one_birth_and_a_dead_one_has_none() {
        let own = Identity::of(std::process::id()).unwrap();
        assert!(own.is_alive() && own.birth < 1 << 53);
        assert!(!Identity { birth: own.birth + 1, ..own }.is_alive());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert_eq!(Identity::of(pid), None);
    }
}
