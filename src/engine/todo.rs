//! Keeps TODO.md and its file in step. Woken by commits, here and in other processes, and by the file's directory;
//! asleep otherwise.
//!
//! A look at the file may take as long as its file system likes: each is made on a thread of its own, which ends with
//! it, and not on the store's.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::oneshot,
    time::{Instant, sleep_until},
};

use super::{project::Project, toasts};
use crate::{
    clock::Clock,
    store::{Store, StoreError, StoreHandle},
    sys::watch::DirectoryWatch,
    todo::file::{Access, Config, Note, Projector, Round},
};

/// At most one replacement of the file in this time, while commits follow one another closely.
const GAP: Duration = Duration::from_millis(100);

/// The pause after the store refused.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Projects and takes in until the project is let go.
pub async fn run(project: Arc<Project>) {
    let born = Instant::now();
    let mut worker = Worker::new(&project);
    let mut shown: Option<Instant> = None;
    loop {
        let may_show = shown.is_none_or(|shown| shown.elapsed() >= GAP);
        let (back, result) = match on_thread(worker, born.elapsed(), may_show).await {
            Ok(done) => done,
            // What it knew is found again.
            Err(why) => (Worker::new(&project), Err(StoreError::Internal(why))),
        };
        worker = back;
        let next = match result {
            Ok(round) => {
                // What was taken in may concern a mission.
                project.missions.wake.notify_one();
                round.notes.iter().for_each(|note| tell(&project, note));
                if round.showed {
                    shown = Some(Instant::now());
                }
                let later = round.later.then(|| shown.map_or_else(Instant::now, |shown| shown + GAP));
                let wait = round.wait.map(|wait| Instant::now() + wait);
                later.into_iter().chain(wait).min()
            }
            Err(StoreError::Closed) => return,
            Err(error) => {
                tracing::warn!(%error, "TODO.md could not be looked after");
                Some(Instant::now() + STORE_PAUSE)
            }
        };
        tokio::select! {
            () = project.stop.cancelled() => return,
            () = project.todo.notified() => {}
            () = at(next) => {}
        }
    }
}

/// Sleeps until an instant, or for ever.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

fn tell(project: &Project, note: &Note) {
    let text = match note {
        Note::Imported(rev) => return tracing::info!(rev, "an edit of TODO.md was taken in"),
        Note::KeptAside { why, path: Some(path) } => {
            format!("{} was not taken in: {why}. It is kept as {}.", project.options.todo, path.display())
        }
        Note::KeptAside { why, path: None } => format!("{} was restored: {why}.", project.options.todo),
        Note::Trouble(text) => format!("{text}."),
    };
    tracing::warn!("{text}");
    project.toaster.note(toasts::Note::Trouble(text));
}

/// What looks at the file, and what it is woken by.
struct Worker {
    projector: Projector,
    root: PathBuf,
    watch: Option<Watch>,
    /// No watch could be had: said once.
    is_blind: bool,
    access: Remote,
    clock: Arc<dyn Clock>,
    project: std::sync::Weak<Project>,
}

/// A watch on the directory that the file is in, or on the nearest one that is there.
struct Watch {
    directory: PathBuf,
    /// The directory is not what it was: nothing more comes.
    moved: Arc<AtomicBool>,
    _inner: DirectoryWatch,
}

impl Worker {
    fn new(project: &Arc<Project>) -> Self {
        let root = PathBuf::from(project.key.as_str());
        let config = Config {
            project: project.key.clone(),
            root: root.clone(),
            file: PathBuf::from(&project.options.todo),
            home: project.core.home.clone(),
        };
        Self {
            projector: Projector::new(config),
            root,
            watch: None,
            is_blind: false,
            access: Remote { store: project.core.store.clone(), runtime: Handle::current() },
            clock: Arc::clone(&project.core.clock),
            project: Arc::downgrade(project),
        }
    }

    /// Watches and looks, in this order: what happens after the look is heard of.
    fn step(&mut self, now: Duration, may_show: bool) -> Result<Round, StoreError> {
        self.watch_nearest();
        let mut round = self.projector.round(&mut self.access, &*self.clock, now, may_show)?;
        // The directory was made, or went: it is to be watched before the next sleep.
        if self.nearest() != self.watch.as_ref().map(|watch| watch.directory.clone()) && !self.is_blind {
            round.wait = Some(Duration::ZERO);
        }
        Ok(round)
    }

    /// The directory of the file, or the nearest one above it that is there.
    fn nearest(&self) -> Option<PathBuf> {
        let path = self.projector.path().ok()?;
        let root = std::fs::canonicalize(&self.root).ok()?;
        let above = path.ancestors().skip(1).take_while(|above| above.starts_with(&root));
        above.into_iter().find(|above| above.is_dir()).map(Path::to_owned)
    }

    fn watch_nearest(&mut self) {
        let nearest = self.nearest();
        let is_watched =
            |watch: &Watch| Some(&watch.directory) == nearest.as_ref() && !watch.moved.load(Ordering::SeqCst);
        if self.watch.as_ref().is_some_and(is_watched) {
            return;
        }
        self.watch = None;
        let Some(directory) = nearest else { return };
        match self.watch(&directory) {
            Ok(watch) => (self.watch, self.is_blind) = (Some(watch), false),
            Err(error) => {
                if !self.is_blind {
                    tracing::warn!(%error, "edits of TODO.md are not noticed before the next commit");
                }
                self.is_blind = true;
            }
        }
    }

    fn watch(&self, directory: &Path) -> notify::Result<Watch> {
        let path = self.projector.path().unwrap_or_default();
        let below = path.strip_prefix(directory).ok().and_then(|below| below.iter().next());
        let name = below.unwrap_or_default().to_owned();
        // Replaced files, into which somebody may still write, have names of this beginning.
        let replaced = format!(".{}.", name.to_string_lossy());
        let moved = Arc::new(AtomicBool::new(false));
        let (own, is_moved) = (directory.to_owned(), Arc::clone(&moved));
        let concerns = move |path: &Path| {
            if path == own {
                is_moved.store(true, Ordering::SeqCst);
                return true;
            }
            path.file_name().is_some_and(|found| {
                let found_text = found.to_string_lossy();
                found == name || (found_text.starts_with(&replaced) && found_text.ends_with(".old"))
            })
        };
        let project = self.project.clone();
        let wake = move || {
            if let Some(project) = project.upgrade() {
                project.todo.notify_one();
            }
        };
        let inner = DirectoryWatch::new(directory, concerns, wake)?;
        Ok(Watch { directory: directory.to_owned(), moved, _inner: inner })
    }
}

/// Makes one step on a thread that ends with it.
async fn on_thread(
    mut worker: Worker,
    now: Duration,
    may_show: bool,
) -> Result<(Worker, Result<Round, StoreError>), String> {
    let (done, result) = oneshot::channel();
    let work = move || {
        let round = worker.step(now, may_show);
        // Nobody waits any more only when the runtime ends.
        let _ = done.send((worker, round));
    };
    let thread =
        thread::Builder::new().name("sortie-todo".to_owned()).spawn(work).map_err(|error| error.to_string())?;
    let result = result.await;
    // Its last act was to answer, or it has panicked.
    let ended = thread.join();
    result.map_err(|_| if ended.is_err() { "a look at TODO.md panicked".to_owned() } else { "no answer".to_owned() })
}

/// The store, for a thread that may wait for it.
struct Remote {
    store: StoreHandle,
    runtime: Handle,
}

impl Access for Remote {
    fn with<R: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut dyn Store) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        self.runtime.block_on(self.store.call(work))
    }
}
