//! A database that refuses for a while.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use super::{flow::secs, rig::Rig};
use crate::{
    engine::options::Options,
    opencode::fake::Script,
    store::{
        Account, Answered, Born, Brood, Changed, Charge, Durability, Filter, JournalRow, Lineage, Listing,
        MissionFilter, MissionRow, MissionStep, Missions, NewPrompt, PromptRow, Prompts, Queue, Report, ReportId,
        Revision, Scheduler, Snapshot, Spending, SqliteStore, Store, StoreError, TodoCommit, TodoEdit, TodoFile,
        TodoStep, Todos, Totals, Via, Wanted, Wish,
    },
    task::{Change, Guard, InstanceId, Outcome, Parent, ProjectKey, Spent, StateName, Task, TaskId, Timestamp},
};

/// Refuses writes of one kind so many times, by turns because it is busy and because it is full.
struct Refuses {
    inner: SqliteStore,
    verb: &'static str,
    left: Arc<AtomicU32>,
}

impl Refuses {
    fn refuse(&self, verb: &str) -> Result<(), StoreError> {
        if verb != self.verb {
            return Ok(());
        }
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
            Ok(left) if left % 2 == 0 => Err(StoreError::Busy),
            Ok(_) => Err(StoreError::Full { path: PathBuf::from("sortie.db") }),
            Err(_) => Ok(()),
        }
    }
}

impl Listing for Refuses {
    fn list(&mut self, project: &ProjectKey, wish: &Wish, limit: u32) -> Result<Vec<Task>, StoreError> {
        self.inner.list(project, wish, limit)
    }
    fn totals(&mut self, project: &ProjectKey) -> Result<Totals, StoreError> {
        self.inner.totals(project)
    }
    fn with_prefix(&mut self, project: &ProjectKey, prefix: &str, limit: u32) -> Result<Vec<TaskId>, StoreError> {
        self.inner.with_prefix(project, prefix, limit)
    }
    fn short_ids(&mut self, ids: &[TaskId]) -> Result<Vec<String>, StoreError> {
        self.inner.short_ids(ids)
    }
    fn archive(&mut self, ids: &[TaskId], now: Timestamp) -> Result<Vec<TaskId>, StoreError> {
        self.inner.archive(ids, now)
    }
}

impl Store for Refuses {
    fn launch(&mut self, tasks: &[Task]) -> Result<(), StoreError> {
        self.inner.launch(tasks)
    }
    fn tasks(&mut self, project: &ProjectKey, filter: &Filter) -> Result<Vec<Task>, StoreError> {
        self.inner.tasks(project, filter)
    }
    fn has_open(&mut self, project: &ProjectKey, parent_session: &str) -> Result<bool, StoreError> {
        self.inner.has_open(project, parent_session)
    }
    fn outcome(&mut self, task: TaskId) -> Result<Option<Outcome>, StoreError> {
        self.inner.outcome(task)
    }
    fn change(
        &mut self,
        task: TaskId,
        guard: Guard,
        change: &Change,
        outcome: Option<&Outcome>,
        now: Timestamp,
    ) -> Result<Changed, StoreError> {
        self.refuse(change.verb())?;
        self.inner.change(task, guard, change, outcome, now)
    }
    fn claim(
        &mut self,
        project: &ProjectKey,
        owner: InstanceId,
        now: Timestamp,
        scheduler: &mut dyn Scheduler,
    ) -> Result<Vec<Task>, StoreError> {
        let claimed = self.inner.claim(project, owner, now, scheduler)?;
        if claimed.is_empty() { Ok(claimed) } else { self.refuse("claimed").map(|()| claimed) }
    }
    fn requeue(
        &mut self,
        project: &ProjectKey,
        is_alive: &dyn Fn(InstanceId) -> bool,
        now: Timestamp,
    ) -> Result<Vec<Task>, StoreError> {
        self.inner.requeue(project, is_alive, now)
    }
    fn queue(
        &mut self,
        project: &ProjectKey,
        home: InstanceId,
        now: Timestamp,
        wanted: &Wanted,
    ) -> Result<Queue, StoreError> {
        self.inner.queue(project, home, now, wanted)
    }
    fn edit_provider(
        &mut self,
        name: &str,
        edit: &mut dyn FnMut(Option<&str>) -> Option<String>,
    ) -> Result<bool, StoreError> {
        self.inner.edit_provider(name, edit)
    }
    fn next_due(
        &mut self,
        project: &ProjectKey,
        home: InstanceId,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        self.inner.next_due(project, home, now)
    }
    fn other_homes(&mut self, project: &ProjectKey, me: InstanceId) -> Result<Vec<InstanceId>, StoreError> {
        self.inner.other_homes(project, me)
    }
    fn take_over(
        &mut self,
        project: &ProjectKey,
        dead: &[InstanceId],
        me: InstanceId,
        now: Timestamp,
    ) -> Result<Vec<Task>, StoreError> {
        self.inner.take_over(project, dead, me, now)
    }
    fn untold(&mut self, project: &ProjectKey, home: InstanceId) -> Result<Vec<Parent>, StoreError> {
        self.inner.untold(project, home)
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
        self.refuse("report")?;
        self.inner.open_report(project, home, parent_session, only, via, limit, now)
    }
    fn open_reports(&mut self, project: &ProjectKey, home: InstanceId) -> Result<Vec<Report>, StoreError> {
        self.inner.open_reports(project, home)
    }
    fn settle_report(&mut self, report: ReportId, sent: bool, now: Timestamp) -> Result<(), StoreError> {
        self.refuse("settle")?;
        self.inner.settle_report(report, sent, now)
    }
    fn journal(&mut self, project: &ProjectKey, after: i64, limit: u32) -> Result<Vec<JournalRow>, StoreError> {
        self.inner.journal(project, after, limit)
    }
    fn setting(&mut self, name: &str) -> Result<Option<String>, StoreError> {
        self.inner.setting(name)
    }
    fn set_setting(&mut self, name: &str, value: Option<&str>) -> Result<(), StoreError> {
        self.inner.set_setting(name, value)
    }
    fn data_version(&mut self) -> Result<i64, StoreError> {
        self.inner.data_version()
    }
}

impl Missions for Refuses {
    fn missions(&mut self, project: &ProjectKey, filter: &MissionFilter) -> Result<Vec<MissionRow>, StoreError> {
        self.inner.missions(project, filter)
    }
    fn mission_tag(&mut self, project: &ProjectKey) -> Result<String, StoreError> {
        self.inner.mission_tag(project)
    }
    fn own_tasks(
        &mut self,
        project: &ProjectKey,
        session: &str,
        since: Timestamp,
    ) -> Result<(usize, usize), StoreError> {
        self.inner.own_tasks(project, session, since)
    }
    fn step_mission(&mut self, step: &MissionStep, now: Timestamp) -> Result<(), StoreError> {
        self.refuse("mission")?;
        self.inner.step_mission(step, now)
    }
}

impl Prompts for Refuses {
    fn ask_prompt(&mut self, prompt: &NewPrompt, now: Timestamp) -> Result<PromptRow, StoreError> {
        self.refuse("ask")?;
        self.inner.ask_prompt(prompt, now)
    }
    fn close_prompt(&mut self, number: i64, answered: &Answered) -> Result<bool, StoreError> {
        self.refuse("answer")?;
        self.inner.close_prompt(number, answered)
    }
    fn prompts(&mut self, project: &ProjectKey, answered: Option<u32>) -> Result<Vec<PromptRow>, StoreError> {
        self.inner.prompts(project, answered)
    }
    fn prompt(&mut self, project: &ProjectKey, number: i64) -> Result<Option<PromptRow>, StoreError> {
        self.inner.prompt(project, number)
    }
}

impl Spending for Refuses {
    fn charge(&mut self, charges: &[Charge], now: Timestamp) -> Result<(), StoreError> {
        self.refuse("charge")?;
        self.inner.charge(charges, now)
    }
    fn settle_charges(&mut self, tasks: &[TaskId]) -> Result<(), StoreError> {
        self.inner.settle_charges(tasks)
    }
    fn spent(&mut self, account: &Account) -> Result<Spent, StoreError> {
        self.inner.spent(account)
    }
    fn kin(&mut self, task: TaskId) -> Result<(Vec<TaskId>, Vec<TaskId>), StoreError> {
        self.inner.kin(task)
    }
    fn tree_size(&mut self, task: TaskId) -> Result<u64, StoreError> {
        self.inner.tree_size(task)
    }
    fn launch_below(
        &mut self,
        lineage: &Lineage,
        born: &[Born],
        since: Timestamp,
        admit: &mut dyn FnMut(&Brood) -> bool,
    ) -> Result<bool, StoreError> {
        self.inner.launch_below(lineage, born, since, admit)
    }
    fn settings(&mut self, beginning: &str) -> Result<Vec<(String, String)>, StoreError> {
        self.inner.settings(beginning)
    }
    fn first_setting(&mut self, name: &str, value: &str) -> Result<bool, StoreError> {
        self.inner.first_setting(name, value)
    }
}

impl Todos for Refuses {
    fn todo(&mut self, project: &ProjectKey, rev: Option<u64>) -> Result<Snapshot, StoreError> {
        self.inner.todo(project, rev)
    }
    fn commit_todo(&mut self, commit: &TodoCommit, now: Timestamp) -> Result<Revision, StoreError> {
        self.refuse("todo")?;
        self.inner.commit_todo(commit, now)
    }
    fn todo_history(
        &mut self,
        project: &ProjectKey,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Revision>, StoreError> {
        self.inner.todo_history(project, before, limit)
    }
    fn scan_todo(
        &mut self,
        project: &ProjectKey,
        since: Timestamp,
        visit: &mut dyn FnMut(u64, TodoStep<'_>),
    ) -> Result<(), StoreError> {
        self.inner.scan_todo(project, since, visit)
    }
    fn edit_todo(
        &mut self,
        project: &ProjectKey,
        taken: Option<TodoEdit<'_>>,
        edit: &mut dyn FnMut(&Snapshot) -> Option<TodoCommit>,
        now: Timestamp,
    ) -> Result<Option<Revision>, StoreError> {
        self.refuse("todo")?;
        self.inner.edit_todo(project, taken, edit, now)
    }
    fn todo_edits(&mut self, project: &ProjectKey) -> Result<Vec<(u64, String)>, StoreError> {
        self.inner.todo_edits(project)
    }
    fn todo_with_hash(&mut self, project: &ProjectKey, hash: &str) -> Result<Option<u64>, StoreError> {
        self.inner.todo_with_hash(project, hash)
    }
    fn todo_file(&mut self, project: &ProjectKey, path: &str) -> Result<TodoFile, StoreError> {
        self.inner.todo_file(project, path)
    }
    fn set_todo_file(&mut self, project: &ProjectKey, path: &str, file: &TodoFile) -> Result<(), StoreError> {
        self.inner.set_todo_file(project, path, file)
    }
}

impl Rig {
    /// An engine whose database refuses writes of one kind so many times.
    pub async fn start_refusing(&self, verb: &'static str, left: &Arc<AtomicU32>) -> super::rig::Life {
        self.start_refusing_as(Options::default(), verb, left).await
    }

    /// The same with these options.
    pub async fn start_refusing_as(
        &self,
        options: Options,
        verb: &'static str,
        left: &Arc<AtomicU32>,
    ) -> super::rig::Life {
        let (home, left) = (self.open_home(), Arc::clone(left));
        let open = move || Ok(Refuses { inner: SqliteStore::open(&home, Durability::Normal)?, verb, left });
        self.start_over(options, self.host.transport(), open).await
    }
}

async fn refusing(verb: &'static str, times: u32, model: Script) -> (Rig, super::rig::Life, Arc<AtomicU32>) {
    let rig = Rig::new(move |_| model.clone()).await;
    let left = Arc::new(AtomicU32::new(times));
    let life = rig.start_refusing(verb, &left).await;
    (rig, life, left)
}

#[tokio::test(start_paused = true)]
async fn what_is_used_while_the_database_refuses_is_counted_later_and_once() {
    let (rig, life, left) = refusing("charge", 3, Script::say_after(secs(2), "done")).await;
    let task = rig.launch(&life, &["x"]).await[0];
    rig.all_told(&life).await;
    rig.until(&[&life], secs(20), "the refusals", async || left.load(Ordering::SeqCst) == 0).await;
    let spent = async || rig.open_store().spent(&Account::Task(task)).unwrap();
    rig.until(&[&life], secs(20), "the count", async || spent().await.tokens == 15).await;
    rig.pass(&life, secs(5)).await;
    assert_eq!((spent().await.tokens, spent().await.tasks), (15, 1));
}

#[tokio::test(start_paused = true)]
async fn an_end_is_written_again_until_the_database_takes_it_and_only_once() {
    let ends = [
        ("complete", Script::say("done"), StateName::Complete),
        ("fail", Script::fail("APIError", "no", Some(400)), StateName::Failed),
    ];
    for (verb, model, state) in ends {
        let (rig, life, left) = refusing(verb, 8, model).await;
        let task = rig.launch(&life, &["x"]).await[0];
        rig.until(&[&life], secs(2), "a refusal", async || left.load(Ordering::SeqCst) < 6).await;
        assert_eq!((life.state(task).await, rig.told(task)), (StateName::Running, 0));
        rig.all_told(&life).await;
        assert_eq!((life.state(task).await, rig.told(task), left.load(Ordering::SeqCst)), (state, 1, 0));
        assert_eq!(rig.sessions().len(), 1);
        rig.check();
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_is_sent_once_whichever_of_its_writes_is_refused() {
    for verb in ["report", "settle"] {
        let (rig, life, _) = refusing(verb, 3, Script::say("done")).await;
        let task = rig.launch(&life, &["x"]).await[0];
        rig.all_told(&life).await;
        assert_eq!((rig.told(task), rig.reports().len(), rig.host.model_runs()), (1, 1, 2), "{verb}");
        rig.check();
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_could_not_be_noted_is_not_left_behind() {
    let (rig, life, _) = refusing("bind", 2, Script::say("done")).await;
    let task = rig.launch(&life, &["x"]).await[0];
    assert_eq!(rig.end_of(&life, task).await.state.name(), StateName::Complete);
    assert_eq!(rig.sessions().len(), 1);
    rig.all_told(&life).await;
    rig.check();
}
