//! When a process began: with its number, the name of a process for ever.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(not(target_os = "linux"))]
use other as platform;

/// When the process of this number began, as the system counts; none when there is none, or only a dead one that was
/// not reaped yet.
#[must_use]
pub fn birth(pid: u32) -> Option<u64> {
    platform::birth(pid)
}

/// Whether a member of a group has a variable with this value in its environment. Where the system does not tell, every
/// group has.
pub(super) fn is_marked(group: u32, name: &str, value: &str) -> bool {
    platform::is_marked(group, name, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_one_birth_and_a_dead_one_has_none() {
        let own = std::process::id();
        assert!(birth(own).is_some());
        assert_eq!(birth(own), birth(own));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert_eq!(birth(pid), None);
    }
}
