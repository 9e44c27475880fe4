//! Telling parents: once, with everything, and not in the middle of a turn.

use super::{flow::secs, rig::Rig};
use crate::{
    engine::ops::Caller,
    opencode::{
        Prompt, SessionId,
        fake::{Fault, Script, Step},
    },
    task::{StateName, TaskId},
};

/// Puts the parent into a turn.
async fn occupy(rig: &Rig, text: &str) {
    let ids = ("msg_000000000001aaaaaaaaaaaaaa".parse().unwrap(), "prt_1".parse().unwrap());
    rig.host.client().prompt_async("/p", &rig.parent, Prompt::new(ids.0, ids.1, text)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_parent_is_not_told_in_the_middle_of_its_turn_and_at_once_after_it() {
    for silent in [false, true] {
        let rig = Rig::new(|seen| Script::say_after(secs(if seen.text == "turn" { 30 } else { 1 }), "done")).await;
        rig.host.silence_events(silent);
        let life = rig.start().await;
        occupy(&rig, "turn").await;
        let task = rig.launch(&life, &["x"]).await[0];
        rig.end_of(&life, task).await;
        rig.until(&[&life], secs(40), "the report", async || {
            let told = !rig.reports().is_empty();
            let turn = rig.host.messages(&rig.parent).iter().any(|message| message["info"]["finish"] == "stop");
            assert!(turn || !told, "told in its turn");
            told
        })
        .await;
        rig.all_told(&life).await;
        assert_eq!(rig.told(task), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn reports_to_one_parent_are_spaced_and_what_ended_meanwhile_comes_together() {
    let after = |text: &str| text.parse().unwrap_or(1);
    let rig = Rig::new(move |seen| Script::say_after(secs(after(&seen.text)), "done")).await;
    let life = rig.start().await;
    let tasks = rig.launch(&life, &["1", "3", "5", "30"]).await;
    rig.end_of(&life, tasks[2]).await;
    assert_eq!(rig.reports().len(), 1);
    rig.all_told(&life).await;
    // The first, then the two that waited for the end of the spacing, then the last, for which nothing waits.
    assert_eq!(rig.reports().len(), 3);
    assert!(tasks.iter().all(|task| rig.told(*task) == 1), "{:?}", rig.reports());
    rig.check();
}

#[tokio::test(start_paused = true)]
async fn fifty_that_end_together_are_few_reports_and_each_is_told_once() {
    let rig = Rig::new(|_| Script::say_after(secs(1), "done")).await;
    let life = rig.start_as(super::flow::limited(50), rig.host.transport()).await;
    let tasks = rig.launch(&life, &["x"; 50]).await;
    rig.all_told(&life).await;
    assert!(rig.reports().len() <= 3, "{}", rig.reports().len());
    assert!(tasks.iter().all(|task| rig.told(*task) == 1));
    rig.check();
}

#[tokio::test(start_paused = true)]
async fn more_ends_than_one_report_holds_are_told_in_several_even_without_events() {
    let rig = Rig::new(|_| Script::hang()).await;
    rig.host.silence_events(true);
    let life = rig.start_as(super::flow::limited(1), rig.host.transport()).await;
    rig.launch(&life, &["takes the only slot"]).await;
    rig.until(&[&life], secs(5), "the run", async || !rig.host.busy().is_empty()).await;
    let first = rig.launch(&life, &["waits"]).await[0];
    let mut spec = rig.spec("waits as well");
    spec.depends_on = vec![first];
    let tasks = life.launch(vec![spec; 230]).await;
    rig.pass(&life, secs(1)).await;
    // All of them end in one moment, and nothing happens after it.
    life.at.cancel(first).await.unwrap();
    let told = async || tasks.iter().all(|task| rig.told(*task) == 1);
    rig.until(&[&life], secs(30), "that all are told", told).await;
    assert_eq!(rig.reports().len(), 2);
}

/// A parent in a tool call in which it takes the end of a task; the call as it stands in the host.
async fn taken_by_call(rig: &Rig, life: &super::rig::Life, task: TaskId) -> Caller {
    let parts = || -> Option<(String, String)> {
        let message =
            rig.host.messages(&rig.parent).into_iter().find(|message| message["parts"][0]["type"] == "tool")?;
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        Some((text(&message["info"]["id"])?, text(&message["parts"][0]["callID"])?))
    };
    rig.until(&[life], secs(5), "the call", async || parts().is_some()).await;
    let (message, call) = parts().unwrap();
    let caller = Caller {
        session: SessionId::clone(&rig.parent),
        message: Some(message),
        call: Some(call),
        directory: "/p".to_owned(),
    };
    rig.until(&[life], secs(5), "the end", async || life.state(task).await == StateName::Complete).await;
    let ended = life.at.tell_by_call(&caller, vec![task]).await.unwrap();
    assert_eq!(ended.len(), 1);
    caller
}

fn with_a_call() -> impl Fn(&crate::opencode::fake::PromptSeen) -> Script {
    |seen| match seen.text.as_str() {
        "turn" => Script::new().then(Step::Tool("sortie_wait".to_owned(), secs(8))).then_say("I see"),
        _ => Script::say_after(secs(1), "done"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_that_came_with_a_calls_result_is_not_told_again() {
    let rig = Rig::new(with_a_call()).await;
    let life = rig.start().await;
    occupy(&rig, "turn").await;
    let task = rig.launch(&life, &["x"]).await[0];
    taken_by_call(&rig, &life, task).await;
    rig.all_told(&life).await;
    rig.pass(&life, secs(15)).await;
    assert_eq!(rig.reports(), [""; 0]);
    rig.check();
}

#[tokio::test(start_paused = true)]
async fn an_end_whose_call_never_completed_is_told_by_a_message() {
    let rig = Rig::new(with_a_call()).await;
    let life = rig.start().await;
    occupy(&rig, "turn").await;
    let task = rig.launch(&life, &["x"]).await[0];
    taken_by_call(&rig, &life, task).await;
    rig.host.client().abort("/p", &rig.parent).await.unwrap();
    rig.all_told(&life).await;
    assert_eq!((rig.reports().len(), rig.told(task)), (1, 1));
    rig.check();
}

#[tokio::test(start_paused = true)]
async fn a_report_whose_sending_failed_is_sent_until_it_arrives_and_then_no_more() {
    for fault in [Fault::AnswerLost, Fault::Unreachable, Fault::Status(500, "{}".to_owned())] {
        let rig = Rig::new(|_| Script::say_after(secs(1), "done")).await;
        let life = rig.start().await;
        let task = rig.launch(&life, &["x"]).await[0];
        rig.until(&[&life], secs(5), "the run", async || !rig.host.busy().is_empty()).await;
        rig.host.fail_next("POST /session/{id}/prompt_async", fault.clone());
        rig.host.fail_next("POST /session/{id}/prompt_async", fault.clone());
        rig.all_told(&life).await;
        rig.pass(&life, secs(10)).await;
        assert_eq!((rig.reports().len(), rig.told(task), rig.host.model_runs()), (1, 1, 2), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn ends_of_a_parent_that_is_gone_are_told_to_nobody_and_bother_nobody() {
    let rig = Rig::new(|_| Script::say_after(secs(1), "done")).await;
    let life = rig.start().await;
    let task = rig.launch(&life, &["x"]).await[0];
    rig.until(&[&life], secs(5), "the run", async || !rig.host.busy().is_empty()).await;
    // With its parent the host deletes the task's session as well.
    rig.host.client().delete_session("/p", &rig.parent).await.unwrap();
    rig.all_told(&life).await;
    // The last toast.
    rig.pass(&life, secs(5)).await;
    let requests = rig.host.total_requests();
    rig.pass(&life, secs(30)).await;
    assert_eq!((life.state(task).await, rig.host.total_requests()), (StateName::Failed, requests));
}
