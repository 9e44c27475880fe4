//! What tasks have used, and where they come from.

use std::collections::HashMap;

use super::StoreError;
use crate::task::{MissionId, ProjectKey, Spent, Task, TaskId, Timestamp};

/// A part of what a task has used. The same item may be charged again with more: only the rest is added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The task.
    pub task: TaskId,
    /// What it is for: unique in the task.
    pub item: String,
    /// How much it is so far.
    pub spent: Spent,
}

/// Whose use is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Account {
    /// A task's, with all that was launched from its sessions, and from theirs.
    Task(TaskId),
    /// A mission's.
    Mission(MissionId),
    /// A project's.
    Project(ProjectKey),
    /// Everybody's on the day of an instant.
    Day(Timestamp),
}

/// Where the tasks of a launch come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// The person's session at the top.
    pub root: String,
    /// The task in whose session they are launched, or in a session below it.
    pub parent: Option<TaskId>,
}

/// What is below one person's session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Brood {
    /// Tasks, ended ones included.
    pub all: u64,
    /// Those launched since the instant that was asked for.
    pub lately: u64,
    /// The open ones that have one of the fingerprints that were asked for.
    pub open: HashMap<String, TaskId>,
}

/// A new task and what makes it the same work as another.
#[derive(Debug, Clone, PartialEq)]
pub struct Born {
    /// The task.
    pub task: Task,
    /// Its fingerprint.
    pub fingerprint: String,
}

/// The part of the store that counts. Every method is one transaction.
pub trait Spending {
    /// Adds what is new in these charges to the sums of the tasks, their missions and projects, and of the day of `now`.
    /// Charges of unknown tasks are left out.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing was added.
    fn charge(&mut self, charges: &[Charge], now: Timestamp) -> Result<(), StoreError>;

    /// Forgets the single charges of tasks that have ended; their sums stay. Open tasks keep theirs.
    ///
    /// # Errors
    /// [`StoreError`].
    fn settle_charges(&mut self, tasks: &[TaskId]) -> Result<(), StoreError>;

    /// What somebody has used.
    ///
    /// # Errors
    /// [`StoreError`].
    fn spent(&mut self, account: &Account) -> Result<Spent, StoreError>;

    /// The tasks above one, the nearest first, and those below it that have not ended.
    ///
    /// # Errors
    /// [`StoreError`].
    fn kin(&mut self, task: TaskId) -> Result<(Vec<TaskId>, Vec<TaskId>), StoreError>;

    /// How many tasks there are of a task and all below it, ended ones included.
    ///
    /// # Errors
    /// [`StoreError`].
    fn tree_size(&mut self, task: TaskId) -> Result<u64, StoreError>;

    /// Inserts new tasks as [`super::Store::launch`] does, if `admit` allows it: it is shown what there is below the
    /// root session, of which `since` tells what counts as late. Says whether it did.
    ///
    /// # Errors
    /// [`StoreError`]; then none was inserted.
    fn launch_below(
        &mut self,
        lineage: &Lineage,
        born: &[Born],
        since: Timestamp,
        admit: &mut dyn FnMut(&Brood) -> bool,
    ) -> Result<bool, StoreError>;

    /// Settings whose names begin so.
    ///
    /// # Errors
    /// [`StoreError`].
    fn settings(&mut self, beginning: &str) -> Result<Vec<(String, String)>, StoreError>;

    /// Writes a setting that is not there yet; says whether it was not.
    ///
    /// # Errors
    /// [`StoreError`].
    fn first_setting(&mut self, name: &str, value: &str) -> Result<bool, StoreError>;
}
