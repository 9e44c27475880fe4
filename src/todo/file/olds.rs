//! Replaced files, as long as somebody may still write into them.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    replace::Old,
    seen::{Bad, Seen, Stamp, Text, observe},
};
use crate::store::todo_hash;

/// How long a replaced file is kept. A shell's `date >> todo.md` has it open for some milliseconds.
const GRACE: Duration = Duration::from_millis(250);

/// How long one is kept that was empty: whoever emptied it has not written yet what should be in it.
const EMPTY_GRACE: Duration = Duration::from_secs(10);

/// How much longer one is left to the process that replaced the file, which may have ended.
const OWNERS: Duration = Duration::from_secs(1);

/// The replaced files that this process looks after.
#[derive(Debug, Default)]
pub struct Olds {
    kept: Vec<Kept>,
    /// Those with which nothing can be done. The next start finds them.
    left: HashSet<PathBuf>,
}

#[derive(Debug)]
struct Kept {
    old: Old,
    until: Duration,
    /// Another process replaced it, and looks after it until then if it lives.
    found: bool,
    /// A content that it should not have, and since when it has had it.
    changed: Option<(Stamp, Duration)>,
}

/// What has become of a replaced file.
#[derive(Debug)]
pub enum Fate {
    /// Somebody wrote a text into it.
    Text(Text),
    /// Somebody wrote something else into it, of this hash.
    Other(String),
}

/// A replaced file that is not what it was.
#[derive(Debug)]
pub struct Changed {
    /// Where it is.
    pub old: Old,
    /// It was left by a process that has ended.
    pub found: bool,
    /// What is in it.
    pub fate: Fate,
    /// How long it has been so.
    pub since: Duration,
}

impl Olds {
    /// Looks after one that was replaced now.
    pub fn add(&mut self, old: Old, now: Duration) {
        let until = now + grace(&old);
        self.kept.push(Kept { old, until, found: false, changed: None });
    }

    /// Looks after those that others replaced, once they have had the time to do so themselves.
    pub fn find(&mut self, left: Vec<Old>, now: Duration) {
        for old in left {
            let is_new = self.kept.iter().all(|kept| kept.old.path != old.path) && !self.left.contains(&old.path);
            if is_new {
                let until = now + grace(&old) + OWNERS;
                self.kept.push(Kept { old, until, found: true, changed: None });
            }
        }
    }

    /// Lets go of one that was dealt with.
    pub fn forget(&mut self, path: &Path) {
        self.kept.retain(|kept| kept.old.path != path);
    }

    /// Leaves one to the next start, because nothing can be done with it.
    pub fn leave(&mut self, path: &Path) {
        self.forget(path);
        self.left.insert(path.to_owned());
    }

    /// When to look again.
    #[must_use]
    pub fn next(&self) -> Option<Duration> {
        self.kept.iter().map(|kept| kept.until).min()
    }

    /// Looks at all of them. Those that stayed what they were for long enough are removed; those that are not what
    /// they were are told.
    pub fn look(&mut self, now: Duration) -> Vec<Changed> {
        let mut told = Vec::new();
        self.kept.retain_mut(|kept| {
            if kept.found && now < kept.until {
                return true;
            }
            let (stamp, fate) = match observe(&kept.old.path) {
                Seen::Missing => return false,
                Seen::Bad(Bad::Outside(_) | Bad::NotAFile | Bad::TooLarge(_) | Bad::Unreadable(_)) => {
                    self.left.insert(kept.old.path.clone());
                    return false;
                }
                Seen::Bad(Bad::Marked(stamp)) | Seen::Binary(stamp) => (stamp.clone(), Fate::Other(stamp.hash)),
                Seen::Text(text) => (text.stamp.clone(), Fate::Text(text)),
            };
            if kept.old.is(&stamp.hash) {
                kept.changed = None;
                if now < kept.until {
                    return true;
                }
                if fs::remove_file(&kept.old.path).is_err() {
                    self.left.insert(kept.old.path.clone());
                }
                return false;
            }
            let since = match &kept.changed {
                Some((seen, since)) if *seen == stamp => *since,
                _ => now,
            };
            kept.changed = Some((stamp, since));
            told.push(Changed { old: kept.old.clone(), found: kept.found, fate, since: now.saturating_sub(since) });
            true
        });
        told
    }
}

/// How long one is kept at least.
fn grace(old: &Old) -> Duration {
    if old.is(&todo_hash(b"")) { EMPTY_GRACE } else { GRACE }
}
