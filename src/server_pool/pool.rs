//! The pool.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{
    choose::{Choice, Seen, choose},
    lease::{Held, Lease, Slot, State},
    ports::Ports,
    registry,
    settings::{Settings, Source},
    supervise::supervise,
};
use crate::{
    clock::{Clock, Ids},
    fault::{Code, Fault},
    opencode::AscendingIds,
    store::{Home, InstanceLock},
};

/// `OpenCode`'s servers. A clone is another handle to the same ones; when the last is dropped they are stopped, which
/// [`Pool::close`] also waits for.
#[derive(Debug, Clone)]
pub struct Pool {
    pub(super) shared: Arc<Shared>,
    _guard: Arc<DropGuard>,
}

/// What everybody in the pool knows.
#[derive(Debug)]
pub(super) struct Shared {
    pub settings: Settings,
    pub home: Home,
    pub clock: Arc<dyn Clock>,
    /// Its file says whose the servers are, and that we live.
    pub lock: InstanceLock,
    pub ports: Ports,
    /// The ids of prompts.
    pub ids: AscendingIds,
    /// The servers are to end.
    pub stop: CancellationToken,
    /// The runs are to end: before the servers do, so that what they began can be stopped.
    pub stop_runs: CancellationToken,
    pub runs: TaskTracker,
    servers: TaskTracker,
    started: AtomicU64,
    places: Mutex<Places>,
}

/// Who is where.
#[derive(Debug, Default)]
struct Places {
    slots: Vec<Arc<Slot>>,
    /// The number of the slot that a project keeps to.
    projects: HashMap<String, usize>,
}

impl Pool {
    /// Opens a pool; the servers of pools whose process died are ended. No server is started before it is needed.
    ///
    /// # Errors
    /// [`Code::BadPool`] for settings that do not fit, or when the home cannot be read or written.
    pub async fn open(home: Home, clock: Arc<dyn Clock>, settings: Settings) -> Result<Self, Fault> {
        settings.check()?;
        registry::sweep(&home).await?;
        let lock = InstanceLock::acquire(&home, Ids::new(Arc::clone(&clock)).instance())?;
        let range = match &settings.source {
            Source::Start(start) => start.ports.clone(),
            Source::Reuse { .. } => None,
        };
        let (stop, stop_runs) = (CancellationToken::new(), CancellationToken::new());
        let guard = Arc::new(stop.clone().drop_guard());
        let shared = Shared {
            settings,
            home,
            clock,
            lock,
            ports: Ports::new(range),
            ids: AscendingIds::new(),
            stop,
            stop_runs,
            runs: TaskTracker::new(),
            servers: TaskTracker::new(),
            started: AtomicU64::new(0),
            places: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared), _guard: guard })
    }

    /// The use of a server for a project: of the one that it had before, if it had one. Waits until it is started.
    ///
    /// # Errors
    /// [`Code::ServerNotStarted`], [`Code::NoPort`], [`Code::PoolClosed`], or, of a server that was given by its URL,
    /// why it cannot be used. Who asks again has it tried again.
    pub async fn server(&self, project: &str) -> Result<Lease, Fault> {
        self.shared.server(project, false).await
    }

    /// Ends all runs, then all servers; nothing of them is left when this returns.
    pub async fn close(&self) {
        {
            // Whoever comes later finds it closed.
            let _places = self.shared.places();
            self.shared.stop_runs.cancel();
        }
        self.shared.runs.close();
        self.shared.runs.wait().await;
        self.shared.stop.cancel();
        self.shared.servers.close();
        self.shared.servers.wait().await;
    }
}

impl Shared {
    /// A server for a project: its own, or with `spread` any that has less to do.
    pub(super) async fn server(self: &Arc<Self>, project: &str, spread: bool) -> Result<Lease, Fault> {
        let held = self.place(project, spread)?;
        let mut state = held.slot().state.subscribe();
        let state = match state.wait_for(|state| !matches!(state, State::Starting)).await {
            Ok(state) => state.clone(),
            Err(_) => State::Stopped,
        };
        match state {
            State::Ready(endpoint) => Ok(Lease { held, endpoint }),
            State::Failed(fault) => Err(fault),
            State::Starting | State::Stopped => Err(closed()),
        }
    }

    /// The number of the next server.
    pub(super) fn count(&self) -> u64 {
        self.started.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A place for a project. One that is over gives way to a new one.
    fn place(self: &Arc<Self>, project: &str, spread: bool) -> Result<Held, Fault> {
        let mut places = self.places();
        if self.stop_runs.is_cancelled() || self.stop.is_cancelled() {
            return Err(closed());
        }
        let Places { slots, projects } = &mut *places;
        slots.retain(|slot| !slot.is_over());
        projects.retain(|_, number| slots.iter().any(|slot| slot.number == *number));
        let own = projects.get(project).and_then(|number| slots.iter().position(|slot| slot.number == *number));
        let seen: Vec<_> = slots
            .iter()
            .map(|slot| Seen {
                leases: *slot.leases.borrow(),
                projects: projects.values().filter(|number| **number == slot.number).count(),
            })
            .collect();
        let max = match self.settings.source {
            Source::Start(_) => self.settings.max_servers,
            Source::Reuse { .. } => 1,
        };
        let slot = match choose(own, spread, &seen, max) {
            Choice::Use(at) => Arc::clone(&slots[at]),
            Choice::Start => {
                // The lowest that is free: what is kept for a place is found again by its number.
                let number = (0..max).find(|number| slots.iter().all(|slot| slot.number != *number)).unwrap_or(0);
                let slot = Arc::new(Slot::new(number, project));
                slots.push(Arc::clone(&slot));
                self.servers.spawn(supervise(Arc::clone(self), Arc::clone(&slot)));
                slot
            }
        };
        if own.is_none() {
            projects.insert(project.to_owned(), slot.number);
        }
        Ok(Held::new(slot))
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn closed() -> Fault {
    Fault::new(Code::PoolClosed, "the server pool is closed")
}
