//! One runner a running task: makes or finds its session, sends the prompt, listens, and writes how it ended.
//!
//! Every wait listens to the orders as well. Whatever ends the runner, its slot comes back by `Drop`, and its task is
//! either ended, pending again, or left to whoever holds the newer fence.

mod begin;
mod ending;
mod still;
mod words;

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::timeout};

use super::{
    admission::{Hearing, Patience},
    budgets::Ledger,
    failures,
    guards::{Repeats, Stall},
    limit,
    live::Live,
    monitor::{Heard, Monitor, Reading, Signal},
    project::{Order, Project, Running},
};
use crate::{
    admission::Slot,
    agent::SessionExecutor,
    opencode::{ClientError, MessageId, ModelRef, PartId, SessionId},
    store::StoreError,
    task::{Change, Failure, FailureKind, Guard, Outcome, Task, TaskId},
};

/// How long after an abort that was not ours the host may say that it is leaving. An abort by a leaving host is an
/// interruption; by a person it is meant.
const ABORT_GRACE: Duration = Duration::from_millis(1_500);

/// How long the host may take to stop a session: its task's end waits for it, and so does a closing process.
const STOP_LIMIT: Duration = Duration::from_secs(3);

/// How long a stopped session may take to write down what it had.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The first pause before a write to the store is tried again; it doubles up to [`LONGEST_WRITE_PAUSE`].
const FIRST_WRITE_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_WRITE_PAUSE: Duration = Duration::from_secs(5);

/// How a run ended.
#[derive(Debug)]
enum End {
    Complete(Outcome),
    Failed(Failure),
    /// The store already says so; only the session is left to stop.
    Stopped,
    Interrupted,
    /// The model's provider asks for patience.
    Yielded(Patience),
    Aborted,
    /// Somebody else holds the task now.
    Lost,
}

impl From<ClientError> for End {
    fn from(error: ClientError) -> Self {
        Self::Failed(failures::of_host(&error))
    }
}

struct Runner {
    project: Arc<Project>,
    task: Task,
    orders: mpsc::UnboundedReceiver<Order>,
    live: Arc<Live>,
    sessions: SessionExecutor,
    monitor: Monitor,
    stall: Stall,
    repeats: Repeats,
    /// The model that the task has without a chain, as far as it is known.
    own: Option<ModelRef>,
    /// What is heard of the model's provider, once the model is known.
    hearing: Option<Hearing>,
    /// Something decisive was heard while another answer was waited for.
    heard_early: bool,
}

/// Runs a claimed task to its end. A panic in the runner is a failure of the task, and of nothing else.
pub async fn supervise(project: Arc<Project>, task: Task, slot: Slot) {
    let (sender, orders) = mpsc::unbounded_channel();
    let live = Arc::new(Live::default());
    let (id, guard) = (task.id, Guard::Runner(project.core.instance, task.fence));
    project.enrol(
        id,
        Running {
            orders: sender,
            live: Arc::clone(&live),
            parent: task.spec.parent.session.as_str().into(),
            label: super::report_text::label(&task).into(),
            directory: task.spec.directory.as_str().into(),
            agent: task.spec.agent.as_str().into(),
            mission: task.spec.mission.zip(task.spec.key.as_deref().map(Into::into)),
        },
    );
    let _account = Ledger::open(&project, &task);
    let ids = task.run.clone().and_then(|run| Some((run.message.parse().ok()?, run.part.parse().ok()?)));
    let (directory, seen) = (task.spec.directory.clone(), Arc::clone(&live));
    let running = {
        let project = Arc::clone(&project);
        tokio::spawn(async move {
            let (_slot, _need) = (slot, project.need_stream(&task.spec.directory));
            let Some((message, part)) = ids else {
                // Ids that we wrote ourselves do not read: the row is damaged.
                let failure = failures::panicked();
                return write(&project, id, guard, &Change::Fail { failure, retry: None }, None).await;
            };
            let sessions = SessionExecutor::new(project.client(), &task);
            let monitor = Monitor::new(MessageId::clone(&message));
            let stall = Stall::new(project.options.stall());
            let repeats = Repeats::new(project.options.repeats);
            let heard_early = false;
            let (own, hearing) = (None, None);
            let runner =
                Runner { project, task, orders, live, sessions, monitor, stall, repeats, own, hearing, heard_early };
            runner.run((message, part)).await;
        })
    };
    if let Err(error) = running.await {
        tracing::error!(task = %id, %error, "a runner broke");
        for session in project.sessions_of(id) {
            stop(&SessionExecutor::in_directory(project.client(), &directory), id, &session).await;
        }
        let change = Change::Fail { failure: failures::panicked(), retry: None };
        write(&project, id, guard, &change, None).await;
    }
    project.dismiss(id, &seen);
    super::commands::after_run(&project, id).await;
    project.stir();
}

/// Stops a session, as far as the host lets itself be told; says whether it does.
async fn stop(sessions: &SessionExecutor, task: TaskId, session: &SessionId) -> bool {
    match timeout(STOP_LIMIT, sessions.abort(session)).await {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => tracing::warn!(%task, %session, %error, "a session was not stopped"),
        Err(_) => tracing::warn!(%task, %session, "a session was not stopped: no answer within {STOP_LIMIT:?}"),
    }
    false
}

/// Writes a change until the store takes it, refuses it, or closes.
async fn write(project: &Project, id: TaskId, guard: Guard, change: &Change, outcome: Option<Outcome>) {
    let mut pause = FIRST_WRITE_PAUSE;
    loop {
        let (change, outcome, core) = (change.clone(), outcome.clone(), Arc::clone(&project.core));
        let written =
            project.store(move |store| store.change(id, guard, &change, outcome.as_ref(), core.clock.now())).await;
        match written {
            Ok(changed) => return project.announce(&changed),
            // Cancelled or taken over meanwhile, or closing: recovery sees to it.
            Err(StoreError::Refused(_) | StoreError::NoSuchTask { .. } | StoreError::Closed) => return,
            Err(error) => {
                tracing::warn!(task = %id, %error, "a change was not written; trying again");
                project.toaster.store_trouble(&error);
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_WRITE_PAUSE);
    }
}

impl Runner {
    async fn run(mut self, ids: (MessageId, PartId)) {
        let over = limit::over(Arc::clone(&self.project), self.task.id, self.task.limit());
        let mut end = tokio::select! {
            driven = self.drive(ids) => match driven {
                Ok(never) => match never {},
                Err(end) => end,
            },
            limit = over => End::Failed(failures::timeout(limit.as_secs())),
        };
        if matches!(end, End::Aborted) {
            end = self.who_aborted().await;
        }
        self.finish(end).await;
    }

    /// The run itself; leaves only by an [`End`].
    async fn drive(&mut self, prompt: (MessageId, PartId)) -> Result<Infallible, End> {
        let used_before = self.task.session().is_some();
        if !used_before {
            self.check_agent().await?;
            self.check_fallback().await?;
        }
        let session = self.session(&prompt.0).await?;
        self.project.route(session.clone(), self.task.id);
        if used_before {
            self.take_up(&session).await?;
        }
        self.speak(&session, &prompt).await?;
        // That it was idle before the prompt came says nothing about the run.
        self.monitor.prompted();
        self.live.touch();
        self.live.moves();
        loop {
            let heard = if std::mem::take(&mut self.heard_early) {
                Heard::Look
            } else {
                let still = self.silence();
                tokio::select! {
                    order = self.order() => match order? {
                        Some(signal) => self.hear(signal),
                        None => Heard::Nothing,
                    },
                    () = still => Heard::Over(self.stands_still(&session).await?),
                }
            };
            let reading = match heard {
                Heard::Nothing => continue,
                Heard::Over(reading) => reading,
                Heard::Look => self.look(&session).await?,
            };
            match reading {
                Reading::Open => {}
                Reading::Complete(outcome) => return Err(End::Complete(outcome)),
                // The host has ended the turn with a refusal after which the agent was to go on.
                Reading::Failed(failure)
                    if failure.kind == FailureKind::Denied && self.project.inbox.take_broken(&session) =>
                {
                    self.monitor.goes_on();
                    self.speak(&session, &prompt).await?;
                }
                Reading::Failed(failure) => return Err(End::Failed(failure)),
                Reading::Aborted => return Err(End::Aborted),
            }
        }
    }

    /// The next order, as a signal if it is one.
    async fn order(&mut self) -> Result<Option<Signal>, End> {
        match self.orders.recv().await {
            Some(Order::Signal(signal)) => {
                let patience = self.hearing.as_mut().and_then(|hearing| hearing.heed(&self.project, &signal));
                let Some(patience) = patience else { return Ok(Some(signal)) };
                match self.hear(signal) {
                    // Another model goes on at once.
                    Heard::Over(Reading::Failed(failure)) => Err(End::Failed(failure)),
                    _ => Err(End::Yielded(patience)),
                }
            }
            Some(Order::Stop) => Err(End::Stopped),
            Some(Order::Interrupt) | None => Err(End::Interrupted),
        }
    }

    /// Waits for `work` and listens to orders meanwhile.
    async fn attend<T>(&mut self, work: impl Future<Output = T>) -> Result<T, End> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                order = self.order() => if let Some(signal) = order? {
                    self.heard_early |= self.hear(signal) != Heard::Nothing;
                },
            }
        }
    }

    fn hear(&mut self, signal: Signal) -> Heard {
        if !matches!(signal, Signal::Polled { .. }) {
            self.live.touch();
        }
        let circle = self.repeats.hear(&signal);
        let heard = self.monitor.hear(signal);
        let monitor = &self.monitor;
        self.live.show(|glance| {
            glance.usage = monitor.usage();
            glance.tool_calls = monitor.tool_calls();
            glance.status = monitor.status().clone();
            glance.partial = monitor.partial();
        });
        if let Some(circle) = circle {
            return Heard::Over(Reading::Failed(failures::looped(&circle.tool, circle.times)));
        }
        if let Some(failure) = self.parked() {
            return Heard::Over(Reading::Failed(failure));
        }
        heard
    }

    async fn look(&mut self, session: &SessionId) -> Result<Reading, End> {
        let sessions = self.sessions.clone();
        let messages = self.attend(sessions.messages(session)).await??;
        self.project.budgets.read(&self.project, &messages);
        Ok(self.monitor.look(messages))
    }

    fn guard(&self) -> Guard {
        Guard::Runner(self.project.core.instance, self.task.fence)
    }
}
