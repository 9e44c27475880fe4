//! Runs that stand still or go round in a circle, and limits that are moved while they run.

use serde_json::json;

use super::{
    flow::{limited, secs},
    prompts::{below, session_of},
    rig::{DIR, Life, Rig},
};
use crate::{
    engine::{ops::Caller, options::Options},
    fault::Code,
    inbox::{Policy, Settings},
    opencode::{
        Reply,
        fake::{Fault, PromptSeen, Script, Step},
    },
    task::{ErrorClass, Failure, FailureKind, MAX_TIMEOUT, StateName, Task, TaskId, TaskSpec, TaskState},
};

/// How long a run may be silent in these tests.
const STALL: u64 = 5;

fn guarded() -> Options {
    Options { stall: 5, ..Options::default() }
}

fn is_nudge(seen: &PromptSeen) -> bool {
    seen.text.starts_with("<sortie-nudge>")
}

async fn start(rig: &Rig) -> Life {
    rig.start_as(guarded(), rig.host.transport()).await
}

fn failure(task: &Task) -> &Failure {
    match &task.state {
        TaskState::Failed { failure, .. } => failure,
        other => panic!("{other:?}"),
    }
}

/// How many prompts there are in the only session of a task.
fn prompts(rig: &Rig) -> usize {
    let sessions = rig.sessions();
    assert_eq!(sessions.len(), 1);
    rig.host.prompts(&sessions[0]).len()
}

#[tokio::test(start_paused = true)]
async fn a_silent_model_is_nudged_and_then_asked_again_in_the_same_session() {
    let rig = Rig::new(|seen| if is_nudge(seen) { Script::say("at last") } else { Script::hang() }).await;
    let life = start(&rig).await;
    let task = rig.launch(&life, &["x"]).await[0];
    rig.until(&[&life], secs(2 * STALL), "the nudge", async || !rig.sessions().is_empty() && prompts(&rig) == 2).await;
    // It waits behind the request that hangs.
    assert_eq!((life.state(task).await, rig.host.model_runs()), (StateName::Running, 1));
    let ended = rig.end_of(&life, task).await;
    assert_eq!((ended.state.name(), ended.attempt, prompts(&rig)), (StateName::Complete, 2, 2));
    assert_eq!(life.result(task).await, "at last");
    assert_eq!(ended.recovery.failures, [ErrorClass::Stall]);
    rig.all_told(&life).await;
    life.close_cleanly(&rig).await;
    rig.check();
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_goes_on_after_the_nudge_needs_no_other_attempt() {
    let slow = Script::new().then(Step::Wait(secs(STALL + 2))).then_say("slow");
    let rig = Rig::new(move |seen| if is_nudge(seen) { Script::say("slow, again") } else { slow.clone() }).await;
    let life = start(&rig).await;
    let task = rig.launch(&life, &["x"]).await[0];
    let ended = rig.end_of(&life, task).await;
    assert_eq!((ended.attempt, life.result(task).await.as_str()), (1, "slow, again"));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_stays_silent_fails_as_stalled_with_what_it_had() {
    for (retries, attempts) in [(0, 1), (4, 3)] {
        let rig = Rig::new(|_| Script::say("half").then(Step::Hang)).await;
        let life = start(&rig).await;
        let spec = TaskSpec { max_attempts: retries + 1, ..rig.spec("x") };
        let task = life.launch(vec![spec]).await[0];
        let ended = rig.end_of(&life, task).await;
        let failure = failure(&ended);
        assert_eq!((failure.kind, failure.class, ended.attempt), (FailureKind::Stalled, ErrorClass::Stall, attempts));
        assert!(failure.message.contains("nothing was heard of its session for 5 s"), "{}", failure.message);
        assert_eq!((life.result(task).await.as_str(), rig.sessions().len()), ("half", 1));
        rig.all_told(&life).await;
        assert!(rig.told(task) == 1 && !rig.host.busy().contains(&rig.sessions()[0]));
        // Nudged once for good.
        assert_eq!(prompts(&rig), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_guard_a_silent_run_is_left_alone() {
    let rig = Rig::new(|_| Script::hang()).await;
    let life = rig.start_as(Options { stall: 0, ..Options::default() }, rig.host.transport()).await;
    let task = rig.launch(&life, &["x"]).await[0];
    rig.pass(&life, secs(60)).await;
    assert_eq!((life.state(task).await, prompts(&rig)), (StateName::Running, 1));
}

#[tokio::test(start_paused = true)]
async fn what_thinks_works_or_waits_for_somebody_does_not_stand_still() {
    let long = secs(3 * STALL);
    for (what, step) in [
        ("pieces of an answer", Step::Think(long)),
        ("a tool at work", Step::Tool("bash".to_owned(), long)),
        ("its tasks", Step::Tool("sortie_wait".to_owned(), 4 * long)),
        ("the host's retry", Step::Retry("overloaded".to_owned(), long)),
        ("a person", Step::AskPermission("bash".to_owned(), "rm *".to_owned())),
        ("a person, unheard", Step::AskPermission("bash".to_owned(), "rm *".to_owned())),
    ] {
        let is_asked = matches!(step, Step::AskPermission(..));
        let rig = Rig::new(move |_| Script::new().then(step.clone()).then_say("done")).await;
        rig.host.silence_events(what == "a person, unheard");
        let life = start(&rig).await;
        let task = rig.launch(&life, &["x"]).await[0];
        if is_asked {
            rig.pass(&life, secs(3 * STALL + 4)).await;
            let client = rig.host.client();
            let request = client.permissions("/p").await.unwrap().remove(0);
            client.reply_permission("/p", &request.id, Reply::Once, None).await.unwrap();
        }
        let ended = rig.end_of(&life, task).await;
        assert_eq!((ended.state.name(), ended.attempt, prompts(&rig)), (StateName::Complete, 1, 1), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_never_ends_is_stopped_after_its_own_longer_bound() {
    let rig = Rig::new(|seen| match seen.asked_before {
        0 if !is_nudge(seen) => Script::new().then(Step::Tool("bash".to_owned(), secs(9_999))),
        _ => Script::say("without it"),
    })
    .await;
    let life = start(&rig).await;
    let task = rig.launch(&life, &["x"]).await[0];
    rig.pass(&life, secs(4 * STALL - 1)).await;
    assert_eq!((life.state(task).await, prompts(&rig)), (StateName::Running, 1));
    let ended = rig.end_of(&life, task).await;
    assert_eq!((ended.state.name(), ended.attempt, prompts(&rig)), (StateName::Complete, 2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_nudge_whose_answer_was_lost_is_not_said_twice() {
    let rig = Rig::new(|seen| if is_nudge(seen) { Script::say("at last") } else { Script::hang() }).await;
    let life = start(&rig).await;
    let task = rig.launch(&life, &["x"]).await[0];
    rig.until(&[&life], secs(2), "the run", async || !rig.host.busy().is_empty()).await;
    rig.host.fail_next("POST /session/{id}/prompt_async", Fault::AnswerLost);
    let ended = rig.end_of(&life, task).await;
    assert_eq!((ended.state.name(), prompts(&rig)), (StateName::Complete, 2));
    assert_eq!(life.result(task).await, "at last");
}

#[tokio::test(start_paused = true)]
async fn a_nudge_that_was_noted_before_a_crash_is_said_after_it_and_once() {
    let rig = Rig::new(|seen| if is_nudge(seen) { Script::say("at last") } else { Script::hang() }).await;
    let life = start(&rig).await;
    let task = rig.launch(&life, &["x"]).await[0];
    rig.until(&[&life], secs(2), "the run", async || !rig.host.busy().is_empty()).await;
    rig.host.fail_next("POST /session/{id}/prompt_async", Fault::Hang);
    let noted = async || !life.task(task).await.recovery.words.is_empty();
    rig.until(&[&life], secs(2 * STALL), "the note of the nudge", noted).await;
    assert_eq!(prompts(&rig), 1);
    life.close_cleanly(&rig).await;
    let life = start(&rig).await;
    let ended = rig.end_of(&life, task).await;
    assert_eq!((ended.state.name(), ended.attempt, prompts(&rig)), (StateName::Complete, 1, 2));
    rig.all_told(&life).await;
    rig.check();
}

#[tokio::test(start_paused = true)]
async fn without_events_progress_is_found_by_looking() {
    let rig = Rig::new(|_| {
        let steps = (0..6).map(|n| Step::Call("bash".to_owned(), json!({ "n": n }), Ok("ok".to_owned())));
        let script = steps.fold(Script::new(), |script, step| script.then(Step::Wait(secs(4))).then(step));
        script.then_say("done")
    })
    .await;
    rig.host.silence_events(true);
    let life = start(&rig).await;
    let task = rig.launch(&life, &["x"]).await[0];
    let ended = rig.end_of(&life, task).await;
    assert_eq!((ended.state.name(), ended.attempt, prompts(&rig)), (StateName::Complete, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn that_a_session_is_busy_is_no_progress() {
    let rig = Rig::new(|_| Script::hang()).await;
    rig.host.silence_events(true);
    let life = start(&rig).await;
    let task = life.launch(vec![TaskSpec { max_attempts: 1, ..rig.spec("x") }]).await[0];
    let ended = rig.end_of(&life, task).await;
    assert_eq!((failure(&ended).class, prompts(&rig)), (ErrorClass::Stall, 2));
    let lasted = life.at.now().since(ended.created_at);
    assert!(lasted < secs(4 * STALL), "the polls counted for {lasted:?}");
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_subagent_moves_does_not_stand_still() {
    let long = secs(6 * STALL);
    let rig = Rig::new(move |seen| match seen.text.as_str() {
        "below" => Script::new().then(Step::Think(long)).then_say("done"),
        _ => Script::new().then(Step::Tool("task".to_owned(), long)).then_say("done"),
    })
    .await;
    let life = start(&rig).await;
    let tasks = rig.launch(&life, &["x", "y"]).await;
    let session = session_of(&rig, &life, tasks[0]).await;
    below(&rig, &session, DIR, "below").await;
    for (task, asked) in [(tasks[0], 1), (tasks[1], 2)] {
        rig.end_of(&life, task).await;
        let session = life.task(task).await.session().unwrap().parse().unwrap();
        assert_eq!(rig.host.prompts(&session).len(), asked, "only the one without a subagent was nudged");
    }
}

#[tokio::test(start_paused = true)]
async fn a_nudged_agent_that_is_refused_one_thing_and_goes_on_is_nudged_no_more() {
    let ask = |what: &str| ("bash".to_owned(), what.to_owned());
    let rig = Rig::new(move |seen| match (is_nudge(seen), seen.asked_before) {
        (true, 0) => Script::new().then(Step::AskPermissions(vec![ask("one"), ask("two")])).then_say("never"),
        (true, _) => Script::say("went on"),
        _ => Script::say_after(secs(32), "slow"),
    })
    .await;
    // Longer than it takes to find that a turn was ended by a refusal.
    let permissions = Settings { policy: Policy::Deny, ..Settings::default() };
    let deny = Options { permissions, stall: 30, ..Options::default() };
    let life = rig.start_as(deny, rig.host.transport()).await;
    let task = rig.launch(&life, &["x"]).await[0];
    let ended = rig.end_of(&life, task).await;
    assert_eq!((ended.attempt, prompts(&rig), life.result(task).await.as_str()), (1, 2, "went on"));
}

fn calls(results: impl IntoIterator<Item = &'static str>) -> Script {
    let call = |result: &str| Step::Call("bash".to_owned(), json!({ "command": "make" }), Ok(result.to_owned()));
    results.into_iter().fold(Script::new(), |script, result| script.then(call(result))).then_say("done")
}

#[tokio::test(start_paused = true)]
async fn the_same_call_with_the_same_result_five_times_in_a_row_stops_the_run() {
    let rig = Rig::new(|_| calls(["same"; 9])).await;
    let life = rig.start().await;
    let task = rig.launch(&life, &["x"]).await[0];
    let ended = rig.end_of(&life, task).await;
    let failure = failure(&ended);
    assert_eq!((failure.kind, failure.class, ended.attempt), (FailureKind::Stalled, ErrorClass::Loop, 1));
    assert_eq!(failure.message, "it called `bash` 5 times in a row with the same result");
    assert!(!rig.host.busy().contains(&rig.sessions()[0]), "and its session stops");
}

#[tokio::test(start_paused = true)]
async fn calls_whose_results_differ_go_on_and_so_do_all_without_the_guard() {
    let rig = Rig::new(|seen| {
        if seen.text == "differ" { calls(["a", "a", "a", "a", "b", "a", "a", "a", "a"]) } else { calls(["same"; 9]) }
    })
    .await;
    for (prompt, repeats) in [("differ", 5), ("same", 0)] {
        let life = rig.start_as(Options { repeats, ..Options::default() }, rig.host.transport()).await;
        let task = rig.launch(&life, &[prompt]).await[0];
        let ended = rig.end_of(&life, task).await;
        assert_eq!((ended.state.name(), life.result(task).await.as_str()), (StateName::Complete, "done"), "{prompt}");
        rig.all_told(&life).await;
        life.close_cleanly(&rig).await;
    }
}

fn caller(rig: &Rig) -> Caller {
    Caller { session: rig.parent.clone(), message: None, call: None, directory: "/p".to_owned() }
}

async fn extend(life: &Life, caller: &Caller, task: TaskId, seconds: u64) -> Result<Task, Code> {
    life.at.extend(caller, life.task(task).await, secs(seconds)).await.map_err(|fault| fault.code)
}

#[tokio::test(start_paused = true)]
async fn a_running_task_that_is_given_more_time_ends_well_and_one_that_is_not_does_not() {
    let rig = Rig::new(|_| Script::say_after(secs(20), "done")).await;
    let life = rig.start().await;
    let specs = ["more", "not"].map(|name| TaskSpec { timeout: secs(10), ..rig.spec(name) });
    let tasks = life.launch(specs.into()).await;
    rig.pass(&life, secs(8)).await;
    let extended = extend(&life, &caller(&rig), tasks[0], 15).await.unwrap();
    assert_eq!(extended.limit(), secs(25));
    assert_eq!(rig.end_of(&life, tasks[0]).await.state.name(), StateName::Complete);
    let ended = life.task(tasks[1]).await;
    assert_eq!(failure(&ended).message, "no end after 10 s");
    rig.all_told(&life).await;
    rig.check();
}

#[tokio::test(start_paused = true)]
async fn more_time_is_bounded_given_by_another_process_and_told_at_the_end() {
    let rig = Rig::new(|_| Script::hang()).await;
    let (here, there) = (rig.start().await, rig.start().await);
    let spec = TaskSpec { timeout: secs(10), ..rig.spec("x") };
    let task = here.launch(vec![spec]).await[0];
    rig.until(&[&here, &there], secs(5), "the run", async || !rig.host.busy().is_empty()).await;
    extend(&there, &caller(&rig), task, 5).await.unwrap();
    for seconds in [0, MAX_TIMEOUT.as_secs(), u64::MAX] {
        assert_eq!(extend(&there, &caller(&rig), task, seconds).await.unwrap_err(), Code::BadTimeout, "{seconds}");
    }
    let over = async || here.state(task).await.is_terminal();
    rig.until(&[&here, &there], secs(20), "the end", over).await;
    assert_eq!(failure(&here.task(task).await).message, "no end after 15 s");
    assert_eq!(extend(&here, &caller(&rig), task, 5).await.unwrap_err(), Code::NotOpen);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_task_is_given_more_time_as_well_and_a_restart_keeps_it() {
    let rig = Rig::new(|_| Script::say_after(secs(20), "done")).await;
    let life = rig.start_as(limited(1), rig.host.transport()).await;
    let specs = ["first", "second"].map(|name| TaskSpec { timeout: secs(10), ..rig.spec(name) });
    let tasks = life.launch(specs.into()).await;
    rig.pass(&life, secs(2)).await;
    for task in &tasks {
        extend(&life, &caller(&rig), *task, 15).await.unwrap();
    }
    life.close_cleanly(&rig).await;
    let life = rig.start_as(limited(1), rig.host.transport()).await;
    let runs = async || life.state(tasks[0]).await == StateName::Running;
    rig.until(&[&life], secs(5), "the run", runs).await;
    let TaskState::Running { started_at, deadline, .. } = life.task(tasks[0]).await.state else { panic!("it runs") };
    assert_eq!(deadline.since(started_at), secs(25));
    for task in tasks {
        assert_eq!(rig.end_of(&life, task).await.state.name(), StateName::Complete);
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_gives_time_neither_to_itself_nor_to_a_stranger() {
    let rig = Rig::new(|_| Script::hang()).await;
    let life = rig.start().await;
    let tasks = rig.launch(&life, &["x", "y"]).await;
    rig.until(&[&life], secs(5), "the runs", async || rig.host.busy().len() == 2).await;
    let session = life.task(tasks[0]).await.session().unwrap().parse().unwrap();
    let own = Caller { session, ..caller(&rig) };
    let subagent = Caller { session: below(&rig, &own.session, DIR, "x").await, ..caller(&rig) };
    for (caller, task) in [(&own, tasks[0]), (&own, tasks[1]), (&subagent, tasks[0]), (&subagent, tasks[1])] {
        assert_eq!(extend(&life, caller, task, 60).await.unwrap_err(), Code::OwnLimit);
    }
    let mut child = rig.spec("child");
    child.parent.session = own.session.to_string().into();
    let child = life.launch(vec![child]).await[0];
    assert_eq!(extend(&life, &own, child, 60).await.unwrap().limit(), secs(660));
}
