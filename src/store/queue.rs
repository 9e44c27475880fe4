//! What waits and what runs, as whoever decides what starts next sees it: small rows, whole over all processes.

use std::sync::Arc;

use crate::task::{InstanceId, MissionId, Name, Priority, ProjectKey, Run, Task, TaskId, Timestamp};

/// Tasks that are alike for the limits: one agent on one model.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lane {
    /// The agent.
    pub agent: Name,
    /// The model as `provider/model`; empty when it is not known before the task runs.
    pub model: Name,
}

impl Lane {
    /// The model's provider, if the model is known.
    #[must_use]
    pub fn provider(&self) -> Option<&str> {
        self.model.split_once('/').map(|(provider, _)| provider)
    }
}

/// A task that may start as far as it alone is concerned: it is due, and all that it depends on is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The task.
    pub id: TaskId,
    /// Where it waits.
    pub lane: Arc<Lane>,
    /// How urgent it is.
    pub priority: Priority,
    /// Its place in the queue: when it was launched, less its priority's head start.
    pub place: Timestamp,
    /// Which of those with the same place was launched first.
    pub seq: i64,
    /// The session that launched it.
    pub parent: String,
}

/// Tasks of one lane that run in one other process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// Whether they are of the project that is asked for.
    pub same_project: bool,
    /// Their lane.
    pub lane: Lane,
    /// Their process.
    pub home: InstanceId,
    /// How many.
    pub count: u32,
}

/// The first waiting task of a lane in one other process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Whether it is of the project that is asked for.
    pub same_project: bool,
    /// Its lane.
    pub lane: Lane,
    /// Its process.
    pub home: InstanceId,
    /// Its place.
    pub place: Timestamp,
}

/// Which candidates are worth looking at: what a budget holds back must not stand in the way of what is behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// How many of each lane.
    pub depth: u32,
    /// Also those that have not run yet.
    pub fresh: bool,
    /// None of these missions.
    pub without: Vec<MissionId>,
    /// None of these that has not run yet.
    pub without_fresh: Vec<MissionId>,
    /// This one only, of the home that is asked for or of the queue; nothing that waits elsewhere is looked at then.
    pub only: Option<TaskId>,
}

impl Wanted {
    /// Of each lane so many.
    #[must_use]
    pub fn first(depth: u32) -> Self {
        Self { depth, fresh: true, without: Vec::new(), without_fresh: Vec::new(), only: None }
    }
}

/// What one project's dispatcher decides on.
#[derive(Debug, Clone, Default)]
pub struct Queue {
    /// What may start here, by place; of each lane the first few.
    pub candidates: Vec<Candidate>,
    /// What runs in other processes, of all projects.
    pub running: Vec<Elsewhere>,
    /// What waits in other processes, of all projects.
    pub heads: Vec<Head>,
    /// What is known of the providers: name and record.
    pub providers: Vec<(String, String)>,
    /// The project's setting of the limits, and that of all projects.
    pub limits: [Option<String>; 2],
}

/// Decides what starts.
pub trait Scheduler {
    /// Which candidates it wants to see.
    fn wanted(&self) -> Wanted;

    /// Whether anything of the queue would start. Most looks end here, and those do not queue for the write lock.
    fn wants(&mut self, queue: Queue) -> bool;

    /// What starts, in its order. Called while nobody else can write.
    fn choose(&mut self, queue: Queue) -> Vec<TaskId>;

    /// The ids for the run of a chosen task; none to leave it where it is after all.
    fn run(&mut self, task: &Task) -> Option<Run>;

    /// The providers whose record changes with what has started: name and record.
    fn providers(&mut self) -> Vec<(String, String)>;
}

/// The name of the setting that holds the limits of a project, or those of all.
#[must_use]
pub fn limits_setting(project: Option<&ProjectKey>) -> String {
    project.map_or_else(|| "limits".to_owned(), |project| format!("limits of {}", project.as_str()))
}
