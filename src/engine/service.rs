//! The engine of a process, and a directory's hold on it.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{
    budgets, commands,
    core::Core,
    dispatcher, events, inbox,
    listening::{Listening, Switch},
    missions,
    monitor::Signal,
    options::Options,
    poller,
    project::{Order, Project},
    recovery, reports,
    shutdown::{HANDLER_LIMIT, ShutdownManager, ShutdownPriority, ShutdownReport},
    todo,
};
use crate::{
    admission::Slots,
    clock::{Clock, Ids},
    opencode::{AscendingIds, Client, Envelope, Transport},
    store::{
        Durability, SqliteStore, Store, StoreError, StoreHandle, Watcher,
        home::Home,
        instance::{self, InstanceLock},
    },
    sys::memory::MemoryGauge,
    task::ProjectKey,
};

/// The pause after a loop has panicked.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// One engine: at most one for each home in a process.
pub struct Engine {
    core: Arc<Core>,
    projects: Mutex<HashMap<ProjectKey, Held>>,
    shutdown: ShutdownManager,
    stop: CancellationToken,
}

/// A project and how many directories hold it.
struct Held {
    project: Arc<Project>,
    holders: usize,
}

/// What a directory brings with it.
pub struct Attach {
    /// The project it belongs to.
    pub project: ProjectKey,
    /// The directory, as the host spells it.
    pub directory: String,
    /// How the host is reached.
    pub transport: Arc<dyn Transport>,
    /// The user's settings.
    pub options: Options,
    /// Whether the host leaves when its main session is idle.
    pub headless: bool,
    /// The command line's program, where there is one.
    pub program: Option<PathBuf>,
}

/// A directory's hold on its project.
#[derive(Debug, Clone)]
pub struct Attachment {
    /// The directory.
    pub directory: String,
    /// The command line's program, where there is one.
    pub program: Option<PathBuf>,
    pub(crate) project: Arc<Project>,
    engine: Arc<Engine>,
    /// Whether the host hands over the directory's events by this hold.
    hears: Arc<AtomicBool>,
}

impl Engine {
    /// Opens Sortie's home: database, instance lock, and the watch on other processes.
    ///
    /// # Errors
    /// [`StoreError`]: every reason why the home cannot be used.
    pub async fn open(
        home: Home,
        clock: Arc<dyn Clock>,
        durability: Durability,
        switch: Switch,
    ) -> Result<Arc<Self>, StoreError> {
        let database = home.clone();
        Self::over(home, clock, move || SqliteStore::open(&database, durability), switch).await
    }

    /// The same over another store.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub(super) async fn over<S: Store>(
        home: Home,
        clock: Arc<dyn Clock>,
        store: impl FnOnce() -> Result<S, StoreError> + Send + 'static,
        switch: Switch,
    ) -> Result<Arc<Self>, StoreError> {
        let ids = Ids::new(Arc::clone(&clock));
        let instance = ids.instance();
        let lock = InstanceLock::acquire(&home, instance)?;
        let store = StoreHandle::open(store).await?;
        if let Err(error) = instance::sweep(&home) {
            tracing::debug!(%error, "locks of the dead were not removed");
        }
        let left = home.clone();
        // It waits while programs end; nothing waits for it.
        tokio::spawn(async move { commands::strays::sweep(&left).await });
        let core = Arc::new(Core {
            instance,
            home,
            store,
            slots: Slots::default(),
            commands: Arc::new(Semaphore::new(commands::MOST)),
            memory: MemoryGauge::default(),
            clock,
            ids,
            listening: Listening::default(),
            messages: AscendingIds::new(),
        });
        let engine = Arc::new(Self {
            core: Arc::clone(&core),
            projects: Mutex::default(),
            shutdown: ShutdownManager::default(),
            stop: CancellationToken::new(),
        });
        engine.watch();
        let listening = tokio::spawn(core.listening.run(switch, engine.stop.clone()));
        engine.shutdown.register("event stream", ShutdownPriority::new(40), async move {
            listening.await.map_err(|error| error.to_string())
        });
        let store = core.store.clone();
        engine.shutdown.register("store", ShutdownPriority::new(90), async move {
            store.close(HANDLER_LIMIT).await.map_err(|error| error.to_string())
        });
        engine.shutdown.register("instance lock", ShutdownPriority::new(100), async move {
            drop(lock);
            Ok(())
        });
        Ok(engine)
    }

    /// Wakes the look-out for dead peers when another process writes. Without it they are found at the next start.
    fn watch(self: &Arc<Self>) {
        let weak = Arc::downgrade(self);
        let woken = move || {
            if let Some(engine) = weak.upgrade() {
                for held in engine.held().values() {
                    held.project.peers.notify_one();
                }
            }
        };
        match Watcher::new(&self.core.home, woken) {
            Ok(watch) => {
                self.shutdown.register("watch", ShutdownPriority::new(50), async move {
                    drop(watch);
                    Ok(())
                });
            }
            Err(error) => tracing::warn!(%error, "writes of other processes are not noticed at once"),
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<ProjectKey, Held>> {
        self.projects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds a directory's project. Nothing is asked of the host before [`Attachment::start`].
    pub fn attach(self: &Arc<Self>, attach: Attach) -> Attachment {
        let Attach { project: key, directory, transport, options, headless, program } = attach;
        let client = Client::new(transport);
        let mut projects = self.held();
        let held = projects.entry(key.clone()).or_insert_with(|| Held {
            project: Project::new(key, Arc::clone(&self.core), options, headless, client.clone(), &directory),
            holders: 0,
        });
        if held.holders > 0 {
            held.project.reach(client, &directory);
        }
        held.holders += 1;
        let (project, engine) = (Arc::clone(&held.project), Arc::clone(self));
        Attachment { directory, program, project, engine, hears: Arc::default() }
    }

    /// Hands on what the host told of its sessions, in its order.
    pub fn deliver(&self, events: &[Envelope]) {
        let projects: Vec<_> = self.held().values().map(|held| Arc::clone(&held.project)).collect();
        for Envelope { directory, event } in events {
            for project in &projects {
                events::take(project, directory.as_deref(), event);
            }
        }
    }

    /// Whether the host hands over the events of a directory itself.
    #[must_use]
    pub fn hears(&self, directory: &str) -> bool {
        self.held().values().any(|held| held.project.hears(directory))
    }

    /// The event stream broke or is back: what was not heard meanwhile is asked for.
    pub fn stream_changed(&self, open: bool) {
        self.core.listening.changed(open);
        for held in self.held().values() {
            held.project.sessions.forget();
            held.project.inbox.missed();
            for task in held.project.running().into_keys() {
                held.project.order(task, Order::Signal(Signal::Missed));
            }
            held.project.stir();
        }
    }

    /// Whether it has been closed, or is being closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Closes everything; a second call gets the report of the first.
    pub async fn close(&self) -> ShutdownReport {
        self.stop.cancel();
        let projects: Vec<_> = self.held().drain().map(|(_, held)| held.project).collect();
        for project in projects {
            let (name, closing) = (format!("project {}", project.key.as_str()), close_project(project));
            self.shutdown.register(name, ShutdownPriority::new(10), closing);
        }
        self.shutdown.shutdown().await.clone()
    }
}

impl Attachment {
    /// Sortie's home.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.project.core.home.root()
    }

    /// From now on the host hands over the directory's events by [`Self::hear`]: sooner than any stream has them.
    pub fn hear_directly(&self) {
        if !self.hears.swap(true, Ordering::SeqCst) {
            self.project.hear(&self.directory, true);
        }
    }

    /// Takes an event of the directory, as the host writes it: `{type, properties}`.
    pub fn hear(&self, event: &str) {
        match Envelope::parse(&format!(r#"{{"payload":{event}}}"#)) {
            Ok(Some(envelope)) => events::take(&self.project, Some(&self.directory), &envelope.event),
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "an event was not understood"),
        }
    }

    /// Begins to work: recovers, dispatches, reports. The host may be asked from now on. Calling it again does
    /// nothing.
    pub fn start(&self) {
        let project = &self.project;
        if project.started.swap(true, Ordering::SeqCst) {
            return;
        }
        keep(project, "recovery", recovery::run);
        keep(project, "dispatcher", dispatcher::run);
        keep(project, "reports", reports::run);
        keep(project, "missions", missions::run);
        keep(project, "budgets", budgets::run);
        keep(project, "poller", poller::run);
        keep(project, "inbox", inbox::run);
        keep(project, "inbox look-out", inbox::look_out);
        keep(project, "todo", todo::run);
    }

    /// Lets go. What runs in the directory is interrupted and goes on through the project's other directories, if there
    /// are any. The last directory of a project stops all its runs, which then wait to be resumed; the last project of
    /// the engine closes the engine.
    pub async fn detach(self) -> ShutdownReport {
        if self.hears.swap(false, Ordering::SeqCst) {
            self.project.hear(&self.directory, false);
        }
        let last = {
            let mut projects = self.engine.held();
            let Some(held) = projects.get_mut(&self.project.key) else { return ShutdownReport::default() };
            held.holders -= 1;
            if held.holders > 0 {
                None
            } else {
                projects.remove(&self.project.key);
                let last = projects.is_empty();
                if last {
                    // From now on nobody may attach here: a new engine is opened instead.
                    self.engine.stop.cancel();
                }
                Some(last)
            }
        };
        let Some(last) = last else {
            self.project.commands.leave(&self.directory).await;
            self.project.leave(&self.directory).await;
            return ShutdownReport::default();
        };
        let closing = ShutdownManager::default();
        let name = format!("project {}", self.project.key.as_str());
        closing.register(name, ShutdownPriority::new(10), close_project(Arc::clone(&self.project)));
        let mut report = closing.shutdown().await.clone();
        if last {
            report.lines.extend(self.engine.close().await.lines);
        }
        report
    }
}

/// Runs a loop of a project until it ends by itself: one that panics begins again after a pause, because everything
/// that it knows is found again.
fn keep<F>(project: &Arc<Project>, name: &'static str, run: fn(Arc<Project>) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let kept = Arc::clone(project);
    project.tracker.spawn(async move {
        while let Err(error) = tokio::spawn(run(Arc::clone(&kept))).await {
            tracing::error!(name, %error, "a loop broke; it begins again");
            tokio::select! {
                () = kept.stop.cancelled() => return,
                () = tokio::time::sleep(AFTER_PANIC) => {}
            }
        }
    });
}

/// Interrupts every runner of a project and waits for its loops.
async fn close_project(project: Arc<Project>) -> Result<(), String> {
    project.stop.cancel();
    for task in project.running().into_keys() {
        project.order(task, Order::Interrupt);
    }
    project.tracker.close();
    // A little less than a handler may take, so that what hangs is named.
    match tokio::time::timeout(Duration::from_millis(4_500), project.tracker.wait()).await {
        Ok(()) => Ok(()),
        Err(_) => Err(format!("{} tasks of the engine still work", project.tracker.len())),
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("instance", &self.core.instance).finish_non_exhaustive()
    }
}
