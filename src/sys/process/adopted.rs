//! Programs that a dead process of ours has started and left behind.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{GRACE, Identity, LOOK, identity::marked, platform};

/// How often the end of one is looked for: nothing tells of the end of a process that is not our child.
const ADOPTED_LOOK: Duration = Duration::from_millis(250);

/// Such a program, with its group.
#[derive(Debug, Clone)]
pub struct Adopted {
    leader: Identity,
    mark: Option<(String, String)>,
}

impl Adopted {
    /// The group that a process leads, or led: `mark` is a variable that was set for it and for nothing else, by which
    /// its group is known when it is dead itself.
    #[must_use]
    pub fn new(leader: Identity, mark: Option<(&str, &str)>) -> Self {
        Self { leader, mark: mark.map(|(name, value)| (name.to_owned(), value.to_owned())) }
    }

    /// Those whose first process nobody lived to note: every group with a mark. Reads the environment of every process.
    #[must_use]
    pub fn marked(mark: (&str, &str)) -> Vec<Self> {
        let groups = marked(mark.0, mark.1, None).into_iter();
        // A leader that is dead has no birth: its group is known by the mark.
        groups.map(|pid| Self::new(Identity::of(pid).unwrap_or(Identity { pid, birth: 0 }), Some(mark))).collect()
    }

    /// Whether the program itself runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.leader.is_alive()
    }

    /// Waits until the program itself is gone.
    pub async fn ended(&self) {
        while self.is_alive() {
            sleep(ADOPTED_LOOK).await;
        }
    }

    /// Whether anything of its group is left. While there is, the system gives the number to nobody else.
    #[must_use]
    pub fn has_group(&self) -> bool {
        let pid = self.leader.pid;
        let is_ours = match (Identity::of(pid), &self.mark) {
            (Some(now), _) => now == self.leader,
            (None, Some((name, value))) => marked(name, value, Some(pid)).contains(&pid),
            (None, None) => false,
        };
        is_ours && platform::group_exists(pid)
    }

    /// Ends what is left of the group, and waits for that: asked first, killed after [`GRACE`]. Returns whether there
    /// was anything.
    pub async fn end(&self) -> bool {
        let pid = self.leader.pid;
        if !self.has_group() || platform::group_of(pid).is_some_and(|group| group != pid) {
            return false;
        }
        platform::end_group(pid, false);
        if !is_gone(pid).await {
            platform::end_group(pid, true);
            is_gone(pid).await;
        }
        true
    }
}

/// Waits until a group is gone, for [`GRACE`] at most. Its leader may be the first to go: the number is the group's as
/// long as it has members.
async fn is_gone(group: u32) -> bool {
    let deadline = Instant::now() + GRACE;
    while platform::group_exists(group) {
        if Instant::now() >= deadline {
            return false;
        }
        sleep(LOOK).await;
    }
    true
}
