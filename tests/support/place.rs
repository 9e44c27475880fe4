//! An engine over a host in memory that answers at once, with a gate before it: work may be queued while nothing moves.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use sortie::{
    clock::Ids,
    engine::{
        options::{MemoryMarks, Options},
        service::{Attach, Attachment, Engine},
    },
    opencode::{
        BoxFuture, Envelope, NewSession, Request, Response, SessionId, Transport, TransportError,
        fake::{FakeHost, Script},
    },
    store::{Durability, Filter, Home, Listing, SqliteStore, Store, fixture},
    sys::SystemClock,
    task::{Parent, ProjectKey, StateName, TaskSpec},
};
use tempfile::TempDir;
use tokio::{sync::watch, task::JoinHandle};

const DIR: &str = "/project";

/// Tasks that are launched in one transaction.
const BATCH: usize = 1_000;

/// Only what does not work at all takes longer.
const LIMIT: Duration = Duration::from_secs(600);

pub fn project() -> ProjectKey {
    ProjectKey::new(DIR)
}

/// Runs `work` as the plugin's engine runs: on threads of its own, with the real clock.
pub fn run(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(work);
}

pub struct Place {
    home: TempDir,
    host: Arc<FakeHost>,
    parent: SessionId,
    at: Mutex<Option<Attachment>>,
    gate: watch::Sender<bool>,
    ids: Ids,
    feed: JoinHandle<()>,
    launched: AtomicUsize,
}

/// Lets no request through before it is opened.
struct Gate {
    inner: Arc<dyn Transport>,
    open: watch::Receiver<bool>,
}

impl Transport for Gate {
    fn request(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        let mut open = self.open.clone();
        Box::pin(async move {
            // Whoever holds the gate has gone: so has the test.
            let _ = open.wait_for(|open| *open).await;
            self.inner.request(request).await
        })
    }
}

impl Place {
    /// Over a host that answers at once, with these limits.
    pub async fn new(limits: &str) -> Self {
        let host = Arc::new(FakeHost::new(|_| Script::say("done")));
        let transport = host.transport();
        Self::over(host, transport, limits).await
    }

    /// The same with another way to the host.
    pub async fn over(host: Arc<FakeHost>, transport: Arc<dyn Transport>, limits: &str) -> Self {
        let parent = host.client().create_session(DIR, NewSession::default()).await.unwrap().id;
        let home = tempfile::tempdir().unwrap();
        let open = Home::open(home.path()).unwrap();
        let engine = Engine::open(open, Arc::new(SystemClock), Durability::Normal, Arc::new(|_| {})).await.unwrap();
        let (gate, is_open) = watch::channel(false);
        let transport = Arc::new(Gate { inner: transport, open: is_open });
        let options = Options {
            limits: serde_json::from_str(limits).unwrap(),
            // How full this machine is must not matter.
            memory: MemoryMarks { low: 100, stop: 100 },
            toasts: false,
            ..Options::default()
        };
        let at = engine.attach(Attach {
            project: project(),
            directory: DIR.to_owned(),
            transport,
            options,
            headless: false,
            program: None,
        });
        at.hear_directly();
        let (mut events, listener) = (host.subscribe(), Arc::downgrade(&engine));
        let feed = tokio::spawn(async move {
            while let (Some(text), Some(engine)) = (events.recv().await, listener.upgrade()) {
                if let Some(envelope) = Envelope::parse(&text).unwrap() {
                    engine.deliver(&[envelope]);
                }
            }
        });
        at.start();
        let ids = Ids::new(Arc::new(SystemClock));
        Self { home, host, parent, at: Mutex::new(Some(at)), gate, ids, feed, launched: AtomicUsize::new(0) }
    }

    pub fn at(&self) -> Attachment {
        self.at.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap()
    }

    /// Launches tasks, of these agents by turns.
    pub async fn launch(&self, tasks: usize, agents: &[&str]) {
        self.launch_in(tasks, agents, DIR).await;
    }

    /// The same with a directory to work in.
    pub async fn launch_in(&self, tasks: usize, agents: &[&str], directory: &str) {
        let all: Vec<_> = (0..tasks).collect();
        for batch in all.chunks(BATCH) {
            let spec = |n: &usize| TaskSpec {
                title: format!("task {n}"),
                agent: agents[n % agents.len()].into(),
                prompt: format!("Do what number {n} is about."),
                directory: directory.into(),
                parent: Parent { session: self.parent.to_string().into(), directory: DIR.into() },
                ..fixture::spec()
            };
            let specs = batch.iter().map(|n| (self.ids.task(), spec(n), None)).collect();
            self.at().launch(specs).await.unwrap();
        }
        self.launched.fetch_add(tasks, Ordering::SeqCst);
    }

    /// From now on the host is reached.
    pub fn open(&self) {
        self.gate.send_replace(true);
    }

    /// Where its files are.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub fn store(&self) -> SqliteStore {
        SqliteStore::open(&Home::open(self.home.path()).unwrap(), Durability::Normal).unwrap()
    }

    /// Waits until every task has ended.
    pub async fn all_ended(&self) {
        let (mut store, deadline) = (self.store(), Instant::now() + LIMIT);
        let all = self.launched.load(Ordering::SeqCst) as u64;
        loop {
            let totals = store.totals(&project()).unwrap();
            let ended = [StateName::Complete, StateName::Failed, StateName::Cancelled].map(|state| totals.of(state));
            let ended: u64 = ended.iter().sum();
            if ended == all {
                return;
            }
            assert!(Instant::now() < deadline, "not all ended: {totals:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How many ran at once at most, by the journal: its rows are in the order of their commits.
    pub fn most_running(&self) -> usize {
        let (mut running, mut most) = (0, 0);
        for row in self.store().journal(&project(), 0, u32::MAX).unwrap() {
            let was = row.from == Some(StateName::Running);
            let is = row.to == StateName::Running;
            running = running + usize::from(is) - usize::from(was);
            most = most.max(running);
        }
        most
    }

    /// How many sessions were made for tasks.
    pub fn sessions(&self) -> usize {
        self.host.sessions().len() - 1
    }

    /// Lets go of the project in order; nothing may be left behind.
    pub async fn close(&self) {
        let at = self.at.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap();
        let report = at.detach().await;
        self.feed.abort();
        assert!(report.is_clean(), "{report}");
        let running = Filter { states: vec![StateName::Running], ..Filter::default() };
        assert!(self.store().tasks(&project(), &running).unwrap().is_empty());
    }
}
