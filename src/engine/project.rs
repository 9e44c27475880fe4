//! One project in one process: what its loops share.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, atomic::AtomicBool},
    time::Duration,
};

use tokio::sync::{Notify, mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    admission::Admission,
    budgets::Ledger,
    commands::Commands,
    core::Core,
    inbox::Inbox,
    listening::Need,
    live::Live,
    missions::book::Book,
    monitor::Signal,
    options::Options,
    pool::Pool,
    sessions::Sessions,
    toasts::{Note, Toaster},
};
use crate::{
    opencode::{Agent, Client, ClientError, SessionId},
    store::{Changed, Filter, Store, StoreError},
    task::{Change, FailureKind, Guard, MissionId, PauseReason, ProjectKey, StateName, Task, TaskId, TaskState},
};

/// How long leaving a directory may take.
const LEAVE_LIMIT: Duration = Duration::from_secs(4);

/// What a runner is told.
#[derive(Debug)]
pub enum Order {
    /// Its session showed this.
    Signal(Signal),
    /// The task was cancelled or paused, and the store says so: stop the session.
    Stop,
    /// The process lets go of the project: stop the session, and leave the task to be resumed.
    Interrupt,
}

/// A running task as the rest of the engine sees it.
#[derive(Debug, Clone)]
pub struct Running {
    /// How to reach its runner.
    pub orders: mpsc::UnboundedSender<Order>,
    /// What it shows of itself.
    pub live: Arc<Live>,
    /// The session that launched it.
    pub parent: Arc<str>,
    /// Its name for people.
    pub label: Arc<str>,
    /// Where it works.
    pub directory: Arc<str>,
    /// Its agent.
    pub agent: Arc<str>,
    /// The mission that it works for, and its key there.
    pub mission: Option<(MissionId, Arc<str>)>,
}

/// One project in one process.
#[derive(Debug)]
pub struct Project {
    /// Which one.
    pub key: ProjectKey,
    /// The process's engine.
    pub core: Arc<Core>,
    /// Its settings.
    pub options: Options,
    /// Whether the host leaves when the main session is idle (`opencode run`).
    pub headless: bool,
    /// What is remembered of who may start.
    pub admission: Admission,
    /// Sessions that are ready.
    pub pool: Pool,
    /// Wakes the dispatcher.
    pub dispatch: Arc<Notify>,
    /// Wakes the reports.
    pub tell: Notify,
    /// Wakes the poller: something runs now.
    pub routed: Notify,
    /// Wakes the look-out for dead peers.
    pub peers: Notify,
    /// Wakes whoever looks after TODO.md's file.
    pub todo: Notify,
    /// Counts changes: whoever waits for an end looks again when it moves.
    pub changed: watch::Sender<u64>,
    /// The sessions that matter.
    pub sessions: Sessions,
    /// The missions that are driven here.
    pub missions: Book,
    /// What agents ask of the user.
    pub inbox: Inbox,
    /// What agents run in the background.
    pub commands: Commands,
    /// What is used here.
    pub budgets: Ledger,
    /// Shows toasts.
    pub toaster: Toaster,
    /// Ends the loops.
    pub stop: CancellationToken,
    /// The loops and runners.
    pub tracker: TaskTracker,
    /// Whether the loops run.
    pub started: AtomicBool,
    /// The ways to the host by directory, the latest last; there is always one.
    ways: RwLock<Vec<(Client, String)>>,
    /// Directories whose events the host hands over itself, and how often.
    heard: Mutex<HashMap<String, usize>>,
    /// Directories that the host lets go of just now.
    leaving: Mutex<HashSet<String>>,
    agents: tokio::sync::Mutex<Option<Arc<Vec<Agent>>>>,
    running: Mutex<HashMap<TaskId, Running>>,
    routes: Mutex<HashMap<SessionId, Vec<TaskId>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether somebody has stopped a task.
pub fn is_stopped(task: &Task) -> bool {
    match &task.state {
        TaskState::Cancelled { .. } => true,
        TaskState::Paused { reason, .. } => matches!(reason, PauseReason::User | PauseReason::Budget(_)),
        TaskState::Failed { failure, .. } => failure.kind == FailureKind::Budget,
        _ => false,
    }
}

impl Project {
    /// A project that nothing runs for yet.
    pub fn new(
        key: ProjectKey,
        core: Arc<Core>,
        options: Options,
        headless: bool,
        client: Client,
        directory: &str,
    ) -> Arc<Self> {
        let dispatch = Arc::new(Notify::new());
        let (toaster, notes) = Toaster::new(options.toasts);
        let project = Arc::new(Self {
            key,
            core,
            options,
            headless,
            admission: Admission::default(),
            pool: Pool::default(),
            dispatch,
            tell: Notify::new(),
            routed: Notify::new(),
            peers: Notify::new(),
            todo: Notify::new(),
            changed: watch::channel(0).0,
            sessions: Sessions::default(),
            missions: Book::default(),
            inbox: Inbox::default(),
            commands: Commands::default(),
            budgets: Ledger::default(),
            toaster,
            stop: CancellationToken::new(),
            tracker: TaskTracker::new(),
            started: AtomicBool::new(false),
            ways: RwLock::new(vec![(client, directory.to_owned())]),
            heard: Mutex::default(),
            leaving: Mutex::default(),
            agents: tokio::sync::Mutex::default(),
            running: Mutex::default(),
            routes: Mutex::default(),
        });
        let weak = Arc::downgrade(&project);
        project.tracker.spawn(super::toasts::show(weak, notes, project.stop.clone()));
        project
    }

    /// The latest way to the host.
    fn way(&self) -> (Client, String) {
        let ways = self.ways.read().unwrap_or_else(PoisonError::into_inner);
        ways.last().cloned().expect("the last way is never taken away")
    }

    /// The client of the latest attachment.
    pub fn client(&self) -> Client {
        self.way().0
    }

    /// The directory for requests that concern the project as a whole.
    pub fn directory(&self) -> String {
        self.way().1
    }

    /// Speaks to the host through another attachment from now on.
    pub fn reach(&self, client: Client, directory: &str) {
        self.ways.write().unwrap_or_else(PoisonError::into_inner).push((client, directory.to_owned()));
        self.left(directory);
    }

    /// The host hands over the events of a directory, or does so no longer.
    pub fn hear(&self, directory: &str, hears: bool) {
        let mut directories = lock(&self.heard);
        let count = directories.entry(directory.to_owned()).or_default();
        *count = if hears { *count + 1 } else { count.saturating_sub(1) };
        directories.retain(|_, count| *count > 0);
    }

    /// Whether the host hands over the events of a directory itself; of all others the stream tells.
    pub fn hears(&self, directory: &str) -> bool {
        lock(&self.heard).contains_key(directory)
    }

    /// A need for the event stream, where a directory's events come by it.
    pub fn need_stream(&self, directory: &str) -> Option<Need> {
        (!self.hears(directory)).then(|| self.core.listening.need())
    }

    /// The host lets go of a directory and stops what runs there, while it keeps others of the project: its tasks are
    /// interrupted, and wait until [`Self::left`].
    pub async fn leave(self: &Arc<Self>, directory: &str) {
        {
            let mut ways = self.ways.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(at) = ways.iter().rposition(|(_, known)| known == directory).filter(|_| ways.len() > 1) {
                ways.remove(at);
            }
        }
        lock(&self.leaving).insert(directory.to_owned());
        let mut changed = self.changed.subscribe();
        let of_it = || {
            let running = self.running().into_iter();
            running.filter(|(_, running)| &*running.directory == directory).map(|(task, _)| task).collect::<Vec<_>>()
        };
        for task in of_it() {
            self.order(task, Order::Interrupt);
        }
        let gone = async { while !of_it().is_empty() && changed.changed().await.is_ok() {} };
        if tokio::time::timeout(LEAVE_LIMIT, gone).await.is_err() {
            tracing::warn!(directory, "tasks still run in a directory that the host lets go of");
        }
        // The host says when it is done; should that not be heard, work goes on all the same.
        let project = Arc::downgrade(self);
        let (directory, stop) = (directory.to_owned(), self.stop.clone());
        self.tracker.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LEAVE_LIMIT) => if let Some(project) = project.upgrade() {
                    project.left(&directory);
                },
            }
        });
    }

    /// The host has let go of a directory, or has it again: tasks may run there.
    pub fn left(&self, directory: &str) {
        if lock(&self.leaving).remove(directory) {
            self.dispatch.notify_one();
        }
    }

    /// Whether a directory is just let go of.
    pub fn is_leaving(&self, directory: &str) -> bool {
        lock(&self.leaving).contains(directory)
    }

    /// Runs a closure on the store.
    ///
    /// # Errors
    /// The closure's, or [`StoreError::Closed`].
    pub async fn store<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Store) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        self.core.store.call(work).await
    }

    /// Tasks of this project.
    ///
    /// # Errors
    /// The store's.
    pub async fn tasks(&self, filter: Filter) -> Result<Vec<Task>, StoreError> {
        let key = self.key.clone();
        self.store(move |store| store.tasks(&key, &filter)).await
    }

    /// The agents that the host knows; asked once, and again when `fresh`.
    ///
    /// # Errors
    /// The host's answer.
    pub async fn agents(&self, fresh: bool) -> Result<Arc<Vec<Agent>>, ClientError> {
        let mut cached = self.agents.lock().await;
        if let Some(agents) = cached.as_ref().filter(|_| !fresh) {
            return Ok(Arc::clone(agents));
        }
        let agents = Arc::new(self.client().agents(&self.directory()).await?);
        *cached = Some(Arc::clone(&agents));
        Ok(agents)
    }

    /// The agents that the host knows, if they were asked for already.
    pub fn known_agents(&self) -> Option<Arc<Vec<Agent>>> {
        self.agents.try_lock().ok()?.clone()
    }

    /// Makes a runner known. One that was claimed while the project is being let go is told so.
    pub fn enrol(&self, task: TaskId, running: Running) {
        let directory = Arc::clone(&running.directory);
        lock(&self.running).insert(task, running);
        self.inbox.began();
        // Whoever lets go first says so and then looks who runs: one of the two sees the other.
        if self.stop.is_cancelled() || self.is_leaving(&directory) {
            self.order(task, Order::Interrupt);
        }
    }

    /// Sends what a session shows to a task's runner from now on. Two tasks may go on in one session.
    pub fn route(&self, session: SessionId, task: TaskId) {
        let mut routes = lock(&self.routes);
        let tasks = routes.entry(session).or_default();
        if !tasks.contains(&task) {
            tasks.push(task);
        }
        drop(routes);
        self.routed.notify_one();
    }

    /// Forgets a runner, unless the task has got another one meanwhile.
    pub fn dismiss(&self, task: TaskId, live: &Arc<Live>) {
        let mut running = lock(&self.running);
        if !running.get(&task).is_some_and(|running| Arc::ptr_eq(&running.live, live)) {
            return;
        }
        running.remove(&task);
        lock(&self.routes).retain(|_, tasks| {
            tasks.retain(|routed| *routed != task);
            !tasks.is_empty()
        });
        self.inbox.ended(task);
    }

    /// Tells a task's runner something; `false` when it has none here.
    pub fn order(&self, task: TaskId, order: Order) -> bool {
        lock(&self.running).get(&task).is_some_and(|running| running.orders.send(order).is_ok())
    }

    /// Tells the runners of a session something, if it has any.
    pub fn signal(&self, session: &SessionId, signal: impl Fn() -> Signal) {
        let Some(tasks) = lock(&self.routes).get(session).cloned() else { return };
        for task in tasks {
            self.order(task, Order::Signal(signal()));
        }
    }

    /// The running tasks of a session, the latest last.
    pub fn tasks_in(&self, session: &SessionId) -> Vec<TaskId> {
        lock(&self.routes).get(session).cloned().unwrap_or_default()
    }

    /// Notes that the agent of a session moves, and with it one whose subagent it is.
    pub fn moves(&self, session: &SessionId) {
        let mut tasks = self.tasks_in(session);
        tasks.extend(self.budgets.above(session));
        let running = lock(&self.running);
        for task in tasks.iter().filter_map(|task| running.get(task)) {
            task.live.moves();
        }
    }

    /// The running task of a session.
    pub fn running_in(&self, session: &SessionId) -> Option<Running> {
        let task = self.task_in(session)?;
        lock(&self.running).get(&task).cloned()
    }

    /// Which one it is.
    pub fn task_in(&self, session: &SessionId) -> Option<TaskId> {
        lock(&self.routes).get(session)?.first().copied()
    }

    /// The sessions of a running task.
    pub fn sessions_of(&self, task: TaskId) -> Vec<SessionId> {
        let routes = lock(&self.routes);
        routes.iter().filter(|(_, tasks)| tasks.contains(&task)).map(|(session, _)| session.clone()).collect()
    }

    /// What runs here.
    pub fn running(&self) -> HashMap<TaskId, Running> {
        lock(&self.running).clone()
    }

    /// Sessions of running tasks, with their tasks.
    pub fn routes(&self) -> Vec<(SessionId, TaskId)> {
        let routes = lock(&self.routes);
        routes.iter().flat_map(|(session, tasks)| tasks.iter().map(|task| (session.clone(), *task))).collect()
    }

    /// Changes a task from outside its runner; one that it ends keeps what there is of a result. Says whether it was
    /// changed: one that has ended meanwhile stays as it is.
    pub async fn change(&self, id: TaskId, change: Change) -> bool {
        let ends = matches!(change, Change::Cancel { .. } | Change::Fail { .. });
        let running = self.running().remove(&id).filter(|_| ends);
        let partial = running.and_then(|running| running.live.glance().partial);
        let core = Arc::clone(&self.core);
        let write =
            move |store: &mut dyn Store| store.change(id, Guard::Anyone, &change, partial.as_ref(), core.clock.now());
        match self.store(write).await {
            Ok(changed) => {
                self.announce(&changed);
                return true;
            }
            Err(StoreError::Refused(_)) => {}
            Err(error) => tracing::warn!(task = %id, %error, "a task was not changed"),
        }
        false
    }

    /// Makes new tasks known, and follows the sessions that are to be told of their ends.
    pub fn launched(&self, tasks: &[Task]) {
        self.toaster.note(Note::Launched(tasks.len()));
        for task in tasks {
            if let Ok(parent) = task.spec.parent.session.parse() {
                self.sessions.follow(&parent);
            }
        }
        self.stir();
    }

    /// Makes a change known to everything that waits for it, and stops what was cancelled with it.
    pub fn announce(&self, changed: &Changed) {
        let step = &changed.step;
        for task in changed.cascaded.iter().map(|fallen| &fallen.task).chain([&step.task]) {
            if task.state.is_terminal() {
                self.commands.end_of(task.id);
            }
        }
        // A mission tells of its items, not of its tasks.
        if step.task.state.is_terminal() && step.task.spec.mission.is_none() {
            self.toaster.note(Note::ended(&step.task));
        }
        if step.from == StateName::Running && is_stopped(&step.task) {
            self.order(step.task.id, Order::Stop);
        }
        for cascaded in &changed.cascaded {
            if cascaded.task.spec.mission.is_none() {
                self.toaster.note(Note::ended(&cascaded.task));
            }
            if cascaded.from == StateName::Running {
                self.order(cascaded.task.id, Order::Stop);
            }
        }
        self.stir();
    }

    /// TODO.md has a new revision.
    pub fn todo_changed(&self) {
        self.todo.notify_one();
        self.missions.wake.notify_one();
    }

    /// Wakes everything that may have something to do.
    pub fn stir(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
        self.dispatch.notify_one();
        self.tell.notify_one();
        self.missions.wake.notify_one();
        self.budgets.wake.notify_one();
    }
}
