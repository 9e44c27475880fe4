//! Programs that agents run in the background. Invariants:
//! - Each belongs to a session. It is seen and ended by that one, those below it, and the one right above it.
//! - It ends by itself, at its time limit, by a kill, with its task unless it is to be kept, and with the project in
//!   any case. Should this process be killed, the system or the next process ends it ([`strays`]).
//! - Of its output the newest part is kept, in bounded memory.

mod face;
mod state;
pub mod strays;
mod window;

use std::{
    collections::HashMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

pub use face::Start;
pub use state::{End, State, Why};
pub use window::Part;

use self::window::Window;
use super::project::Project;
use crate::{
    opencode::SessionId,
    store::Filter,
    sys::process::Status,
    task::{TaskId, Timestamp},
};

/// How long a command may run unless the call says otherwise.
pub const DEFAULT_LIMIT: Duration = Duration::from_secs(30 * 60);

/// How many of one session may run at once.
pub const MOST_OF_SESSION: usize = 8;

/// How many may run at once in this process.
pub const MOST: usize = 32;

/// Bytes of output that are kept: a few pages of what the host shows.
const KEPT: usize = 256 * 1024;

/// How many that have ended are remembered in a project.
const REMEMBERED: usize = 20;

/// How long a directory that is let go of waits for the ends of its commands.
const LEAVE_LIMIT: Duration = Duration::from_secs(4);

/// A program in the background.
pub struct Command {
    /// Its name for models and people.
    pub id: String,
    /// What runs, as a line.
    pub line: String,
    /// Where it runs.
    pub directory: PathBuf,
    /// The session that started it.
    pub owner: SessionId,
    /// The session right above that one.
    pub parent: Option<SessionId>,
    /// The task that it belongs to.
    pub task: Option<TaskId>,
    /// Whether it goes on when its task has ended.
    pub keep: bool,
    /// When it was started.
    pub started_at: Timestamp,
    /// The directory of its session.
    home: String,
    deadline: watch::Sender<Instant>,
    /// Counts what it writes, and its end.
    moved: watch::Sender<u64>,
    stop: CancellationToken,
    inner: Mutex<Inner>,
}

struct Inner {
    state: State,
    /// Why it was stopped, if it was.
    why: Option<Why>,
    output: Window,
    /// How far each session has seen the output.
    seen: HashMap<SessionId, u64>,
}

impl Command {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it stands.
    pub fn state(&self) -> State {
        self.inner().state
    }

    /// How much it has written.
    pub fn written(&self) -> u64 {
        self.inner().output.length()
    }

    /// How much of that is kept no more.
    pub fn forgotten(&self) -> u64 {
        self.inner().output.oldest()
    }

    /// What it wrote from an offset on, at most so many bytes.
    pub fn output(&self, offset: u64, most: usize) -> Part {
        let inner = self.inner();
        inner.output.from(offset, most, inner.state.is_running())
    }

    /// The newest part of what a session has not seen yet, and how far it had seen. From now on it has seen all.
    pub fn news(&self, session: &SessionId, most: usize) -> (u64, Part) {
        let mut inner = self.inner();
        let since = inner.seen.get(session).copied().unwrap_or(0);
        let part = inner.output.newest(since, most, inner.state.is_running());
        inner.seen.insert(session.clone(), part.to);
        (since, part)
    }

    /// Notes that a session has seen the output so far.
    pub fn saw(&self, session: &SessionId, to: u64) {
        let mut inner = self.inner();
        let seen = inner.seen.entry(session.clone()).or_default();
        *seen = to.max(*seen);
    }

    /// Waits until it has ended or has written a text, at or after an offset; says whether the text is there.
    pub async fn until(&self, text: Option<&str>, offset: u64) -> bool {
        let mut moved = self.moved.subscribe();
        loop {
            moved.borrow_and_update();
            {
                let inner = self.inner();
                let is_there = text.is_some_and(|text| inner.output.holds(text, offset));
                if is_there || !inner.state.is_running() {
                    return is_there;
                }
            }
            if moved.changed().await.is_err() {
                return false;
            }
        }
    }

    /// Lets it end.
    pub fn stop(&self, why: Why) {
        self.inner().why.get_or_insert(why);
        self.stop.cancel();
    }

    /// Waits until it has ended.
    pub async fn ended(&self) {
        self.until(None, 0).await;
    }

    fn write(&self, bytes: &[u8]) {
        self.inner().output.push(bytes);
        self.moved.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn finish(&self, status: &Status, at: Timestamp) {
        {
            let mut inner = self.inner();
            let end = End::of(status, inner.why);
            inner.state = State::Ended { at, end };
        }
        self.moved.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command").field("id", &self.id).field("state", &self.state()).finish_non_exhaustive()
    }
}

/// The commands of a project in this process.
#[derive(Debug, Default)]
pub struct Commands(Mutex<Vec<Arc<Command>>>);

impl Commands {
    fn list(&self) -> MutexGuard<'_, Vec<Arc<Command>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that are known, the oldest first.
    pub fn all(&self) -> Vec<Arc<Command>> {
        self.list().clone()
    }

    fn running(&self) -> Vec<Arc<Command>> {
        self.list().iter().filter(|command| command.state().is_running()).cloned().collect()
    }

    /// Ends those of a task that has ended.
    pub fn end_of(&self, task: TaskId) {
        for command in self.running().iter().filter(|command| command.task == Some(task) && !command.keep) {
            command.stop(Why::TaskEnded);
        }
    }

    /// Ends those of a directory that the host lets go of, and waits for that.
    pub async fn leave(&self, directory: &str) {
        let leaving: Vec<_> = self.running().into_iter().filter(|command| command.home == directory).collect();
        for command in &leaving {
            command.stop(Why::Closed);
        }
        let gone = async {
            for command in &leaving {
                command.ended().await;
            }
        };
        if tokio::time::timeout(LEAVE_LIMIT, gone).await.is_err() {
            tracing::warn!(directory, "commands still run in a directory that the host lets go of");
        }
    }

    /// Forgets the oldest of those that have ended.
    fn forget(&self) {
        let mut list = self.list();
        let ended = list.iter().filter(|command| !command.state().is_running()).count();
        let mut too_many = ended.saturating_sub(REMEMBERED);
        list.retain(|command| {
            let goes = too_many > 0 && !command.state().is_running();
            too_many -= usize::from(goes);
            !goes
        });
    }
}

/// A run of a task is over: ends the task's commands if the task has ended, by whichever process.
pub async fn after_run(project: &Project, task: TaskId) {
    if !project.commands.running().iter().any(|command| command.task == Some(task)) {
        return;
    }
    match project.tasks(Filter { ids: Some(vec![task]), ..Filter::default() }).await {
        Ok(found) if found.iter().all(|task| task.state.is_terminal()) => project.commands.end_of(task),
        Ok(_) => {}
        Err(error) => tracing::warn!(%task, %error, "whether a task's commands are to end is not known"),
    }
}
