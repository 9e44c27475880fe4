//! One supervising process a task: claims it, runs its agent, writes how it ended.

use std::{ffi::OsString, sync::Arc, time::Duration};

use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    admit::{self, One},
    invocation::Invocation,
    log::{DEFAULT_SIZE, Log, plain},
    place::{NAMES, Place},
    processes::{AgentNote, adopted, agent_of, is_supervised},
    start::backoff,
    verdict::{Ended, Verdict, judge},
};
use crate::{
    clock::{Clock, Ids},
    config::{Config, OPENCODE, Success},
    fault::{Fault, floor},
    server_pool::{Places, find_opencode},
    store::{Filter, Home, InstanceLock, Store, StoreError, Watcher},
    sys::{
        process::{Adopted, Behind, Held, Identity, Status},
        watch::DirectoryWatch,
    },
    task::{
        CancelReason, Change, ErrorClass, Failure, FailureKind, Guard, InstanceId, Outcome, Process, ProjectKey, Retry,
        Task, TaskId, TaskState, Timestamp,
    },
};

/// How often a running agent's log is bounded; the net under the system's word of changes, too.
const LOOK: Duration = Duration::from_secs(1);

/// How long an agent may go on once it has said that it is at its end.
const LINGER: Duration = Duration::from_secs(5);

/// The first pause before a write to the store is tried again; it doubles up to [`LONGEST_WRITE_PAUSE`].
const FIRST_WRITE_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_WRITE_PAUSE: Duration = Duration::from_secs(5);

/// The most of a log that becomes the result of an agent that wrote no report, in bytes.
const LONGEST_RESULT: usize = 64 * 1024;

/// What a supervisor works with.
pub struct Setup<S> {
    /// Sortie's files.
    pub home: Home,
    /// The database.
    pub store: S,
    /// The agents.
    pub config: Config,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Our own program as a gate; what it is to become follows.
    pub gate: Vec<OsString>,
    /// Where OpenCode may be.
    pub places: Places,
}

/// What became of a supervised task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Supervised {
    /// Its run is over, and written.
    Over,
    /// It may not start now, or another one has it.
    NotClaimed,
}

/// Runs one task to the end of this run. `stop` is what ends it before: the agent is ended and the task goes back to the
/// queue.
///
/// # Errors
/// The store's, before the task was claimed.
pub async fn supervise<S: Store>(
    setup: Setup<S>,
    project: &ProjectKey,
    task: TaskId,
    stop: CancellationToken,
) -> Result<Supervised, Fault> {
    let Setup { home, mut store, config, clock, gate, places } = setup;
    let lock = InstanceLock::acquire(&home, Ids::new(Arc::clone(&clock)).instance())?;
    let limits = admit::limits(&config);
    let now = clock.now();
    let mut one = One::new(&home, &limits, task, now);
    let Some(task) = store.claim(project, lock.id(), now, &mut one)?.pop() else {
        return Ok(Supervised::NotClaimed);
    };
    let place = Place::of(&home, task.id);
    let size = config.queue.log_size.map_or(DEFAULT_SIZE, std::num::NonZero::get);
    let log = Log::of(&place);
    let mut agent = config.agent(&task.spec.agent);
    // One that is taken up runs already.
    if agent.command == OPENCODE
        && agent_of(&task).is_none()
        && let Ok(program) = find_opencode(&places).await
    {
        // Where there is none, its start says so.
        agent.command = program.to_string_lossy().into_owned();
    }
    let invocation = Invocation::of(&agent, &task, &place);
    let guard = Guard::Runner(lock.id(), task.fence);
    let mut run = Run { home, store, clock, task, place, log, size, me: lock.id(), guard, stop };
    let end = match run.agent(gate, &invocation).await {
        Ok(mut agent) => {
            let end = run.watch(&mut agent).await;
            agent.end().await;
            AgentNote::forget(&run.home, run.task.id);
            end
        }
        Err(end) => end,
    };
    // The size is a courtesy to the disk; a log that stays too long ends no task.
    let _ = run.log.bound(run.size);
    run.finish(end, invocation.success).await;
    Ok(Supervised::Over)
}

/// The agent, our child or somebody else's.
enum Agent {
    Own(Held),
    Adopted(Adopted),
}

impl Agent {
    /// Waits for its own process; how that ended is known of a child only.
    async fn ended(&mut self) -> Option<Status> {
        match self {
            Self::Own(held) => Some(held.ended().await),
            Self::Adopted(adopted) => {
                adopted.ended().await;
                None
            }
        }
    }

    async fn end(&mut self) {
        match self {
            Self::Own(held) => held.end().await,
            Self::Adopted(adopted) => drop(adopted.end().await),
        }
    }
}

/// How a run came to its end.
enum End {
    /// By itself.
    Exited(Option<Status>),
    /// Its time was over.
    TimedOut(Duration),
    /// Somebody has changed the task; the store says how.
    Stopped,
    /// This process is to end.
    Interrupted,
    /// It could not be started.
    NotStarted(String),
}

struct Run<S> {
    home: Home,
    store: S,
    clock: Arc<dyn Clock>,
    task: Task,
    place: Place,
    log: Log,
    size: u32,
    me: InstanceId,
    guard: Guard,
    stop: CancellationToken,
}

impl<S: Store> Run<S> {
    /// Takes up the agent that a dead supervisor left, or starts one.
    async fn agent(&mut self, gate: Vec<OsString>, invocation: &Invocation) -> Result<Agent, End> {
        if let Some(process) = agent_of(&self.task) {
            self.note(process)?;
            return Ok(Agent::Adopted(adopted(process, self.task.id)));
        }
        let failed = |what: &str, error: &dyn std::fmt::Display| End::NotStarted(format!("{what}: {error}"));
        self.place.make().map_err(|error| failed("its directory", &error))?;
        self.place.clear().map_err(|error| failed("its directory", &error))?;
        let output = self.log.append().map_err(|error| failed("its log", &error))?;
        let Invocation { argv, dir, set, .. } = invocation.clone();
        let program = format!("`{}` in {}", argv.first().map_or("", String::as_str), dir.display());
        let behind = Behind { gate, argv, dir, set, output };
        let mut held = Held::start(behind).map_err(|error| failed(&program, &error))?;
        let process = held.process();
        self.note(process)?;
        let Identity { pid, birth } = process;
        let process = Process { pid, birth, at: self.clock.now() };
        self.task = self.write(&Change::Spawn { process }, None).await.ok_or(End::Stopped)?;
        held.let_go().await.map_err(|error| failed(&program, &error))?;
        Ok(Agent::Own(held))
    }

    fn note(&self, process: Identity) -> Result<(), End> {
        let (task, project) = (self.task.id, self.task.spec.project.clone());
        let note = AgentNote { task, project, process, supervisor: self.me };
        note.write(&self.home).map_err(|error| End::NotStarted(error.to_string()))
    }

    /// Waits for the end of the agent, of its time, or of the wish that it goes on.
    async fn watch(&mut self, agent: &mut Agent) -> End {
        let (news, words) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (wake, hear) = (Arc::clone(&news), Arc::clone(&words));
        // Without a watch, the looks from time to time do.
        let _commits = Watcher::new(&self.home, move || wake.notify_one());
        let is_word = |path: &std::path::Path| NAMES.iter().any(|name| path.ends_with(name));
        let _files = DirectoryWatch::new(self.place.path(), is_word, move || hear.notify_one());
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut linger: Option<Instant> = None;
        loop {
            let left = self.deadline().since(self.clock.now());
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return End::Interrupted,
                status = agent.ended() => return End::Exited(status),
                () = news.notified() => if !self.is_wanted() { return End::Stopped },
                () = words.notified() => {}
                _ = looks.tick() => {
                    if !self.is_wanted() {
                        return End::Stopped;
                    }
                    let _ = self.log.bound(self.size);
                }
                () = sleep(left) => {
                    // It may have been given more time meanwhile.
                    if !self.is_wanted() {
                        return End::Stopped;
                    }
                    if self.deadline() <= self.clock.now() {
                        return End::TimedOut(self.task.limit());
                    }
                }
                () = sleep_until(linger.unwrap_or_else(Instant::now)), if linger.is_some() => return End::Exited(None),
            }
            if linger.is_none() && self.place.said().is_some() {
                linger = Some(Instant::now() + LINGER);
            }
        }
    }

    /// Until when the agent may run: from its own beginning, whoever supervised it then.
    fn deadline(&self) -> Timestamp {
        self.task.process().map_or_else(|| self.clock.now(), |process| process.at).after(self.task.limit())
    }

    /// Looks at the task's row: whether it still is this run's.
    fn is_wanted(&mut self) -> bool {
        let filter = Filter { ids: Some(vec![self.task.id]), ..Filter::default() };
        match self.store.tasks(&self.task.spec.project, &filter) {
            Ok(mut found) => match found.pop() {
                Some(task) if task.state.owner() == Some(self.me) && task.fence == self.task.fence => {
                    self.task = task;
                    true
                }
                _ => false,
            },
            // What cannot be read now is read at the next look.
            Err(_) => true,
        }
    }

    async fn finish(&mut self, end: End, success: Success) {
        let failed = |kind, message| Failure { kind, class: ErrorClass::Unknown, message };
        let (change, report) = match end {
            End::Stopped => return,
            End::Interrupted => (Change::Release, None),
            End::NotStarted(why) => {
                (self.fail(failed(FailureKind::Error, format!("it could not be started: {why}"))), None)
            }
            End::TimedOut(limit) => {
                (self.fail(failed(FailureKind::Timeout, format!("took longer than {} s", limit.as_secs()))), None)
            }
            End::Exited(status) => {
                let (noted, said) = (self.place.exit_code(), self.place.said());
                match judge(success, Ended { status, noted, said, last_line: self.log.last_line(300) }) {
                    Verdict::Complete(report) => (Change::Complete, report),
                    Verdict::Failed(failure) => (self.fail(failure), None),
                    Verdict::Cancelled => (Change::Cancel { reason: CancelReason::Session }, None),
                }
            }
        };
        let text = report.unwrap_or_else(|| self.last_words());
        self.write(&change, Some(&Outcome { text, ..Outcome::default() })).await;
    }

    /// The failure, with another attempt if there is one.
    fn fail(&self, failure: Failure) -> Change {
        let again = self.task.attempt < self.task.spec.max_attempts;
        let retry = again.then(|| Retry::plain(self.clock.now().after(backoff(self.task.attempt)), false));
        Change::Fail { failure, retry }
    }

    /// The end of the log, as text.
    fn last_words(&self) -> String {
        let tail = self.log.tail(LONGEST_RESULT).unwrap_or_default();
        let lines: Vec<String> = tail.lines().map(plain).collect();
        let text = lines.join("\n");
        text[..floor(&text, LONGEST_RESULT)].trim_end().to_owned()
    }

    /// Writes a change until the store takes it; none when it is no longer ours to write.
    async fn write(&mut self, change: &Change, outcome: Option<&Outcome>) -> Option<Task> {
        let mut pause = FIRST_WRITE_PAUSE;
        loop {
            match self.store.change(self.task.id, self.guard, change, outcome, self.clock.now()) {
                Ok(changed) => return Some(changed.step.task),
                Err(StoreError::Refused(_) | StoreError::NoSuchTask { .. }) => return None,
                Err(error) => tracing::warn!(task = %self.task.id, %error, "a change was not written; trying again"),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_WRITE_PAUSE);
        }
    }
}

/// Ends what is left of a task's agent when its supervisor is dead, so that nothing runs on for a task that somebody has
/// stopped.
pub async fn end_left(home: &Home, task: &Task) {
    if is_supervised(home, task.id) || matches!(task.state, TaskState::Running { .. }) {
        return;
    }
    if let Some(process) = agent_of(task) {
        adopted(process, task.id).end().await;
        AgentNote::forget(home, task.id);
    }
}
