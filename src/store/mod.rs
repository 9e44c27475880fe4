//! The truth: every task, every change of it, and who was told, on disk before anybody hears of it.
//!
//! [`Store`] is what the engine needs; [`sqlite::SqliteStore`] is its implementation on one SQLite database for all
//! projects of the user. Invariants, each kept inside one transaction:
//! - A task's row and its journal row are written together or not at all.
//! - Every change goes through [`crate::task::transition`]; the store decides nothing about states.
//! - A task that ends badly takes its dependants with it, so that nothing waits for what will never come.
//! - An ended task belongs to at most one report that is not withdrawn.
//! - A revision of TODO.md is added on top of the head only, and never changes.

mod error;
#[doc(hidden)]
pub mod fixture;
pub mod handle;
pub mod home;
pub mod instance;
mod listing;
mod missions;
mod platform;
pub mod private;
mod prompts;
mod queue;
mod report;
mod spending;
pub mod sqlite;
pub mod strays;
mod todo;
pub mod turn;
pub mod watch;

pub use error::StoreError;
pub use handle::StoreHandle;
pub use home::Home;
pub use instance::InstanceLock;
pub use listing::{Listing, Totals, Wish};
pub use missions::{MissionFilter, MissionRow, MissionStep, Missions};
#[cfg(feature = "cli")]
pub(crate) use platform::{create_private_dir as private_dir, private_file};
pub use prompts::{ANSWERED_PROMPTS, Answered, NewPrompt, PromptRow, Prompts};
pub use queue::{Candidate, Elsewhere, Head, Lane, Queue, Scheduler, Wanted, limits_setting};
pub use report::{Report, ReportId, Via};
pub use spending::{Account, Born, Brood, Charge, Lineage, Spending};
pub use sqlite::{Durability, SqliteStore};
pub use todo::{
    Known, Revision, Snapshot, TODO_EDITS, TODO_TEXTS, TodoCommit, TodoEdit, TodoFile, TodoStep, Todos, todo_hash,
};
pub use turn::Turn;
pub use watch::Watcher;

use crate::task::{
    Change, Guard, InstanceId, Outcome, Parent, ProjectKey, Rev, StateName, Step, Task, TaskId, Timestamp,
};

/// Which tasks of a project are asked for. Empty fields ask for all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only these.
    pub ids: Option<Vec<TaskId>>,
    /// Only those launched by this session.
    pub parent_session: Option<String>,
    /// Only the ones with this key.
    pub key: Option<String>,
    /// Only the ones that run or ran in this session.
    pub session: Option<String>,
    /// Only those in one of these states.
    pub states: Vec<StateName>,
    /// Only those whose home is this instance.
    pub home: Option<InstanceId>,
    /// Only the newest so many; they still come oldest first.
    pub newest: Option<u32>,
}

/// What a change did.
#[derive(Debug, Clone)]
pub struct Changed {
    /// The change that was asked for.
    pub step: Step,
    /// Tasks that were cancelled with it, each as it is now, with the owner it had (so that its run can be stopped).
    pub cascaded: Vec<Cascaded>,
}

/// A task that was cancelled because another one ended.
#[derive(Debug, Clone)]
pub struct Cascaded {
    /// The task as it is now.
    pub task: Task,
    /// The state it was in.
    pub from: StateName,
}

/// One row of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalRow {
    /// Its place: ascending without an upper bound.
    pub seq: i64,
    /// The task.
    pub task: TaskId,
    /// The task's project.
    pub project: ProjectKey,
    /// The task's revision after it: each task's rows count from zero without a gap.
    pub rev: Rev,
    /// When.
    pub at: Timestamp,
    /// What was done: a verb of [`Change::verb`], or `launch`.
    pub change: String,
    /// The state before; none at launch.
    pub from: Option<StateName>,
    /// The state after.
    pub to: StateName,
    /// The fence after.
    pub fence: u64,
    /// The change's data as JSON.
    pub detail: String,
}

/// Durable state. Every method is one transaction; an error leaves everything as it was.
pub trait Store: Listing + Missions + Prompts + Spending + Todos + Send + 'static {
    /// Inserts new tasks in their order, with one journal row each. Dependencies must exist in the same project, as
    /// stored tasks or in the batch.
    ///
    /// # Errors
    /// [`StoreError`]; then none was inserted.
    fn launch(&mut self, tasks: &[Task]) -> Result<(), StoreError>;

    /// Tasks of a project, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    fn tasks(&mut self, project: &ProjectKey, filter: &Filter) -> Result<Vec<Task>, StoreError>;

    /// Whether a session has open tasks in a project that no mission sees to.
    ///
    /// # Errors
    /// [`StoreError`].
    fn has_open(&mut self, project: &ProjectKey, parent_session: &str) -> Result<bool, StoreError>;

    /// What came of a run, if anything was kept: whole for a complete task, partial for another.
    ///
    /// # Errors
    /// [`StoreError`].
    fn outcome(&mut self, task: TaskId) -> Result<Option<Outcome>, StoreError>;

    /// Makes one change, keeps `outcome` with it, and cancels what can no longer run: the dependants (transitively)
    /// of a task that failed or was cancelled, and the tasks launched from the session of a cancelled one.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the transition function refuses, [`StoreError::NoSuchTask`], or the database's.
    fn change(
        &mut self,
        task: TaskId,
        guard: Guard,
        change: &Change,
        outcome: Option<&Outcome>,
        now: Timestamp,
    ) -> Result<Changed, StoreError>;

    /// Claims runnable tasks of a project for `owner`, which must be their home: pending, due at `now`, every
    /// dependency complete. One of the queue may be claimed by anybody who wants that one only. `scheduler` sees them
    /// with all that runs, and says which start.
    ///
    /// # Errors
    /// [`StoreError`]; then none was claimed.
    fn claim(
        &mut self,
        project: &ProjectKey,
        owner: InstanceId,
        now: Timestamp,
        scheduler: &mut dyn Scheduler,
    ) -> Result<Vec<Task>, StoreError>;

    /// What waits and runs, as [`Store::claim`] shows it to its scheduler; with the candidates that are `wanted`.
    ///
    /// # Errors
    /// [`StoreError`].
    fn queue(
        &mut self,
        project: &ProjectKey,
        home: InstanceId,
        now: Timestamp,
        wanted: &Wanted,
    ) -> Result<Queue, StoreError>;

    /// Changes what is known of a provider, while nobody else can. `edit` sees the record and answers with the new one,
    /// or with nothing to leave it. Says whether it was changed.
    ///
    /// # Errors
    /// [`StoreError`].
    fn edit_provider(
        &mut self,
        name: &str,
        edit: &mut dyn FnMut(Option<&str>) -> Option<String>,
    ) -> Result<bool, StoreError>;

    /// When, after `now`, the next task of `home` that waits for the end of a pause may start. Those that are due
    /// already are not counted: [`Store::claim`] offers them.
    ///
    /// # Errors
    /// [`StoreError`].
    fn next_due(
        &mut self,
        project: &ProjectKey,
        home: InstanceId,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError>;

    /// The instances, other than `me`, that are home or owner of open tasks of a project, or home of ended tasks
    /// that their parent was not told of.
    ///
    /// # Errors
    /// [`StoreError`].
    fn other_homes(&mut self, project: &ProjectKey, me: InstanceId) -> Result<Vec<InstanceId>, StoreError>;

    /// Takes over everything of the `dead` instances in a project: running tasks are interrupted, open ones adopted
    /// by `me`, ended but untold ones and unsettled reports moved to `me`. Returns the tasks that changed, as they
    /// are now.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing was taken over.
    fn take_over(
        &mut self,
        project: &ProjectKey,
        dead: &[InstanceId],
        me: InstanceId,
        now: Timestamp,
    ) -> Result<Vec<Task>, StoreError>;

    /// Gives running tasks of the queue back to it whose owner does not live. Returns the tasks that changed, as they are
    /// now.
    ///
    /// # Errors
    /// [`StoreError`]; then none was given back.
    fn requeue(
        &mut self,
        project: &ProjectKey,
        is_alive: &dyn Fn(InstanceId) -> bool,
        now: Timestamp,
    ) -> Result<Vec<Task>, StoreError>;

    /// Parents with ended tasks whose home is `home` and that no report holds.
    ///
    /// # Errors
    /// [`StoreError`].
    fn untold(&mut self, project: &ProjectKey, home: InstanceId) -> Result<Vec<Parent>, StoreError>;

    /// Puts ended, untold tasks launched by `parent_session` into a new report: those of `only`, or all of `home`,
    /// at most `limit`. None when there is nothing to tell.
    ///
    /// # Errors
    /// [`StoreError`].
    #[expect(clippy::too_many_arguments, reason = "each is a choice of its own, and none has a default")]
    fn open_report(
        &mut self,
        project: &ProjectKey,
        home: InstanceId,
        parent_session: &str,
        only: Option<&[TaskId]>,
        via: &Via,
        limit: u32,
        now: Timestamp,
    ) -> Result<Option<Report>, StoreError>;

    /// Reports of `home` that are neither sent nor withdrawn, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    fn open_reports(&mut self, project: &ProjectKey, home: InstanceId) -> Result<Vec<Report>, StoreError>;

    /// Settles an open report: `sent`, or withdrawn, which frees its tasks for another. Settling twice does nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    fn settle_report(&mut self, report: ReportId, sent: bool, now: Timestamp) -> Result<(), StoreError>;

    /// Journal rows of a project after `seq`, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    fn journal(&mut self, project: &ProjectKey, after: i64, limit: u32) -> Result<Vec<JournalRow>, StoreError>;

    /// A setting's value.
    ///
    /// # Errors
    /// [`StoreError`].
    fn setting(&mut self, name: &str) -> Result<Option<String>, StoreError>;

    /// Writes a setting, or removes it.
    ///
    /// # Errors
    /// [`StoreError`].
    fn set_setting(&mut self, name: &str, value: Option<&str>) -> Result<(), StoreError>;

    /// A number that changes when another connection, of this or another process, has committed.
    ///
    /// # Errors
    /// [`StoreError`].
    fn data_version(&mut self) -> Result<i64, StoreError>;
}
