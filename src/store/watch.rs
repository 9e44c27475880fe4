//! Wake-ups across processes: a hint that somebody committed. Correctness never depends on it.

use std::ffi::OsString;

use super::{Home, StoreError};
use crate::sys::watch::DirectoryWatch;

/// Watches the write-ahead log of a home's database. Dropped, it stops and its thread ends.
#[derive(Debug)]
pub struct Watcher {
    _watch: DirectoryWatch,
}

impl Watcher {
    /// Calls `wake` after commits, of this process too; several may come as one. It is called on a thread of the
    /// watcher's and must not block: [`tokio::sync::Notify::notify_one`] is what it is made for.
    ///
    /// # Errors
    /// [`StoreError::Watch`] when the system gives no watch: then look at [`super::Store::data_version`] from time
    /// to time instead.
    pub fn new(home: &Home, wake: impl Fn() + Send + 'static) -> Result<Self, StoreError> {
        let fail = |source| StoreError::Watch { path: home.root().to_owned(), source };
        let wal = wal_name(home);
        // The directory, not the file: the log goes and comes with the first and last connection.
        let watch = DirectoryWatch::new(home.root(), move |path| path.file_name() == Some(&wal), wake);
        Ok(Self { _watch: watch.map_err(fail)? })
    }
}

fn wal_name(home: &Home) -> OsString {
    let mut name = home.database().file_name().unwrap_or_default().to_owned();
    name.push("-wal");
    name
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, mpsc},
        time::Duration,
    };

    use super::*;
    use crate::store::{Durability, SqliteStore, Store};

    #[test]
    fn a_commit_wakes_and_after_the_drop_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        let mut store = SqliteStore::open(&home, Durability::Normal).unwrap();
        let (woken, wakes) = mpsc::channel();
        let held = Arc::new(());
        let token = Arc::clone(&held);
        let watcher = Watcher::new(&home, move || {
            assert_eq!(*token, ());
            let _ = woken.send(());
        })
        .unwrap();
        for value in ["1", "2", "3"] {
            store.set_setting("a", Some(value)).unwrap();
            wakes.recv_timeout(Duration::from_secs(10)).unwrap();
        }
        drop(watcher);
        // The thread has dropped the callback: it has left its loop.
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn a_home_that_is_gone_is_a_typed_error() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        dir.close().unwrap();
        assert!(matches!(Watcher::new(&home, || ()), Err(StoreError::Watch { .. })));
    }
}
