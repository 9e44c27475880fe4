//! The store on one `SQLite` database for all projects of the user.
//!
//! Every write is one `BEGIN IMMEDIATE` transaction, so that what it reads cannot change under it; every read is one
//! statement. The WAL lets readers and one writer work at the same time, in any number of processes.

mod backup;
mod check;
mod launch;
mod listing;
mod migrate;
mod missions;
mod open;
mod prompts;
mod queue;
mod read;
mod reports;
mod row;
mod spending;
mod take_over;
mod todo;
mod todo_recent;
mod todo_text;
mod write;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

use super::{
    Account, Born, Brood, Changed, Charge, Filter, JournalRow, Lineage, Listing, MissionFilter, MissionRow,
    MissionStep, Missions, Queue, Report, ReportId, Revision, Scheduler, Snapshot, Spending, Store, StoreError,
    TodoCommit, TodoEdit, TodoFile, TodoStep, Todos, Totals, Via, Wanted, Wish,
};
use crate::task::{Change, Guard, InstanceId, Outcome, Parent, ProjectKey, Spent, Task, TaskId, Timestamp};

pub use migrate::VERSION;
pub use open::MIN_SQLITE;
pub use write::MAX_TEXT;

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Loss of power: every commit is on disk before it returns.
    #[default]
    Full,
    /// The death of any process. Loss of power may take the last commits, but damages nothing.
    Normal,
}

/// The store on a `SQLite` database.
#[derive(Debug)]
pub struct SqliteStore {
    conn: Connection,
    path: PathBuf,
    patience: Duration,
    recent: todo_recent::Recent,
}

/// The first pause before the write lock is asked for again. Each is longer by half than the one before it, to
/// [`LAST_PAUSE`]. `SQLite`'s own begin at 1 ms, longer than a commit takes, and grow to 0.1 s: among writers that follow
/// one another closely such a one never gets its turn.
const FIRST_PAUSE: Duration = Duration::from_micros(100);

/// The longest pause before the write lock is asked for again.
const LAST_PAUSE: Duration = Duration::from_millis(2);

impl SqliteStore {
    /// Sets how long a write waits for another process's write before it is [`StoreError::Busy`]; 5 s at first.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn set_busy_timeout(&mut self, timeout: Duration) -> Result<(), StoreError> {
        self.patience = timeout;
        Ok(self.conn.busy_timeout(timeout)?)
    }

    /// Does `work` while no other process can write; for tests of what the others do meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Busy`] and the database's.
    #[doc(hidden)]
    pub fn hold<R>(&mut self, work: impl FnOnce() -> R) -> Result<R, StoreError> {
        self.write(|_| Ok(work()))
    }

    /// Lets the file grow to so many pages only, to reach a full disk.
    #[cfg(test)]
    fn limit_pages(&self, pages: u32) {
        self.conn.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    }

    fn write<R>(&self, write: impl FnOnce(&Transaction<'_>) -> Result<R, StoreError>) -> Result<R, StoreError> {
        let run = || {
            let tx = self.begin()?;
            let result = write(&tx)?;
            tx.commit()?;
            Ok(result)
        };
        run().map_err(|error: StoreError| error.at(&self.path))
    }

    /// Takes the write lock.
    fn begin(&self) -> Result<Transaction<'_>, StoreError> {
        let deadline = Instant::now() + self.patience;
        self.conn.busy_timeout(Duration::ZERO)?;
        let mut pause = FIRST_PAUSE;
        let tx = loop {
            let tx = Transaction::new_unchecked(&self.conn, TransactionBehavior::Immediate);
            let busy = matches!(&tx, Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy));
            if !busy || Instant::now() >= deadline {
                break tx;
            }
            // Not in step with the others that wait.
            std::thread::sleep(pause.mul_f32(0.5 + fastrand::f32()));
            pause = (pause * 3 / 2).min(LAST_PAUSE);
        };
        self.conn.busy_timeout(self.patience)?;
        Ok(tx?)
    }

    fn read<R>(&self, read: impl FnOnce(&Connection) -> Result<R, StoreError>) -> Result<R, StoreError> {
        read(&self.conn).map_err(|error| error.at(&self.path))
    }
}

impl Listing for SqliteStore {
    fn list(&mut self, project: &ProjectKey, wish: &Wish, limit: u32) -> Result<Vec<Task>, StoreError> {
        self.read(|conn| listing::list(conn, project, wish, limit))
    }

    fn totals(&mut self, project: &ProjectKey) -> Result<Totals, StoreError> {
        self.read(|conn| listing::totals(conn, project))
    }

    fn with_prefix(&mut self, project: &ProjectKey, prefix: &str, limit: u32) -> Result<Vec<TaskId>, StoreError> {
        self.read(|conn| listing::with_prefix(conn, project, prefix, limit))
    }

    fn short_ids(&mut self, ids: &[TaskId]) -> Result<Vec<String>, StoreError> {
        self.read(|conn| listing::short_ids(conn, ids))
    }

    fn archive(&mut self, ids: &[TaskId], now: Timestamp) -> Result<Vec<TaskId>, StoreError> {
        self.write(|tx| listing::archive(tx, ids, now))
    }
}

impl Store for SqliteStore {
    fn launch(&mut self, tasks: &[Task]) -> Result<(), StoreError> {
        self.write(|tx| launch::launch(tx, tasks))
    }

    fn tasks(&mut self, project: &ProjectKey, filter: &Filter) -> Result<Vec<Task>, StoreError> {
        self.read(|conn| read::tasks(conn, project, filter))
    }

    fn has_open(&mut self, project: &ProjectKey, parent_session: &str) -> Result<bool, StoreError> {
        self.read(|conn| read::has_open(conn, project, parent_session))
    }

    fn outcome(&mut self, task: TaskId) -> Result<Option<Outcome>, StoreError> {
        self.read(|conn| read::outcome(conn, task))
    }

    fn change(
        &mut self,
        task: TaskId,
        guard: Guard,
        change: &Change,
        outcome: Option<&Outcome>,
        now: Timestamp,
    ) -> Result<Changed, StoreError> {
        self.write(|tx| write::change(tx, task, guard, change, outcome, now))
    }

    fn claim(
        &mut self,
        project: &ProjectKey,
        owner: InstanceId,
        now: Timestamp,
        scheduler: &mut dyn Scheduler,
    ) -> Result<Vec<Task>, StoreError> {
        let queue = self.queue(project, owner, now, &scheduler.wanted())?;
        if !scheduler.wants(queue) {
            return Ok(Vec::new());
        }
        self.write(|tx| queue::claim(tx, project, owner, now, scheduler))
    }

    fn queue(
        &mut self,
        project: &ProjectKey,
        home: InstanceId,
        now: Timestamp,
        wanted: &Wanted,
    ) -> Result<Queue, StoreError> {
        self.read(|conn| {
            // One snapshot of the database for all that is read.
            let conn = conn.unchecked_transaction()?;
            queue::queue(&conn, project, home, now, wanted)
        })
    }

    fn edit_provider(
        &mut self,
        name: &str,
        edit: &mut dyn FnMut(Option<&str>) -> Option<String>,
    ) -> Result<bool, StoreError> {
        // News that change nothing are most of them, and do not queue for the write lock.
        let known = self.read(|conn| queue::provider(conn, name))?;
        if edit(known.as_deref()).is_none() {
            return Ok(false);
        }
        self.write(|tx| queue::edit_provider(tx, name, edit))
    }

    fn next_due(
        &mut self,
        project: &ProjectKey,
        home: InstanceId,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        self.read(|conn| queue::next_due(conn, project, home, now))
    }

    fn other_homes(&mut self, project: &ProjectKey, me: InstanceId) -> Result<Vec<InstanceId>, StoreError> {
        self.read(|conn| take_over::other_homes(conn, project, me))
    }

    fn take_over(
        &mut self,
        project: &ProjectKey,
        dead: &[InstanceId],
        me: InstanceId,
        now: Timestamp,
    ) -> Result<Vec<Task>, StoreError> {
        self.write(|tx| take_over::take_over(tx, project, dead, me, now))
    }

    fn requeue(
        &mut self,
        project: &ProjectKey,
        is_alive: &dyn Fn(InstanceId) -> bool,
        now: Timestamp,
    ) -> Result<Vec<Task>, StoreError> {
        let dead = self.read(|conn| take_over::dead_owners(conn, project, is_alive))?;
        if dead.is_empty() {
            return Ok(Vec::new());
        }
        self.write(|tx| take_over::requeue(tx, project, &dead, now))
    }

    fn untold(&mut self, project: &ProjectKey, home: InstanceId) -> Result<Vec<Parent>, StoreError> {
        self.read(|conn| reports::untold(conn, project, home))
    }

    fn open_report(
        &mut self,
        project: &ProjectKey,
        home: InstanceId,
        parent_session: &str,
        only: Option<&[TaskId]>,
        via: &Via,
        limit: u32,
        now: Timestamp,
    ) -> Result<Option<Report>, StoreError> {
        self.write(|tx| {
            let wanted = reports::Wanted { project, home, parent_session, only, limit };
            reports::open(tx, &wanted, via, now)
        })
    }

    fn open_reports(&mut self, project: &ProjectKey, home: InstanceId) -> Result<Vec<Report>, StoreError> {
        self.read(|conn| reports::open_reports(conn, project, home))
    }

    fn settle_report(&mut self, report: ReportId, sent: bool, now: Timestamp) -> Result<(), StoreError> {
        self.write(|tx| reports::settle(tx, report, sent, now))
    }

    fn journal(&mut self, project: &ProjectKey, after: i64, limit: u32) -> Result<Vec<JournalRow>, StoreError> {
        self.read(|conn| read::journal(conn, project, after, limit))
    }

    fn setting(&mut self, name: &str) -> Result<Option<String>, StoreError> {
        self.read(|conn| read::setting(conn, name))
    }

    fn set_setting(&mut self, name: &str, value: Option<&str>) -> Result<(), StoreError> {
        self.write(|tx| write::set_setting(tx, name, value))
    }

    fn data_version(&mut self) -> Result<i64, StoreError> {
        self.read(|conn| Ok(conn.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?))
    }
}

impl Missions for SqliteStore {
    fn missions(&mut self, project: &ProjectKey, filter: &MissionFilter) -> Result<Vec<MissionRow>, StoreError> {
        self.read(|conn| missions::missions(conn, project, filter))
    }

    fn mission_tag(&mut self, project: &ProjectKey) -> Result<String, StoreError> {
        self.read(|conn| missions::tag(conn, project))
    }

    fn own_tasks(
        &mut self,
        project: &ProjectKey,
        session: &str,
        since: Timestamp,
    ) -> Result<(usize, usize), StoreError> {
        self.read(|conn| missions::own_tasks(conn, project, session, since))
    }

    fn step_mission(&mut self, step: &MissionStep, now: Timestamp) -> Result<(), StoreError> {
        self.write(|tx| missions::step(tx, step, now, &self.recent))
    }
}

impl Todos for SqliteStore {
    fn todo(&mut self, project: &ProjectKey, rev: Option<u64>) -> Result<Snapshot, StoreError> {
        self.read(|conn| todo::read(conn, project, rev, todo::LIMITS, &self.recent))
    }

    fn commit_todo(&mut self, commit: &TodoCommit, now: Timestamp) -> Result<Revision, StoreError> {
        self.write(|tx| todo::commit(tx, commit, now, &self.recent))
    }

    fn todo_history(
        &mut self,
        project: &ProjectKey,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Revision>, StoreError> {
        self.read(|conn| todo::history(conn, project, before, limit))
    }

    fn scan_todo(
        &mut self,
        project: &ProjectKey,
        since: Timestamp,
        visit: &mut dyn FnMut(u64, TodoStep<'_>),
    ) -> Result<(), StoreError> {
        self.read(|conn| todo::scan(conn, project, since, todo::LIMITS, visit))
    }

    fn todo_with_hash(&mut self, project: &ProjectKey, hash: &str) -> Result<Option<u64>, StoreError> {
        self.read(|conn| todo::with_hash(conn, project, hash, todo::LIMITS))
    }

    fn edit_todo(
        &mut self,
        project: &ProjectKey,
        taken: Option<TodoEdit<'_>>,
        edit: &mut dyn FnMut(&Snapshot) -> Option<TodoCommit>,
        now: Timestamp,
    ) -> Result<Option<Revision>, StoreError> {
        self.write(|tx| todo::edit(tx, project, taken, edit, now, &self.recent))
    }

    fn todo_edits(&mut self, project: &ProjectKey) -> Result<Vec<(u64, String)>, StoreError> {
        self.read(|conn| todo::edits(conn, project))
    }

    fn todo_file(&mut self, project: &ProjectKey, path: &str) -> Result<TodoFile, StoreError> {
        self.read(|conn| todo::file(conn, project, path))
    }

    fn set_todo_file(&mut self, project: &ProjectKey, path: &str, file: &TodoFile) -> Result<(), StoreError> {
        self.write(|tx| todo::set_file(tx, project, path, file))
    }
}

impl Spending for SqliteStore {
    fn charge(&mut self, charges: &[Charge], now: Timestamp) -> Result<(), StoreError> {
        self.write(|tx| spending::charge(tx, charges, now))
    }

    fn settle_charges(&mut self, tasks: &[TaskId]) -> Result<(), StoreError> {
        self.write(|tx| spending::settle(tx, tasks))
    }

    fn spent(&mut self, account: &Account) -> Result<Spent, StoreError> {
        self.read(|conn| spending::spent(conn, account))
    }

    fn kin(&mut self, task: TaskId) -> Result<(Vec<TaskId>, Vec<TaskId>), StoreError> {
        self.read(|conn| spending::kin(conn, task))
    }

    fn tree_size(&mut self, task: TaskId) -> Result<u64, StoreError> {
        self.read(|conn| spending::tree_size(conn, task))
    }

    fn launch_below(
        &mut self,
        lineage: &Lineage,
        born: &[Born],
        since: Timestamp,
        admit: &mut dyn FnMut(&Brood) -> bool,
    ) -> Result<bool, StoreError> {
        self.write(|tx| spending::launch_below(tx, lineage, born, since, admit))
    }

    fn settings(&mut self, beginning: &str) -> Result<Vec<(String, String)>, StoreError> {
        self.read(|conn| spending::settings(conn, beginning))
    }

    fn first_setting(&mut self, name: &str, value: &str) -> Result<bool, StoreError> {
        self.write(|tx| spending::first_setting(tx, name, value))
    }
}

#[cfg(test)]
mod tests;
