//! The tests of the store that reach inside it; those from outside are in the `tests` directory as `store_*.rs`.

mod basics;
mod growth;
mod limits;
mod missions;
mod model;
mod plans;
mod prompts;
mod spending;
mod todo;

use crate::store::{Durability, Home, SqliteStore};

/// A store in a directory of its own.
pub(super) fn store() -> (tempfile::TempDir, SqliteStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&Home::open(dir.path()).unwrap(), Durability::Normal).unwrap();
    (dir, store)
}
