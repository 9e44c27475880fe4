//! Who starts next in a project: the rules of [`crate::admission`], given what the store and this process know.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{budgets::Gate, monitor::Signal, project::Project};
use crate::{
    admission::{Chosen, DEPTH, Left, News, Provider, QUOTA_PAUSE, Slot, World, choose, keep_living, said},
    opencode::{Part, SessionStatus},
    store::{Lane, Queue, Scheduler, StoreError, Wanted},
    task::{Change, ErrorClass, Failure, Name, Run, Task, TaskId, TaskSpec, TaskState, Timestamp, Waiting},
};

/// What the dispatcher of a project remembers between two choices.
#[derive(Debug, Default)]
pub struct Admission {
    /// Slots that were left to other processes.
    left: Mutex<Left>,
    /// The latest choice: why those wait that wait.
    latest: Mutex<Chosen>,
}

impl Admission {
    /// Why a pending task waits, if anything but itself keeps it.
    #[must_use]
    pub fn reason(&self, task: &Task, now: Timestamp) -> Option<String> {
        match &task.state {
            TaskState::Pending { waiting: Waiting::Provider { name, until, said }, .. } if now < *until => {
                let left = until.since(now).as_secs();
                Some(format!("{name} says: {} ({left} s)", super::handoff::cut(said, 100)))
            }
            _ => {
                let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
                latest.reason(&lane(task), task.id).map(|reason| reason.words(now))
            }
        }
    }
}

/// Where a task waits.
#[must_use]
pub fn lane(task: &Task) -> Lane {
    Lane { agent: task.spec.agent.clone(), model: task.expected_model() }
}

/// One look at the queue.
pub struct Look {
    project: Arc<Project>,
    now: Timestamp,
    chosen: Chosen,
    tried: BTreeMap<String, Provider>,
    /// The budgets, with what has started.
    pub gate: Gate,
    /// Something that was chosen did not start after all: its slot is for another one.
    again: bool,
    /// The slots of those that started.
    pub slots: HashMap<TaskId, Slot>,
}

impl Look {
    /// A look at `now`.
    pub fn new(project: Arc<Project>, gate: Gate, now: Timestamp) -> Self {
        let (chosen, tried, slots) = (Chosen::default(), BTreeMap::new(), HashMap::new());
        Self { project, now, chosen, tried, gate, again: false, slots }
    }

    /// When another look may find something by time alone.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        if self.again { Some(self.now) } else { self.chosen.next }
    }

    fn decide(&mut self, mut queue: Queue) {
        let project = &self.project;
        tracing::trace!(candidates = queue.candidates.len(), "looks at the queue");
        let limits = project.options.limits.as_changed(&queue.limits);
        keep_living(&project.core.home, &mut queue);
        let providers = queue.providers.iter().map(|(name, body)| (name.clone(), Provider::read(body))).collect();
        let own = project.core.slots.own(&project.key);
        let memory = project.options.memory.at(|| project.core.memory.used());
        let mut world = World::new(&limits, providers, &own, &queue.running, memory, self.now);
        let mut left = project.admission.left.lock().unwrap_or_else(PoisonError::into_inner);
        let chosen = choose(&queue, &mut world, &project.warm(), &mut left);
        drop(left);
        self.tried = chosen.tried.iter().map(|name| (name.clone(), world.provider(name).clone())).collect();
        project.admission.latest.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&chosen);
        self.chosen = chosen;
    }
}

impl Scheduler for Look {
    fn wanted(&self) -> Wanted {
        self.gate.wanted(DEPTH)
    }

    fn wants(&mut self, queue: Queue) -> bool {
        self.decide(queue);
        !self.chosen.start.is_empty()
    }

    fn choose(&mut self, queue: Queue) -> Vec<TaskId> {
        self.decide(queue);
        self.chosen.start.iter().map(|candidate| candidate.id).collect()
    }

    fn run(&mut self, task: &Task) -> Option<Run> {
        let project = &self.project;
        // What was interrupted by a close must not begin again before it is over.
        if project.stop.is_cancelled() || project.is_leaving(&task.spec.directory) {
            return None;
        }
        if self.gate.holds(task).is_some() {
            self.again = true;
            return None;
        }
        self.gate.start(task);
        let dispatch = Arc::clone(&project.dispatch);
        let slot = project.core.slots.take(&project.key, &lane(task), Arc::new(move || dispatch.notify_one()));
        self.slots.insert(task.id, slot);
        Some(task.run.clone().unwrap_or_else(|| project.core.new_run(None)))
    }

    fn providers(&mut self) -> Vec<(String, String)> {
        let started = |provider: &Provider| provider.trier().is_none_or(|task| self.slots.contains_key(&task));
        let tried = self.tried.iter().filter(|(_, provider)| started(provider));
        tried.filter_map(|(name, provider)| Some((name.clone(), serde_json::to_string(provider).ok()?))).collect()
    }
}

/// A provider asks for patience.
#[derive(Debug)]
pub struct Patience {
    provider: String,
    news: News,
    started: Timestamp,
    change: Change,
}

impl Patience {
    /// Closes the gate, and then gives the change that lets the task wait: whoever gets its slot is to find it closed.
    pub async fn take(self, project: &Project) -> Change {
        project.note_provider(&self.provider, self.news, self.started).await;
        self.change
    }
}

/// What a run hears of its model's provider.
#[derive(Debug)]
pub struct Hearing {
    /// The provider.
    provider: String,
    /// When its prompt was sent.
    started: Timestamp,
    /// Whether an answer has begun to come.
    answered: bool,
}

impl Hearing {
    /// A run on a provider that begins now.
    #[must_use]
    pub fn new(provider: String, started: Timestamp) -> Self {
        Self { provider, started, answered: false }
    }

    /// Takes in what a signal of the run tells of the provider. Where it asks for patience the run is to end: the host
    /// would ask again by itself, and so would every other session.
    pub fn heed(&mut self, project: &Arc<Project>, signal: &Signal) -> Option<Patience> {
        let now = project.core.clock.now();
        let (news, until, said) = self.news(signal, now)?;
        if matches!(news, News::Limited { .. }) {
            return Some(self.patience(project, news, until, &said));
        }
        let (told, provider, started) = (Arc::clone(project), self.provider.clone(), self.started);
        project.tracker.spawn(async move { told.note_provider(&provider, news, started).await });
        None
    }

    /// Notes what the failure of a run tells of the provider. Where the account is used up, the task can make this change
    /// and wait instead of failing: no pause of a retry is as long.
    pub async fn failed(&self, project: &Project, failure: &Failure) -> Option<Change> {
        let news = match failure.class {
            ErrorClass::RateLimit => News::Limited { wait: None, quota: false },
            ErrorClass::Quota => News::Limited { wait: None, quota: true },
            ErrorClass::Provider => News::Failed,
            _ => return None,
        };
        let until = project.core.clock.now().after(QUOTA_PAUSE);
        let change = self.patience(project, news, until, &failure.message).take(project).await;
        (failure.class == ErrorClass::Quota).then_some(change)
    }

    fn patience(&self, project: &Project, news: News, until: Timestamp, said: &str) -> Patience {
        let longest = Duration::from_secs(project.options.providers.longest_pause.into());
        let change = Change::Yield {
            provider: self.provider.clone(),
            until: until.min(project.core.clock.now().after(longest)),
            said: super::handoff::cut(said, 200).into_owned(),
        };
        Patience { news, started: self.started, provider: self.provider.clone(), change }
    }

    /// What a signal of the run tells of the provider, and until when the host would wait, with its words.
    fn news(&mut self, signal: &Signal, now: Timestamp) -> Option<(News, Timestamp, String)> {
        match signal {
            Signal::Status(SessionStatus::Retry { message, next, .. }) => {
                let next = Timestamp(i64::try_from(*next).unwrap_or(i64::MAX));
                // A provider that asks for nothing is asked again by our own pauses.
                let wait = next.since(now);
                Some((said(message, (!wait.is_zero()).then_some(wait)), next.max(now), message.clone()))
            }
            Signal::Part(part) if !self.answered => {
                let is_answer = match &**part {
                    Part::Text(part) => !part.synthetic && !part.text.is_empty(),
                    Part::Tool(_) => true,
                    Part::Other => false,
                };
                self.answered = is_answer;
                is_answer.then(|| (News::Answered, now, String::new()))
            }
            _ => None,
        }
    }
}

impl Project {
    /// Takes news of a provider in. If the store refuses, the next news say the same.
    async fn note_provider(&self, provider: &str, news: News, started: Timestamp) {
        if let Err(error) = self.hear_provider(provider, news, started).await {
            tracing::warn!(provider, %error, "news of a provider were not noted");
        }
    }

    /// Takes news of a provider in, for all processes.
    async fn hear_provider(&self, provider: &str, news: News, started: Timestamp) -> Result<(), StoreError> {
        let (name, jitter, setting) = (provider.to_owned(), fastrand::f64(), self.options.providers);
        let own = self.core.slots.own(&self.key);
        let running = own.iter().filter(|own| own.lane.provider() == Some(provider)).map(|own| own.count).sum();
        let core = Arc::clone(&self.core);
        let changed = self
            .store(move |store| {
                let now = core.clock.now();
                store.edit_provider(&name, &mut |known| {
                    let before = known.map(Provider::read).unwrap_or_default();
                    let mut after = before.clone();
                    after.hear(news, started, running, jitter, setting, now);
                    if after == before { None } else { serde_json::to_string(&after).ok() }
                })
            })
            .await?;
        if changed {
            self.dispatch.notify_one();
        }
        Ok(())
    }

    /// The sessions whose tasks run here.
    fn warm(&self) -> HashSet<String> {
        self.running().into_values().map(|running| running.parent.to_string()).collect()
    }

    /// The model that a task is expected to use, as far as it is known without asking the host.
    #[must_use]
    pub fn expected_model(&self, spec: &TaskSpec) -> Option<Name> {
        if let Some(chosen) = &spec.model {
            return Some(chosen.to_string().into());
        }
        let configured = self.known_agents()?.iter().find(|agent| agent.name == spec.agent)?.model.clone();
        let model = configured.or_else(|| self.sessions.known_voice(&spec.parent.session.parse().ok()?)?.model)?;
        Some(model.to_string().into())
    }
}
