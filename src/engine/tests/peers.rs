//! Several processes on one home.

use super::{
    flow::{limited, secs},
    rig::{Rig, runtime},
};
use crate::{opencode::fake::Script, task::StateName};

#[test]
fn a_living_process_keeps_its_tasks_and_a_dead_ones_are_taken_over() {
    let (first, second) = (runtime(), runtime());
    let (rig, life, tasks) = first.block_on(async {
        let rig = Rig::new(|seen| if seen.asked_before == 0 { Script::hang() } else { Script::say("resumed") }).await;
        let life = rig.start_as(limited(1), rig.host.transport()).await;
        let tasks = rig.launch(&life, &["runs", "waits"]).await;
        rig.until(&[&life], secs(5), "the run", async || !rig.host.busy().is_empty()).await;
        (rig, life, tasks)
    });
    let other = second.block_on(async {
        let other = rig.start().await;
        // It has free slots, and lets the other's tasks wait all the same.
        rig.pass(&other, secs(10)).await;
        assert_eq!(other.state(tasks[0]).await, StateName::Running);
        assert_eq!(other.state(tasks[1]).await, StateName::Pending);
        assert_eq!(rig.host.model_runs(), 1);
        other
    });
    drop(life);
    drop(first);
    rig.host.crash();
    second.block_on(async {
        rig.until(&[&other], secs(5), "the taking over", async || rig.host.model_runs() > 1).await;
        // The second one was never asked: it hangs the first time.
        rig.end_of(&other, tasks[0]).await;
        assert_eq!(other.result(tasks[0]).await, "resumed");
        other.at.cancel(tasks[1]).await.unwrap();
        rig.all_told(&other).await;
    });
    assert_eq!(tasks.iter().map(|task| rig.told(*task)).collect::<Vec<_>>(), [1, 1]);
    drop(other);
    drop(second);
    rig.check();
}

#[tokio::test(start_paused = true)]
async fn what_one_process_writes_is_heeded_by_the_other() {
    let rig =
        Rig::new(|seen| if seen.text == "hangs" { Script::hang() } else { Script::say_after(secs(5), "done") }).await;
    let here = rig.start().await;
    let there = rig.start().await;
    let hangs = rig.launch(&here, &["hangs"]).await[0];
    let awaited = rig.launch(&there, &["awaited"]).await[0];
    let mut spec = rig.spec("waits");
    spec.depends_on = vec![awaited];
    let waits = here.launch(vec![spec]).await[0];
    rig.until(&[&here, &there], secs(5), "the runs", async || rig.host.busy().len() == 2).await;
    there.at.cancel(hangs).await.unwrap();
    let stopped = async || here.at.slots_held() == 0 && rig.host.busy().len() <= 1;
    rig.until(&[&here, &there], secs(4), "the stop of a run that was cancelled elsewhere", stopped).await;
    let done = async || here.state(waits).await == StateName::Complete;
    rig.until(&[&here, &there], secs(30), "the start after a task of another process", done).await;
    let told = async || [hangs, awaited, waits].iter().all(|task| rig.told(*task) == 1);
    rig.until(&[&here, &there], secs(60), "that all is told", told).await;
}
