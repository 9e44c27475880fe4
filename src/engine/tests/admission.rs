//! Limits and providers over several processes.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    flow::{limited, secs},
    rig::Rig,
};
use crate::{
    admission::Limits,
    engine::{dispatcher, options::Options},
    opencode::fake::{Script, Step},
    store::fixture::each,
    task::{InstanceId, ModelChoice, ProjectKey, StateName, Task, TaskSpec, Timestamp},
};

fn on_provider(rig: &Rig, prompt: &str) -> TaskSpec {
    let model = ModelChoice { provider: "p".into(), model: "m".into(), variant: None };
    TaskSpec { model: Some(model), ..rig.spec(prompt) }
}

#[tokio::test(start_paused = true)]
async fn two_processes_share_a_limit_and_the_one_that_waits_says_why() {
    let rig = Rig::new(|_| Script::say_after(secs(20), "done")).await;
    let here = rig.start_as(limited(1), rig.host.transport()).await;
    let there = rig.start_as(limited(1), rig.host.transport()).await;
    let first = rig.launch(&here, &["first"]).await[0];
    rig.until(&[&here, &there], secs(5), "the first run", async || rig.host.busy().len() == 1).await;
    let second = rig.launch(&there, &["second"]).await[0];
    rig.pass(&there, secs(1)).await;
    let third = rig.launch(&here, &["third"]).await[0];
    for _ in 0..100 {
        rig.step(&[&here, &there], std::time::Duration::from_millis(50)).await;
        assert_eq!(rig.host.busy().len(), 1);
    }
    assert_eq!(there.at.waits(&there.task(second).await).as_deref(), Some("build 1/1"));
    let most = AtomicUsize::new(0);
    let is_next = async || {
        most.fetch_max(rig.host.busy().iter().filter(|session| **session != rig.parent).count(), Ordering::SeqCst);
        there.state(second).await == StateName::Complete
    };
    // It has waited for longer than the other process's next one, and goes first.
    rig.until(&[&here, &there], secs(60), "the second end", is_next).await;
    assert_ne!(here.state(third).await, StateName::Complete);
    let told = async || [first, second, third].iter().all(|task| rig.told(*task) == 1);
    rig.until(&[&here, &there], secs(90), "that all is told", told).await;
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn what_ran_in_a_dead_process_of_another_project_holds_no_slot() {
    let rig = Rig::new(|_| Script::say_after(secs(5), "done")).await;
    let limits = Limits { total: NonZeroU32::MIN, ..Limits::default() };
    let life = rig.start_as(Options { limits, ..Options::default() }, rig.host.transport()).await;
    let dead = InstanceId::new(Timestamp(1), &[7; 10]);
    let elsewhere = ProjectKey::new("/elsewhere");
    let spec = TaskSpec { project: elsewhere.clone(), ..rig.spec("left behind") };
    let left = Task::new(life.at.task_id(), spec, dead, life.at.now());
    let core = Arc::clone(&life.at.project.core);
    let claimed = life.at.project.store(move |store| {
        store.launch(&[left])?;
        let run = core.new_run(None);
        store.claim(&elsewhere, dead, core.clock.now(), &mut each(|_| Some(run.clone())))
    });
    assert_eq!(claimed.await.unwrap().len(), 1);
    let shown = life.at.limits("").await.unwrap();
    assert!(shown.contains(&format!("{:32}0/1", "total")), "{shown}");
    let task = rig.launch(&life, &["starts"]).await[0];
    rig.pass(&life, secs(1)).await;
    assert_eq!(life.state(task).await, StateName::Running);
    rig.end_of(&life, task).await;
    assert_eq!(life.state(task).await, StateName::Complete);
}

#[tokio::test(start_paused = true)]
async fn what_a_close_has_interrupted_is_not_claimed_again_before_it_is_over() {
    let rig = Rig::new(|_| Script::hang()).await;
    let life = rig.start().await;
    let project = &life.at.project;
    project.stop.cancel();
    let task = rig.launch(&life, &["interrupted"]).await[0];
    let before = life.task(task).await;
    dispatcher::start_runnable(project).await.unwrap();
    assert_eq!(life.task(task).await, before);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_asks_for_patience_gets_it_and_is_tried_by_one() {
    let refusals = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&refusals);
    let rig = Rig::new(move |_| {
        // The first two that are asked are refused, and whoever tries it out first as well.
        if seen.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| (n < 3).then_some(n + 1)).is_ok() {
            return Script::new().then(Step::Retry("429: slow down".to_owned(), secs(3))).then_say("never");
        }
        Script::say_after(secs(5), "done")
    })
    .await;
    let life = rig.start_as(limited(2), rig.host.transport()).await;
    let specs = ["a", "b", "c", "d"].map(|prompt| on_provider(&rig, prompt)).to_vec();
    let tasks = life.launch(specs).await;
    rig.until(&[&life], secs(5), "the refusals", async || refusals.load(Ordering::SeqCst) == 2).await;
    let waits = async || {
        let reason = life.at.waits(&life.task(tasks[2]).await);
        reason.is_some_and(|reason| reason.starts_with("p rate limit until "))
    };
    rig.until(&[&life], secs(5), "the reason", waits).await;
    let busy = || rig.host.busy().iter().filter(|session| **session != rig.parent).count();
    rig.until(&[&life], secs(5), "the yielding", async || busy() == 0).await;
    // One tries it out, is refused, and the pause doubles; then the next one, and after its answer all.
    rig.until(&[&life], secs(10), "the trial", async || refusals.load(Ordering::SeqCst) == 3).await;
    let runs = rig.host.model_runs();
    assert_eq!(runs, 3, "one trial only");
    rig.all_told(&life).await;
    for task in &tasks {
        let task = life.task(*task).await;
        // To wait for a provider is no failure: it is the same attempt, in the same session.
        assert_eq!((task.state.name(), task.attempt), (StateName::Complete, 1));
    }
    // The reports ask the model, too.
    assert_eq!((rig.sessions().len(), rig.host.model_runs() - rig.reports().len()), (4, 7));
    life.close_cleanly(&rig).await;
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_used_up_is_waited_for() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let rig = Rig::new(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Script::fail("APIError", "pay", Some(402)),
        _ => Script::say("done"),
    })
    .await;
    let life = rig.start_as(limited(1), rig.host.transport()).await;
    let tasks = life.launch(["a", "b"].map(|prompt| on_provider(&rig, prompt)).to_vec()).await;
    let waits = async |at: usize| life.at.waits(&life.task(tasks[at]).await).unwrap_or_default();
    rig.until(&[&life], secs(5), "the wait", async || waits(0).await.starts_with("p says: pay (")).await;
    rig.until(&[&life], secs(5), "the other's", async || waits(1).await.starts_with("p quota until ")).await;
    assert_eq!(asked.load(Ordering::SeqCst), 1, "nobody else asks");
    for task in tasks {
        let ended = rig.end_of(&life, task).await;
        assert_eq!((ended.state.name(), ended.attempt), (StateName::Complete, 1));
        let lasted = life.at.now().since(ended.created_at);
        assert!(lasted >= secs(60), "{lasted:?}");
    }
    assert_eq!(rig.sessions().len(), 2);
    life.close_cleanly(&rig).await;
}

#[tokio::test(start_paused = true)]
async fn cancellations_say_nothing_against_a_provider() {
    let rig = Rig::new(|seen| Script::say_after(secs(if seen.text == "last" { 1 } else { 60 }), "done")).await;
    let life = rig.start_as(limited(6), rig.host.transport()).await;
    let tasks = life.launch(["a", "b", "c", "d", "e", "f"].map(|prompt| on_provider(&rig, prompt)).to_vec()).await;
    rig.until(&[&life], secs(5), "all to run", async || rig.sessions().len() == 6 && rig.host.busy().len() >= 6).await;
    for task in tasks {
        life.at.cancel(task).await.unwrap();
    }
    rig.until(&[&life], secs(5), "the slots", async || life.at.slots_held() == 0).await;
    let text = life.at.limits("").await.unwrap();
    assert!(!text.contains("circuit") && !text.contains("scaled"), "{text}");
    let last = life.launch(vec![on_provider(&rig, "last")]).await[0];
    let ended = rig.end_of(&life, last).await;
    assert_eq!(ended.state.name(), StateName::Complete);
    assert!(life.at.now().since(ended.created_at) < secs(3));
}
