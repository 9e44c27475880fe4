//! The database's file: made, refused untouched, migrated for ever, copied.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::{fs, path::Path, thread};

use rusqlite::Connection;
use sortie::{
    fault::Code,
    store::{Durability, Filter, Home, Listing, SqliteStore, Store, StoreError, fixture::*, sqlite::VERSION},
    task::{Change, ErrorClass, Failure, FailureKind, Guard, Outcome, StateName, Timestamp, Usage},
};

fn home() -> (tempfile::TempDir, Home) {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::open(&dir.path().join("home")).unwrap();
    (dir, home)
}

fn open(home: &Home) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(home, Durability::Full)
}

/// Opens a file of these bytes as the database: refused with `code`, and as it was.
fn refused(bytes: &[u8], code: Code) {
    let (_dir, home) = home();
    fs::write(home.database(), bytes).unwrap();
    assert_eq!(open(&home).unwrap_err().code(), code);
    assert!(fs::read(home.database()).unwrap() == bytes, "the file was touched");
}

/// The bytes of a database with tasks in it.
fn database() -> Vec<u8> {
    let (_dir, home) = home();
    let mut store = open(&home).unwrap();
    store.launch(&(0..200).map(|n| task(n, instance(1), |_| ())).collect::<Vec<_>>()).unwrap();
    drop(store);
    fs::read(home.database()).unwrap()
}

#[test]
fn what_is_no_database_of_ours_is_refused_untouched() {
    refused(&vec![0x5a; 40_000], Code::StoreCorrupt);
    refused(b"a user's notes", Code::StoreCorrupt);
    refused(&b"SQLite format 3\0".repeat(500), Code::StoreCorrupt);
    let dir = tempfile::tempdir().unwrap();
    let foreign = dir.path().join("foreign.db");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE mine (x)").unwrap();
    refused(&fs::read(foreign).unwrap(), Code::StoreCorrupt);
}

#[test]
fn a_truncated_database_is_refused_untouched() {
    let whole = database();
    for length in [whole.len() - 4096, whole.len() / 2, 4096, 600, 90] {
        refused(&whole[..length], Code::StoreCorrupt);
    }
}

#[test]
fn damage_inside_is_an_error_of_the_query_that_meets_it() {
    let (_dir, home) = home();
    let mut bytes = database();
    let end = bytes.len();
    bytes[8192..end].fill(0xa5);
    fs::write(home.database(), &bytes).unwrap();
    let error = open(&home).and_then(|mut store| store.tasks(&project(), &Filter::default())).unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt { .. }), "{error}");
}

#[test]
fn a_newer_database_is_refused_untouched_also_when_its_log_holds_something() {
    let (_dir, home) = home();
    drop(open(&home).unwrap());
    let conn = Connection::open(home.database()).unwrap();
    conn.pragma_update(None, "user_version", VERSION + 1).unwrap();
    let before = fs::read(home.database()).unwrap();
    let error = open(&home).unwrap_err();
    assert!(matches!(error, StoreError::NewerVersion { found, .. } if found == VERSION + 1), "{error}");
    assert!(fs::read(home.database()).unwrap() == before);
    drop(conn);
    let before = fs::read(home.database()).unwrap();
    assert_eq!(open(&home).unwrap_err().code(), Code::StoreNewer);
    assert!(fs::read(home.database()).unwrap() == before);
}

#[test]
fn an_empty_file_is_a_new_database_and_a_directory_is_none() {
    let (_dir, home) = home();
    fs::write(home.database(), "").unwrap();
    open(&home).unwrap();
    fs::remove_file(home.database()).unwrap();
    fs::create_dir(home.database()).unwrap();
    assert_eq!(open(&home).unwrap_err().code(), Code::StoreCorrupt);
    assert!(home.database().is_dir());
}

#[cfg(unix)]
#[test]
fn the_files_are_for_their_user_only() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, home) = home();
    let mut store = open(&home).unwrap();
    store.launch(&[task(1, instance(1), |_| ())]).unwrap();
    let copy = dir.path().join("copy.db");
    store.backup(&copy).unwrap();
    let mut seen = 0;
    for path in fs::read_dir(home.root()).unwrap().map(|entry| entry.unwrap().path()).chain([copy]) {
        if path.is_file() {
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
            seen += 1;
        }
    }
    assert_eq!(seen, 4, "the database, its log, the log's index and the copy");
}

#[test]
fn many_open_a_new_database_at_once() {
    let (_dir, home) = home();
    thread::scope(|scope| {
        for n in 0..8 {
            let home = &home;
            scope.spawn(move || open(home).unwrap().launch(&[task(n, instance(n), |_| ())]).unwrap());
        }
    });
    let mut store = open(&home).unwrap();
    assert_eq!(store.tasks(&project(), &Filter::default()).unwrap().len(), 8);
    assert_eq!(store.check().unwrap(), [""; 0]);
}

#[test]
fn a_backup_is_whole_and_never_written_over_anything() {
    let (_dir, home) = home();
    let mut store = open(&home).unwrap();
    store.launch(&[task(1, instance(1), |_| ())]).unwrap();
    let (other_dir, other) = self::home();
    store.backup(&other.database()).unwrap();
    let mut copy = open(&other).unwrap();
    let all = Filter::default();
    assert_eq!(copy.tasks(&project(), &all).unwrap(), store.tasks(&project(), &all).unwrap());
    let taken = other_dir.path().join("taken");
    fs::write(&taken, "mine").unwrap();
    assert_eq!(store.backup(&taken).unwrap_err().code(), Code::StoreTargetExists);
    assert_eq!(fs::read_to_string(&taken).unwrap(), "mine");
    let nowhere = other_dir.path().join("no/where");
    assert!(matches!(store.backup(&nowhere), Err(StoreError::Io { .. })));
}

/// One task in each state, with all that can hang on one.
fn fill(store: &mut SqliteStore) {
    let now = Timestamp(5);
    let failure = Failure { kind: FailureKind::Error, class: ErrorClass::Network, message: "cut".into() };
    let change = |store: &mut SqliteStore, n, change: &Change, outcome: Option<&Outcome>| {
        store.change(id(n), Guard::Anyone, change, outcome, now).unwrap();
    };
    let tasks: Vec<_> = (0..5)
        .map(|n| {
            task(n, instance(1), |spec| {
                spec.key = Some(format!("key-{n}"));
                spec.resume = sortie::task::ResumePolicy::Ask;
            })
        })
        .collect();
    store.launch(&tasks).unwrap();
    store.launch(&[task(5, instance(1), |spec| spec.depends_on = vec![id(1)])]).unwrap();
    store.launch(&[task(6, instance(1), |spec| spec.depends_on = vec![id(0)])]).unwrap();
    store.claim(&project(), instance(1), now, &mut each(|_| Some(run(Some("ses_run"))))).unwrap();
    change(store, 1, &Change::Fail { failure: failure.clone(), retry: None }, None);
    let outcome = Outcome { text: "done".into(), usage: Usage { cost: 0.5, ..Usage::default() } };
    change(store, 2, &Change::Complete, Some(&outcome));
    change(store, 3, &Change::Interrupt, None);
    let retry = sortie::task::Retry::plain(Timestamp(99), true);
    change(store, 4, &Change::Fail { failure, retry: Some(retry) }, None);
    let via = sortie::store::Via::Message { message: "msg_r".into(), part: "prt_r".into() };
    store.open_report(&project(), instance(1), "ses_parent", Some(&[id(2)]), &via, 9, now).unwrap().unwrap();
    store.set_setting("a", Some("1")).unwrap();
}

#[test]
fn a_database_of_the_first_version_is_read_for_ever() {
    let (_dir, home) = home();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store-v1.db");
    fs::copy(&fixture, home.database()).unwrap();
    let mut old = open(&home).unwrap();
    assert_eq!(old.check().unwrap(), [""; 0]);
    let (_dir, home) = self::home();
    let mut new = open(&home).unwrap();
    fill(&mut new);
    let all = Filter::default();
    let mut as_new = new.tasks(&project(), &all).unwrap();
    // It did not know yet what a task remembers of its failed attempts.
    for task in &mut as_new {
        task.recovery = sortie::task::Recovery::default();
    }
    assert_eq!(old.tasks(&project(), &all).unwrap(), as_new);
    assert_eq!(old.journal(&project(), 0, 99).unwrap(), new.journal(&project(), 0, 99).unwrap());
    assert_eq!(old.outcome(id(2)).unwrap(), new.outcome(id(2)).unwrap());
    assert_eq!(old.open_reports(&project(), instance(1)).unwrap(), new.open_reports(&project(), instance(1)).unwrap());
    assert_eq!(old.setting("a").unwrap().as_deref(), Some("1"));
    // And it lives on.
    old.change(id(0), Guard::Anyone, &Change::Complete, None, Timestamp(9)).unwrap();
    let claimed = old.claim(&project(), instance(1), Timestamp(100), &mut each(|_| Some(run(None)))).unwrap();
    assert_eq!(claimed.iter().map(|task| task.id).collect::<Vec<_>>(), [id(4), id(6)]);
    assert_eq!(old.totals(&project()).unwrap().shown(), 7);
    assert_eq!(old.totals(&project()).unwrap().of(StateName::Cancelled), 1);
}

/// Made `store-v1.db`, when version 1 was the newest. A later version gets a fixture of its own.
#[test]
#[ignore = "makes a fixture: run by hand with SORTIE_FIXTURE set to the file to make"]
fn make_fixture() {
    let to = std::env::var_os("SORTIE_FIXTURE").unwrap();
    let (_dir, home) = home();
    let mut store = open(&home).unwrap();
    fill(&mut store);
    store.backup(Path::new(&to)).unwrap();
}
