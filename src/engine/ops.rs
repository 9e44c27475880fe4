//! What can be asked of the engine from outside: find, launch, cancel, retry, send, wait.

use std::{collections::HashMap, path::Path, sync::Arc};

use super::{
    live::Glance,
    project::{Order, Project},
    report_text::Ended,
    reports,
    service::Attachment,
    spawn::Above,
};
use crate::{
    fault::{Code, Fault},
    opencode::{Agent, ModelRef, Prompt, SessionId},
    store::{Filter, StoreError, Via},
    task::{
        CancelReason, Change, Guard, Outcome, Parent, PauseReason, Run, StateName, Task, TaskId, TaskSpec, TaskState,
    },
};

/// Who calls: a session, in one of its tool calls.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The session.
    pub session: SessionId,
    /// The message that holds the call, if it is a tool's.
    pub message: Option<String>,
    /// The call, if it is a tool's.
    pub call: Option<String>,
    /// The session's directory.
    pub directory: String,
}

impl Caller {
    /// The caller as a parent of tasks.
    #[must_use]
    pub fn parent(&self) -> Parent {
        Parent::new(self.session.as_str(), &self.directory)
    }
}

/// A task and, if it runs here, a look at it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The task.
    pub task: Task,
    /// What its runner shows.
    pub glance: Option<Glance>,
    /// What came of it, if it has ended.
    pub outcome: Option<Outcome>,
}

/// The two ways of sending.
#[derive(Debug)]
pub enum Sent {
    /// The message joined the running task.
    Joined(Task),
    /// A new task goes on in the ended one's session.
    Continued(Task),
}

/// How many tasks may continue one session: what it remembers grows, and each of its turns costs more.
const FOLLOW_UPS: usize = 10;

impl Attachment {
    fn project(&self) -> &Arc<Project> {
        &self.project
    }

    /// The project's root directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        Path::new(self.project.key.as_str())
    }

    /// The project.
    #[must_use]
    pub fn project_key(&self) -> crate::task::ProjectKey {
        self.project.key.clone()
    }

    /// The project's settings.
    #[must_use]
    pub fn options(&self) -> &super::options::Options {
        &self.project.options
    }

    /// Whether the host leaves when its main session is idle.
    #[must_use]
    pub fn headless(&self) -> bool {
        self.project.headless
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> crate::task::Timestamp {
        self.project.core.clock.now()
    }

    /// A new task id.
    #[must_use]
    pub fn task_id(&self) -> TaskId {
        self.project.core.ids.task()
    }

    /// The agents that the host knows.
    ///
    /// # Errors
    /// The host's answer.
    pub async fn agents(&self, fresh: bool) -> Result<Arc<Vec<Agent>>, Fault> {
        Ok(self.project.agents(fresh).await?)
    }

    /// The models that the host can use.
    ///
    /// # Errors
    /// The host's answer.
    pub async fn models(&self) -> Result<Vec<ModelRef>, Fault> {
        Ok(self.project.client().models(&self.directory).await?)
    }

    /// Learns as whom a session speaks, so that the limits of its model hold for what it launches.
    ///
    /// # Errors
    /// The host's answer.
    pub async fn learn_voice(&self, caller: &Caller) -> Result<(), Fault> {
        self.project.sessions.voice(&self.project.client(), &caller.directory, &caller.session).await?;
        Ok(())
    }

    /// Tasks by what is asked for.
    ///
    /// # Errors
    /// The store's.
    pub async fn find(&self, filter: Filter) -> Result<Vec<Task>, Fault> {
        Ok(self.project.tasks(filter).await?)
    }

    /// The task of a name: an id of this project, or a key of this session, of which the latest is meant.
    ///
    /// # Errors
    /// [`Code::NoSuchTask`].
    pub async fn resolve(&self, session: &SessionId, name: &str) -> Result<Task, Fault> {
        let filter = match name.parse::<TaskId>() {
            Ok(id) => Filter { ids: Some(vec![id]), ..Filter::default() },
            Err(_) => Filter {
                key: Some(name.to_owned()),
                parent_session: Some(session.to_string()),
                newest: Some(1),
                ..Filter::default()
            },
        };
        self.find(filter).await?.pop().ok_or_else(|| {
            Fault::new(Code::NoSuchTask, format!("`{}` names no task here", super::handoff::cut(name, 100)))
        })
    }

    /// Launches tasks past the spawn guard: on disk when this returns. Sessions launch by [`Self::launch_below`].
    ///
    /// # Errors
    /// The store's; then none was launched.
    pub async fn launch(&self, specs: Vec<(TaskId, TaskSpec, Option<Run>)>) -> Result<Vec<Task>, Fault> {
        let project = self.project();
        let (home, now) = (project.core.instance, project.core.clock.now());
        let task = |(id, mut spec, run): (TaskId, TaskSpec, Option<Run>)| {
            spec.expected_model = project.expected_model(&spec);
            Task { run, ..Task::new(id, spec, home, now) }
        };
        let tasks: Vec<Task> = specs.into_iter().map(task).collect();
        let inserted = tasks.clone();
        project.store(move |store| store.launch(&inserted)).await?;
        project.launched(&tasks);
        Ok(tasks)
    }

    /// Tasks as they stand.
    ///
    /// # Errors
    /// The store's.
    pub async fn look(&self, filter: Filter) -> Result<Vec<Seen>, Fault> {
        let running = self.project.running();
        let key = self.project.key.clone();
        let found = self
            .project
            .store(move |store| {
                let tasks = store.tasks(&key, &filter)?;
                tasks
                    .into_iter()
                    .map(|task| {
                        let outcome = if task.state.is_terminal() { store.outcome(task.id)? } else { None };
                        Ok((task, outcome))
                    })
                    .collect::<Result<Vec<_>, StoreError>>()
            })
            .await?;
        let seen = found.into_iter().map(|(task, outcome)| {
            let glance = running.get(&task.id).map(|running| running.live.glance());
            Seen { task, glance, outcome }
        });
        Ok(seen.collect())
    }

    /// Why a pending task waits, if anything but itself keeps it.
    #[must_use]
    pub fn waits(&self, task: &Task) -> Option<String> {
        self.project.admission.reason(task, self.now())
    }

    /// How many slots the tasks of this process hold in the project.
    #[doc(hidden)]
    #[must_use]
    pub fn slots_held(&self) -> u32 {
        self.project.core.slots.own(&self.project.key).iter().filter(|own| own.same_project).map(|own| own.count).sum()
    }

    /// Waits until `all` of the tasks, or one of them, have ended.
    ///
    /// # Errors
    /// The store's.
    pub async fn wait(&self, tasks: &[TaskId], all: bool) -> Result<(), Fault> {
        let mut changed = self.project.changed.subscribe();
        loop {
            changed.borrow_and_update();
            let found = self.find(Filter { ids: Some(tasks.to_vec()), ..Filter::default() }).await?;
            let mut ended = found.iter().map(|task| task.state.is_terminal());
            if if all { ended.all(|ended| ended) } else { ended.any(|ended| ended) } {
                return Ok(());
            }
            // Tasks may also be ended by another process, whose writes wake the look-out: look again now and then.
            tokio::select! {
                moved = changed.changed() => if moved.is_err() { return Err(closed()) },
                () = tokio::time::sleep(std::time::Duration::from_secs(2)) => {}
                () = self.project.stop.cancelled() => return Err(closed()),
            }
        }
    }

    /// Takes the ends of tasks as told by the result of the caller's own tool call, so that no message tells of them
    /// again, and returns all of `tasks` that have ended.
    ///
    /// # Errors
    /// The store's.
    pub async fn tell_by_call(&self, caller: &Caller, tasks: Vec<TaskId>) -> Result<Vec<Ended>, Fault> {
        if let (Some(message), Some(call)) = (&caller.message, &caller.call) {
            let via = Via::Tool { message: message.clone(), call: call.clone() };
            reports::open_report(&self.project, caller.session.as_str(), Some(tasks.clone()), via).await?;
            self.project.sessions.follow(&caller.session);
            self.project.sessions.prompted(&caller.session);
        }
        let ended = reports::ended(&self.project, tasks).await?;
        Ok(ended.into_iter().filter(|end| end.task.state.is_terminal()).collect())
    }

    /// Cancels a task with all that depends on it and all that it launched; returns those that were open.
    ///
    /// # Errors
    /// [`Code::NotOpen`], or the store's.
    pub async fn cancel(&self, task: TaskId) -> Result<Vec<Task>, Fault> {
        let partial = self.project.running().get(&task).and_then(|running| running.live.glance().partial);
        let core = Arc::clone(&self.project.core);
        let change = Change::Cancel { reason: CancelReason::Request };
        let changed = self
            .project
            .store(move |store| store.change(task, Guard::Anyone, &change, partial.as_ref(), core.clock.now()))
            .await?;
        self.project.announce(&changed);
        let mut cancelled = vec![changed.step.task];
        cancelled.extend(changed.cascaded.into_iter().map(|cascaded| cascaded.task));
        Ok(cancelled)
    }

    /// Lets a paused task go on.
    ///
    /// # Errors
    /// [`Code::NotOpen`], [`Code::BudgetSpent`] when a budget has paused it, or the store's.
    pub async fn go_on(&self, task: TaskId) -> Result<Task, Fault> {
        for found in self.find(Filter { ids: Some(vec![task]), ..Filter::default() }).await? {
            may_go_on(&found)?;
        }
        let core = Arc::clone(&self.project.core);
        let changed = self
            .project
            .store(move |store| store.change(task, Guard::Anyone, &Change::Continue, None, core.clock.now()))
            .await?;
        self.project.announce(&changed);
        Ok(changed.step.task)
    }

    /// Repeats ended tasks as new ones, together with the tasks that were cancelled because of them, with their
    /// dependencies among each other. `first` are the ones asked for.
    ///
    /// # Errors
    /// The store's.
    pub async fn repeat(&self, caller: &Caller, first: Vec<Task>, above: &Above) -> Result<Vec<Task>, Fault> {
        let known = self.find(Filter::default()).await?;
        let mut chosen = first;
        let mut at = 0;
        // Whoever was cancelled because of one that is repeated is repeated as well, and so on.
        while let Some(cause) = chosen.get(at).map(|task| task.id) {
            let fallen = known.iter().filter(|task| {
                matches!(&task.state, TaskState::Cancelled { reason: CancelReason::Dependency { on }, .. } if *on == cause)
            });
            for task in fallen {
                if !chosen.iter().any(|chosen| chosen.id == task.id) {
                    chosen.push(task.clone());
                }
            }
            at += 1;
        }
        let renamed: HashMap<TaskId, TaskId> =
            chosen.iter().map(|task| (task.id, self.project.core.ids.task())).collect();
        let specs = chosen.into_iter().map(|task| {
            let mut spec = task.spec;
            for dependency in &mut spec.depends_on {
                if let Some(new) = renamed.get(dependency) {
                    *dependency = *new;
                }
            }
            spec.prompt = super::handoff::replace(&spec.prompt, |name| {
                let new = renamed.get(&name.parse().ok()?)?;
                Some(format!("{{{{result:{new}}}}}"))
            });
            spec.retry_of = Some(task.id);
            spec.parent = caller.parent();
            spec.depth = above.depth;
            (renamed[&task.id], spec, None)
        });
        self.launch_below(above, specs.collect()).await
    }

    /// Sends a follow-up to a task's session.
    ///
    /// # Errors
    /// [`Code::NoSession`], [`Code::SessionFull`], the store's or the host's.
    pub async fn send(&self, caller: &Caller, task: Task, message: String, above: &Above) -> Result<Sent, Fault> {
        let no_session = || Fault::new(Code::NoSession, format!("task {} has no session", task.id));
        let session: SessionId = task.session().and_then(|session| session.parse().ok()).ok_or_else(no_session)?;
        let client = self.project.client();
        if task.state.name() == StateName::Running {
            let (message_id, part_id) = self.project.core.prompt_ids();
            let directory = &task.spec.directory;
            let voice = self.project.sessions.voice(&client, directory, &session).await?;
            let prompt = Prompt {
                agent: Some(task.spec.agent.to_string()),
                model: voice.model,
                variant: voice.variant,
                ..Prompt::new(message_id, part_id, message)
            };
            client.prompt_async(directory, &session, prompt).await?;
            return Ok(Sent::Joined(task));
        }
        if !task.state.is_terminal() {
            return Err(no_session());
        }
        match client.session(&task.spec.directory, &session).await {
            Ok(_) => {}
            Err(error) if error.is_not_found() => {
                return Err(Fault::new(Code::NoSession, format!("the session of task {} was deleted", task.id)));
            }
            Err(error) => return Err(error.into()),
        }
        let used = self.find(Filter { session: Some(session.to_string()), ..Filter::default() }).await?.len();
        if used > FOLLOW_UPS {
            let message = format!("{FOLLOW_UPS} tasks have continued the session of task {} already", task.id);
            return Err(Fault::new(Code::SessionFull, message));
        }
        let run = self.project.core.new_run(Some(session.to_string()));
        let spec = TaskSpec {
            prompt: message,
            parent: caller.parent(),
            depth: above.depth,
            depends_on: Vec::new(),
            continues: Some(task.id),
            retry_of: None,
            ..task.spec
        };
        let launched = self.launch_below(above, vec![(self.task_id(), spec, Some(run))]).await?;
        launched
            .into_iter()
            .next()
            .map(Sent::Continued)
            .ok_or_else(|| Fault::new(Code::Internal, "nothing was launched"))
    }

    /// Waits for the open tasks of a session and tells it of all ends, in the middle of its turn: the host leaves when
    /// that turn ends. Says whether anything was told.
    ///
    /// # Errors
    /// The store's or the host's.
    pub async fn settle(&self, session: &str) -> Result<bool, Fault> {
        // What is paused waits for a person, who cannot be asked here.
        let states = vec![StateName::Pending, StateName::Running];
        let filter = Filter { parent_session: Some(session.to_owned()), states, ..Filter::default() };
        let ours = |task: &&Task| task.spec.mission.is_none();
        let open: Vec<_> = self.find(filter).await?.iter().filter(ours).map(|task| task.id).collect();
        if !open.is_empty() {
            self.wait(&open, true).await?;
        }
        if reports::tell_now(&self.project, session).await? {
            return Ok(true);
        }
        match session.parse() {
            Ok(session) => Ok(self.hold_turn(&session).await),
            Err(_) => Ok(false),
        }
    }

    /// Tells the runner of a task to stop as if the process ended; for tests of recovery.
    #[doc(hidden)]
    pub fn interrupt(&self, task: TaskId) -> bool {
        self.project.order(task, Order::Interrupt)
    }
}

/// A task that a budget has paused goes on when there is more: that is the user's, and whoever asks may be a model.
///
/// # Errors
/// [`Code::BudgetSpent`].
pub fn may_go_on(task: &Task) -> Result<(), Fault> {
    match task.state {
        TaskState::Paused { reason: PauseReason::Budget(over), .. } => {
            Err(Fault::new(Code::BudgetSpent, format!("task {} is paused: {over}", task.id)))
        }
        _ => Ok(()),
    }
}

fn closed() -> Fault {
    Fault::new(Code::NotAttached, "the engine was closed while the call waited")
}
