//! One runner a running task: makes or finds its session, sends the prompt, listens, and writes how it ended.
//!
//! Every wait listens to the orders as well. Whatever ends the runner, its slot comes back by `Drop`, and its task is
//! either ended, pending again, or left to whoever holds the newer fence.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::timeout};

use super::{
    budgets::Ledger,
    failures, handoff,
    live::Live,
    missions,
    monitor::{Heard, Monitor, Reading, Signal},
    project::{Order, Project, Running},
};
use crate::{
    admission::Slot,
    agent::{self, Inherited, OurTools, Role, SessionExecutor},
    opencode::{ClientError, MessageId, PartId, SessionId},
    store::StoreError,
    task::{
        CancelReason, Change, ErrorClass, Failure, FailureKind, Guard, Outcome, Retry, Task, TaskId,
        attempt::{self, Next},
    },
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
            Runner { project, task, orders, live, sessions, monitor, heard_early: false }.run((message, part)).await;
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
        let limit = self.task.spec.timeout;
        let mut end = match timeout(limit, self.drive(ids)).await {
            Ok(Ok(never)) => match never {},
            Ok(Err(end)) => end,
            Err(_) => End::Failed(failures::timeout(limit.as_secs())),
        };
        if matches!(end, End::Aborted) {
            end = self.who_aborted().await;
        }
        self.finish(end).await;
    }

    /// The run itself; leaves only by an [`End`].
    async fn drive(&mut self, ids: (MessageId, PartId)) -> Result<std::convert::Infallible, End> {
        let used_before = self.task.session().is_some();
        if !used_before {
            self.check_agent().await?;
        }
        let session = self.session(&ids.0).await?;
        self.project.route(session.clone(), self.task.id);
        if used_before {
            // The run may have ended while nobody listened.
            match self.look(&session).await? {
                Reading::Complete(outcome) => return Err(End::Complete(outcome)),
                Reading::Failed(_) | Reading::Aborted | Reading::Open => self.monitor = Monitor::new(ids.0.clone()),
            }
        }
        let text = self.prompt_text().await?;
        let model = self.model().await?;
        let agent = self.task.spec.agent.clone();
        let sessions = self.sessions.clone();
        let core = Arc::clone(&self.project.core);
        if !self.project.hears(&self.task.spec.directory) {
            self.attend(core.listening.opened()).await?;
        }
        let prompt = || sessions.prompt(&session, ids.clone(), &agent, model.clone(), text.clone());
        self.attend(prompt()).await??;
        // That it was idle before the prompt came says nothing about the run.
        self.monitor.prompted();
        self.live.touch();
        loop {
            let heard = if std::mem::take(&mut self.heard_early) {
                Heard::Look
            } else {
                match self.order().await? {
                    Some(signal) => self.hear(signal),
                    None => Heard::Nothing,
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
                    self.attend(prompt()).await??;
                }
                Reading::Failed(failure) => return Err(End::Failed(failure)),
                Reading::Aborted => return Err(End::Aborted),
            }
        }
    }

    /// The next order, as a signal if it is one.
    async fn order(&mut self) -> Result<Option<Signal>, End> {
        match self.orders.recv().await {
            Some(Order::Signal(signal)) => Ok(Some(signal)),
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
        let heard = self.monitor.hear(signal);
        let monitor = &self.monitor;
        self.live.show(|glance| {
            glance.usage = monitor.usage();
            glance.tool_calls = monitor.tool_calls();
            glance.status = monitor.status().clone();
            glance.partial = monitor.partial();
        });
        heard
    }

    async fn look(&mut self, session: &SessionId) -> Result<Reading, End> {
        let sessions = self.sessions.clone();
        let messages = self.attend(sessions.messages(session)).await??;
        self.project.budgets.read(&self.project, &messages);
        Ok(self.monitor.look(messages))
    }

    /// The agent must be one that the host knows: an item of a plan may name any. An unknown one is asked for once more:
    /// agents can be added.
    async fn check_agent(&mut self) -> Result<(), End> {
        let (project, name) = (Arc::clone(&self.project), self.task.spec.agent.clone());
        for fresh in [false, true] {
            let agents = self.attend(project.agents(fresh)).await??;
            let mut known: Vec<_> =
                agents.iter().filter(|agent| !agent.hidden).map(|agent| agent.name.as_str()).collect();
            if known.contains(&name.as_str()) {
                return Ok(());
            }
            if fresh {
                known.retain(|name| *name != agent::COMMANDER);
                known.sort_unstable();
                return Err(End::Failed(failures::unknown_agent(&name, &known)));
            }
        }
        Ok(())
    }

    /// The session of this run: the one noted, one that was made but not noted, or a new one.
    async fn session(&mut self, prompt: &MessageId) -> Result<SessionId, End> {
        if let Some(noted) = self.task.session() {
            return noted.parse().map_err(|_| End::Failed(failures::session_lost()));
        }
        let parent: SessionId =
            self.task.spec.parent.session.parse().map_err(|_| End::Failed(failures::session_lost()))?;
        let session = self.make_session(prompt, &parent).await?;
        let change = Change::BindSession { session: session.to_string() };
        let (id, guard, core) = (self.task.id, self.guard(), Arc::clone(&self.project.core));
        let bound = self.project.store(move |store| store.change(id, guard, &change, None, core.clock.now())).await;
        match bound {
            Ok(changed) => self.task = changed.step.task,
            Err(StoreError::Refused(_)) => {
                // Cancelled or taken over before anybody knew of the session.
                self.abandon(&session).await;
                return Err(End::Lost);
            }
            Err(error) => {
                self.abandon(&session).await;
                return Err(End::Failed(failures::error(ErrorClass::Network, error.to_string())));
            }
        }
        Ok(session)
    }

    /// Finds or makes the session. Who is told to stop meanwhile waits a moment for the host, so that no stranger is
    /// left behind.
    async fn make_session(&mut self, prompt: &MessageId, parent: &SessionId) -> Result<SessionId, End> {
        let (project, sessions, task) = (Arc::clone(&self.project), self.sessions.clone(), self.task.clone());
        let making = make_session(project, sessions, task, prompt.clone(), parent.clone());
        tokio::pin!(making);
        match self.attend(&mut making).await {
            Ok(made) => made,
            Err(end) => {
                let late = timeout(STOP_LIMIT, &mut making).await;
                if let (Ok(Ok(session)), End::Stopped) = (late, &end) {
                    let _ = timeout(STOP_LIMIT, self.abandon(&session)).await;
                }
                Err(end)
            }
        }
    }

    async fn abandon(&self, session: &SessionId) {
        if let Err(error) = self.project.client().delete_session(&self.task.spec.directory, session).await {
            tracing::warn!(%session, %error, "an unused session was not deleted");
        }
    }

    async fn model(&self) -> Result<Inherited, End> {
        let spec = &self.task.spec;
        if spec.model.is_some() {
            return Ok(agent::model(spec.model.as_ref(), None, Inherited::default()));
        }
        let agents = self.project.agents(false).await?;
        let configured = agents.iter().find(|agent| agent.name == spec.agent);
        let caller = match spec.parent.session.parse() {
            Ok(parent) => {
                let client = self.project.client();
                self.project.sessions.voice(&client, &spec.parent.directory, &parent).await?
            }
            Err(_) => super::sessions::Voice::default(),
        };
        Ok(agent::model(None, configured, Inherited { model: caller.model, variant: caller.variant }))
    }

    /// The prompt with the results that it asks for.
    async fn prompt_text(&self) -> Result<String, End> {
        let prompt = &self.task.spec.prompt;
        let wanted: Vec<TaskId> =
            handoff::references(prompt).into_iter().filter_map(|name| name.parse().ok()).collect();
        if wanted.is_empty() {
            return Ok(prompt.clone());
        }
        let found = self
            .project
            .store(move |store| {
                let outcome = |id: TaskId| Ok(store.outcome(id)?.map(|outcome| (id.to_string(), outcome.text)));
                wanted.into_iter().map(outcome).collect::<Result<Vec<_>, StoreError>>()
            })
            .await
            .map_err(|error| End::Failed(failures::error(ErrorClass::Network, error.to_string())))?;
        Ok(handoff::fill(prompt, &found.into_iter().flatten().collect()))
    }

    fn guard(&self) -> Guard {
        Guard::Runner(self.project.core.instance, self.task.fence)
    }

    /// After an abort that was not ours: waits a moment for the host to say that it is leaving.
    async fn who_aborted(&mut self) -> End {
        let leaving = async {
            loop {
                match self.order().await {
                    Ok(_) => {}
                    Err(end) => return end,
                }
            }
        };
        timeout(ABORT_GRACE, leaving).await.unwrap_or(End::Aborted)
    }

    /// Writes the end, and stops the session where it may still work.
    async fn finish(mut self, end: End) {
        let (id, guard) = (self.task.id, self.guard());
        let must_stop = match &end {
            End::Stopped | End::Interrupted => true,
            // One that goes on elsewhere must not go on here as well: a quiet session is not always an idle one, and
            // a deleted one may still be in its turn.
            End::Failed(failure) => {
                failure.kind != FailureKind::Error
                    || matches!(failure.class, ErrorClass::NoOutput | ErrorClass::SessionLost)
            }
            End::Complete(_) | End::Aborted | End::Lost => false,
        };
        if must_stop && let Some(session) = self.task.session().and_then(|session| session.parse().ok()) {
            let stopped = stop(&self.sessions, id, &session).await;
            let may_have_spoken = matches!(&end, End::Failed(failure) if matches!(failure.kind, FailureKind::Timeout | FailureKind::Stalled));
            if stopped && may_have_spoken {
                self.last_words(&session).await;
            }
        }
        let partial = self.monitor.partial();
        let (change, outcome) = match end {
            End::Complete(outcome) => (Change::Complete, Some(outcome)),
            End::Failed(failure) => {
                let retry = self.retry(&failure);
                let outcome = if retry.is_none() { partial } else { None };
                (Change::Fail { failure, retry }, outcome)
            }
            End::Aborted => (Change::Cancel { reason: CancelReason::Session }, partial),
            End::Interrupted => (Change::Interrupt, None),
            End::Stopped | End::Lost => return,
        };
        write(&self.project, id, guard, &change, outcome).await;
    }

    /// What the agent had said when it was stopped: the host tells of a text only when it is finished or stopped.
    async fn last_words(&mut self, session: &SessionId) {
        let stopped = async {
            while let Some(order) = self.orders.recv().await {
                if let Order::Signal(signal) = order
                    && matches!(self.hear(signal), Heard::Over(_))
                {
                    return;
                }
            }
        };
        let _ = timeout(LAST_WORDS, stopped).await;
        if let Ok(Ok(messages)) = timeout(STOP_LIMIT, self.sessions.messages(session)).await {
            self.monitor.look(messages);
        }
    }

    fn retry(&self, failure: &Failure) -> Option<Retry> {
        match attempt::after_failure(failure, self.task.attempt, self.task.spec.max_attempts, fastrand::f64()) {
            Next::Retry { after, same_session } => {
                Some(Retry { at: self.project.core.clock.now().after(after), same_session })
            }
            Next::GiveUp => None,
        }
    }
}

/// The session that was made for a task but not noted, or a new one.
async fn make_session(
    project: Arc<Project>,
    sessions: SessionExecutor,
    task: Task,
    prompt: MessageId,
    parent: SessionId,
) -> Result<SessionId, End> {
    // Only a first run has certainly made none.
    let first = task.attempt == 1 && task.interruptions == 0;
    let found = if first { None } else { sessions.find(&prompt, &parent).await? };
    if let Some(session) = found {
        return Ok(session);
    }
    let rules = rules(&project, &task, &parent).await?;
    Ok(sessions.create(&task, &prompt, parent, rules).await?)
}

/// What a task's session may do.
async fn rules(project: &Project, task: &Task, parent: &SessionId) -> Result<Vec<crate::opencode::Rule>, End> {
    let directory = &task.spec.parent.directory;
    let client = project.client();
    let origin = project.sessions.origin(&client, directory, parent).await?;
    let voice = project.sessions.voice(&client, directory, parent).await?;
    let agents = project.agents(false).await?;
    // The commander delegates what it may not do itself: its own denials are not its workers'.
    let caller = agents
        .iter()
        .find(|agent| Some(&agent.name) == voice.agent.as_ref() && agent.name != agent::COMMANDER)
        .map_or(&[][..], |agent| &agent.permission);
    // A mission's tasks are terminal; only its planner writes the plan.
    let tools = match (task.spec.mission, task.spec.key.as_deref()) {
        (Some(_), Some(key)) if missions::part(key).0 == Role::Planner => OurTools::Todo,
        (Some(_), _) => OurTools::None,
        (None, _) if task.spec.depth < project.options.max_depth.get() => OurTools::All,
        (None, _) => OurTools::None,
    };
    Ok(agent::child_rules(&origin.rules, caller, tools))
}
