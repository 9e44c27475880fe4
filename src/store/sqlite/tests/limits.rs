//! What happens when something gives way: the disk, a lock, a row, a migration.

use std::time::Duration;

use rusqlite::Connection;

use super::store;
use crate::{
    store::{
        Durability, Filter, Home, SqliteStore, Store, StoreError,
        fixture::{each, id, instance, project, run, task},
        sqlite::migrate,
    },
    task::{Change, Guard, Timestamp},
};

#[test]
fn a_full_disk_is_named_and_loses_nothing() {
    let (_dir, mut store) = store();
    store.launch(&[task(0, instance(1), |_| ())]).unwrap();
    let before = store.tasks(&project(), &Filter::default()).unwrap();
    store.limit_pages(1);
    let large = |n| task(n, instance(1), |spec| spec.prompt = "x".repeat(1 << 16));
    let error = store.launch(&[large(1), large(2)]).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert_eq!(store.tasks(&project(), &Filter::default()).unwrap(), before);
    store.limit_pages(1 << 20);
    store.launch(&[large(1)]).unwrap();
    assert_eq!(store.check().unwrap(), [""; 0]);
}

#[test]
fn a_lock_that_is_held_too_long_is_busy_and_reading_goes_on() {
    let (dir, store) = store();
    let mut other = SqliteStore::open(&Home::open(dir.path()).unwrap(), Durability::Normal).unwrap();
    other.set_busy_timeout(Duration::ZERO).unwrap();
    store
        .write(|_| {
            assert!(matches!(other.launch(&[task(1, instance(1), |_| ())]), Err(StoreError::Busy)));
            assert!(other.tasks(&project(), &Filter::default()).unwrap().is_empty());
            // Nothing to claim: no lock is asked for.
            assert!(other.claim(&project(), instance(1), Timestamp(1), &mut each(|_| None)).unwrap().is_empty());
            Ok(())
        })
        .unwrap();
    other.launch(&[task(1, instance(1), |_| ())]).unwrap();
}

#[test]
fn a_row_that_was_tampered_with_is_named() {
    let (_dir, mut store) = store();
    store.launch(&[task(1, instance(1), |_| ())]).unwrap();
    for (column, value) in [
        ("spec", "{}"),
        ("body", "nonsense"),
        ("body", r#"{"state":{"state":"complete","ended_at":1},"interruptions":0,"run":null}"#),
        ("home", "nobody"),
        ("fence", "-1"),
        ("attempt", "99999999999"),
    ] {
        store.conn.execute_batch("SAVEPOINT tamper").unwrap();
        let table = if column == "spec" { "specs" } else { "tasks" };
        store.conn.execute(&format!("UPDATE {table} SET {column} = ?1"), [value]).unwrap();
        let error = store.tasks(&project(), &Filter::default()).unwrap_err();
        let named = matches!(&error, StoreError::CorruptTask { task, .. } if *task == id(1).to_string());
        assert!(named, "{column}: {error}");
        store.conn.execute_batch("ROLLBACK TO tamper; RELEASE tamper").unwrap();
    }
    assert_eq!(store.tasks(&project(), &Filter::default()).unwrap().len(), 1);
}

#[test]
fn the_schema_itself_keeps_the_journal_and_ended_tasks() {
    let (_dir, mut store) = store();
    store.launch(&[task(1, instance(1), |_| ())]).unwrap();
    store.claim(&project(), instance(1), Timestamp(2), &mut each(|_| Some(run(None)))).unwrap();
    store.change(id(1), Guard::Anyone, &Change::Complete, None, Timestamp(3)).unwrap();
    for sql in [
        "UPDATE journal SET at = 0",
        "DELETE FROM journal",
        "UPDATE tasks SET state = 'pending', ended_at = NULL",
        "INSERT INTO journal SELECT 99, task, rev, project, at, change, from_state, to_state, fence, detail \
         FROM journal LIMIT 1",
    ] {
        assert!(store.conn.execute(sql, []).is_err(), "{sql}");
    }
}

#[test]
fn the_check_finds_a_story_that_does_not_agree() {
    let (_dir, mut store) = store();
    store.launch(&[task(1, instance(1), |_| ())]).unwrap();
    assert_eq!(store.check().unwrap(), [""; 0]);
    store.conn.execute("UPDATE tasks SET rev = 7", []).unwrap();
    assert_eq!(store.check().unwrap().len(), 2);
}

#[test]
fn a_migration_keeps_the_tasks_and_one_that_fails_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::open(dir.path()).unwrap();
    SqliteStore::open(&home, Durability::Full).unwrap().launch(&[task(1, instance(1), |_| ())]).unwrap();
    let mut conn = Connection::open(home.database()).unwrap();
    let version =
        |conn: &Connection| conn.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap();
    let next = |sql| [&migrate::MIGRATIONS[..], &[sql]].concat();
    let broken = next("ALTER TABLE tasks ADD COLUMN note TEXT; SELECT * FROM nowhere;");
    assert!(migrate::migrate(&mut conn, &home.database(), &broken).is_err());
    assert_eq!(version(&conn), migrate::VERSION);
    let good = next("ALTER TABLE tasks ADD COLUMN note TEXT;");
    for _ in 0..2 {
        migrate::migrate(&mut conn, &home.database(), &good).unwrap();
    }
    assert_eq!(version(&conn), migrate::VERSION + 1);
    let count: i64 = conn.query_row("SELECT count(*) FROM tasks WHERE note IS NULL", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 1);
    let newer = SqliteStore::open(&home, Durability::Full).unwrap_err();
    assert!(matches!(newer, StoreError::NewerVersion { found, known, .. } if found == known + 1), "{newer}");
}
