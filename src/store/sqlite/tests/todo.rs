//! Revisions of TODO.md, against a model that is a list of texts in memory.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::store;
use crate::{
    fault::Code,
    store::{
        Durability, Home, Known, Revision, Snapshot, SqliteStore, StoreError, TODO_EDITS, TodoCommit, TodoEdit,
        TodoFile, TodoStep, Todos,
        fixture::project,
        sqlite::todo::{self, LIMITS, Limits, commit, commit_within, read, with_hash},
        sqlite::todo_recent::Recent,
        todo_hash,
    },
    task::{ProjectKey, Timestamp},
};

fn change(parent: u64, text: &str) -> TodoCommit {
    TodoCommit { project: project(), parent, text: text.into(), author: "me".into(), operations: "[]".into() }
}

/// A file of so many items; `tick` changes one line of it.
fn items(count: u64, tick: u64) -> String {
    let line = |n| {
        format!("- [{}] item {n} with some words `^{n:04x}` {}\n", if tick > n { 'x' } else { ' ' }, tick / (n + 1))
    };
    (0..count).map(line).collect()
}

#[test]
fn revisions_count_from_one_and_an_old_parent_is_told_the_head() {
    let (_dir, mut store) = store();
    let empty = Snapshot { rev: 0, hash: todo_hash(b""), text: "".into() };
    assert_eq!(store.todo(&project(), None).unwrap(), empty);
    let first = store.commit_todo(&change(0, "a\n"), Timestamp(5)).unwrap();
    let expected = Revision {
        rev: 1,
        hash: todo_hash(b"a\n"),
        author: "me".into(),
        parent: 0,
        operations: "[]".into(),
        at: Timestamp(5),
    };
    assert_eq!(first, expected);
    let moved = store.commit_todo(&change(0, "b\n"), Timestamp(6)).unwrap_err();
    assert!(matches!(moved, StoreError::TodoMoved { parent: 0, head: 1 }), "{moved}");
    assert!(matches!(store.commit_todo(&change(2, "b\n"), Timestamp(6)), Err(StoreError::TodoMoved { .. })));
    store.commit_todo(&change(1, "a\nb\n"), Timestamp(7)).unwrap();
    assert_eq!(store.todo(&project(), None).unwrap().text.as_ref(), "a\nb\n");
    assert_eq!(store.todo(&project(), Some(1)).unwrap().text.as_ref(), "a\n");
    assert_eq!(store.todo(&project(), Some(0)).unwrap(), empty);
    let missing = store.todo(&project(), Some(3)).unwrap_err();
    assert_eq!((missing.code(), missing.code().as_str()), (Code::TodoNoRevision, "todo-no-revision"));
    // Projects do not meet, and one that nobody has heard of is empty.
    let other = ProjectKey::new("/other");
    assert_eq!(store.todo(&other, None).unwrap(), empty);
    assert!(matches!(store.todo(&other, Some(1)), Err(StoreError::NoSuchRevision { rev: 1, head: 0 })));
    assert!(store.todo_history(&other, None, 9).unwrap().is_empty());
    store.scan_todo(&other, Timestamp(0), &mut |_, _| panic!("there is none")).unwrap();
    assert_eq!(store.todo_with_hash(&other, &first.hash).unwrap(), None);
    let elsewhere = TodoCommit { project: other.clone(), ..change(0, "z\n") };
    assert_eq!(store.commit_todo(&elsewhere, Timestamp(8)).unwrap().rev, 1);
    assert_eq!(store.todo(&project(), None).unwrap().rev, 2);
    assert_eq!(store.check().unwrap(), [""; 0]);
}

#[test]
fn a_commit_belongs_to_the_transaction_around_it() {
    let (_dir, mut store) = store();
    let failed = store.write(|tx| {
        assert_eq!(commit(tx, &change(0, "a\n"), Timestamp(1), &Recent::default())?.rev, 1);
        assert_eq!(commit(tx, &change(1, "b\n"), Timestamp(1), &Recent::default())?.rev, 2);
        Err::<(), _>(StoreError::Closed)
    });
    assert!(failed.is_err());
    assert_eq!(store.todo(&project(), None).unwrap().rev, 0);
}

#[test]
fn two_processes_with_one_parent_get_one_revision() {
    let (dir, mut store) = store();
    let mut other = SqliteStore::open(&Home::open(dir.path()).unwrap(), Durability::Normal).unwrap();
    other.commit_todo(&change(0, "theirs\n"), Timestamp(1)).unwrap();
    assert!(matches!(
        store.commit_todo(&change(0, "mine\n"), Timestamp(1)),
        Err(StoreError::TodoMoved { head: 1, .. })
    ));
    assert_eq!(store.todo(&project(), None).unwrap().text.as_ref(), "theirs\n");
}

#[test]
fn the_newest_ten_thousand_texts_are_kept_small_and_every_record_for_ever() {
    const COMMITS: u64 = 10_200;
    let (_dir, mut store) = store();
    store
        .write(|tx| {
            for rev in 0..COMMITS {
                commit(
                    tx,
                    &change(rev, &items(20, rev + 1)),
                    Timestamp(i64::try_from(rev).unwrap()),
                    &Recent::default(),
                )?;
            }
            Ok(())
        })
        .unwrap();
    let kept = COMMITS - 10_000 + 1;
    for rev in [kept, kept + 1, kept + 65, COMMITS / 2, COMMITS] {
        assert_eq!(store.todo(&project(), Some(rev)).unwrap().text.as_ref(), items(20, rev));
    }
    for rev in [1, 2, kept - 1] {
        let gone = store.todo(&project(), Some(rev)).unwrap_err();
        assert!(matches!(gone, StoreError::NoSuchRevision { head: COMMITS, .. }), "{gone}");
    }
    let history = store.todo_history(&project(), Some(3), 9).unwrap();
    assert_eq!(history.iter().map(|revision| (revision.rev, revision.parent)).collect::<Vec<_>>(), [(2, 1), (1, 0)]);
    let (rows, bytes): (u64, u64) = store
        .conn
        .query_row("SELECT count(*), sum(length(body)) FROM todo_texts", [], |row| {
            Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?.unsigned_abs()))
        })
        .unwrap();
    assert!((10_000..10_000 + 3 * LIMITS.span).contains(&rows), "{rows}");
    assert!(bytes < rows * items(20, COMMITS).len() as u64 / 2, "{bytes}");
    let whole = "SELECT count(*) FROM todo_texts WHERE form = 'whole'";
    assert_eq!(store.conn.query_row(whole, [], |row| row.get::<_, i64>(0)).unwrap(), 1, "old ones are packed");
}

#[test]
fn a_text_that_was_tampered_with_is_named_and_never_returned() {
    for sql in [
        "UPDATE todo_texts SET body = x'5b5d' WHERE form = 'delta'",
        "UPDATE todo_texts SET body = CAST('[[99999,1,\"x\"]]' AS BLOB) WHERE form = 'delta'",
        "UPDATE todo_texts SET body = x'00' WHERE form = 'delta'",
        "UPDATE todo_texts SET body = x'ff' WHERE form = 'whole'",
        "UPDATE todo_texts SET form = 'packed'",
        "DELETE FROM todo_texts",
    ] {
        let (_dir, mut store) = store();
        for rev in 0..3 {
            store.commit_todo(&change(rev, &items(20, rev)), Timestamp(1)).unwrap();
        }
        assert_eq!(store.check().unwrap(), [""; 0]);
        store.conn.execute(sql, []).unwrap();
        store.recent = Recent::default();
        let error = store.todo(&project(), None).unwrap_err();
        assert!(matches!(error, StoreError::CorruptTodo { .. }), "{sql}: {error}");
        assert!(!store.check().unwrap().is_empty(), "{sql}");
        assert!(store.commit_todo(&change(3, "x"), Timestamp(1)).is_err(), "{sql}");
        for sql in ["UPDATE todo_revisions SET author = 'x'", "DELETE FROM todo_revisions"] {
            assert!(store.conn.execute(sql, []).is_err(), "{sql}");
        }
    }
}

#[test]
fn what_a_file_is_known_to_hold_is_kept_for_each_path() {
    let (_dir, mut store) = store();
    let known = |rev| Some(Known { rev, hash: todo_hash(&[u8::try_from(rev).unwrap()]) });
    assert_eq!(store.todo_file(&project(), "a").unwrap(), TodoFile::default());
    for file in
        [TodoFile { shown: known(1), next: None }, TodoFile { shown: known(1), next: known(2) }, TodoFile::default()]
    {
        store.set_todo_file(&project(), "a", &file).unwrap();
        assert_eq!(store.todo_file(&project(), "a").unwrap(), file);
        assert_eq!(store.todo_file(&project(), "b").unwrap(), TodoFile::default());
    }
}

#[test]
fn an_edit_sees_the_head_and_is_committed_together_with_what_the_file_holds() {
    let (_dir, mut store) = store();
    let seen = todo_hash(b"seen");
    let taken = |path| TodoEdit { path, hash: &seen, text: "seen" };
    let mut add = |head: &Snapshot| Some(change(head.rev, &format!("{}more\n", head.text)));
    let revision = store.edit_todo(&project(), Some(taken("a")), &mut add, Timestamp(1)).unwrap().unwrap();
    assert_eq!((revision.rev, revision.parent), (1, 0));
    let file = |rev| TodoFile { shown: Some(Known { rev, hash: seen.clone() }), next: None };
    assert_eq!(store.todo_file(&project(), "a").unwrap(), file(1));
    store.edit_todo(&project(), None, &mut add, Timestamp(1)).unwrap();
    assert_eq!(store.todo(&project(), None).unwrap().text.as_ref(), "more\nmore\n");
    assert_eq!(store.todo_file(&project(), "a").unwrap(), file(1));
    // Nothing to change: the text in the file is known all the same.
    assert!(store.edit_todo(&project(), Some(taken("a")), &mut |_| None, Timestamp(1)).unwrap().is_none());
    assert_eq!((store.todo(&project(), None).unwrap().rev, store.todo_file(&project(), "a").unwrap()), (2, file(2)));
    // A parent that is not the head is a mistake of the caller's, and leaves no trace.
    let stale = store.edit_todo(&project(), Some(taken("b")), &mut |_| Some(change(0, "x")), Timestamp(1));
    assert!(matches!(stale, Err(StoreError::TodoMoved { parent: 0, head: 2 })));
    assert_eq!(store.todo_file(&project(), "b").unwrap(), TodoFile::default());
}

#[test]
fn the_last_texts_that_were_taken_in_and_are_no_revision_are_kept() {
    let (_dir, mut store) = store();
    let mut take_in = |text: &str, makes: Option<&str>| {
        let hash = todo_hash(text.as_bytes());
        let taken = TodoEdit { path: "a", hash: &hash, text };
        let mut edit = |head: &Snapshot| makes.map(|made| change(head.rev, made));
        store.edit_todo(&project(), Some(taken), &mut edit, Timestamp(1)).unwrap();
        store.todo_edits(&project()).unwrap()
    };
    assert_eq!(take_in("one", Some("one")), []);
    assert_eq!(take_in("old", None), [(1, "old".to_owned())]);
    assert_eq!(take_in("two", Some("one and two")), [(1, "old".to_owned()), (2, "two".to_owned())]);
    let mut kept = Vec::new();
    for n in 0..TODO_EDITS {
        kept = take_in(&n.to_string(), Some(&format!("with {n}")));
    }
    assert_eq!((kept.len(), &kept[0]), (TODO_EDITS as usize, &(3, "0".to_owned())));
    assert_eq!(store.todo_edits(&ProjectKey::new("/other")).unwrap(), []);
}

#[derive(Debug, Clone)]
enum Op {
    /// Commits a text on a parent that is so many revisions behind the head.
    Commit { behind: u64, lines: Vec<u8>, wait: i64 },
    /// Commits the text of an older revision again.
    Revert { back: u64 },
}

fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (prop_oneof![9 => Just(0_u64), 1 => 1_u64..3], prop::collection::vec(0_u8..3, 0..12), 0_i64..4)
            .prop_map(|(behind, lines, wait)| Op::Commit { behind, lines, wait }),
        1 => (0_u64..20).prop_map(|back| Op::Revert { back }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn random_commits_agree_with_the_model(
        ops in prop::collection::vec(ops(), 1..60), kept in 1_u64..20, span in 0_u64..5, since in -1_i64..150,
    ) {
        let limits = Limits { kept, span };
        let (_dir, mut store) = store();
        let mut model: Vec<(String, i64)> = vec![(String::new(), -1)];
        let mut now = 0;
        for op in ops {
            let head = model.len() as u64 - 1;
            let (parent, text) = match op {
                Op::Commit { behind, lines, wait } => {
                    now += wait;
                    (head.saturating_sub(behind), lines.iter().map(|line| ["one é\n", "two\n", "\n"][usize::from(*line)]).collect())
                }
                Op::Revert { back } => (head, model[usize::try_from(head.saturating_sub(back)).unwrap()].0.clone()),
            };
            let made = store.write(|tx| commit_within(tx, &change(parent, &text), Timestamp(now), limits, &Recent::default()));
            if parent == head {
                prop_assert_eq!(made.unwrap().rev, head + 1);
                model.push((text, now));
            } else {
                let moved = matches!(made, Err(StoreError::TodoMoved { head: found, .. }) if found == head);
                prop_assert!(moved);
            }
        }
        let head = model.len() as u64 - 1;
        let oldest = (head + 1).saturating_sub(kept);
        for (rev, (text, _)) in (0..).zip(&model) {
            match store.read(|conn| read(conn, &project(), Some(rev), limits, &Recent::default())) {
                Ok(found) => {
                    prop_assert!(rev >= oldest || rev == 0);
                    prop_assert_eq!(found, Snapshot { rev, hash: todo_hash(text.as_bytes()), text: text.as_str().into() });
                }
                Err(error) => {
                    let gone = matches!(error, StoreError::NoSuchRevision { .. });
                    prop_assert!(gone && rev < oldest && rev > 0, "{}", error);
                }
            }
            let newest = (oldest.max(1)..=head).rev().find(|&rev| model[usize::try_from(rev).unwrap()].0 == *text);
            let found = store.read(|conn| with_hash(conn, &project(), &todo_hash(text.as_bytes()), limits));
            prop_assert_eq!(found.unwrap(), newest);
        }
        let history = store.todo_history(&project(), None, 999).unwrap();
        prop_assert_eq!(history.len() as u64, head);
        for (revision, rev) in history.iter().zip((1..=head).rev()) {
            let (text, at) = &model[usize::try_from(rev).unwrap()];
            prop_assert_eq!((revision.rev, revision.parent, revision.at.0), (rev, rev - 1, *at));
            prop_assert_eq!(&revision.hash, &todo_hash(text.as_bytes()));
        }
        prop_assert_eq!(store.check().unwrap(), [""; 0]);
        let since = Timestamp(since);
        let newest = (1..=head).rev().find(|&rev| model[usize::try_from(rev).unwrap()].1 <= since.0);
        let mut expected = newest.unwrap_or(1).max(oldest).max(1);
        let mut lines: BTreeMap<String, isize> = BTreeMap::new();
        let mut told = Vec::new();
        let mut visit = |rev: u64, step: TodoStep<'_>| {
            let mut count = |text: &str, by: isize| {
                text.split_inclusive('\n').for_each(|line| *lines.entry(line.to_owned()).or_default() += by);
            };
            match step {
                TodoStep::Whole(text) => {
                    lines.clear();
                    text.split_inclusive('\n').for_each(|line| *lines.entry(line.to_owned()).or_default() += 1);
                }
                TodoStep::Changed(changes) => {
                    for (removed, inserted) in changes {
                        count(removed, -1);
                        count(inserted, 1);
                    }
                }
            }
            lines.retain(|_, count| *count != 0);
            told.push((rev, lines.clone()));
        };
        store.read(|conn| todo::scan(conn, &project(), since, limits, &mut visit)).unwrap();
        for (rev, lines) in told {
            prop_assert_eq!(rev, expected);
            let mut own: BTreeMap<String, isize> = BTreeMap::new();
            let text = &model[usize::try_from(rev).unwrap()].0;
            text.split_inclusive('\n').for_each(|line| *own.entry(line.to_owned()).or_default() += 1);
            prop_assert_eq!(lines, own);
            expected += 1;
        }
        prop_assert_eq!(expected, head + 1);
    }
}
