//! Streams that are silent, hosts that hang, and processes that leave.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::mpsc;

use super::{flow::secs, rig::Rig};
use crate::{
    engine::{
        live::Live,
        monitor::Signal,
        options::Options,
        project::{Order, Running},
    },
    fault::Code,
    opencode::{
        BoxFuture, Request, Response, Transport, TransportError,
        fake::{Fault, Script, Step},
    },
    store::{Filter, Store},
    task::{StateName, TaskSpec, TaskState},
};

const STATUS: &str = "GET /session/status";

#[tokio::test(start_paused = true)]
async fn without_events_the_end_is_found_by_polls() {
    let rig = Rig::new(|_| Script::say_after(secs(20), "done")).await;
    rig.host.silence_events(true);
    let life = rig.start().await;
    let task = rig.launch(&life, &["x"]).await[0];
    let ended = rig.end_of(&life, task).await;
    assert_eq!((ended.state.name(), ended.attempt, rig.sessions().len()), (StateName::Complete, 1, 1));
    let lasted = life.at.now().since(ended.created_at);
    // At most five seconds to the first quiet poll, and two more at the shortest interval.
    assert!(lasted < secs(28), "{lasted:?}");
    assert!(rig.host.requests(STATUS) <= 16, "{}", rig.host.requests(STATUS));
}

#[tokio::test(start_paused = true)]
async fn a_busy_session_is_asked_about_every_five_seconds_at_most_and_a_silent_engine_asks_nothing() {
    let rig = Rig::new(|_| Script::say_after(secs(60), "done")).await;
    let life = rig.start().await;
    let task = rig.launch(&life, &["x"]).await[0];
    rig.end_of(&life, task).await;
    rig.all_told(&life).await;
    let asked = rig.host.requests(STATUS);
    assert!((10..=18).contains(&asked), "{asked}");
    // The last toast.
    rig.pass(&life, secs(5)).await;
    let requests = rig.host.total_requests();
    rig.pass(&life, secs(60)).await;
    assert_eq!(rig.host.total_requests(), requests);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_in_a_run_loses_nothing() {
    let rig = Rig::new(|_| Script::say_after(secs(3), "done")).await;
    let life = rig.start().await;
    let task = rig.launch(&life, &["x"]).await[0];
    rig.pass(&life, secs(1)).await;
    rig.host.silence_events(true);
    rig.pass(&life, secs(4)).await;
    rig.host.silence_events(false);
    rig.all_told(&life).await;
    assert_eq!((life.state(task).await, rig.told(task)), (StateName::Complete, 1));
}

#[tokio::test(start_paused = true)]
async fn words_that_were_said_while_the_stream_was_broken_are_in_the_result() {
    let rig = Rig::new(|_| {
        let said = Script::new().then(Step::Wait(secs(2))).then_say("first").then(Step::Wait(secs(2)));
        said.then_say("second").then(Step::Wait(secs(2)))
    })
    .await;
    let life = rig.start().await;
    let task = rig.launch(&life, &["x"]).await[0];
    rig.pass(&life, secs(3)).await;
    rig.host.silence_events(true);
    life.engine.stream_changed(false);
    rig.pass(&life, secs(2)).await;
    rig.host.silence_events(false);
    life.engine.stream_changed(true);
    rig.end_of(&life, task).await;
    assert_eq!((life.result(task).await.as_str(), rig.sessions().len()), ("first\n\nsecond", 1));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_cancelled_while_its_session_is_made_leaves_no_session() {
    for (fault, left) in [(Fault::Delay(secs(2)), 0), (Fault::Hang, 0)] {
        let rig = Rig::new(|_| Script::hang()).await;
        rig.host.fail_next("POST /session", fault);
        let life = rig.start().await;
        let task = rig.launch(&life, &["x"]).await[0];
        rig.until(&[&life], secs(5), "the request", async || rig.host.requests("POST /session") == 2).await;
        life.at.cancel(task).await.unwrap();
        rig.until(&[&life], secs(5), "that the slot is free", async || life.at.slots_held() == 0).await;
        assert_eq!((rig.sessions().len(), rig.host.busy().len()), (left, 0));
        rig.all_told(&life).await;
        assert_eq!(rig.told(task), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn leaving_at_any_moment_of_a_start_leaves_no_run_behind() {
    for moment in 0..24 {
        let rig = Rig::new(|_| Script::hang()).await;
        let life = rig.start().await;
        rig.pass(&life, secs(1)).await;
        let task = rig.launch(&life, &["x"]).await[0];
        for _ in 0..moment {
            // The store answers from a thread of its own.
            std::thread::sleep(std::time::Duration::from_micros(300));
            tokio::task::yield_now().await;
        }
        life.close_cleanly(&rig).await;
        assert_eq!(rig.host.busy(), [], "left at moment {moment}");
        let left = rig.open_store().tasks(&crate::task::ProjectKey::new("/p"), &Filter::default()).unwrap();
        assert_eq!((left.len(), left[0].id, left[0].state.name()), (1, task, StateName::Pending), "{moment}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_interrupted_and_claimed_again_at_once_is_still_heard() {
    let rig =
        Rig::new(|seen| if seen.asked_before == 0 { Script::hang() } else { Script::say_after(secs(1), "again") })
            .await;
    let life = rig.start().await;
    let task = rig.launch(&life, &["x"]).await[0];
    rig.until(&[&life], secs(5), "the run", async || !rig.host.busy().is_empty()).await;
    rig.pass(&life, secs(1)).await;
    assert!(life.at.interrupt(task));
    let done = async || life.state(task).await == StateName::Complete;
    rig.until(&[&life], secs(4), "the end of the second run", done).await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_the_host_does_not_know_is_named_and_never_replaced() {
    let rig = Rig::new(|_| Script::say("done")).await;
    let life = rig.start().await;
    let spec = TaskSpec { agent: "nobody".into(), max_attempts: 3, ..rig.spec("x") };
    let task = life.launch(vec![spec]).await[0];
    let failed = rig.end_of(&life, task).await;
    let TaskState::Failed { failure, .. } = &failed.state else { panic!("{:?}", failed.state) };
    assert_eq!(
        (failed.attempt, failure.message.as_str()),
        (1, "its agent is `nobody`; OpenCode knows build, general, plan, planner, reviewer, worker")
    );
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_old_runner_takes_nothing_from_the_tasks_new_one() {
    let rig = Rig::new(|_| Script::say("done")).await;
    let life = rig.start().await;
    let (project, task) = (&life.at.project, life.at.task_id());
    let enrol = || {
        let (orders, heard) = mpsc::unbounded_channel();
        let shown = Arc::new(Live::default());
        project.enrol(
            task,
            Running {
                parent: "ses_parent".into(),
                orders,
                directory: "/p".into(),
                live: Arc::clone(&shown),
                label: "x".into(),
                agent: "build".into(),
                mission: None,
            },
        );
        project.route(rig.parent.clone(), task);
        (shown, heard)
    };
    let ((old, _), (new, mut heard)) = (enrol(), enrol());
    project.dismiss(task, &old);
    project.signal(&rig.parent, || Signal::Idle);
    assert!(matches!(heard.try_recv(), Ok(Order::Signal(Signal::Idle))));
    project.dismiss(task, &new);
    assert!(!project.order(task, Order::Stop) && project.routes().is_empty());
}

/// Breaks over the first report.
struct BreaksOnce(Arc<dyn Transport>, AtomicBool);

impl Transport for BreaksOnce {
    fn request(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        let body = request.body.as_ref().map(ToString::to_string).unwrap_or_default();
        assert!(!body.contains("<sortie-report>") || self.1.swap(true, Ordering::SeqCst), "as told");
        self.0.request(request)
    }
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_panics_begins_again() {
    let rig = Rig::new(|_| Script::say("done")).await;
    let transport = Arc::new(BreaksOnce(rig.host.transport(), AtomicBool::new(false)));
    let life = rig.start_as(Options::default(), transport).await;
    let task = rig.launch(&life, &["x"]).await[0];
    rig.all_told(&life).await;
    assert_eq!(rig.told(task), 1);
    life.close_cleanly(&rig).await;
    rig.check();
}

#[tokio::test(start_paused = true)]
async fn leaving_stops_the_runs_and_the_next_process_goes_on_in_the_same_sessions() {
    let rig = Rig::new(|seen| if seen.asked_before == 0 { Script::hang() } else { Script::say("resumed") }).await;
    let life = rig.start().await;
    let task = rig.launch(&life, &["x"]).await[0];
    rig.until(&[&life], secs(5), "the run", async || !rig.host.busy().is_empty()).await;
    life.close_cleanly(&rig).await;
    assert_eq!(rig.host.busy(), []);
    let life = rig.start().await;
    let ended = rig.end_of(&life, task).await;
    rig.all_told(&life).await;
    assert_eq!((ended.state.name(), ended.attempt, ended.interruptions), (StateName::Complete, 1, 1));
    assert_eq!((rig.sessions().len(), rig.told(task)), (1, 1));
    rig.check();
}

#[tokio::test(start_paused = true)]
async fn a_host_that_hangs_does_not_hold_up_the_closing() {
    let rig = Rig::new(|_| Script::hang()).await;
    let life = rig.start().await;
    rig.launch(&life, &["x", "y"]).await;
    rig.until(&[&life], secs(5), "the runs", async || rig.host.busy().len() == 2).await;
    for endpoint in ["POST /session/{id}/abort", "GET /session/{id}/children", "POST /session", STATUS] {
        for _ in 0..9 {
            rig.host.fail_next(endpoint, Fault::Hang);
        }
    }
    // One that is in the middle of making its session.
    rig.launch(&life, &["z"]).await;
    rig.pass(&life, secs(1)).await;
    let before = rig.clock.0.load(Ordering::SeqCst);
    life.close(&rig).await;
    let took = rig.clock.0.load(Ordering::SeqCst) - before;
    assert!(took < 6_000, "{took} ms");
}

#[tokio::test(start_paused = true)]
async fn a_run_in_a_hung_host_ends_with_its_time_limit() {
    let rig = Rig::new(|_| Script::hang()).await;
    rig.host.fail_next("POST /session", Fault::Hang);
    rig.host.fail_next("POST /session/{id}/abort", Fault::Hang);
    let life = rig.start().await;
    let mut specs = vec![rig.spec("makes none"), rig.spec("never answers")];
    for spec in &mut specs {
        spec.timeout = secs(10);
    }
    for task in life.launch(specs).await {
        let ended = rig.end_of(&life, task).await;
        assert!(format!("{:?}", ended.state).contains("Timeout"), "{:?}", ended.state);
        assert!(life.at.now().since(ended.created_at) < secs(15));
    }
    rig.until(&[&life], secs(5), "that the slots are free", async || life.at.slots_held() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn follow_ups_in_one_session_all_end_and_are_bounded() {
    let rig = Rig::new(|_| Script::new().then(Step::Wait(secs(2))).then_say("done")).await;
    let life = rig.start().await;
    let first = rig.launch(&life, &["x"]).await[0];
    let first = rig.end_of(&life, first).await;
    let caller = crate::engine::ops::Caller {
        session: rig.parent.clone(),
        message: None,
        call: None,
        directory: "/p".to_owned(),
    };
    let above = life.at.above(&caller).await.unwrap();
    let mut both = Vec::new();
    for text in ["and now this", "and that"] {
        match life.at.send(&caller, first.clone(), text.to_owned(), &above).await.unwrap() {
            crate::engine::ops::Sent::Continued(task) => both.push(task.id),
            other @ crate::engine::ops::Sent::Joined(_) => panic!("{other:?}"),
        }
    }
    for task in &both {
        let ended = rig.end_of(&life, *task).await;
        assert_eq!((ended.state.name(), life.at.now().since(ended.created_at) < secs(20)), (StateName::Complete, true));
    }
    // The bound on them holds for the two as well.
    for _ in both.len()..10 {
        life.at.send(&caller, first.clone(), "more".to_owned(), &above).await.unwrap();
    }
    let full = life.at.send(&caller, first.clone(), "too much".to_owned(), &above).await.unwrap_err();
    assert_eq!(full.code, Code::SessionFull);
    rig.all_told(&life).await;
    assert_eq!(rig.sessions().len(), 1);
}
