//! What follows each class of error: compaction, continuation, another model.

use std::sync::{Arc, Mutex};

use super::{
    flow::secs,
    rig::{Life, Rig},
};
use crate::{
    engine::options::Options,
    fault::Code,
    opencode::fake::{PromptSeen, Script, Step},
    task::{ErrorClass, StateName, Task, TaskState},
};

const SUMMARIZE: &str = "POST /session/{id}/summarize";

fn class(task: &Task) -> ErrorClass {
    match &task.state {
        TaskState::Failed { failure, .. } => failure.class,
        other => panic!("{other:?}"),
    }
}

fn overflow() -> Script {
    Script::fail("ContextOverflowError", "too long", None)
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_too_long_is_compacted_and_goes_on_with_its_task() {
    let rig =
        Rig::new(|seen| if seen.text == "the task" { overflow() } else { Script::say(&format!("<{}>", seen.text)) })
            .await;
    let life = rig.start().await;
    let task = rig.launch(&life, &["the task"]).await[0];
    let ended = rig.end_of(&life, task).await;
    let result = life.result(task).await;
    assert!(result.starts_with("<This session had grown too long") && result.ends_with("\n\nthe task>"), "{result}");
    assert_eq!((ended.attempt, rig.sessions().len(), rig.host.requests(SUMMARIZE)), (2, 1, 1));
    rig.all_told(&life).await;
    rig.check();
}

#[tokio::test(start_paused = true)]
async fn a_session_that_stays_too_long_is_given_up_after_two_compactions() {
    let rig = Rig::new(|_| overflow()).await;
    let life = rig.start().await;
    let task = rig.launch(&life, &["x"]).await[0];
    let ended = rig.end_of(&life, task).await;
    assert_eq!((class(&ended), ended.attempt), (ErrorClass::ContextOverflow, 3));
    assert_eq!((rig.host.requests(SUMMARIZE), rig.sessions().len()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_cut_off_goes_on_where_it_stopped_and_is_one_result() {
    let rig = Rig::new(|seen| {
        if seen.text == "x" { Script::say("lo").then(Step::Finish("length".to_owned())) } else { Script::say("ng") }
    })
    .await;
    let life = rig.start().await;
    let task = rig.launch(&life, &["x"]).await[0];
    let ended = rig.end_of(&life, task).await;
    assert_eq!((ended.state.name(), ended.attempt, rig.sessions().len()), (StateName::Complete, 2, 1));
    assert_eq!(life.result(task).await, "long");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_stays_cut_off_counts_as_it_is() {
    let rig = Rig::new(|_| Script::say("lo").then(Step::Finish("length".to_owned()))).await;
    let life = rig.start().await;
    let task = rig.launch(&life, &["x"]).await[0];
    let ended = rig.end_of(&life, task).await;
    assert_eq!((ended.state.name(), ended.attempt, rig.sessions().len()), (StateName::Complete, 3, 1));
    assert_eq!(life.result(task).await, "lololo");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_read_is_given_up_after_two_more() {
    let (rig, asked) = models(|_| Script::fail("UnknownError", "JSON parsing failed: Text: x", None)).await;
    let life = rig.start().await;
    let task = rig.launch(&life, &["x"]).await[0];
    let ended = rig.end_of(&life, task).await;
    assert_eq!((class(&ended), ended.attempt, names(&asked).len()), (ErrorClass::Parse, 3, 3));
    assert_eq!(ended.recovery.failures, [ErrorClass::Parse; 2]);
}

#[tokio::test(start_paused = true)]
async fn what_the_filter_blocks_is_not_tried_again() {
    let (rig, asked) = models(|_| Script::fail("ContentFilterError", "blocked", None)).await;
    let life = rig.start_as(chain(), rig.host.transport()).await;
    let task = rig.launch(&life, &["x"]).await[0];
    let ended = rig.end_of(&life, task).await;
    assert_eq!((class(&ended), ended.attempt, names(&asked).len()), (ErrorClass::Refused, 1, 1));
}

/// Two models that take over from the host's own.
fn chain() -> Options {
    Options::parse(r#"{"fallback": {"default": ["fake/model", "fake/second", "fake/third"]}}"#).unwrap()
}

type Asked = Arc<Mutex<Vec<String>>>;

/// A rig whose models answer by their names, and which were asked.
async fn models(answer: impl Fn(&str) -> Script + Send + Sync + 'static) -> (Rig, Asked) {
    let asked = Asked::default();
    let note = Arc::clone(&asked);
    let rig = Rig::new(move |seen: &PromptSeen| {
        let model = seen.model.as_ref().map(|model| model.model_id.clone()).unwrap_or_default();
        note.lock().unwrap().push(model.clone());
        answer(&model)
    })
    .await;
    (rig, asked)
}

fn names(asked: &Asked) -> Vec<String> {
    asked.lock().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn the_next_model_takes_over_at_once_and_in_the_same_session() {
    for (message, status) in [("slow down", 429), ("insufficient_quota", 429), ("pay", 402), ("who", 401), ("no", 500)]
    {
        let (rig, asked) = models(move |model| match model {
            "model" => Script::fail("APIError", message, Some(status)),
            model => Script::say(model),
        })
        .await;
        let life = rig.start_as(chain(), rig.host.transport()).await;
        let task = rig.launch(&life, &["x"]).await[0];
        let ended = rig.end_of(&life, task).await;
        assert_eq!((ended.state.name(), ended.attempt, rig.sessions().len()), (StateName::Complete, 2, 1), "{status}");
        assert_eq!(
            (names(&asked), life.result(task).await.as_str()),
            (vec!["model".into(), "second".into()], "second")
        );
        assert_eq!(rig.host.prompts(&rig.sessions()[0]).len(), 1, "the same prompt, for another model");
        let lasted = life.at.now().since(ended.created_at);
        assert!(lasted < secs(1), "there is nothing to wait for: {lasted:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_parks_the_host_is_not_waited_for_where_another_model_can_go_on() {
    for (options, pause, expected) in
        [(chain(), 100, &["model", "second"][..]), (chain(), 50, &["model"]), (Options::default(), 100, &["model"])]
    {
        let (rig, asked) = models(move |model| match model {
            "model" => Script::new().then(Step::Retry("come back".to_owned(), secs(pause))).then_say(model),
            _ => Script::say(model),
        })
        .await;
        let life = rig.start_as(options, rig.host.transport()).await;
        let task = rig.launch(&life, &["x"]).await[0];
        let ended = rig.end_of(&life, task).await;
        assert_eq!(
            (ended.state.name(), names(&asked)),
            (StateName::Complete, expected.iter().map(|&name| name.into()).collect())
        );
        assert_eq!(life.result(task).await, expected[expected.len() - 1]);
        let sessions = rig.sessions();
        assert!(sessions.len() == 1 && !rig.host.busy().contains(&sessions[0]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_chain_is_walked_to_its_end_and_no_further() {
    let (rig, asked) = models(|_| Script::fail("APIError", "who", Some(401))).await;
    let life = rig.start_as(chain(), rig.host.transport()).await;
    let task = rig.launch(&life, &["x"]).await[0];
    let ended = rig.end_of(&life, task).await;
    assert_eq!(
        (class(&ended), names(&asked)),
        (ErrorClass::Auth, ["model", "second", "third"].map(str::to_owned).into())
    );
    assert_eq!(rig.sessions().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_restart_goes_on_with_the_model_that_took_over() {
    let (rig, asked) = models(|model| match model {
        "model" => Script::fail("APIError", "slow down", Some(429)),
        _ => Script::say_after(secs(4), "done"),
    })
    .await;
    let life = rig.start_as(chain(), rig.host.transport()).await;
    let task = rig.launch(&life, &["x"]).await[0];
    rig.until(&[&life], secs(5), "the second model", async || names(&asked).len() == 2).await;
    life.close_cleanly(&rig).await;
    // Also where the option is gone meanwhile.
    let life: Life = rig.start().await;
    let ended = rig.end_of(&life, task).await;
    assert_eq!((ended.state.name(), ended.attempt, ended.interruptions), (StateName::Complete, 2, 1));
    assert_eq!(names(&asked), ["model", "second", "second"]);
    rig.all_told(&life).await;
    rig.check();
}

#[tokio::test(start_paused = true)]
async fn a_model_of_a_chain_that_the_host_does_not_know_is_refused_by_name() {
    let rig = Rig::new(|_| Script::say("done")).await;
    let options = Options::parse(r#"{"fallback": {"build": ["fake/second", "fake/gone"]}}"#).unwrap();
    let life = rig.start_as(options, rig.host.transport()).await;
    let fault = life.at.check_fallback(["plan", "build"]).await.unwrap_err();
    let expected = "option `fallback.build[1]`: `fake/gone` is no model of OpenCode's, which has fake/model, \
                    fake/second, fake/third";
    assert_eq!((fault.code, fault.message.as_str()), (Code::BadOptions, expected));
    assert!(life.at.check_fallback(["plan"]).await.is_ok());
    // What comes another way than by the tool is refused before it is begun.
    let task = rig.launch(&life, &["x"]).await[0];
    let ended = rig.end_of(&life, task).await;
    let TaskState::Failed { failure, .. } = &ended.state else { panic!("{:?}", ended.state) };
    assert_eq!((failure.class, failure.message.as_str(), rig.sessions().len()), (ErrorClass::Invalid, expected, 0));
}
