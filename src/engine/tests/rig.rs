//! What the tests share: a fake host, a home, a clock, and engines.
//!
//! Time stands still until a test moves it, and moves in small steps: in each of them everything that has something
//! to do does it. (Time that moves by itself would run ahead of the store, which has a thread of its own.)

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
        mpsc,
    },
    time::Duration,
};

use tempfile::TempDir;
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    clock::Clock,
    engine::{
        options::{MemoryMarks, Options},
        service::{Attach, Attachment, Engine},
        shutdown::ShutdownReport,
        stream::EventStream,
    },
    opencode::{
        NewSession, SessionId, Transport,
        fake::{FakeHost, PromptSeen, Script},
    },
    store::{Durability, Filter, Home, SqliteStore, Store, StoreError},
    task::{Parent, Priority, ProjectKey, ResumePolicy, Run, StateName, Task, TaskId, TaskSpec, Timestamp},
};

pub const DIR: &str = "/p";

/// How far time moves at once.
const STEP: Duration = Duration::from_millis(20);

/// The clock of engine and host.
#[derive(Debug)]
pub struct TestClock(pub AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// Where engines live.
pub struct Rig {
    pub home: TempDir,
    pub host: Arc<FakeHost>,
    pub clock: Arc<TestClock>,
    pub parent: SessionId,
    /// Whether engines take their host for one that leaves when its main session is idle.
    pub headless: bool,
}

/// An engine, attached. Dropped with its runtime it dies as a process does; [`Life::close`] is the other way.
pub struct Life {
    pub at: Attachment,
    pub engine: Arc<Engine>,
    feed: JoinHandle<()>,
    /// As long as this lives, time does not move by itself.
    _still: mpsc::Sender<()>,
}

/// A runtime in which time stands still.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// A shared clock for models that note when they were asked.
pub fn clock() -> Arc<TestClock> {
    Arc::new(TestClock(AtomicI64::new(1_795_000_000_000)))
}

impl Rig {
    pub async fn new(model: impl Fn(&PromptSeen) -> Script + Send + Sync + 'static) -> Self {
        Self::at(clock(), model).await
    }

    /// Of reports the parent takes notice, whatever the model does else.
    pub async fn at(clock: Arc<TestClock>, model: impl Fn(&PromptSeen) -> Script + Send + Sync + 'static) -> Self {
        let host = Arc::new(FakeHost::new(move |seen| {
            if seen.text.starts_with("<sortie-report>") { Script::say("noted") } else { model(seen) }
        }));
        for name in ["commander", "planner", "worker", "reviewer"] {
            host.add_agent(serde_json::json!({ "name": name, "mode": "all", "permission": [] }));
        }
        let parent = host.client().create_session(DIR, NewSession::default()).await.unwrap().id;
        Self { home: tempfile::tempdir().unwrap(), host, clock, parent, headless: false }
    }

    pub fn open_home(&self) -> Home {
        Home::open(self.home.path()).unwrap()
    }

    pub fn open_store(&self) -> SqliteStore {
        SqliteStore::open(&self.open_home(), Durability::Normal).unwrap()
    }

    pub async fn start(&self) -> Life {
        self.start_as(Options::default(), self.host.transport()).await
    }

    pub async fn start_as(&self, options: Options, transport: Arc<dyn Transport>) -> Life {
        let home = self.open_home();
        self.start_over(options, transport, move || SqliteStore::open(&home, Durability::Normal)).await
    }

    pub async fn start_over<S: Store>(
        &self,
        options: Options,
        transport: Arc<dyn Transport>,
        store: impl FnOnce() -> Result<S, StoreError> + Send + 'static,
    ) -> Life {
        let (still, moves) = mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || moves.recv());
        let (wanted, listens) = watch::channel(false);
        let switch = Arc::new(move |on| {
            wanted.send_replace(on);
        });
        let clock: Arc<dyn Clock> = Arc::<TestClock>::clone(&self.clock);
        let engine = Engine::over(self.open_home(), clock, store, switch).await.unwrap();
        let feed = tokio::spawn(feed(EventStream::new(&engine), Arc::clone(&self.host), listens));
        // How full this machine is must not matter.
        let options = Options { memory: MemoryMarks { low: 100, stop: 100 }, ..options };
        let project = ProjectKey::new(DIR);
        let at = engine.attach(Attach {
            project,
            directory: DIR.to_owned(),
            transport,
            options,
            headless: self.headless,
            program: None,
        });
        at.start();
        Life { at, engine, feed, _still: still }
    }

    /// What a plain task asks for.
    pub fn spec(&self, prompt: &str) -> TaskSpec {
        TaskSpec {
            project: ProjectKey::new(DIR),
            key: None,
            title: prompt.to_owned(),
            agent: "build".into(),
            prompt: prompt.to_owned(),
            model: None,
            expected_model: None,
            directory: DIR.into(),
            parent: Parent { session: self.parent.to_string().into(), directory: DIR.into() },
            depth: 1,
            priority: Priority::Normal,
            timeout: Duration::from_secs(600),
            max_attempts: 5,
            resume: ResumePolicy::Auto,
            depends_on: Vec::new(),
            continues: None,
            retry_of: None,
            mission: None,
            queued: None,
        }
    }

    /// Launches plain tasks with these prompts.
    pub async fn launch(&self, life: &Life, prompts: &[&str]) -> Vec<TaskId> {
        let specs = prompts.iter().map(|prompt| self.spec(prompt)).collect();
        life.launch(specs).await
    }

    /// Moves time by a step, after everything that had something to do has done it.
    pub async fn step(&self, lives: &[&Life], by: Duration) {
        for _ in 0..3 {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            for life in lives {
                // A round trip: what was asked of the store before has been answered.
                let _ = life.at.project.store(|_| Ok(())).await;
            }
        }
        self.clock.0.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
        tokio::time::advance(by).await;
    }

    /// Lets time pass.
    pub async fn pass(&self, life: &Life, time: Duration) {
        for _ in 0..time.as_millis() / STEP.as_millis() {
            self.step(&[life], STEP).await;
        }
    }

    /// Lets time pass until something is so; panics when it takes more than `limit` of it.
    pub async fn until(&self, lives: &[&Life], limit: Duration, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
        let mut left = limit.as_millis() / STEP.as_millis();
        while !is_so().await {
            assert!(left > 0, "{what} did not happen within {limit:?}");
            left -= 1;
            self.step(lives, STEP).await;
        }
    }

    /// Lets time pass until the task has ended.
    pub async fn end_of(&self, life: &Life, task: TaskId) -> Task {
        self.until(&[life], Duration::from_secs(120), "the end", async || life.state(task).await.is_terminal()).await;
        life.task(task).await
    }

    /// Lets time pass until all tasks have ended and the parent knows of all.
    pub async fn all_told(&self, life: &Life) {
        let told = async || {
            let (key, me) = (life.at.project.key.clone(), life.at.project.core.instance);
            let open = async |task: Task| !task.state.is_terminal();
            for task in life.at.find(Filter::default()).await.unwrap() {
                if open(task).await {
                    return false;
                }
            }
            let store = &life.at.project;
            store
                .store(move |store| {
                    Ok(store.other_homes(&key, me)?.is_empty()
                        && store.untold(&key, me)?.is_empty()
                        && store.open_reports(&key, me)?.is_empty())
                })
                .await
                .unwrap()
        };
        self.until(&[life], Duration::from_secs(180), "that all is told", told).await;
    }

    /// The reports that the parent has been sent, as texts.
    pub fn reports(&self) -> Vec<String> {
        let prompts = self.host.messages(&self.parent).into_iter().filter(|message| message["info"]["role"] == "user");
        let texts = prompts.filter_map(|message| Some(message["parts"][0]["text"].as_str()?.to_owned()));
        texts.filter(|text| text.starts_with("<sortie-report>")).collect()
    }

    /// How often the parent was told of a task's end.
    pub fn told(&self, task: TaskId) -> usize {
        let heading = format!("] {task}\n");
        self.reports().iter().filter(|text| text.contains(&heading)).count()
    }

    /// The sessions that were made for tasks.
    pub fn sessions(&self) -> Vec<SessionId> {
        self.host.sessions().into_iter().filter(|session| *session != self.parent).collect()
    }

    /// What must hold of everything at any end: one terminal journal row for each task, no gap, no damage.
    pub fn check(&self) {
        let mut store = self.open_store();
        assert_eq!(store.check().unwrap(), [""; 0]);
        let rows = store.journal(&ProjectKey::new(DIR), 0, u32::MAX).unwrap();
        for task in store.tasks(&ProjectKey::new(DIR), &Filter::default()).unwrap() {
            let own: Vec<_> = rows.iter().filter(|row| row.task == task.id).collect();
            let ends = own.iter().filter(|row| row.to.is_terminal()).count();
            assert_eq!(ends, 1, "{} has {ends} ends", task.spec.title);
            assert!(own.iter().zip(0..).all(|(row, rev)| row.rev.0 == rev), "{own:?}");
        }
    }
}

impl Life {
    pub async fn launch(&self, specs: Vec<TaskSpec>) -> Vec<TaskId> {
        self.launch_with(specs.into_iter().map(|spec| (spec, None)).collect()).await
    }

    pub async fn launch_with(&self, specs: Vec<(TaskSpec, Option<Run>)>) -> Vec<TaskId> {
        let specs = specs.into_iter().map(|(spec, run)| (self.at.task_id(), spec, run)).collect();
        self.at.launch(specs).await.unwrap().into_iter().map(|task| task.id).collect()
    }

    pub async fn task(&self, id: TaskId) -> Task {
        self.at.find(Filter { ids: Some(vec![id]), ..Filter::default() }).await.unwrap().pop().unwrap()
    }

    pub async fn state(&self, id: TaskId) -> StateName {
        self.task(id).await.state.name()
    }

    pub async fn result(&self, id: TaskId) -> String {
        let outcome = self.at.project.store(move |store| store.outcome(id)).await.unwrap();
        outcome.map(|outcome| outcome.text).unwrap_or_default()
    }

    /// Lets go of the project in order.
    pub async fn close(self, rig: &Rig) -> ShutdownReport {
        let Self { at, feed, _still, .. } = self;
        let closing = tokio::spawn(at.detach());
        for _ in 0..3_000 {
            if closing.is_finished() {
                break;
            }
            // The store's thread and the disk take their own time: ours must not run away from it.
            rig.step(&[], Duration::from_millis(4)).await;
            std::thread::sleep(Duration::from_millis(1));
        }
        feed.abort();
        assert!(closing.is_finished(), "closing did not end");
        closing.await.unwrap()
    }

    /// Lets go of the project; everything must close in its time.
    pub async fn close_cleanly(self, rig: &Rig) {
        let report = self.close(rig).await;
        assert!(report.is_clean(), "{report}");
    }
}

/// Brings the host's events to an engine while it wants them.
async fn feed(stream: EventStream, host: Arc<FakeHost>, mut wanted: watch::Receiver<bool>) {
    while wanted.wait_for(|on| *on).await.is_ok() {
        let mut events = host.subscribe();
        stream.opened();
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(text) => stream.chunk(format!("data: {text}\n\n").as_bytes()).unwrap(),
                    None => break,
                },
                off = wanted.wait_for(|on| !*on) => {
                    if off.is_err() {
                        return;
                    }
                    break;
                }
            }
        }
        stream.closed();
        tokio::task::yield_now().await;
    }
}
