//! Replaced files, as long as somebody may still write into them.

use std::{fs, path::Path, time::Duration};

use super::{
    replace::Old,
    seen::{Bad, Seen, Stamp, Text, observe},
};
use crate::store::todo_hash;

/// How long a replaced file is kept. A shell's `date >> todo.md` has it open for some milliseconds.
const GRACE: Duration = Duration::from_millis(250);

/// How long one is kept that was empty: whoever emptied it has not written yet what should be in it.
const EMPTY_GRACE: Duration = Duration::from_secs(10);

/// The replaced files that this process looks after.
#[derive(Debug, Default)]
pub struct Olds(Vec<Kept>);

#[derive(Debug)]
struct Kept {
    old: Old,
    until: Duration,
    /// It was left by a process that died.
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
    /// It was left by a process that died.
    pub found: bool,
    /// What is in it.
    pub fate: Fate,
    /// How long it has been so.
    pub since: Duration,
}

impl Olds {
    /// Looks after one that was replaced now.
    pub fn add(&mut self, old: Old, now: Duration) {
        let grace = if old.is(&todo_hash(b"")) { EMPTY_GRACE } else { GRACE };
        self.0.push(Kept { old, until: now + grace, found: false, changed: None });
    }

    /// Looks after what a dead process left.
    pub fn find(&mut self, left: Vec<Old>, now: Duration) {
        for old in left {
            self.0.push(Kept { old, until: now + GRACE, found: true, changed: None });
        }
    }

    /// Lets go of one that was dealt with.
    pub fn forget(&mut self, path: &Path) {
        self.0.retain(|kept| kept.old.path != path);
    }

    /// When to look again.
    #[must_use]
    pub fn next(&self) -> Option<Duration> {
        self.0.iter().map(|kept| kept.until).min()
    }

    /// Looks at all of them. Those that stayed what they were for long enough are removed; those that are not what
    /// they were are told.
    pub fn look(&mut self, now: Duration) -> Vec<Changed> {
        let mut told = Vec::new();
        self.0.retain_mut(|kept| {
            let (stamp, fate) = match observe(&kept.old.path) {
                Seen::Missing | Seen::Bad(Bad::Outside(_) | Bad::NotAFile | Bad::TooLarge(_) | Bad::Unreadable(_)) => {
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
                // Should it stay, the next start finds it.
                let _ = fs::remove_file(&kept.old.path);
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
