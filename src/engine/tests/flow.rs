//! From launch to the end, when nothing goes wrong.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::rig::Rig;
use crate::{
    admission::{Limit, Limits},
    engine::options::Options,
    opencode::{
        BoxFuture, Request, Response, Transport, TransportError,
        fake::{Script, Step},
    },
    task::StateName,
};

pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn a_task_is_launched_completed_and_told_once_with_its_result() {
    let rig = Rig::new(|seen| Script::say_after(secs(2), &format!("did: {}", seen.text))).await;
    let life = rig.start().await;
    let task = rig.launch(&life, &["one"]).await[0];
    rig.all_told(&life).await;
    assert_eq!((life.state(task).await, life.result(task).await.as_str()), (StateName::Complete, "did: one"));
    assert_eq!((rig.reports().len(), rig.told(task), rig.sessions().len()), (1, 1, 1));
    assert!(rig.reports()[0].contains("did: one") && rig.reports()[0].contains("No task of this session is open"));
    rig.pass(&life, secs(30)).await;
    assert_eq!((rig.reports().len(), rig.host.model_runs()), (1, 2));
    life.close_cleanly(&rig).await;
    rig.check();
}

#[tokio::test(start_paused = true)]
async fn a_task_waits_for_those_it_depends_on_and_gets_their_results() {
    let rig = Rig::new(|seen| Script::say_after(secs(3), &format!("<{}>", seen.text))).await;
    let life = rig.start().await;
    let first = rig.launch(&life, &["first"]).await[0];
    let mut second = rig.spec(&format!("after {{{{result:{first}}}}}"));
    second.depends_on = vec![first];
    let second = life.launch(vec![second]).await[0];
    rig.pass(&life, secs(2)).await;
    assert_eq!((life.state(first).await, life.state(second).await), (StateName::Running, StateName::Pending));
    rig.end_of(&life, second).await;
    assert_eq!(life.result(second).await, "<after <first>>");
}

#[tokio::test(start_paused = true)]
async fn the_time_limit_counts_from_the_start_and_not_from_the_launch() {
    let rig =
        Rig::new(|seen| if seen.text == "hangs" { Script::hang() } else { Script::say_after(secs(50), "late") }).await;
    let life = rig.start_as(one_at_a_time(), rig.host.transport()).await;
    let mut specs: Vec<_> = ["a", "b", "hangs"].iter().map(|prompt| rig.spec(prompt)).collect();
    for spec in &mut specs {
        spec.timeout = secs(60);
    }
    let tasks = life.launch(specs).await;
    for task in &tasks {
        rig.end_of(&life, *task).await;
    }
    let states = [life.state(tasks[0]).await, life.state(tasks[1]).await];
    assert_eq!(states, [StateName::Complete, StateName::Complete]);
    let last = life.task(tasks[2]).await;
    let crate::task::TaskState::Failed { failure, ended_at } = last.state else { panic!("{:?}", last.state) };
    assert_eq!(failure.kind, crate::task::FailureKind::Timeout);
    // Nothing is left to work in vain.
    assert_eq!(rig.host.busy().iter().filter(|session| **session != rig.parent).count(), 0);
    let lasted = ended_at.since(last.created_at);
    assert!(lasted >= secs(160) && lasted < secs(163), "{lasted:?}");
}

fn one_at_a_time() -> Options {
    limited(1)
}

pub fn limited(to: u32) -> Options {
    Options {
        limits: Limits { default: Limit::hard(NonZeroU32::new(to).unwrap()), ..Limits::default() },
        ..Options::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_task_takes_its_dependants_with_it_and_its_session_stops() {
    let rig = Rig::new(|_| Script::new().then_say("half").then(Step::Hang)).await;
    let life = rig.start().await;
    let first = rig.launch(&life, &["first"]).await[0];
    let mut second = rig.spec("second");
    second.depends_on = vec![first];
    let second = life.launch(vec![second]).await[0];
    rig.until(&[&life], secs(5), "the start", async || !rig.host.busy().is_empty()).await;
    rig.pass(&life, secs(1)).await;
    let cancelled = life.at.cancel(first).await.unwrap();
    assert_eq!(cancelled.iter().map(|task| task.id).collect::<Vec<_>>(), [first, second]);
    rig.all_told(&life).await;
    assert_eq!((life.state(first).await, life.state(second).await), (StateName::Cancelled, StateName::Cancelled));
    rig.pass(&life, secs(2)).await;
    assert_eq!(life.result(first).await, "half");
    assert_eq!((rig.told(first), rig.told(second), rig.host.busy()), (1, 1, Vec::new()));
    assert_eq!(life.at.slots_held(), 0);
    life.close_cleanly(&rig).await;
    rig.check();
}

/// Breaks when it is to bring one certain prompt.
struct Breaks(Arc<dyn Transport>);

impl Transport for Breaks {
    fn request(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        let body = request.body.as_ref().map(ToString::to_string).unwrap_or_default();
        assert!(!(request.path.ends_with("prompt_async") && body.contains(r#""text":"breaks""#)), "as told");
        self.0.request(request)
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_run_than_there_are_slots_and_each_way_to_end_gives_its_slot_back() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let rig = Rig::new(|seen| match seen.text.as_str() {
        "fails" => Script::fail("APIError", "no", Some(400)),
        "hangs" | "cancelled" => Script::hang(),
        text => Script::say_after(secs(2), text),
    })
    .await;
    let life = rig.start_as(limited(2), Arc::new(Breaks(rig.host.transport()))).await;
    let prompts = ["a", "fails", "breaks", "hangs", "cancelled", "b", "c", "d"];
    let mut specs: Vec<_> = prompts.iter().map(|prompt| rig.spec(prompt)).collect();
    specs[3].timeout = secs(5);
    let tasks = life.launch(specs).await;
    let mut cancelled = false;
    rig.until(&[&life], secs(60), "the end of all", async || {
        let children = rig.host.busy().iter().filter(|session| **session != rig.parent).count();
        most.fetch_max(children, Ordering::SeqCst);
        running.store(life.at.slots_held() as usize, Ordering::SeqCst);
        assert!(running.load(Ordering::SeqCst) <= 2);
        if !cancelled && life.state(tasks[4]).await == StateName::Running {
            life.at.cancel(tasks[4]).await.unwrap();
            cancelled = true;
        }
        let mut open = 0;
        for task in &tasks {
            open += usize::from(!life.state(*task).await.is_terminal());
        }
        open == 0
    })
    .await;
    assert_eq!(most.load(Ordering::SeqCst), 2);
    rig.until(&[&life], secs(5), "that the slots are free", async || life.at.slots_held() == 0).await;
    let mut states = Vec::new();
    for task in &tasks {
        states.push(life.state(*task).await.as_str());
    }
    let expected = ["complete", "failed", "failed", "failed", "cancelled", "complete", "complete", "complete"];
    assert_eq!(states, expected);
    rig.all_told(&life).await;
    life.close(&rig).await;
    rig.check();
}
