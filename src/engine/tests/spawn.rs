//! The spawn guard: what a session may bring about, and that no two launches pass it together.

use super::{
    flow::secs,
    rig::{DIR, Life, Rig},
};
use crate::{
    engine::{ops::Caller, options::Options},
    fault::{Code, Fault},
    opencode::{SessionId, fake::Script},
    store::Filter,
    task::{ModelChoice, StateName, Task, TaskSpec},
};

async fn guarded(rig: &Rig, json: &str) -> Life {
    rig.start_as(Options::parse(json).unwrap(), rig.host.transport()).await
}

async fn launch(rig: &Rig, life: &Life, specs: Vec<TaskSpec>) -> Result<Vec<Task>, Fault> {
    let session = rig.parent.clone();
    let caller = Caller { session, message: None, call: None, directory: DIR.to_owned() };
    let above = life.at.above(&caller).await?;
    life.at.launch_below(&above, specs.into_iter().map(|spec| (life.at.task_id(), spec, None)).collect()).await
}

fn specs(rig: &Rig, names: std::ops::Range<u32>) -> Vec<TaskSpec> {
    names.map(|name| rig.spec(&name.to_string())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_session_brings_about_no_more_tasks_than_it_may() {
    let rig = Rig::new(|_| Script::say("done")).await;
    let life = guarded(&rig, r#"{"spawn": {"tree": 5}}"#).await;
    launch(&rig, &life, specs(&rig, 0..3)).await.unwrap();
    rig.all_told(&life).await;
    let fault = launch(&rig, &life, specs(&rig, 3..6)).await.unwrap_err();
    assert_eq!(fault.code, Code::TreeFull);
    assert!(fault.message.contains("3 were launched") && fault.message.contains("at most 5"), "{fault}");
    assert_eq!(life.at.find(Filter::default()).await.unwrap().len(), 3);
    launch(&rig, &life, specs(&rig, 3..5)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn too_many_tasks_in_a_minute_are_refused_until_it_is_over() {
    let rig = Rig::new(|_| Script::say("done")).await;
    let life = guarded(&rig, r#"{"spawn": {"perMinute": 4}}"#).await;
    launch(&rig, &life, specs(&rig, 0..3)).await.unwrap();
    assert_eq!(launch(&rig, &life, specs(&rig, 3..5)).await.unwrap_err().code, Code::TooFast);
    rig.pass(&life, secs(61)).await;
    launch(&rig, &life, specs(&rig, 3..5)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn launches_at_once_do_not_pass_together() {
    let rig = Rig::new(|_| Script::say("done")).await;
    let life = guarded(&rig, r#"{"spawn": {"tree": 4}}"#).await;
    let (one, other) = tokio::join!(launch(&rig, &life, specs(&rig, 0..3)), launch(&rig, &life, specs(&rig, 3..6)));
    assert_eq!([one.is_ok(), other.is_ok()].iter().filter(|passed| **passed).count(), 1);
    assert_eq!(life.at.find(Filter::default()).await.unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_same_work_is_not_launched_twice_while_it_is_open() {
    let rig = Rig::new(|seen| if seen.text.contains("hang") { Script::hang() } else { Script::say("done") }).await;
    let life = guarded(&rig, "{}").await;
    let first = launch(&rig, &life, vec![rig.spec("hang about")]).await.unwrap().remove(0);
    let again = || vec![rig.spec("new"), TaskSpec { title: "other".to_owned(), ..rig.spec(" hang\n about") }];
    let fault = launch(&rig, &life, again()).await.unwrap_err();
    assert_eq!(fault.code, Code::DuplicateTask);
    assert!(fault.message.contains("`tasks[1]`") && fault.message.contains(&first.id.to_string()), "{fault}");
    assert!(fault.to_string().contains("sortie_wait") && fault.to_string().contains("sortie_send"), "{fault}");
    // Another model is another try, and a repetition is meant.
    let model = ModelChoice { provider: "p".into(), model: "m".into(), variant: None };
    let race = TaskSpec { model: Some(model), ..rig.spec("hang about") };
    let retry = TaskSpec { retry_of: Some(first.id), ..rig.spec("hang about") };
    for task in launch(&rig, &life, vec![race, retry]).await.unwrap() {
        life.at.cancel(task.id).await.unwrap();
    }
    life.at.cancel(first.id).await.unwrap();
    assert_eq!(life.state(first.id).await, StateName::Cancelled);
    launch(&rig, &life, again()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_task_launches_counts_for_the_session_at_the_top() {
    let rig = Rig::new(|_| Script::hang()).await;
    let life = guarded(&rig, r#"{"spawn": {"tree": 3}, "budget": {"task": {"tasks": 2}}, "maxDepth": 3}"#).await;
    let outer = launch(&rig, &life, vec![rig.spec("outer")]).await.unwrap().remove(0);
    rig.until(&[&life], secs(5), "the session", async || life.task(outer.id).await.session().is_some()).await;
    let session: SessionId = life.task(outer.id).await.session().unwrap().parse().unwrap();
    let inner = async |specs: Vec<TaskSpec>| {
        let caller = Caller { session: session.clone(), message: None, call: None, directory: DIR.to_owned() };
        let above = life.at.above(&caller).await?;
        assert_eq!((above.depth, above.lineage.root.as_str()), (2, rig.parent.as_str()));
        life.at.launch_below(&above, specs.into_iter().map(|spec| (life.at.task_id(), spec, None)).collect()).await
    };
    assert_eq!(inner(specs(&rig, 0..3)).await.unwrap_err().code, Code::BudgetSpent, "the task's own budget of tasks");
    inner(specs(&rig, 0..1)).await.unwrap();
    assert_eq!(inner(specs(&rig, 1..2)).await.unwrap_err().code, Code::BudgetSpent);
    life.at.budget(&rig.parent, "task tasks off").await.unwrap();
    assert_eq!(inner(specs(&rig, 1..3)).await.unwrap_err().code, Code::TreeFull);
    inner(specs(&rig, 1..2)).await.unwrap();
}
