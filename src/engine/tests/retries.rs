//! What is tried again, when, and in which session.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{
    flow::secs,
    rig::{Rig, clock},
};
use crate::{
    clock::Clock as _,
    opencode::fake::{Fault, Script, Step},
    task::{FailureKind, StateName, TaskState, Timestamp},
};

/// What a rig's model says the first times it is asked, and when it was asked.
async fn failing(times: usize, failure: Script) -> (Rig, Arc<Mutex<Vec<Timestamp>>>) {
    let (clock, asked) = (clock(), Arc::new(Mutex::new(Vec::new())));
    let (seen_at, times_asked) = (Arc::clone(&clock), Arc::clone(&asked));
    let rig = Rig::at(clock, move |_| {
        let mut asked = times_asked.lock().unwrap();
        asked.push(seen_at.now());
        if asked.len() <= times { failure.clone() } else { Script::say("at last") }
    })
    .await;
    (rig, asked)
}

fn pauses(asked: &Mutex<Vec<Timestamp>>) -> Vec<Duration> {
    let asked = asked.lock().unwrap();
    asked.windows(2).map(|pair| pair[1].since(pair[0])).collect()
}

#[tokio::test(start_paused = true)]
async fn a_failing_provider_is_asked_five_times_with_doubled_pauses_in_one_session() {
    let (rig, asked) = failing(99, Script::fail("APIError", "overloaded", Some(529))).await;
    let life = rig.start().await;
    let task = rig.launch(&life, &["x"]).await[0];
    let ended = rig.end_of(&life, task).await;
    assert!(matches!(ended.state, TaskState::Failed { .. }) && ended.attempt == 5, "{ended:?}");
    let pauses = pauses(&asked);
    assert_eq!(pauses.len(), 4);
    for (pause, at_least) in pauses.iter().zip([1, 2, 4, 8].map(secs)) {
        // A quarter of jitter, and the steps of the way.
        assert!(*pause >= at_least && *pause <= at_least * 5 / 4 + Duration::from_millis(300), "{pauses:?}");
    }
    rig.pass(&life, secs(40)).await;
    assert_eq!((asked.lock().unwrap().len(), rig.sessions().len(), rig.told(task)), (5, 1, 1));
    life.close_cleanly(&rig).await;
    rig.check();
}

#[tokio::test(start_paused = true)]
async fn what_works_at_the_second_attempt_is_complete() {
    let (rig, asked) = failing(1, Script::fail("APIError", "later", Some(429))).await;
    let life = rig.start().await;
    let task = rig.launch(&life, &["x"]).await[0];
    let ended = rig.end_of(&life, task).await;
    assert_eq!((ended.attempt, life.result(task).await.as_str()), (2, "at last"));
    assert_eq!((asked.lock().unwrap().len(), rig.sessions().len()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_as_wrong_is_not_tried_again() {
    for status in [400, 401, 403] {
        let (rig, asked) = failing(9, Script::fail("APIError", "no", Some(status))).await;
        let life = rig.start().await;
        let task = rig.launch(&life, &["x"]).await[0];
        let ended = rig.end_of(&life, task).await;
        rig.pass(&life, secs(3)).await;
        assert_eq!((ended.state.name(), asked.lock().unwrap().len()), (StateName::Failed, 1), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_permission_fails_the_task_as_denied_and_at_once() {
    let ask = Step::AskPermission("bash".to_owned(), "rm *".to_owned());
    let (rig, asked) = failing(9, Script::new().then_say("I need bash").then(ask)).await;
    let life = rig.start().await;
    let task = rig.launch(&life, &["x"]).await[0];
    let client = rig.host.client();
    rig.until(&[&life], secs(5), "the question", async || !client.permissions("/p").await.unwrap().is_empty()).await;
    let request = client.permissions("/p").await.unwrap().remove(0);
    client.reply_permission("/p", &request.id, crate::opencode::Reply::Reject, None).await.unwrap();
    let ended = rig.end_of(&life, task).await;
    let TaskState::Failed { failure, .. } = ended.state else { panic!("{:?}", ended.state) };
    assert_eq!((failure.kind, asked.lock().unwrap().len()), (FailureKind::Denied, 1));
    assert_eq!(life.result(task).await, "I need bash");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_ends_without_a_reason_for_ever_is_stopped() {
    let (rig, asked) = failing(9_999, Script::say("hm").then(Step::Finish("unknown".to_owned()))).await;
    let life = rig.start().await;
    let task = rig.launch(&life, &["x"]).await[0];
    let ended = rig.end_of(&life, task).await;
    let TaskState::Failed { failure, .. } = ended.state else { panic!("{:?}", ended.state) };
    assert_eq!(failure.kind, FailureKind::Stalled);
    rig.all_told(&life).await;
    let so_far = asked.lock().unwrap().len();
    rig.pass(&life, secs(5)).await;
    assert_eq!((asked.lock().unwrap().len(), rig.host.busy()), (so_far, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_session_is_replaced_and_its_turn_does_not_go_on() {
    let (rig, _) = failing(1, Script::hang()).await;
    let life = rig.start().await;
    let task = rig.launch(&life, &["x"]).await[0];
    rig.until(&[&life], secs(5), "the start", async || !rig.host.busy().is_empty()).await;
    let lost = rig.sessions().remove(0);
    rig.host.client().delete_session("/p", &lost).await.unwrap();
    let ended = rig.end_of(&life, task).await;
    assert_eq!((ended.state.name(), ended.attempt), (StateName::Complete, 2));
    assert!(!rig.host.busy().contains(&lost) && ended.session() != Some(lost.as_str()));
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_words_is_asked_for_again_in_a_new_session() {
    let (rig, _) = failing(1, Script::new()).await;
    let life = rig.start().await;
    let task = rig.launch(&life, &["x"]).await[0];
    let ended = rig.end_of(&life, task).await;
    assert_eq!((ended.state.name(), ended.attempt, rig.sessions().len()), (StateName::Complete, 2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_slow_to_take_the_prompt_is_not_given_up() {
    for silent in [false, true] {
        let (rig, asked) = failing(0, Script::new()).await;
        rig.host.silence_events(silent);
        rig.host.fail_next("POST /session/{id}/prompt_async", Fault::Delay(secs(20)));
        let life = rig.start().await;
        let task = rig.launch(&life, &["x"]).await[0];
        let ended = rig.end_of(&life, task).await;
        assert_eq!((ended.state.name(), ended.attempt), (StateName::Complete, 1), "silent: {silent}");
        assert_eq!((rig.sessions().len(), asked.lock().unwrap().len()), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_prompt_whose_answer_was_lost_is_not_answered_twice() {
    let (rig, asked) = failing(0, Script::new()).await;
    rig.host.fail_next("POST /session/{id}/prompt_async", Fault::AnswerLost);
    let life = rig.start().await;
    let task = rig.launch(&life, &["x"]).await[0];
    assert_eq!(rig.end_of(&life, task).await.state.name(), StateName::Complete);
    assert_eq!((rig.sessions().len(), asked.lock().unwrap().len()), (1, 1));
}
