//! Each call sends the right request, and each answer is read or turned into the right error.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};

use super::*;

/// Notes requests and gives the answers it was told to.
#[derive(Default)]
struct Recorder {
    seen: Mutex<Vec<Request>>,
    answers: Mutex<VecDeque<Result<Response, TransportError>>>,
}

impl Transport for Recorder {
    fn request(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        self.seen.lock().unwrap().push(request);
        let answer = self.answers.lock().unwrap().pop_front().expect("an answer");
        Box::pin(std::future::ready(answer))
    }
}

const DIR: &str = "/p q";

fn client(answers: impl IntoIterator<Item = (u16, &'static str)>) -> (Client, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    let answers = answers.into_iter().map(|(status, body)| Ok(Response { status, body: body.to_owned() }));
    recorder.answers.lock().unwrap().extend(answers);
    (Client::new(recorder.clone()), recorder)
}

/// Makes a call, checks the request it sends, and gives its result back.
async fn sends<R>(
    answer: (u16, &'static str),
    call: impl AsyncFnOnce(Client) -> Result<R, ClientError>,
    target: &str,
    body: Option<Value>,
) -> R {
    let (client, recorder) = client([answer]);
    let result = call(client).await.unwrap();
    let seen = recorder.seen.lock().unwrap();
    let sent = seen.iter().map(|request| (format!("{} {}", request.method, request.target()), request.body.clone()));
    let path = target.replace('?', "?directory=%2Fp%20q");
    assert_eq!(sent.collect::<Vec<_>>(), [(path, body)]);
    result
}

fn session() -> SessionId {
    "ses_1".parse().unwrap()
}

fn rule() -> Rule {
    Rule { permission: "bash".to_owned(), pattern: "*".to_owned(), action: "deny".to_owned() }
}

const SESSION: (u16, &str) = (200, r#"{"id":"ses_1"}"#);
const DONE: (u16, &str) = (200, "true");

#[tokio::test]
async fn sessions() {
    let new = NewSession {
        parent: Some("ses_0".parse().unwrap()),
        title: "t".to_owned(),
        permission: vec![rule()],
        metadata: Some(json!({ "a": 1 })),
    };
    let body = json!({
        "parentID": "ses_0", "title": "t", "metadata": { "a": 1 },
        "permission": [{ "permission": "bash", "pattern": "*", "action": "deny" }],
    });
    let made = sends(SESSION, async |c| c.create_session(DIR, new).await, "POST /session?", Some(body)).await;
    assert_eq!(made.id, session());
    sends(SESSION, async |c| c.session(DIR, &session()).await, "GET /session/ses_1?", None).await;
    sends(DONE, async |c| c.delete_session(DIR, &session()).await, "DELETE /session/ses_1?", None).await;
    sends(DONE, async |c| c.abort(DIR, &session()).await, "POST /session/ses_1/abort?", None).await;
    let children = include_str!("fixtures/children.json");
    let list = (200, children);
    let found = sends(list, async |c| c.children(DIR, &session()).await, "GET /session/ses_1/children?", None).await;
    assert_eq!(found.len(), 1);
    let status = (200, include_str!("fixtures/status.json"));
    let found = sends(status, async |c| c.session_status(DIR).await, "GET /session/status?", None).await;
    assert_eq!(found.len(), 2);
}

#[tokio::test]
async fn messages() {
    let list = (200, include_str!("fixtures/messages.json"));
    let call = async |c: Client| c.messages(DIR, &session(), Some(3)).await;
    let found = sends(list, call, "GET /session/ses_1/message?&limit=3", None).await;
    assert_eq!(found.len(), 3);
    let call = async |c: Client| c.messages(DIR, &session(), None).await;
    sends((200, "[]"), call, "GET /session/ses_1/message?", None).await;
    let one = (200, include_str!("fixtures/message.json"));
    let id = "msg_2".parse().unwrap();
    let call = async |c: Client| c.message(DIR, &session(), &id).await;
    sends(one, call, "GET /session/ses_1/message/msg_2?", None).await;
}

#[tokio::test]
async fn a_prompt_with_everything() {
    let prompt = Prompt {
        agent: Some("build".to_owned()),
        model: Some(ModelRef { provider_id: "p".to_owned(), model_id: "m".to_owned() }),
        variant: Some("high".to_owned()),
        system: Some("s".to_owned()),
        no_reply: true,
        synthetic: true,
        ignored: true,
        tools: [("bash".to_owned(), false)].into(),
        ..Prompt::new("msg_1".parse().unwrap(), "prt_1".parse().unwrap(), "hi")
    };
    let body = json!({
        "messageID": "msg_1", "agent": "build", "model": { "providerID": "p", "modelID": "m" }, "variant": "high",
        "system": "s", "noReply": true, "tools": { "bash": false },
        "parts": [{ "id": "prt_1", "type": "text", "text": "hi", "synthetic": true, "ignored": true }],
    });
    let call = async |c: Client| c.prompt_async(DIR, &session(), prompt).await;
    sends((204, ""), call, "POST /session/ses_1/prompt_async?", Some(body)).await;
}

#[tokio::test]
async fn what_the_host_asks() {
    let list = (200, include_str!("fixtures/permissions.json"));
    sends(list, async |c| c.permissions(DIR).await, "GET /permission?", None).await;
    let id = "per_1".parse().unwrap();
    let call = async |c: Client| c.reply_permission(DIR, &id, Reply::Reject, Some("no")).await;
    let body = json!({ "reply": "reject", "message": "no" });
    sends(DONE, call, "POST /permission/per_1/reply?", Some(body)).await;
    let call = async |c: Client| c.reply_permission(DIR, &id, Reply::Once, None).await;
    sends(DONE, call, "POST /permission/per_1/reply?", Some(json!({ "reply": "once" }))).await;
    let list = (200, include_str!("fixtures/questions.json"));
    sends(list, async |c| c.questions(DIR).await, "GET /question?", None).await;
    let id = "que_1".parse().unwrap();
    let call = async |c: Client| c.reply_question(DIR, &id, &[vec!["A".to_owned()], vec![]]).await;
    sends(DONE, call, "POST /question/que_1/reply?", Some(json!({ "answers": [["A"], []] }))).await;
    sends(DONE, async |c| c.reject_question(DIR, &id).await, "POST /question/que_1/reject?", None).await;
}

#[tokio::test]
async fn agents_and_toasts() {
    let list = (200, include_str!("fixtures/agents.json"));
    sends(list, async |c| c.agents(DIR).await, "GET /agent?", None).await;
    let toast = Toast {
        title: Some("t".to_owned()),
        message: "m".to_owned(),
        variant: ToastVariant::Warning,
        duration: Some(Duration::from_secs(2)),
    };
    let body = json!({ "title": "t", "message": "m", "variant": "warning", "duration": 2000 });
    sends(DONE, async |c| c.show_toast(DIR, toast).await, "POST /tui/show-toast?", Some(body)).await;
}

#[tokio::test]
async fn errors_name_the_call_and_what_is_wrong() {
    let answers = [
        (404, r#"{"name":"NotFoundError","data":{"message":"Session not found: ses_1"}}"#),
        (200, "<!doctype html><html>"),
        (200, r#"{"id":7}"#),
        (200, ""),
    ];
    let (client, recorder) = client(answers);
    let refused = Err(TransportError::Unreachable("refused".to_owned()));
    recorder.answers.lock().unwrap().push_back(refused);
    for text in [
        "call GET /session/{id}: not found: Session not found: ses_1",
        "call GET /session/{id}: answer not understood: a web page instead of JSON: this OpenCode does not know the \
         call, or another server answers",
        "call GET /session/{id}: answer not understood: `id`: invalid type: integer `7`, expected a string at line 1 \
         column 7",
        "call GET /session/{id}: answer not understood: `.`: EOF while parsing a value at line 1 column 0",
        "call GET /session/{id}: not reached: refused",
    ] {
        assert_eq!(client.session(DIR, &session()).await.unwrap_err().to_string(), text);
    }
}

#[tokio::test]
async fn a_web_page_is_no_success() {
    let (client, _) = client([(200, "<html>")]);
    assert!(matches!(client.abort(DIR, &session()).await, Err(ClientError::Decode { .. })));
}
