//! Taking somebody else's edit in.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use super::{
    base::{self, Base},
    projector::Access,
};
use crate::{
    store::{Revision, Snapshot, StoreError, TodoCommit, TodoEdit, TodoFile, todo_hash},
    task::{ProjectKey, Timestamp},
    todo::{Document, ItemId, Operation, assign_ids, merge_keeping_both},
};

/// The author of revisions that come from the file.
pub const AUTHOR: &str = "outside";

/// So many open items may vanish at once, whatever part of all they are.
const MAY_VANISH: usize = 2;

/// What came of an edit.
#[derive(Debug)]
pub enum Taken {
    /// It is in this revision.
    In(Revision),
    /// It says nothing that the head does not say.
    Nothing,
    /// It is no edit but an accident; nothing was changed.
    Not(Accident),
}

/// What is kept aside instead of being taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Accident {
    /// Nothing is in the file.
    #[error("it was empty")]
    Empty,
    /// It is no text.
    #[error("it was no text")]
    Binary,
    /// More than half of the open items were gone.
    #[error("{gone} of {open} open items were gone from it")]
    Truncated {
        /// How many were gone.
        gone: usize,
        /// Of how many.
        open: usize,
    },
}

/// An edit and what is known about its file.
pub struct Edit<'a> {
    /// Whose TODO.md.
    pub project: &'a ProjectKey,
    /// Under which name it is noted as taken in.
    pub path: &'a str,
    /// What the file was known to hold.
    pub file: &'a TodoFile,
    /// The text.
    pub text: &'a str,
}

/// Whether a text may be one that is still being written: `before` goes on where it ends. It is waited for longer.
#[must_use]
pub fn looks_unfinished(text: &str, before: &str) -> bool {
    text.trim().is_empty() || (before.len() > text.len() && (before.starts_with(text) || !text.ends_with('\n')))
}

/// Merges an edit into the head, if it is one.
///
/// # Errors
/// The store's; then nothing was changed.
pub fn take_in(access: &mut impl Access, edit: &Edit<'_>, now: Timestamp) -> Result<Taken, StoreError> {
    let hash = todo_hash(edit.text.as_bytes());
    let head = {
        let project = edit.project.clone();
        access.with(move |store| store.todo(&project, None))?
    };
    if edit.text.trim().is_empty() {
        return Ok(if head.text.trim().is_empty() { Taken::Nothing } else { Taken::Not(Accident::Empty) });
    }
    if let Some(base) = return_to(access, edit, &hash)? {
        return commit(access, edit, base.into(), &hash, now);
    }
    let base = base::find(access, edit.project, edit.text, edit.file, now)?;
    match truncated(&Document::parse(&base.text), &Document::parse(edit.text)) {
        Some(accident) => Ok(Taken::Not(accident)),
        None => commit(access, edit, base, &hash, now),
    }
}

/// The base of a text that is an older revision to the byte: whoever brings one back means it, and all that came since
/// is taken back. None for any other text.
fn return_to(access: &mut impl Access, edit: &Edit<'_>, hash: &str) -> Result<Option<Snapshot>, StoreError> {
    let (project, hash) = (edit.project.clone(), hash.to_owned());
    let latest = edit.file.next.as_ref().or(edit.file.shown.as_ref()).map(|known| known.rev);
    access.with(move |store| {
        let Some(rev) = store.todo_with_hash(&project, &hash)? else { return Ok(None) };
        // A copy that was never shown here, as in a fresh clone, is only old.
        match store.todo(&project, Some(latest.unwrap_or(rev))) {
            Ok(base) => Ok(Some(base)),
            Err(StoreError::NoSuchRevision { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    })
}

fn truncated(base: &Document, theirs: &Document) -> Option<Accident> {
    let (mut open, mut gone) = (0, 0);
    for item in base.items().iter().filter(|item| item.status.is_open()) {
        open += 1;
        let stays = item.id.as_ref().is_some_and(|id| theirs.get(id).is_some())
            || theirs.items().iter().any(|other| other.id.is_none() && other.title == item.title);
        gone += usize::from(!stays);
    }
    (gone > MAY_VANISH && gone * 2 > open).then_some(Accident::Truncated { gone, open })
}

/// Commits what the merge makes of it. The merge is done while nobody else can write: it is short, and one that had
/// to be repeated for every commit of others might never come to its end.
fn commit(
    access: &mut impl Access,
    edit: &Edit<'_>,
    base: Base,
    hash: &str,
    now: Timestamp,
) -> Result<Taken, StoreError> {
    let (project, path, hash, text) =
        (edit.project.clone(), edit.path.to_owned(), hash.to_owned(), edit.text.to_owned());
    let (Base { text: base, taken }, theirs) = (base, Document::parse(edit.text));
    let base = match taken {
        Some(revision) => recognise(&Document::of(base), &[&Document::of(revision.text)]),
        None => Document::of(base),
    };
    let revision = access.with(move |store| {
        let mut merge = |head: &Snapshot| {
            let ours = Document::of(Arc::clone(&head.text));
            let theirs = recognise(&theirs, &[&base, &ours]);
            let merged = assign_ids(&merge_keeping_both(&base, &ours, &theirs)).0;
            if merged == ours {
                return None;
            }
            let operations = vec![Operation::Outside { changed: changed_lines(ours.as_str(), merged.as_str()) }];
            Some(TodoCommit {
                project: project.clone(),
                parent: head.rev,
                text: merged.shared_text(),
                author: AUTHOR.to_owned(),
                operations: serde_json::to_string(&operations).ok()?,
            })
        };
        store.edit_todo(&project, Some(TodoEdit { path: &path, hash: &hash, text: &text }), &mut merge, now)
    })?;
    Ok(revision.map_or(Taken::Nothing, Taken::In))
}

/// Gives items of the edit that have no id the one that they were given before: an editor does not know of the ids that
/// the items of its buffer were given when it saved them the first time. An item is known by its title.
fn recognise(theirs: &Document, known: &[&Document]) -> Document {
    let mut ids: HashMap<&str, VecDeque<&ItemId>> = HashMap::new();
    let mut seen = HashSet::new();
    for item in known.iter().flat_map(|document| document.items()) {
        let Some(id) = item.id.as_ref().filter(|id| theirs.get(id).is_none()) else { continue };
        if seen.insert(id) {
            ids.entry(&item.title).or_default().push_back(id);
        }
    }
    let nameless = theirs.items().iter().filter(|item| item.id.is_none());
    let mut given = nameless.filter_map(|item| Some((item, ids.get_mut(item.title.as_str())?.pop_front()?))).peekable();
    let mut text = String::with_capacity(theirs.as_str().len());
    // As the document counts its lines: a mark at the beginning of the file is part of none.
    let body = theirs.as_str().trim_start_matches('\u{feff}');
    text.push_str(&theirs.as_str()[..theirs.as_str().len() - body.len()]);
    for (number, line) in (1..).zip(body.split_inclusive('\n')) {
        match given.next_if(|(item, _)| item.line == number) {
            Some((item, id)) => {
                let (before, after) = line.split_at(item.header.body);
                text.extend([before, id.as_str(), ": ", after]);
            }
            None => text.push_str(line),
        }
    }
    Document::of(text)
}

/// How many lines of one text the other does not have in their place.
fn changed_lines(old: &str, new: &str) -> usize {
    let (olds, news): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let head = olds.iter().zip(&news).take_while(|(old, new)| old == new).count();
    let rest = olds.len().min(news.len()) - head;
    let tail = olds.iter().rev().zip(news.iter().rev()).take(rest).take_while(|(old, new)| old == new).count();
    let (olds, news) = (&olds[head..olds.len() - tail], &news[head..news.len() - tail]);
    if olds.len() == news.len() {
        olds.iter().zip(news).filter(|(old, new)| old != new).count()
    } else {
        olds.len().max(news.len())
    }
}
