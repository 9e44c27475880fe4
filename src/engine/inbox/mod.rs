//! The inbox: what agents below our tasks ask of the user, at any depth and in any directory.
//!
//! A prompt waits in the host's instance of its directory, and in the host's memory only. So it is kept here in memory
//! as well, by the process whose host asks, and one [`attend`] each sees it through: whose it is, what may be decided at
//! once, how long a person may take. The store keeps the record. Invariants:
//! - A prompt of a running task always has an end: answered by a person or by rule, or given up with its turn.
//! - What its turn does not wait for any more is refused, never allowed: the host would still act on it.
//! - Only people answer: nothing here can be reached by a tool.

mod attend;
mod entry;
mod face;
mod look;
mod own;
mod refusals;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use entry::Word;
pub use entry::{Answer, Entry, Request};
pub use look::run as look_out;
use refusals::Refusals;

use super::project::Project;
use crate::{opencode::SessionId, task::TaskId};

/// How many prompts that are over are remembered: an old list of the host's may still name them.
const REMEMBERED: usize = 1_000;

/// The prompts that wait.
#[derive(Debug, Default)]
pub struct Inbox {
    known: Mutex<Known>,
    /// New prompts are there.
    arrived: Notify,
    /// Prompts may have been missed.
    missed: Notify,
    /// A task runs now.
    began: Notify,
}

#[derive(Debug, Default)]
struct Known {
    waiting: HashMap<String, Arc<Entry>>,
    /// Those that nobody attends to yet.
    fresh: Vec<Arc<Entry>>,
    over: VecDeque<String>,
    refusals: Refusals,
}

/// Attends to the project's prompts until it is let go.
pub async fn run(project: Arc<Project>) {
    look::close_those_of_the_dead(&project).await;
    loop {
        for entry in project.inbox.take_fresh() {
            project.tracker.spawn(attend::supervise(Arc::clone(&project), entry));
        }
        tokio::select! {
            () = project.stop.cancelled() => return,
            () = project.inbox.arrived.notified() => {}
        }
    }
}

impl Inbox {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A prompt was asked in a directory; `found` says that it was not heard of but seen in a list.
    pub fn asked(&self, request: Request, directory: &str, found: bool) {
        let mut known = self.known();
        let id = request.id();
        if known.waiting.contains_key(id) || known.over.iter().any(|over| over == id) {
            return;
        }
        let id = id.to_owned();
        let entry = Arc::new(Entry::new(request, directory, found));
        known.waiting.insert(id, Arc::clone(&entry));
        known.fresh.push(entry);
        drop(known);
        self.arrived.notify_one();
    }

    /// The host says that a prompt was answered, by us or by somebody else.
    pub fn closed(&self, id: &str, answer: &str) {
        let mut known = self.known();
        let Some(entry) = known.waiting.get(id).map(Arc::clone) else { return };
        let follows = answer == "reject" && entry.request.is_permission() && !entry.is_sent();
        let consequence = follows && known.refusals.breaks(&entry);
        drop(known);
        entry.hear(Word::Closed { answer: answer.to_owned(), consequence });
    }

    /// A session is idle: what it asked may have no turn to go back to. The host tells of that by nothing else.
    pub fn idle(&self, session: &SessionId) {
        self.tell(&Word::Idle, |entry| entry.request.session() == session);
    }

    /// A task has ended: nobody needs answers to what was asked below it.
    pub fn ended(&self, task: TaskId) {
        self.tell(&Word::Ended, |entry| entry.task() == Some(task));
    }

    /// Events may have been missed.
    pub fn missed(&self) {
        self.missed.notify_one();
    }

    /// A task runs now.
    pub fn began(&self) {
        self.began.notify_one();
    }

    /// Whether a session's turn was ended by the host together with a request that was refused with words: its agent is
    /// to go on. Says so once.
    pub fn take_broken(&self, session: &SessionId) -> bool {
        self.known().refusals.take_broken(session)
    }

    fn tell(&self, word: &Word, concerned: impl Fn(&Entry) -> bool) {
        for entry in self.waiting().iter().filter(|entry| concerned(entry)) {
            entry.hear(word.clone());
        }
    }

    /// Those that wait, oldest first.
    fn waiting(&self) -> Vec<Arc<Entry>> {
        let mut waiting: Vec<_> = self.known().waiting.values().map(Arc::clone).collect();
        waiting.sort_by_key(|entry| (entry.number().unwrap_or(i64::MAX), entry.asked));
        waiting
    }

    fn take_fresh(&self) -> Vec<Arc<Entry>> {
        std::mem::take(&mut self.known().fresh)
    }

    /// Forgets a prompt; one that is `over` for good is not taken in again.
    fn forget(&self, entry: &Entry, over: bool) {
        let mut known = self.known();
        let id = entry.request.id();
        known.waiting.remove(id);
        if over {
            known.over.push_back(id.to_owned());
            if known.over.len() > REMEMBERED {
                known.over.pop_front();
            }
        }
    }
}
