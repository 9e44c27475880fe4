//! What running tasks use, as it is heard.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::Gate;
use crate::{
    engine::{project::Project, report_text::label},
    opencode::{AssistantInfo, Event, Message, MessageId, MessageInfo, Part, PartId, Session, SessionId},
    store::Charge,
    task::{Fence, Spent, Task, TaskId, Timestamp, Tokens},
};

/// How long a run goes on before its time is written again.
const TIME_STEP: u64 = 200;

/// What the process counts in one project.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Wakes the loop.
    pub wake: Notify,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    runs: Vec<Run>,
    /// Sessions that the host's own task tool made below a task's.
    children: HashMap<SessionId, TaskId>,
    gate: Gate,
    holds: bool,
}

/// A run of a task.
#[derive(Debug)]
struct Run {
    task: TaskId,
    fence: Fence,
    label: String,
    prompt: Option<MessageId>,
    began: Timestamp,
    ended: Option<Timestamp>,
    /// How many milliseconds of it are written.
    written: Option<u64>,
    answers: HashMap<MessageId, Answer>,
    /// The newest answer of the task's own, and whether the run is over with it.
    newest: Option<(MessageId, bool)>,
}

/// An answer of the model.
#[derive(Debug, Default)]
struct Answer {
    tokens: u64,
    cost: u64,
    calls: HashSet<PartId>,
    is_written: bool,
}

/// A run as a round sees it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The task.
    pub task: TaskId,
    /// Which run of it.
    pub fence: Fence,
    /// Its name for people.
    pub label: String,
    /// Whether the run is over, or about to be because the model has answered.
    pub is_over: bool,
    /// Whether its runner has gone.
    pub has_ended: bool,
}

/// A run's place in the ledger, until dropped.
pub struct Account {
    project: Arc<Project>,
    task: TaskId,
    fence: Fence,
}

impl Ledger {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to count for a run of a claimed task.
    #[must_use]
    pub fn open(project: &Arc<Project>, task: &Task) -> Account {
        project.budgets.inner().runs.push(Run {
            task: task.id,
            fence: task.fence,
            label: label(task),
            prompt: task.run.as_ref().and_then(|run| run.message.parse().ok()),
            began: project.core.clock.now(),
            ended: None,
            written: None,
            answers: HashMap::new(),
            newest: None,
        });
        project.budgets.wake.notify_one();
        Account { project: Arc::clone(project), task: task.id, fence: task.fence }
    }

    /// Takes an event in.
    pub fn hear(&self, project: &Project, event: &Event) {
        match event {
            Event::SessionCreated(info) | Event::SessionUpdated(info) => self.child(project, info),
            Event::MessageUpdated(info) => {
                if let MessageInfo::Assistant(info) = &**info {
                    self.answer(project, info);
                }
            }
            Event::PartUpdated(part) => self.part(project, part),
            _ => {}
        }
    }

    /// Takes in messages of a task's own session, as they were read.
    pub fn read(&self, project: &Project, messages: &[Message]) {
        for message in messages {
            if let MessageInfo::Assistant(info) = &message.info {
                self.answer(project, info);
            }
            message.parts.iter().for_each(|part| self.part(project, part));
        }
    }

    /// A session that the host made below a task's counts for the task. Those of tasks have their own accounts.
    fn child(&self, project: &Project, info: &Session) {
        let Some(parent) = &info.parent_id else { return };
        if info.metadata.as_ref().is_some_and(|metadata| metadata.get("sortie").is_some()) {
            return;
        }
        let of = project.tasks_in(parent).last().copied();
        let mut inner = self.inner();
        if let Some(task) = of.or_else(|| inner.children.get(parent).copied()) {
            inner.children.insert(info.id.clone(), task);
        }
    }

    /// The task below which the host made a session.
    #[must_use]
    pub fn above(&self, session: &SessionId) -> Option<TaskId> {
        self.inner().children.get(session).copied()
    }

    /// The account of a session, and whether it is the task's own.
    fn of<R>(
        &self,
        project: &Project,
        session: &SessionId,
        message: &MessageId,
        change: impl FnOnce(&mut Run, bool) -> R,
    ) -> Option<R> {
        let tasks = project.tasks_in(session);
        let mut inner = self.inner();
        let child = inner.children.get(session).copied();
        let is_open = |run: &&mut Run| run.ended.is_none();
        // Of two tasks in one session the one whose prompt came last before the message is answered.
        let own = inner.runs.iter_mut().filter(is_open).filter(|run| tasks.contains(&run.task));
        let own = own.filter(|run| run.prompt.as_ref().is_some_and(|prompt| prompt < message));
        if let Some(run) = own.max_by(|one, other| one.prompt.cmp(&other.prompt)) {
            return Some(change(run, true));
        }
        let run = inner.runs.iter_mut().filter(is_open).find(|run| Some(run.task) == child)?;
        Some(change(run, false))
    }

    fn answer(&self, project: &Project, info: &AssistantInfo) {
        let (tokens, cost) = (Tokens::from(info.tokens).total(), Spent::millionths(info.cost));
        let changed = self.of(project, &info.session_id, &info.id, |run, is_own| {
            if is_own && run.newest.as_ref().is_none_or(|(newest, _)| *newest <= info.id) {
                let is_over = info.error.is_none() && info.finish.as_ref().is_some_and(|finish| !finish.goes_on());
                run.newest = Some((info.id.clone(), is_over));
            }
            let answer = run.answers.entry(info.id.clone()).or_default();
            let more = tokens > answer.tokens || cost > answer.cost;
            (answer.tokens, answer.cost) = (answer.tokens.max(tokens), answer.cost.max(cost));
            answer.is_written &= !more;
            more
        });
        if changed == Some(true) {
            self.wake.notify_one();
        }
    }

    fn part(&self, project: &Project, part: &Part) {
        let Part::Tool(part) = part else { return };
        let is_new = self.of(project, &part.session_id, &part.message_id, |run, _| {
            let answer = run.answers.entry(part.message_id.clone()).or_default();
            let is_new = answer.calls.insert(part.id.clone());
            answer.is_written &= !is_new;
            is_new
        });
        if is_new == Some(true) {
            self.wake.notify_one();
        }
    }

    /// What is to be written, and the runs that there are.
    pub(super) fn take(&self, now: Timestamp) -> (Vec<Charge>, Vec<Seen>) {
        let mut inner = self.inner();
        let mut charges = Vec::new();
        for run in &mut inner.runs {
            let task = run.task;
            let mut charge = |item: String, spent| charges.push(Charge { task, item, spent });
            if run.written.is_none() {
                charge("start".to_owned(), Spent { tasks: 1, ..Spent::default() });
            }
            let millis = u64::try_from(run.ended.unwrap_or(now).since(run.began).as_millis()).unwrap_or(u64::MAX);
            if run.ended.is_some() || run.written.is_none_or(|written| millis >= written + TIME_STEP) {
                charge(format!("run {}", run.fence.0), Spent { millis, ..Spent::default() });
                run.written = Some(millis);
            }
            for (message, answer) in run.answers.iter_mut().filter(|(_, answer)| !answer.is_written) {
                let Answer { tokens, cost, .. } = *answer;
                let tool_calls = answer.calls.len() as u64;
                charge(message.to_string(), Spent { tokens, cost, tool_calls, ..Spent::default() });
                answer.is_written = true;
            }
        }
        let seen = inner.runs.iter().map(|run| Seen {
            task: run.task,
            fence: run.fence,
            label: run.label.clone(),
            is_over: run.ended.is_some() || run.newest.as_ref().is_some_and(|(_, is_over)| *is_over),
            has_ended: run.ended.is_some(),
        });
        (charges, seen.collect())
    }

    /// What was taken was not written.
    pub(super) fn put_back(&self) {
        for run in &mut self.inner().runs {
            run.written = None;
            run.answers.values_mut().for_each(|answer| answer.is_written = false);
        }
    }

    /// Forgets runs that have ended and are written.
    pub(super) fn forget(&self, seen: &[Seen]) {
        let mut inner = self.inner();
        let is_done =
            |run: &Run| seen.iter().any(|seen| seen.has_ended && (seen.task, seen.fence) == (run.task, run.fence));
        inner.runs.retain(|run| !is_done(run));
        let running: HashSet<TaskId> = inner.runs.iter().map(|run| run.task).collect();
        inner.children.retain(|_, task| running.contains(task));
    }

    /// Notes whether a shared budget holds tasks back, and gives what was noted before.
    pub(super) fn held(&self, holds: bool) -> bool {
        std::mem::replace(&mut self.inner().holds, holds)
    }

    /// What the dispatcher saw last.
    #[must_use]
    pub fn gate(&self) -> Gate {
        self.inner().gate.clone()
    }

    /// Remembers what the dispatcher saw.
    pub fn keep(&self, gate: Gate) {
        self.inner().gate = gate;
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let ended = Some(self.project.core.clock.now());
        let mut inner = self.project.budgets.inner();
        for run in inner.runs.iter_mut().filter(|run| (run.task, run.fence) == (self.task, self.fence)) {
            run.ended = ended;
        }
        drop(inner);
        self.project.budgets.wake.notify_one();
    }
}
