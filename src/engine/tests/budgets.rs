//! Budgets: whoever uses up one stands still, says so once, and goes on in the same session when there is more.

use std::time::Duration;

use super::{
    flow::secs,
    rig::{DIR, Life, Rig, runtime},
};
use crate::{
    engine::{ops::Caller, options::Options, spawn::Above},
    fault::Code,
    opencode::{
        NewSession, Prompt, SessionId,
        fake::{PromptSeen, Script, Step},
    },
    store::{Account, Lineage, Spending as _},
    task::{FailureKind, Over, PauseReason, ProjectKey, Scope, Spent, StateName, TaskId, TaskState, What},
};

fn options(json: &str) -> Options {
    Options::parse(json).unwrap()
}

/// What the fake host says of an answer that has only begun.
const BEGUN: u64 = 15;

/// Uses so many tokens an answer, a second each, and then says that it is done.
fn using(answers: usize, tokens: u64) -> Script {
    let call = || Step::Tool("read".to_owned(), Duration::from_millis(100));
    let turn = || [Step::Wait(secs(1)), Step::Use(tokens, 0, 0.01), call()];
    (0..answers).flat_map(|_| turn()).fold(Script::new(), Script::then).then_say("done")
}

/// Ten times a budget of 1,000 tokens, and after a pause nothing more.
fn greedy(seen: &PromptSeen) -> Script {
    if seen.asked_before == 0 { using(22, 450) } else { using(0, 0) }
}

impl Rig {
    async fn bounded(&self, json: &str) -> Life {
        self.start_as(options(json), self.host.transport()).await
    }

    async fn comes_to(&self, life: &Life, task: TaskId, state: StateName) {
        let is_so = async || life.state(task).await == state;
        self.until(&[life], secs(120), &format!("the state {state:?}"), is_so).await;
    }

    fn spent(&self, account: &Account) -> Spent {
        self.open_store().spent(account).unwrap()
    }

    /// The toasts that have a word in them.
    fn toasts_with(&self, word: &str) -> usize {
        self.host.toasts().iter().map(|toast| toast["message"].to_string().matches(word).count()).sum()
    }
}

impl Life {
    async fn over(&self, task: TaskId) -> Option<Over> {
        match self.task(task).await.state {
            TaskState::Paused { reason: PauseReason::Budget(over), .. } => Some(over),
            _ => None,
        }
    }

    async fn type_budget(&self, rig: &Rig, words: &str) -> String {
        self.at.budget(&rig.parent, words).await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_would_use_ten_times_its_budget_pauses_within_a_turn_and_raised_goes_on_in_its_session() {
    let rig = Rig::new(greedy).await;
    let life = rig.bounded(r#"{"budget": {"task": {"tokens": 1000}}}"#).await;
    let task = rig.launch(&life, &["x"]).await[0];
    rig.comes_to(&life, task, StateName::Paused).await;
    let over = Over { scope: Scope::Task, what: What::Tokens, used: 1_350 + BEGUN, limit: 1_000 };
    assert_eq!(life.over(task).await, Some(over), "the third answer went over it, and there was no fourth");
    rig.until(&[&life], secs(5), "that the session stops", async || rig.host.busy().is_empty()).await;
    rig.pass(&life, secs(60)).await;
    assert_eq!(rig.spent(&Account::Task(task)).tokens, 1_350 + BEGUN);
    let fault = life.at.go_on(task).await.unwrap_err();
    assert_eq!(fault.code, Code::BudgetSpent, "a model may not raise it");
    let said = life.type_budget(&rig, &format!("{task} tokens 20000")).await;
    assert_eq!(said, "The budget of the task: tokens 20000.");
    rig.all_told(&life).await;
    assert_eq!((life.state(task).await, rig.sessions().len()), (StateName::Complete, 1));
    assert_eq!(rig.host.prompts(&rig.sessions()[0]).len(), 1);
    assert_eq!((rig.toasts_with("nearly used up: 915 of 1000 tokens"), rig.toasts_with("is used up: 1365 of")), (1, 1));
    life.close_cleanly(&rig).await;
    rig.check();
}

#[tokio::test(start_paused = true)]
async fn whoever_lets_a_task_go_on_gives_it_as_much_again() {
    let rig = Rig::new(|_| using(5, 450)).await;
    let life = rig.bounded(r#"{"budget": {"task": {"tokens": 1000}}}"#).await;
    let task = rig.launch(&life, &["x"]).await[0];
    rig.comes_to(&life, task, StateName::Paused).await;
    life.at.resume_task(&rig.parent, &task.to_string()).await.unwrap();
    rig.comes_to(&life, task, StateName::Paused).await;
    let over = life.over(task).await.unwrap();
    assert_eq!((over.limit, over.used), (2_365, 2_700 + 2 * BEGUN));
    // Without a name all paused ones of the session are meant.
    let said = life.at.resume_tasks(&rig.parent).await.unwrap();
    assert_eq!(said, "\"x\" goes on.");
    rig.all_told(&life).await;
    assert_eq!(life.state(task).await, StateName::Complete);
    let code = async |fault: Result<String, crate::fault::Fault>| fault.unwrap_err().code;
    assert_eq!(code(life.at.resume_task(&rig.parent, &task.to_string()).await).await, Code::NotOpen);
    assert_eq!(code(life.at.resume_tasks(&rig.parent).await).await, Code::NoMission);
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_is_used_up_fails_the_task_where_that_is_wanted() {
    let rig = Rig::new(greedy).await;
    let life = rig.bounded(r#"{"budget": {"task": {"tokens": 1000}, "over": "fail"}}"#).await;
    let task = rig.launch(&life, &["x"]).await[0];
    let mut after = rig.spec("after");
    after.depends_on = vec![task];
    let after = life.launch(vec![after]).await[0];
    rig.all_told(&life).await;
    let TaskState::Failed { failure, .. } = life.task(task).await.state else { panic!("it has not failed") };
    assert_eq!(failure.kind, FailureKind::Budget);
    assert_eq!(failure.message, "the task's budget is used up: 1365 of 1000 tokens");
    assert_eq!((life.task(task).await.attempt, life.state(after).await), (1, StateName::Cancelled));
    rig.until(&[&life], secs(5), "that the session stops", async || rig.host.busy().is_empty()).await;
    rig.check();
}

#[tokio::test(start_paused = true)]
async fn where_nobody_can_be_asked_nothing_waits_for_an_answer() {
    let mut rig = Rig::new(greedy).await;
    rig.headless = true;
    let life = rig.bounded(r#"{"budget": {"project": {"tokens": 1000}}, "limits": {"default": 1}}"#).await;
    let tasks = rig.launch(&life, &["x", "waits"]).await;
    rig.all_told(&life).await;
    for task in tasks {
        let TaskState::Failed { failure, .. } = life.task(task).await.state else { panic!("it has not failed") };
        assert_eq!(failure.kind, FailureKind::Budget);
    }
    assert_eq!(rig.sessions().len(), 1, "the second one never began");
    rig.check();
}

#[tokio::test(start_paused = true)]
async fn cost_and_tool_calls_and_time_are_bounded_as_well() {
    for (budget, what, limit) in [
        (r#"{"cost": 0.025}"#, What::Cost, 25_000),
        (r#"{"toolCalls": 3}"#, What::ToolCalls, 3),
        (r#"{"seconds": 5}"#, What::Seconds, 5_000),
    ] {
        let rig = Rig::new(|_| using(20, 1)).await;
        let life = rig.bounded(&format!(r#"{{"budget": {{"task": {budget}}}}}"#)).await;
        let task = rig.launch(&life, &["x"]).await[0];
        rig.comes_to(&life, task, StateName::Paused).await;
        let over = life.over(task).await.unwrap();
        assert_eq!((over.what, over.limit), (what, limit));
        assert!(over.used >= limit && over.used < limit * 2, "{over:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn time_is_used_up_also_where_nothing_is_heard() {
    let rig = Rig::new(|_| Script::hang()).await;
    let life = rig.bounded(r#"{"budget": {"project": {"seconds": 20}}}"#).await;
    let tasks = rig.launch(&life, &["x", "y"]).await;
    let began = life.at.now();
    rig.comes_to(&life, tasks[0], StateName::Paused).await;
    let took = life.at.now().since(began);
    assert!(took >= secs(10) && took < secs(13), "two run, each counts: {took:?}");
    assert_eq!(life.over(tasks[1]).await.unwrap().scope, Scope::Project);
}

#[tokio::test(start_paused = true)]
async fn the_projects_budget_stops_all_and_holds_back_what_waits_until_it_is_raised() {
    let rig = Rig::new(greedy).await;
    let life = rig.bounded(r#"{"budget": {"project": {"tokens": 2000}}, "limits": {"default": 2}}"#).await;
    let tasks = rig.launch(&life, &["x", "y", "z"]).await;
    for task in &tasks[..2] {
        rig.comes_to(&life, *task, StateName::Paused).await;
        assert_eq!(life.over(*task).await.unwrap().scope, Scope::Project);
    }
    rig.pass(&life, secs(30)).await;
    let waits = life.task(tasks[2]).await;
    let held = life.at.held_by(&waits).map(|over| over.to_string());
    assert_eq!(waits.state.name(), StateName::Pending);
    assert!(held.as_deref().is_some_and(|held| held.starts_with("the project's budget is used up: ")), "{held:?}");
    let fault = life.at.resume_task(&rig.parent, &tasks[0].to_string()).await.unwrap_err();
    assert_eq!(fault.code, Code::BudgetSpent, "{fault}");
    let text = life.type_budget(&rig, "").await;
    assert!(text.contains("project, tokens: ") && text.contains(" of 2000 tokens (1"), "{text}");
    life.type_budget(&rig, "project tokens off").await;
    rig.all_told(&life).await;
    assert_eq!((rig.sessions().len(), rig.toasts_with("project's budget is used up")), (3, 1));
    rig.check();
}

#[tokio::test(start_paused = true)]
async fn no_more_tasks_start_than_the_budget_has_and_those_that_run_go_on() {
    let rig = Rig::new(|seen| if seen.text == "z" { Script::say("done") } else { using(5, 10) }).await;
    let life = rig.bounded(r#"{"budget": {"project": {"tasks": 2}}}"#).await;
    let tasks = rig.launch(&life, &["x", "y", "z"]).await;
    for task in &tasks[..2] {
        assert_eq!(rig.end_of(&life, *task).await.state.name(), StateName::Complete);
    }
    rig.pass(&life, secs(30)).await;
    assert_eq!(life.state(tasks[2]).await, StateName::Pending);
    assert_eq!(rig.spent(&Account::Project(ProjectKey::new(DIR))).tasks, 2);
    life.type_budget(&rig, "project tasks 3").await;
    rig.all_told(&life).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_day_lets_go_on_what_the_days_budget_held() {
    let rig = Rig::new(greedy).await;
    let life = rig.bounded(r#"{"budget": {"day": {"tokens": 1000}}, "limits": {"default": 1}}"#).await;
    let tasks = rig.launch(&life, &["x", "y"]).await;
    rig.comes_to(&life, tasks[0], StateName::Paused).await;
    rig.pass(&life, secs(30)).await;
    assert_eq!(life.state(tasks[1]).await, StateName::Pending);
    let day = |life: &Life| life.at.now().0 / 86_400_000;
    let today = day(&life);
    while day(&life) == today {
        assert_eq!(life.state(tasks[0]).await, StateName::Paused);
        rig.step(&[&life], secs(300)).await;
    }
    rig.end_of(&life, tasks[0]).await;
    rig.comes_to(&life, tasks[1], StateName::Paused).await;
    let again = async || rig.toasts_with("day's budget is used up") == 2;
    rig.until(&[&life], secs(60), "the second day's toast", again).await;
}

/// A caller in a session.
fn in_session(session: &SessionId) -> Caller {
    Caller { session: session.clone(), message: None, call: None, directory: DIR.to_owned() }
}

#[tokio::test(start_paused = true)]
async fn a_task_pays_for_what_it_launches_and_stands_still_with_it() {
    let rig = Rig::new(|seen| match (seen.text.as_str(), seen.asked_before) {
        ("outer" | "last", 0) => Script::hang(),
        ("inner", _) => greedy(seen),
        _ => Script::say("done"),
    })
    .await;
    let life = rig.bounded(r#"{"budget": {"task": {"tokens": 2000}}, "maxDepth": 2, "limits": {"default": 2}}"#).await;
    let outer = rig.launch(&life, &["outer"]).await[0];
    rig.until(&[&life], secs(5), "the session", async || life.task(outer).await.session().is_some()).await;
    let session = life.task(outer).await.session().unwrap().to_owned();
    let above = life.at.above(&in_session(&session.parse().unwrap())).await.unwrap();
    let lineage = Lineage { root: rig.parent.to_string(), parent: Some(outer) };
    assert_eq!(above, Above { depth: 2, lineage });
    let spec = |prompt: &str| {
        let mut spec = rig.spec(prompt);
        (spec.depth, spec.parent.session) = (2, session.as_str().into());
        (life.at.task_id(), spec, None)
    };
    let below = life.at.launch_below(&above, vec![spec("inner"), spec("waits")]).await.unwrap();
    life.type_budget(&rig, &format!("{} tokens off", below[0].id)).await;
    rig.comes_to(&life, outer, StateName::Paused).await;
    for task in [outer, below[0].id, below[1].id] {
        assert_eq!(life.over(task).await.unwrap().scope, Scope::Task, "{}", life.task(task).await.spec.title);
    }
    let tree = rig.spent(&Account::Task(outer)).tokens;
    assert_eq!(tree, rig.spent(&Account::Task(below[0].id)).tokens + BEGUN);
    assert!((2_000..2_500).contains(&tree), "{tree}");
    rig.pass(&life, secs(20)).await;
    life.at.resume_task(&rig.parent, &outer.to_string()).await.unwrap();
    rig.all_told(&life).await;
    rig.check();
}

#[tokio::test(start_paused = true)]
async fn a_session_that_the_host_made_below_a_task_is_paid_by_the_task() {
    let rig = Rig::new(|seen| if seen.text == "x" { Script::hang() } else { using(9, 300) }).await;
    let life = rig.bounded(r#"{"budget": {"task": {"tokens": 1000}}}"#).await;
    let task = rig.launch(&life, &["x"]).await[0];
    rig.until(&[&life], secs(5), "the prompt", async || rig.host.model_runs() == 1).await;
    let client = rig.host.client();
    let parent: SessionId = life.task(task).await.session().unwrap().parse().unwrap();
    let child = NewSession { parent: Some(parent), ..NewSession::default() };
    let child = client.create_session(DIR, child).await.unwrap().id;
    let (message, part) = life.at.project.core.prompt_ids();
    client.prompt_async(DIR, &child, Prompt::new(message, part, "below".to_owned())).await.unwrap();
    rig.comes_to(&life, task, StateName::Paused).await;
    assert_eq!(life.over(task).await.unwrap().used, 1_200 + 2 * BEGUN);
    rig.until(&[&life], secs(5), "that all stops", async || rig.host.busy().is_empty()).await;
}

#[test]
fn what_was_used_before_a_crash_counts_once() {
    let first = runtime();
    let (rig, task) = first.block_on(async {
        let rig =
            Rig::new(|seen| if seen.asked_before == 0 { using(1, 600).then(Step::Hang) } else { using(3, 300) }).await;
        let life = rig.bounded("{}").await;
        let task = rig.launch(&life, &["x"]).await[0];
        let counted = async || rig.spent(&Account::Task(task)).tokens == 600 + BEGUN;
        rig.until(&[&life], secs(20), "that it is counted", counted).await;
        (rig, task)
    });
    drop(first);
    rig.host.crash();
    runtime().block_on(async {
        let life = rig.bounded(r#"{"budget": {"task": {"tokens": 1000}}}"#).await;
        rig.comes_to(&life, task, StateName::Paused).await;
        let over = life.over(task).await.unwrap();
        assert_eq!((over.used, rig.spent(&Account::Day(life.at.now())).tokens), (1_200 + 2 * BEGUN, 1_200 + 2 * BEGUN));
        life.type_budget(&rig, &format!("{task} tokens off")).await;
        rig.all_told(&life).await;
    });
    rig.check();
}

#[tokio::test(start_paused = true)]
async fn two_processes_share_a_budget_and_say_so_once() {
    let rig = Rig::new(greedy).await;
    let json = r#"{"budget": {"project": {"tokens": 2000}}}"#;
    let (here, there) = (rig.bounded(json).await, rig.bounded(json).await);
    let (one, other) = (rig.launch(&here, &["x"]).await[0], rig.launch(&there, &["y"]).await[0]);
    let both = async || [here.state(one).await, there.state(other).await] == [StateName::Paused; 2];
    rig.until(&[&here, &there], secs(60), "that both stand still", both).await;
    for _ in 0..500 {
        rig.step(&[&here, &there], Duration::from_millis(20)).await;
    }
    let rows = here.at.project.store(|store| store.journal(&ProjectKey::new(DIR), 0, 1_000)).await.unwrap();
    let times = |task| rows.iter().filter(|row| row.task == task && row.change == "exhaust").count();
    assert_eq!((times(one), times(other)), (1, 1));
    assert_eq!((rig.toasts_with("nearly used up"), rig.toasts_with("is used up")), (1, 1));
    here.type_budget(&rig, "project tokens off").await;
    let done = async || [here.state(one).await, there.state(other).await] == [StateName::Complete; 2];
    rig.until(&[&here, &there], secs(60), "that both go on", done).await;
}

#[tokio::test(start_paused = true)]
async fn with_nothing_bounded_nothing_stops_and_all_is_counted() {
    let rig = Rig::new(greedy).await;
    let life = rig.bounded("{}").await;
    let task = rig.launch(&life, &["x"]).await[0];
    rig.all_told(&life).await;
    rig.pass(&life, secs(2)).await;
    let spent = rig.spent(&Account::Project(ProjectKey::new(DIR)));
    assert_eq!((spent.tokens, spent.cost, spent.tool_calls, spent.tasks), (9_900 + BEGUN, 221_000, 22, 1));
    assert!((24_000..27_000).contains(&spent.millis), "{}", spent.millis);
    let text = life.type_budget(&rig, "").await;
    assert!(text.contains("today: 9915 tokens, $0.2210, ") && text.contains("No budget is set."), "{text}");
    assert_eq!((life.state(task).await, rig.toasts_with("used up")), (StateName::Complete, 0));
    let requests = rig.host.total_requests();
    rig.pass(&life, secs(60)).await;
    assert_eq!(rig.host.total_requests(), requests);
}

#[tokio::test(start_paused = true)]
async fn what_is_typed_wrongly_changes_nothing() {
    let rig = Rig::new(greedy).await;
    let life = rig.bounded("{}").await;
    for words in ["day", "day tokens", "day tokens 5 6", "day words 5", "day tokens none", "day tasks 0"] {
        assert_eq!(life.at.budget(&rig.parent, words).await.unwrap_err().code, Code::BadBudget, "{words}");
    }
    let fault = life.at.budget(&rig.parent, "nobody tokens 5").await.unwrap_err();
    assert_eq!(fault.code, Code::NoSuchTask);
    assert_eq!(rig.open_store().settings("budget ").unwrap(), []);
}
