//! Wake-ups across processes: a hint that somebody committed. Correctness never depends on it.

use std::{
    ffi::OsString,
    fmt,
    path::PathBuf,
    sync::mpsc::{self, Receiver, Sender},
    time::Duration,
};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::{Home, StoreError};

/// How long a drop waits for the watcher's thread. It needs microseconds.
const PATIENCE: Duration = Duration::from_secs(1);

/// Watches the write-ahead log of a home's database. Dropped, it stops and its thread ends.
pub struct Watcher {
    inner: Option<RecommendedWatcher>,
    /// Disconnects when the thread has let go of the callback.
    gone: Receiver<()>,
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
        let (alive, gone) = mpsc::channel();
        let callback = Callback { wake, wal: wal_name(home), _alive: alive };
        let on_event = move |event| callback.on_event(event);
        let mut inner = notify::recommended_watcher(on_event).map_err(fail)?;
        // The directory, not the file: the log goes and comes with the first and last connection.
        inner.watch(home.root(), RecursiveMode::NonRecursive).map_err(fail)?;
        Ok(Self { inner: Some(inner), gone })
    }
}

/// What the watcher's thread calls.
struct Callback<F> {
    wake: F,
    wal: OsString,
    /// Last, so that everything else is dropped when the other end notices.
    _alive: Sender<()>,
}

impl<F: Fn()> Callback<F> {
    fn on_event(&self, event: notify::Result<Event>) {
        // An error means that events may be missing: look.
        let concerns = event.map_or(true, |event| {
            let is_wal = |path: &PathBuf| path.file_name() == Some(&self.wal);
            !matches!(event.kind, EventKind::Access(_)) && (event.need_rescan() || event.paths.iter().any(is_wal))
        });
        if concerns {
            (self.wake)();
        }
    }
}

fn wal_name(home: &Home) -> OsString {
    let mut name = home.database().file_name().unwrap_or_default().to_owned();
    name.push("-wal");
    name
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // notify's own drop only asks its thread to end.
        self.inner = None;
        let _ = self.gone.recv_timeout(PATIENCE);
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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
