//! Looking at the database from outside the engine, and standing in its way: for tests of durability.
#![allow(clippy::unused_async, reason = "the disk is read on the runtime's thread, not on JavaScript's")]
#![allow(clippy::needless_pass_by_value, reason = "what JavaScript hands over is owned")]

use std::{path::Path, sync::mpsc, thread, time::Duration};

use napi_derive::napi;
use serde_json::json;

use super::thrown;
use crate::{
    fault::Fault,
    store::{Durability, Home, JournalRow, SqliteStore, Store},
    task::ProjectKey,
    todo::Document,
};

/// The most journal rows in one answer.
const MOST_ROWS: u32 = 1_000_000;

const HOUR: Duration = Duration::from_secs(3_600);

/// The journal of a project as JSON, oldest row first. Only reads.
///
/// # Errors
/// What is wrong with the home or its database.
#[napi]
pub async fn journal(home: String, project: String) -> napi::Result<String> {
    let read = || {
        let rows = open(&home)?.journal(&ProjectKey::new(&project), 0, MOST_ROWS)?;
        Ok::<_, Fault>(json!(rows.iter().map(row).collect::<Vec<_>>()).to_string())
    };
    read().map_err(thrown)
}

/// Takes the database's write lock and keeps it until this process ends.
///
/// # Errors
/// What is wrong with the home or its database.
#[napi(catch_unwind)]
pub fn hold_store_for_tests(home: String) -> napi::Result<()> {
    let mut store = open(&home).map_err(thrown)?;
    let (held, waiting) = mpsc::channel();
    thread::spawn(move || {
        let failed = held.clone();
        let for_ever = || {
            let _ = held.send(Ok(()));
            loop {
                thread::sleep(HOUR);
            }
        };
        let Err(error) = store.hold(for_ever);
        let _ = failed.send(Err(Fault::from(error)));
    });
    match waiting.recv() {
        Ok(result) => result.map_err(thrown),
        Err(error) => Err(napi::Error::from_reason(error.to_string())),
    }
}

/// Reads a TODO.md and prints it again: the same text. For benchmarks of the parser.
#[napi(catch_unwind)]
pub fn reprint_todo(text: String) -> String {
    Document::parse(&text).to_string()
}

fn open(home: &str) -> Result<SqliteStore, Fault> {
    let home = Home::open(Path::new(home))?;
    Ok(SqliteStore::open(&home, Durability::Normal)?)
}

fn row(row: &JournalRow) -> serde_json::Value {
    let detail: serde_json::Value = serde_json::from_str(&row.detail).unwrap_or_default();
    json!({
        "seq": row.seq,
        "task": row.task,
        "rev": row.rev,
        "at": row.at,
        "change": row.change,
        "from": row.from,
        "to": row.to,
        "fence": row.fence,
        "detail": detail,
    })
}
