//! From which revision an edit was made: the base of its merge.
//!
//! An editor or a script that saves a buffer of some minutes ago must not undo what happened since. So the base is not
//! simply what was shown last, but, of the texts that the file had lately, the one that the text is nearest to: the one
//! from which the fewest lines differ, and the latest of those. These are the revisions that were the head, and what
//! somebody else wrote and was merged into a revision without being shown as such.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::projector::Access;
use crate::{
    store::{Snapshot, StoreError, TodoFile, TodoStep},
    task::{ProjectKey, Timestamp},
};

/// How old a buffer may be that is saved.
const LATELY: Duration = Duration::from_secs(600);

/// What an edit was made from.
#[derive(Debug)]
pub struct Base {
    /// The text.
    pub text: Arc<str>,
    /// Of somebody else's text, the revision that took it in: what got an id in it has none in the text.
    pub taken: Option<Snapshot>,
}

impl From<Snapshot> for Base {
    fn from(revision: Snapshot) -> Self {
        Self { text: revision.text, taken: None }
    }
}

/// Finds the base of `text`, the content of a file of which `file` is known.
///
/// # Errors
/// The store's.
pub fn find(
    access: &mut impl Access,
    project: &ProjectKey,
    text: &str,
    file: &TodoFile,
    now: Timestamp,
) -> Result<Base, StoreError> {
    let since = Timestamp(now.0.saturating_sub(i64::try_from(LATELY.as_millis()).unwrap_or(i64::MAX)));
    let known: Vec<u64> = [&file.shown, &file.next].into_iter().flatten().map(|known| known.rev).collect();
    let (project, lines) = (project.clone(), Lines::of(text));
    access.with(move |store| {
        let mut best = Best::default();
        // Without anything known, the file may have nothing to do with any revision.
        for rev in if known.is_empty() { vec![0] } else { known } {
            match store.todo(&project, Some(rev)) {
                Ok(snapshot) => best.offer(lines.distance(&snapshot.text), rev),
                Err(StoreError::NoSuchRevision { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let edits = store.todo_edits(&project)?;
        let edited: Vec<_> = edits.iter().map(|(_, text)| lines.distance(text)).collect();
        let mut walk = lines;
        store.scan_todo(&project, since, &mut |rev, step| {
            match step {
                TodoStep::Whole(text) => walk.restart(text),
                TodoStep::Changed(changes) => {
                    for (removed, inserted) in changes {
                        removed.lines().for_each(|line| walk.step(line, 1));
                        inserted.lines().for_each(|line| walk.step(line, -1));
                    }
                }
            }
            best.offer(walk.distance, rev);
        })?;
        // What somebody wrote before is the nearer of two that are as near: saving it again takes nothing back.
        let edit = edited.into_iter().zip(edits).rev().min_by_key(|(distance, _)| *distance);
        if let Some((_, (rev, text))) = edit.filter(|(distance, _)| best.0.is_none_or(|(least, _)| *distance <= least))
        {
            match store.todo(&project, Some(rev)) {
                Ok(revision) => return Ok(Base { text: text.into(), taken: Some(revision) }),
                Err(StoreError::NoSuchRevision { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        store.todo(&project, best.0.map(|(_, rev)| rev)).map(Base::from)
    })
}

/// The nearest revision so far, and how far it is.
#[derive(Default)]
struct Best(Option<(usize, u64)>);

impl Best {
    fn offer(&mut self, distance: usize, rev: u64) {
        if self.0.is_none_or(|(least, best)| (distance, best) < (least, rev)) {
            self.0 = Some((distance, rev));
        }
    }
}

/// The lines of a text against those of another that changes step by step. Their order does not count: moving a line is
/// not what tells buffers apart.
#[derive(Clone)]
struct Lines {
    own: HashMap<String, isize>,
    /// How often each line is there more often than in the other text; less often if below zero.
    more: HashMap<String, isize>,
    /// How many lines one of the two has and the other has not.
    distance: usize,
}

impl Lines {
    /// Against an empty text.
    fn of(text: &str) -> Self {
        let mut own: HashMap<String, isize> = HashMap::new();
        for line in text.lines() {
            *own.entry(line.to_owned()).or_default() += 1;
        }
        let more = own.clone();
        Self { own, more, distance: text.lines().count() }
    }

    /// Against another text.
    fn restart(&mut self, other: &str) {
        self.more.clone_from(&self.own);
        self.distance = self.own.values().map(|count| count.unsigned_abs()).sum();
        other.lines().for_each(|line| self.step(line, -1));
    }

    /// The other text gets a line (-1) or loses one (1).
    fn step(&mut self, line: &str, by: isize) {
        let count = match self.more.get_mut(line) {
            Some(count) => count,
            None => self.more.entry(line.to_owned()).or_default(),
        };
        let before = count.unsigned_abs();
        *count += by;
        self.distance = self.distance + count.unsigned_abs() - before;
    }

    fn distance(&self, other: &str) -> usize {
        let mut against = self.clone();
        against.restart(other);
        against.distance
    }
}
