//! The fake host does what the real one was seen to do.

use std::time::Duration;

use super::*;
use crate::opencode::{Envelope, Event, Finish, MessageInfo, NewSession, Prompt, Reply, SessionStatus};

const DIR: &str = "/p";

fn prompt(number: u32, text: &str) -> Prompt {
    Prompt::new(format!("msg_{number}").parse().unwrap(), format!("prt_{number}").parse().unwrap(), text)
}

async fn session(host: &FakeHost) -> SessionId {
    host.client().create_session(DIR, NewSession::default()).await.unwrap().id
}

/// The events up to and with the first session.idle, in short.
async fn until_idle(events: &mut mpsc::UnboundedReceiver<String>) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        let Some(envelope) = Envelope::parse(&events.recv().await.unwrap()).unwrap() else { continue };
        let short = match envelope.event {
            Event::SessionStatus { status: SessionStatus::Idle, .. } => "status idle".to_owned(),
            Event::SessionStatus { status: SessionStatus::Busy, .. } => "status busy".to_owned(),
            Event::SessionStatus { status: SessionStatus::Retry { .. }, .. } => "status retry".to_owned(),
            Event::SessionIdle { .. } => {
                seen.push("idle".to_owned());
                return seen;
            }
            Event::SessionError { error, .. } => error.name,
            Event::MessageUpdated(info) => match *info {
                MessageInfo::User(_) => "user".to_owned(),
                MessageInfo::Assistant(info) => {
                    format!("answer {:?} {}", info.finish.as_ref().map(Finish::to_string), info.completed)
                }
            },
            Event::PartUpdated(_) => "part".to_owned(),
            Event::PermissionAsked(_) => "asked".to_owned(),
            _ => continue,
        };
        seen.push(short);
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_is_told_in_the_hosts_order_and_sent_again_does_nothing() {
    let host = FakeHost::new(|seen| Script::say_after(Duration::from_secs(1), &format!("to {}", seen.text)));
    let mut events = host.subscribe();
    let (client, id) = (host.client(), session(&host).await);
    client.prompt_async(DIR, &id, prompt(1, "hi")).await.unwrap();
    assert_eq!(client.session_status(DIR).await.unwrap()[&id], SessionStatus::Busy);
    client.prompt_async(DIR, &id, prompt(1, "hi")).await.unwrap();
    let told = until_idle(&mut events).await;
    assert_eq!(told.iter().filter(|each| *each == "part").count(), 4);
    let end = [r#"answer Some("stop") false"#, r#"answer Some("stop") true"#, "status idle", "idle"];
    assert_eq!(told[told.len() - 4..], end);
    client.prompt_async(DIR, &id, prompt(1, "hi")).await.unwrap();
    assert!(client.session_status(DIR).await.unwrap().is_empty());
    let messages = client.messages(DIR, &id, None).await.unwrap();
    assert_eq!((messages.len(), messages[0].parts.len(), host.model_runs()), (2, 1, 1));
    assert_eq!(client.session(DIR, &id).await.unwrap().tokens.output, 5);
    // After a later prompt, the same id is answered again: the host's surprise.
    client.prompt_async(DIR, &id, prompt(2, "more")).await.unwrap();
    until_idle(&mut events).await;
    client.prompt_async(DIR, &id, prompt(1, "hi")).await.unwrap();
    until_idle(&mut events).await;
    assert_eq!(host.model_runs(), 3);
}

#[tokio::test(start_paused = true)]
async fn two_prompts_at_once_get_one_answer_of_the_later() {
    let host = FakeHost::new(|seen| Script::say(&seen.text));
    let mut events = host.subscribe();
    let (client, id) = (host.client(), session(&host).await);
    client.prompt_async(DIR, &id, prompt(1, "a")).await.unwrap();
    client.prompt_async(DIR, &id, prompt(2, "b")).await.unwrap();
    until_idle(&mut events).await;
    assert_eq!((host.model_runs(), host.prompts(&id).len()), (1, 2));
    assert_eq!(host.messages(&id).last().unwrap()["info"]["parentID"], "msg_2");
}

#[tokio::test(start_paused = true)]
async fn an_error_and_an_abort_are_idle_twice() {
    let host = FakeHost::new(|seen| match seen.text.as_str() {
        "fail" if seen.asked_before == 0 => Script::fail("APIError", "bad", Some(400)),
        "retry" => Script::new().then(Step::Retry("slow".to_owned(), Duration::from_secs(9))).then_say("late"),
        "hang" => Script::hang(),
        _ => Script::say("ok"),
    });
    let mut events = host.subscribe();
    let (client, id) = (host.client(), session(&host).await);
    client.prompt_async(DIR, &id, prompt(1, "fail")).await.unwrap();
    let told = until_idle(&mut events).await;
    assert_eq!(told[told.len() - 3..], ["APIError", "status idle", "idle"]);
    assert_eq!(until_idle(&mut events).await, ["answer None true", "status idle", "idle"]);
    // An errored turn is run again.
    client.prompt_async(DIR, &id, prompt(1, "fail")).await.unwrap();
    until_idle(&mut events).await;
    assert_eq!(host.model_runs(), 2);

    let hanging = session(&host).await;
    client.prompt_async(DIR, &hanging, prompt(2, "hang")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    client.abort(DIR, &hanging).await.unwrap();
    assert!(until_idle(&mut events).await.contains(&"MessageAbortedError".to_owned()));
    assert_eq!(until_idle(&mut events).await, ["answer None true", "status idle", "idle"]);

    let retrying = session(&host).await;
    client.prompt_async(DIR, &retrying, prompt(3, "retry")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    client.abort(DIR, &retrying).await.unwrap();
    let told = until_idle(&mut events).await;
    assert_eq!(told[told.len() - 4..], ["status retry", "answer None true", "status idle", "idle"]);
    assert!(host.messages(&retrying)[1]["info"]["error"].is_null());
    assert!(host.busy().is_empty());
}

#[tokio::test(start_paused = true)]
async fn permissions_and_questions_wait_for_their_answers() {
    let host = FakeHost::new(|seen| {
        let ask = match seen.text.as_str() {
            "question" => Step::AskQuestion("Which?".to_owned(), vec!["A".to_owned()]),
            _ => Step::AskPermission("bash".to_owned(), "rm *".to_owned()),
        };
        Script::new().then(ask).then_say("done")
    });
    let mut events = host.subscribe();
    let (client, id) = (host.client(), session(&host).await);
    for (number, reply, message, finish) in
        [(1, Reply::Once, None, "stop"), (2, Reply::Reject, Some("no"), "stop"), (3, Reply::Reject, None, "tool-calls")]
    {
        client.prompt_async(DIR, &id, prompt(number, "permission")).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let asked = client.permissions(DIR).await.unwrap();
        client.reply_permission(DIR, &asked[0].id, reply, message).await.unwrap();
        assert!(until_idle(&mut events).await.contains(&"asked".to_owned()));
        assert_eq!(host.messages(&id).last().unwrap()["info"]["finish"], finish);
        assert!(client.reply_permission(DIR, &asked[0].id, reply, message).await.unwrap_err().is_not_found());
    }
    client.prompt_async(DIR, &id, prompt(4, "question")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked = client.questions(DIR).await.unwrap();
    client.reply_question(DIR, &asked[0].id, &[vec!["A".to_owned()]]).await.unwrap();
    until_idle(&mut events).await;
    assert_eq!(host.messages(&id).last().unwrap()["info"]["finish"], "stop");
}

#[tokio::test(start_paused = true)]
async fn an_overflow_is_not_the_end() {
    let host = FakeHost::new(|_| {
        Script::new().then(Step::Tool("bash".to_owned(), Duration::ZERO)).then(Step::Compact).then_say("done")
    });
    let mut events = host.subscribe();
    let (client, id) = (host.client(), session(&host).await);
    client.prompt_async(DIR, &id, prompt(1, "long")).await.unwrap();
    assert!(until_idle(&mut events).await.contains(&"ContextOverflowError".to_owned()));
    let messages = client.messages(DIR, &id, None).await.unwrap();
    let MessageInfo::Assistant(last) = &messages.last().unwrap().info else { panic!("a prompt") };
    assert_eq!(
        (last.finish.as_ref().map(Finish::to_string).as_deref(), last.parent_id.as_ref().unwrap().as_str() == "msg_1"),
        (Some("stop"), false)
    );
}

#[tokio::test(start_paused = true)]
async fn hazards_and_faults() {
    let host = FakeHost::new(|_| Script::hang());
    let client = host.client();
    let (a, b) = (session(&host).await, session(&host).await);
    let child = NewSession { parent: Some(a.clone()), ..NewSession::default() };
    let child = client.create_session(DIR, child).await.unwrap().id;
    client.prompt_async(DIR, &child, prompt(1, "x")).await.unwrap();
    client.prompt_async(DIR, &b, prompt(1, "y")).await.unwrap();
    assert!(host.messages(&b).is_empty(), "the id belongs to another session");
    client.delete_session(DIR, &a).await.unwrap();
    assert_eq!(host.busy(), std::slice::from_ref(&child), "its turn goes on");
    client.abort(DIR, &child).await.unwrap();
    assert!(host.busy().is_empty());
    assert!(client.session(DIR, &a).await.unwrap_err().is_not_found());

    let unknown = Prompt { agent: Some("nope".to_owned()), ..prompt(2, "z") };
    let mut events = host.subscribe();
    client.prompt_async(DIR, &b, unknown).await.unwrap();
    assert!(events.recv().await.unwrap().contains("server.connected"));
    assert!(events.recv().await.unwrap().contains("Agent not found"));
    assert!(host.messages(&b).is_empty());

    let endpoint = "POST /session/{id}/prompt_async";
    host.fail_next(endpoint, Fault::Unreachable);
    host.fail_next(endpoint, Fault::AnswerLost);
    host.fail_next(endpoint, Fault::Status(500, String::new()));
    let before = host.requests(endpoint);
    assert!(client.prompt_async(DIR, &b, prompt(3, "z")).await.unwrap_err().is_transient());
    assert!(host.messages(&b).is_empty());
    assert!(client.prompt_async(DIR, &b, prompt(3, "z")).await.unwrap_err().is_transient());
    assert_eq!(host.prompts(&b).len(), 1);
    assert_eq!(client.prompt_async(DIR, &b, prompt(3, "z")).await.unwrap_err().status(), Some(500));
    assert_eq!(host.requests(endpoint), before + 3);
    tokio::task::yield_now().await;
    host.crash();
    assert!(host.busy().is_empty());
    let last = host.messages(&b).pop().unwrap();
    assert!(last["info"]["role"] == "assistant" && last["info"]["time"]["completed"].is_null(), "open for ever");
}
