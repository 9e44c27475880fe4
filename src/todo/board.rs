//! Changing TODO.md in the store, with other processes doing the same.

use std::sync::Arc;

use super::{Document, Item, ItemId, Operation, TodoError, apply, merge};
use crate::{
    fault::Fault,
    store::{Revision, Snapshot, Store, StoreError, TodoCommit},
    task::{ProjectKey, Timestamp},
};

/// A change that was not made. Nothing half-done stays.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// An operation cannot be done, or somebody else changed the same item since it was read.
    #[error(transparent)]
    Todo(#[from] TodoError),
    /// The store refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<BoardError> for Fault {
    fn from(error: BoardError) -> Self {
        match error {
            BoardError::Todo(error) => error.into(),
            BoardError::Store(error) => error.into(),
        }
    }
}

/// A change that was made.
#[derive(Debug, Clone)]
pub struct Committed {
    /// Its revision.
    pub revision: Revision,
    /// The file before it.
    pub before: Document,
    /// The file as it is now.
    pub document: Document,
    /// The items that were added or changed, each once.
    pub touched: Vec<ItemId>,
}

/// Makes operations on what `read` (a revision) says, or on the newest one, and commits them. What others changed since
/// stays: where the items that are named stand as they were read, the operations are made on the newest revision, and
/// otherwise merged with it.
///
/// # Errors
/// [`TodoError::Conflict`] when an item was changed here and by others since `read`, never without `read`. Any other
/// reason why an operation cannot be done; a claim is always decided by the newest revision. [`StoreError`].
pub fn commit(
    store: &mut dyn Store,
    project: &ProjectKey,
    author: &str,
    read: Option<u64>,
    operations: &[Operation],
    now: Timestamp,
) -> Result<Committed, BoardError> {
    let json = serde_json::to_string(operations).map_err(|error| StoreError::Internal(error.to_string()))?;
    let commit_of = |parent: u64, made: &Made| TodoCommit {
        project: project.clone(),
        parent,
        text: made.document.shared_text(),
        author: author.to_owned(),
        operations: json.clone(),
    };
    let read = read.map(|rev| store.todo(project, Some(rev))).transpose()?;
    // Making a change of a long file takes longer than committing it: it is made before the lock is asked for. When the
    // head has moved until the lock was had, there are many writers, and another such try would likely end the same
    // way: then it is made while nobody else can write.
    let head = store.todo(project, None)?;
    let made = change(read.as_ref(), &head, operations)?;
    match store.commit_todo(&commit_of(head.rev, &made), now) {
        Ok(revision) => return Ok(made.committed(revision)),
        Err(StoreError::TodoMoved { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let mut changed = None;
    let mut edit = |head: &Snapshot| {
        let made = change(read.as_ref(), head, operations);
        let commit = made.as_ref().ok().map(|made| commit_of(head.rev, made));
        changed = Some(made);
        commit
    };
    let revision = store.edit_todo(project, None, &mut edit, now)?;
    let none = || StoreError::Internal("an edit was not asked for its change".to_owned());
    let made = changed.ok_or_else(none)??;
    Ok(made.committed(revision.ok_or_else(none)?))
}

/// A change that is not committed yet.
struct Made {
    before: Document,
    document: Document,
    touched: Vec<ItemId>,
}

impl Made {
    fn committed(self, revision: Revision) -> Committed {
        let Self { before, document, touched } = self;
        Committed { revision, before, document, touched }
    }
}

/// What operations on `read` make of the head.
fn change(read: Option<&Snapshot>, head: &Snapshot, operations: &[Operation]) -> Result<Made, TodoError> {
    let before = Document::of(Arc::clone(&head.text));
    let (document, touched) = changed(read.filter(|read| read.rev != head.rev), &before, operations)?;
    Ok(Made { before, document, touched })
}

fn changed(
    read: Option<&Snapshot>,
    ours: &Document,
    operations: &[Operation],
) -> Result<(Document, Vec<ItemId>), TodoError> {
    let Some(read) = read else { return apply(ours, operations) };
    let base = Document::of(Arc::clone(&read.text));
    // Nothing of what is named has changed: then it does not matter what else has, and new ids are free ones.
    if operations.iter().flat_map(named).all(|id| same(base.get(id), ours.get(id))) {
        return apply(ours, operations);
    }
    // Two who claim the same item make the same change. That is no agreement.
    let is_claim = |operation: &&Operation| matches!(operation, Operation::Claim { .. });
    let claims: Vec<_> = operations.iter().filter(is_claim).cloned().collect();
    apply(ours, &claims)?;
    let (theirs, touched) = apply(&base, operations)?;
    let merged = merge(&base, ours, &theirs).map_err(TodoError::Conflict)?;
    Ok((merged, touched))
}

/// The items that an operation is about, as they were read.
fn named(operation: &Operation) -> Vec<&ItemId> {
    match operation {
        Operation::Add { parent, item, .. } => parent.iter().chain(&item.id).chain(&item.after).collect(),
        Operation::Update { id, .. }
        | Operation::Claim { id, .. }
        | Operation::Split { id, .. }
        | Operation::Remove { id } => vec![id],
        Operation::Outside { .. } => Vec::new(),
    }
}

/// Whether an item says the same on both sides, wherever it stands.
fn same(a: Option<&Item>, b: Option<&Item>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return a.is_none() && b.is_none() };
    let words = |item: &Item| (item.title.clone(), item.agent.clone(), item.notes.clone(), item.files.clone());
    let rest = |item: &Item| (item.status, item.size, item.after.clone(), item.race.clone(), item.parent.clone());
    words(a) == words(b) && rest(a) == rest(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fault::Code,
        store::{Durability, Home, SqliteStore, Todos},
        todo::{Change, NewItem, Status},
    };

    const NOW: Timestamp = Timestamp(1);

    fn project() -> ProjectKey {
        ProjectKey::new("/p")
    }

    fn store() -> (tempfile::TempDir, SqliteStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&Home::open(dir.path()).unwrap(), Durability::Normal).unwrap();
        (dir, store)
    }

    fn add(title: &str) -> Operation {
        let item = Box::new(NewItem { title: title.to_owned(), ..NewItem::default() });
        Operation::Add { mission: None, group: None, parent: None, item }
    }

    fn set(id: &str, status: Status) -> Operation {
        let change = Box::new(Change { status: Some(status), ..Change::default() });
        Operation::Update { id: id.parse().unwrap(), change }
    }

    fn claim(id: &str) -> Operation {
        Operation::Claim { id: id.parse().unwrap(), by: "me".to_owned() }
    }

    fn code(result: Result<Committed, BoardError>) -> Code {
        Fault::from(result.unwrap_err()).code
    }

    #[test]
    fn operations_become_a_revision_that_tells_them() {
        let (_dir, mut store) = store();
        let made = commit(&mut store, &project(), "w", None, &[add("one"), add("two")], NOW).unwrap();
        assert_eq!((made.revision.rev, made.revision.author.as_str()), (1, "w"));
        assert_eq!(made.touched.iter().map(ItemId::as_str).collect::<Vec<_>>(), ["t1", "t2"]);
        assert_eq!(store.todo(&project(), None).unwrap().text, made.document.shared_text());
        let told: Vec<Operation> = serde_json::from_str(&made.revision.operations).unwrap();
        assert_eq!(told, [add("one"), add("two")]);
        let none = code(commit(&mut store, &project(), "w", None, &[set("t9", Status::Done)], NOW));
        assert_eq!((none, store.todo(&project(), None).unwrap().rev), (Code::TodoNoItem, 1));
    }

    #[test]
    fn a_change_of_what_was_read_is_merged_and_one_of_what_others_changed_is_a_conflict() {
        let (_dir, mut store) = store();
        let mut revise = |read, operations: &[Operation]| commit(&mut store, &project(), "w", read, operations, NOW);
        revise(None, &[add("one"), add("two")]).unwrap();
        revise(Some(1), &[set("t1", Status::Done), add("three")]).unwrap();
        // Another item, and a new one, which gets a free id though the number was free when it was read.
        let made = revise(Some(1), &[set("t2", Status::Failed), add("four")]).unwrap();
        let states: Vec<_> =
            made.document.items().iter().map(|item| (item.title.as_str(), item.status.as_str())).collect();
        assert_eq!(states, [("one", "done"), ("two", "failed"), ("three", "pending"), ("four", "pending")]);
        // The same item: told with all three versions.
        let conflict = revise(Some(1), &[set("t1", Status::Failed)]).unwrap_err();
        let BoardError::Todo(TodoError::Conflict(told)) = &conflict else { panic!("{conflict}") };
        let has = |text: &Option<String>, mark: &str| text.as_ref().is_some_and(|text| text.contains(mark));
        assert!(has(&told[0].base, "[ ] t1") && has(&told[0].ours, "[x] t1") && has(&told[0].theirs, "[!] t1"));
        assert_eq!(Fault::from(conflict).code, Code::TodoConflict);
        // The same change is none, and without what was read there is none.
        revise(Some(1), &[set("t1", Status::Done)]).unwrap();
        revise(None, &[set("t1", Status::Failed)]).unwrap();
        assert_eq!(code(revise(Some(77), &[add("x")])), Code::TodoNoRevision);
    }

    #[test]
    fn writers_that_meet_all_get_their_change_in() {
        const EACH: usize = 25;
        let (dir, mut store) = store();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let home = Home::open(dir.path()).unwrap();
                scope.spawn(move || {
                    let mut store = SqliteStore::open(&home, Durability::Normal).unwrap();
                    for n in 0..EACH {
                        let made = commit(&mut store, &project(), "w", None, &[add(&format!("{writer} {n}"))], NOW);
                        let made = made.unwrap();
                        // It answers with the revision that it made, whichever way it came about.
                        let kept = store.todo(&project(), Some(made.revision.rev)).unwrap();
                        assert_eq!(kept.text, made.document.shared_text());
                        assert_eq!(made.document.get(&made.touched[0]).unwrap().title, format!("{writer} {n}"));
                    }
                });
            }
        });
        let head = store.todo(&project(), None).unwrap();
        assert_eq!((head.rev, Document::parse(&head.text).items().len()), (4 * EACH as u64, 4 * EACH));
    }

    #[test]
    fn an_item_is_claimed_once_whatever_was_read() {
        let (_dir, mut store) = store();
        let mut revise = |read, operations: &[Operation]| commit(&mut store, &project(), "w", read, operations, NOW);
        revise(None, &[add("one")]).unwrap();
        revise(Some(1), &[claim("t1")]).unwrap();
        assert_eq!(code(revise(Some(1), &[claim("t1")])), Code::TodoClaimed);
        assert_eq!(code(revise(None, &[claim("t1")])), Code::TodoClaimed);
    }
}
