//! Word of changes in a directory, from the operating system. A hint: correctness never depends on it.

use std::{
    fmt,
    path::Path,
    sync::mpsc::{self, Receiver, Sender},
    time::Duration,
};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

/// How long a drop waits for the watch's thread. It needs microseconds.
const PATIENCE: Duration = Duration::from_secs(1);

/// Watches the entries of a directory, not what lies below them. Dropped, it stops and its thread ends.
pub struct DirectoryWatch {
    inner: Option<RecommendedWatcher>,
    /// Disconnects when the thread has let go of the callback.
    gone: Receiver<()>,
}

impl DirectoryWatch {
    /// Calls `wake` after changes of entries whose path `concerns`, and when changes may have been missed; several may
    /// come as one. The directory itself is such a path when it is removed or renamed, and then nothing more comes.
    /// Both are called on a thread of the watch's and must not block.
    ///
    /// # Errors
    /// The system gives no watch.
    pub fn new(
        directory: &Path,
        concerns: impl Fn(&Path) -> bool + Send + 'static,
        wake: impl Fn() + Send + 'static,
    ) -> notify::Result<Self> {
        let (alive, gone) = mpsc::channel();
        let callback = Callback { wake, concerns, _alive: alive };
        let mut inner = notify::recommended_watcher(move |event| callback.on_event(event))?;
        inner.watch(directory, RecursiveMode::NonRecursive)?;
        Ok(Self { inner: Some(inner), gone })
    }
}

/// What the watch's thread calls.
struct Callback<C, F> {
    wake: F,
    concerns: C,
    /// Last, so that everything else is dropped when the other end notices.
    _alive: Sender<()>,
}

impl<C: Fn(&Path) -> bool, F: Fn()> Callback<C, F> {
    fn on_event(&self, event: notify::Result<Event>) {
        // An error means that events may be missing: look.
        let concerns = event.map_or(true, |event| {
            let named = || event.paths.iter().any(|path| (self.concerns)(path));
            !matches!(event.kind, EventKind::Access(_)) && (event.need_rescan() || named())
        });
        if concerns {
            (self.wake)();
        }
    }
}

impl Drop for DirectoryWatch {
    fn drop(&mut self) {
        // notify's own drop only asks its thread to end.
        self.inner = None;
        let _ = self.gone.recv_timeout(PATIENCE);
    }
}

impl fmt::Debug for DirectoryWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectoryWatch").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn what_concerns_wakes_and_after_the_drop_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let (woken, wakes) = mpsc::channel();
        let held = Arc::new(());
        let token = Arc::clone(&held);
        let watch = DirectoryWatch::new(
            dir.path(),
            |path| path.ends_with("wanted"),
            move || {
                assert_eq!(*token, ());
                let _ = woken.send(());
            },
        )
        .unwrap();
        fs::write(dir.path().join("other"), "x").unwrap();
        for text in ["1", "2", "3"] {
            while wakes.try_recv().is_ok() {}
            fs::write(dir.path().join("wanted"), text).unwrap();
            wakes.recv_timeout(LIMIT).unwrap();
        }
        drop(watch);
        // The thread has dropped the callback: it has left its loop.
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_end_of_the_directory_is_told_by_its_own_path() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("below");
        fs::create_dir(&below).unwrap();
        let (woken, wakes) = mpsc::channel();
        let own = below.clone();
        let concerns = move |path: &Path| path == own;
        let watch = DirectoryWatch::new(&below, concerns, move || _ = woken.send(())).unwrap();
        fs::remove_dir(&below).unwrap();
        wakes.recv_timeout(LIMIT).unwrap();
        drop(watch);
    }
}
