//! How a run begins: who works, where, with which model, and what it is told.

use std::sync::Arc;

use tokio::time::timeout;

use super::{End, Runner, STOP_LIMIT, words};
use crate::{
    agent::{self, Inherited, OurTools, Role, SessionExecutor},
    engine::{
        admission::Hearing, failures, fallback, handoff, missions, monitor::Reading, pool::Kind, project::Project,
        sessions::Voice,
    },
    opencode::{MessageId, PartId, SessionId},
    store::StoreError,
    task::{
        Change, ErrorClass, Task, TaskId,
        recovery::{Why, Word},
    },
};

impl Runner {
    /// The agent must be one that the host knows: an item of a plan may name any. An unknown one is asked for once more:
    /// agents can be added.
    pub(super) async fn check_agent(&mut self) -> Result<(), End> {
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

    /// The models that its agent may fall back on must be ones that the host can use: it would be found out when one is
    /// needed.
    pub(super) async fn check_fallback(&mut self) -> Result<(), End> {
        let (project, agent) = (Arc::clone(&self.project), self.task.spec.agent.clone());
        match self.attend(fallback::check(&project, [agent.as_str()])).await? {
            Ok(None) => Ok(()),
            Ok(Some(problem)) => Err(End::Failed(failures::bad_fallback(problem))),
            Err(error) => Err(error.into()),
        }
    }

    /// Goes on in a session that was used before: what ended there is not the end of this run, unless it ended while
    /// nobody listened.
    pub(super) async fn take_up(&mut self, session: &SessionId) -> Result<(), End> {
        if let Some(word) = self.task.recovery.words.last()
            && let Ok(message) = word.message.parse()
        {
            self.monitor.said(&message);
        }
        let reading = self.look(session).await?;
        if self.task.recovery.says.is_none() {
            match reading {
                Reading::Complete(outcome) => return Err(End::Complete(outcome)),
                // The prompt would not be answered again.
                Reading::Failed(failure) if failure.class == ErrorClass::OutputLimit => {
                    return Err(End::Failed(failure));
                }
                Reading::Failed(_) | Reading::Aborted | Reading::Open => {}
            }
        }
        self.monitor.judge();
        Ok(())
    }

    /// Says what the agent is to answer now: something new, what was said last, or the prompt.
    pub(super) async fn speak(&mut self, session: &SessionId, prompt: &(MessageId, PartId)) -> Result<(), End> {
        if let Some(why) = self.task.recovery.says {
            if why == Why::Compacted {
                self.compact(session).await?;
            }
            return self.say(session, why).await;
        }
        let Some(word) = self.task.recovery.words.last().cloned() else {
            let text = self.prompt_text().await?;
            return self.send(session, prompt.clone(), text).await;
        };
        let damaged = || End::Failed(failures::panicked());
        let ids = (word.message.parse().map_err(|_| damaged())?, word.part.parse().map_err(|_| damaged())?);
        let text = words::of(word.why, &self.prompt_text().await?);
        self.send(session, ids, text).await
    }

    /// Says something beside the prompt, under ids that are stored first.
    pub(super) async fn say(&mut self, session: &SessionId, why: Why) -> Result<(), End> {
        let (message, part) = self.project.core.prompt_ids();
        let word = Word { why, message: message.to_string(), part: part.to_string() };
        let (id, guard, core) = (self.task.id, self.guard(), Arc::clone(&self.project.core));
        let change = Change::Say { word };
        let said = self.project.store(move |store| store.change(id, guard, &change, None, core.clock.now())).await;
        match said {
            Ok(changed) => self.task = changed.step.task,
            Err(StoreError::Refused(_)) => return Err(End::Lost),
            Err(error) => return Err(End::Failed(failures::error(ErrorClass::Network, error.to_string()))),
        }
        self.monitor.said(&message);
        let text = words::of(why, &self.prompt_text().await?);
        self.send(session, (message, part), text).await
    }

    async fn send(&mut self, session: &SessionId, ids: (MessageId, PartId), text: String) -> Result<(), End> {
        let model = self.model().await?;
        let now = self.project.core.clock.now();
        self.hearing = model.model.as_ref().map(|model| Hearing::new(model.provider_id.clone(), now));
        let agent = self.task.spec.agent.clone();
        let sessions = self.sessions.clone();
        let core = Arc::clone(&self.project.core);
        if !self.project.hears(&self.task.spec.directory) {
            self.attend(core.listening.opened()).await?;
        }
        let prompted = sessions.prompt(session, ids, &agent, model, text);
        Ok(self.attend(prompted).await??)
    }

    /// Has the session summarised by the model that is to go on.
    async fn compact(&mut self, session: &SessionId) -> Result<(), End> {
        let model = self.model().await?.model.or_else(|| self.monitor.answered_by().cloned());
        let Some(model) = model else { return Ok(()) };
        let (client, directory) = (self.project.client(), self.task.spec.directory.clone());
        Ok(self.attend(client.summarize(&directory, session, &model)).await??)
    }

    /// The session of this run: the one noted, one that was made but not noted, or a new one.
    pub(super) async fn session(&mut self, prompt: &MessageId) -> Result<SessionId, End> {
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

    /// The model that answers: that of the chain which the task has gone over to, or its own.
    async fn model(&mut self) -> Result<Inherited, End> {
        let own = self.own_model().await?;
        self.own.clone_from(&own.model);
        Ok(match &self.task.recovery.model {
            Some(choice) => agent::model(Some(choice), None, Inherited::default()),
            None => own,
        })
    }

    async fn own_model(&self) -> Result<Inherited, End> {
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
            Err(_) => Voice::default(),
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
    let kind = Kind::new(&task, parent.clone(), rules.clone());
    let ready = project.take_ready(&kind, &task, &prompt).await;
    project.make_ready(kind);
    match ready {
        Some(session) => Ok(session),
        None => Ok(sessions.create(&task, &prompt, parent, rules).await?),
    }
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
