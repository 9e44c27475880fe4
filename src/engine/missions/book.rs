//! What the process remembers of its missions between two looks; everything in it can be found again.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::{
    mission::{Errand, Mission, TaskView},
    opencode::SessionId,
    task::{MissionId, TaskId, Tokens},
    todo::Document,
};

/// How long a prompt may be on its way. One that has not come by then never will.
const EXPECTED: Duration = Duration::from_secs(10);

/// A mission that this process drives.
#[derive(Debug, Clone)]
pub struct Driven {
    /// The mission as it was last written.
    pub mission: Arc<Mission>,
    /// Its revision.
    pub rev: u64,
    /// Its tasks, as far as they are known: those that have ended do not change any more.
    pub tasks: HashMap<TaskId, Known>,
}

/// A task as it was last seen.
#[derive(Debug, Clone)]
pub struct Known {
    /// How it stands.
    pub view: TaskView,
    /// What it has used.
    pub tokens: Tokens,
}

/// TODO.md as it was last read.
#[derive(Debug, Clone)]
pub struct Read {
    /// Its revision.
    pub rev: u64,
    /// The items.
    pub document: Document,
}

/// The missions of a project in this process.
#[derive(Debug, Default)]
pub struct Book {
    /// Wakes the loop.
    pub wake: Notify,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    driven: HashMap<MissionId, Driven>,
    /// Whether the store may have missions that are not in the book.
    stale: bool,
    todo: Option<Read>,
    /// Sessions whose prompt is on its way, since when: they are idle only in appearance.
    expecting: HashMap<SessionId, Instant>,
    /// Sessions whose turn is held at its end until it is known whether it goes on.
    held: HashSet<SessionId>,
    /// Sessions whose turn somebody stopped.
    aborted: HashSet<SessionId>,
    errands: HashMap<(MissionId, Errand), Option<Result<String, String>>>,
}

impl Book {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store may know more missions than the book.
    pub fn spoil(&self) {
        self.inner().stale = true;
        self.wake.notify_one();
    }

    /// Whether the store must be read; asked once.
    pub fn take_stale(&self) -> bool {
        std::mem::take(&mut self.inner().stale)
    }

    /// The missions that are driven here.
    pub fn driven(&self) -> Vec<Driven> {
        self.inner().driven.values().cloned().collect()
    }

    /// Their names.
    pub fn ids(&self) -> Vec<MissionId> {
        self.inner().driven.keys().copied().collect()
    }

    /// The names of those that stand still.
    pub fn halted(&self) -> Vec<MissionId> {
        let inner = self.inner();
        let halted = inner.driven.iter().filter(|(_, driven)| driven.mission.pause.is_some());
        halted.map(|(id, _)| *id).collect()
    }

    /// Whether any mission is driven here.
    pub fn is_empty(&self) -> bool {
        self.inner().driven.is_empty()
    }

    /// A mission that is driven here.
    pub fn get(&self, id: MissionId) -> Option<Driven> {
        self.inner().driven.get(&id).cloned()
    }

    /// The mission of a session.
    pub fn of_session(&self, session: &str) -> Option<Driven> {
        self.inner().driven.values().find(|driven| driven.mission.session == session).cloned()
    }

    /// Takes a mission as it is now; one that is over is forgotten with its errands.
    pub fn put(&self, driven: Driven) {
        let mut inner = self.inner();
        let id = driven.mission.id;
        if driven.mission.is_over() {
            inner.driven.remove(&id);
            inner.errands.retain(|(mission, _), _| *mission != id);
        } else {
            inner.driven.insert(id, driven);
        }
    }

    /// Forgets a mission that somebody else drives.
    pub fn drop(&self, id: MissionId) {
        self.inner().driven.remove(&id);
    }

    /// What is remembered of a mission's tasks.
    pub fn learn(&self, id: MissionId, tasks: HashMap<TaskId, Known>) {
        if let Some(driven) = self.inner().driven.get_mut(&id) {
            driven.tasks = tasks;
        }
    }

    /// TODO.md, if it was read at this revision.
    pub fn todo(&self) -> Option<Read> {
        self.inner().todo.clone()
    }

    /// Remembers TODO.md.
    pub fn read(&self, read: Read) {
        self.inner().todo = Some(read);
    }

    /// A session's prompt is on its way.
    pub fn expect(&self, session: &SessionId) {
        self.inner().expecting.insert(session.clone(), Instant::now());
    }

    /// A session has begun a turn.
    pub fn begun(&self, session: &SessionId) {
        self.inner().expecting.remove(session);
    }

    /// Somebody stopped a session's turn: if it commands a mission, that must stand still.
    pub fn aborted(&self, session: &SessionId) {
        let mut inner = self.inner();
        if inner.driven.values().any(|driven| driven.mission.session == session.as_str()) {
            inner.expecting.remove(session);
            inner.aborted.insert(session.clone());
            self.wake.notify_one();
        }
    }

    /// The sessions whose turn somebody stopped; each is given once.
    pub fn take_aborted(&self) -> Vec<SessionId> {
        self.inner().aborted.drain().collect()
    }

    /// Whether a session's prompt is on its way.
    pub fn is_expecting(&self, session: &SessionId) -> bool {
        self.inner().expecting.get(session).is_some_and(|since| since.elapsed() < EXPECTED)
    }

    /// A session's turn is held at its end, or no longer.
    pub fn hold(&self, session: &SessionId, holds: bool) {
        let held = &mut self.inner().held;
        if holds {
            held.insert(session.clone())
        } else {
            held.remove(session)
        };
    }

    /// Whether a session's turn is held at its end.
    pub fn is_held(&self, session: &SessionId) -> bool {
        self.inner().held.contains(session)
    }

    /// Begins an errand, unless it was begun before.
    pub fn begin(&self, mission: MissionId, errand: &Errand) -> bool {
        let mut inner = self.inner();
        let key = (mission, errand.clone());
        if inner.errands.contains_key(&key) {
            return false;
        }
        inner.errands.insert(key, None);
        true
    }

    /// Ends an errand.
    pub fn end(&self, mission: MissionId, errand: Errand, came: Result<String, String>) {
        self.inner().errands.insert((mission, errand), Some(came));
        self.wake.notify_one();
    }

    /// What came of a mission's errands.
    pub fn errands(&self, mission: MissionId) -> HashMap<Errand, Result<String, String>> {
        let inner = self.inner();
        let of = inner.errands.iter().filter(|((of, _), _)| *of == mission);
        of.filter_map(|((_, errand), came)| Some((errand.clone(), came.clone()?))).collect()
    }

    /// Forgets what came of errands, so that they can be done anew.
    pub fn forget_errands(&self, mission: MissionId) {
        self.inner().errands.retain(|(of, _), came| *of != mission || came.is_none());
    }
}
