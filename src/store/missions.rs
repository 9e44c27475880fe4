//! Missions on disk. What a mission is, its room knows: the store keeps it, and makes each step of it whole.

use super::{StoreError, TodoCommit};
use crate::task::{InstanceId, MissionId, ProjectKey, Task, Timestamp};

/// A mission as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissionRow {
    /// Its name.
    pub id: MissionId,
    /// The project it belongs to.
    pub project: ProjectKey,
    /// Its name in TODO.md, unique in the project.
    pub tag: String,
    /// The session that it is bound to.
    pub session: String,
    /// The instance that drives it.
    pub home: InstanceId,
    /// Whether it has ended; then it does not change any more.
    pub over: bool,
    /// How many steps it has made.
    pub rev: u64,
    /// When it began.
    pub created_at: Timestamp,
    /// The rest, as its room writes it.
    pub body: String,
}

/// Which missions of a project are asked for. Empty fields ask for all.
#[derive(Debug, Clone, Default)]
pub struct MissionFilter {
    /// Only those bound to this session.
    pub session: Option<String>,
    /// Only those that have not ended.
    pub open: bool,
}

/// One step of a mission with all that belongs to it.
#[derive(Debug, Clone)]
pub struct MissionStep {
    /// The mission after it; its revision is one more than that of the row it replaces, or 0 for a new mission.
    pub mission: MissionRow,
    /// What was done, in a word or a few.
    pub step: String,
    /// Tasks that it launches.
    pub launch: Vec<Task>,
    /// The revision of TODO.md that it makes.
    pub todo: Option<TodoCommit>,
}

/// The missions of the store. Every method is one transaction.
pub trait Missions {
    /// Missions of a project, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    fn missions(&mut self, project: &ProjectKey, filter: &MissionFilter) -> Result<Vec<MissionRow>, StoreError>;

    /// A name for TODO.md that no mission of the project has: `m1`, `m2`, …
    ///
    /// # Errors
    /// [`StoreError`].
    fn mission_tag(&mut self, project: &ProjectKey) -> Result<String, StoreError>;

    /// How many tasks a session has launched since an instant other than for a mission, and how many of them have not
    /// ended or are still to be told by a message. What a call answers is part of the turn that it is made in.
    ///
    /// # Errors
    /// [`StoreError`].
    fn own_tasks(
        &mut self,
        project: &ProjectKey,
        session: &str,
        since: Timestamp,
    ) -> Result<(usize, usize), StoreError>;

    /// Makes a step: the mission, its journal row, what it launches and what it changes in TODO.md, or nothing.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when somebody else has made a step meanwhile, [`StoreError::TodoMoved`] when TODO.md has
    /// changed; otherwise the database's.
    fn step_mission(&mut self, step: &MissionStep, now: Timestamp) -> Result<(), StoreError>;
}
