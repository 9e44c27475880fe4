//! The typed client over HTTP and server-sent events, against a fake OpenCode.
#![cfg(feature = "http")]

#[path = "support/fake_http.rs"]
mod fake_http;

use std::{sync::Arc, time::Duration};

use fake_http::FakeServer;
use sortie::opencode::{
    Client, ClientError, Event, Method, NewSession, Prompt, Request, Transport as _, TransportError,
    fake::{FakeHost, Fault, Script},
    http::{EventStream, Feed, HttpTransport},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

const DIR: &str = "/a dir/ü&b";
const LONG: Duration = Duration::from_secs(10);

fn host() -> Arc<FakeHost> {
    Arc::new(FakeHost::new(|seen| Script::say(&format!("to {}", seen.text))))
}

fn prompt() -> Prompt {
    Prompt::new("msg_1".parse().expect("an id"), "prt_1".parse().expect("an id"), "hi ü")
}

async fn next(events: &mut EventStream) -> Feed {
    timeout(LONG, events.next()).await.expect("something to come").expect("no end")
}

/// A server that gives this answer to its first connection and then closes it.
async fn answering(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a connection");
    let url = format!("http://{}", listener.local_addr().expect("a connection"));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(answer).await;
        let _ = stream.shutdown().await;
    });
    url
}

async fn ask(transport: &HttpTransport) -> Result<String, TransportError> {
    let request = Request { method: Method::Get, path: "/agent".to_owned(), query: vec![], body: None };
    transport.request(request).await.map(|response| response.body)
}

#[tokio::test]
async fn a_run_over_the_wire() {
    let host = host();
    let server = FakeServer::start(Arc::clone(&host), Some("Basic b3BlbmNvZGU6c2VjcmV0")).await;
    let transport = HttpTransport::new(&server.url(), Some("secret")).unwrap();
    assert!(!format!("{transport:?}").contains("secret"));
    let cancel = CancellationToken::new();
    let mut events = transport.events(cancel.clone());
    assert_eq!(next(&mut events).await, Feed::Connected);

    let client = Client::new(Arc::new(transport));
    let session = client.create_session(DIR, NewSession::default()).await.unwrap();
    assert_eq!(session.directory, DIR);
    client.prompt_async(DIR, &session.id, prompt()).await.unwrap();
    loop {
        let Feed::Event(envelope) = next(&mut events).await else { panic!("no event") };
        assert_eq!(envelope.directory.as_deref(), Some(DIR));
        if matches!(envelope.event, Event::SessionIdle { .. }) {
            break;
        }
    }
    let messages = client.messages(DIR, &session.id, Some(1)).await.unwrap();
    assert!(format!("{messages:?}").contains("to hi ü"), "{messages:?}");

    let stranger = Client::new(Arc::new(HttpTransport::new(&server.url(), None).unwrap()));
    let error = stranger.agents(DIR).await.unwrap_err();
    assert_eq!(error.status(), Some(401));
    assert!(sortie::fault::Fault::from(error).message.contains("password"));

    cancel.cancel();
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn the_stream_comes_back_after_the_host_was_gone() {
    let host = host();
    let server = FakeServer::start(Arc::clone(&host), None).await;
    let transport = HttpTransport::new(&server.url(), None).unwrap();
    let mut events = transport.events(CancellationToken::new());
    assert_eq!(next(&mut events).await, Feed::Connected);
    // The stream ends while the server stays.
    host.crash();
    assert!(matches!(next(&mut events).await, Feed::Disconnected(TransportError::Broken(_))));
    assert_eq!(next(&mut events).await, Feed::Connected);
    // The server is gone for a while: that is said once.
    let address = server.address();
    drop(server);
    assert!(matches!(next(&mut events).await, Feed::Disconnected(_)));
    assert!(timeout(Duration::from_millis(350), events.next()).await.is_err(), "a second word");
    let _server = FakeServer::start_at(host, None, address).await;
    assert_eq!(next(&mut events).await, Feed::Connected);
}

#[tokio::test]
async fn a_cancelled_stream_ends_also_while_nobody_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let transport = HttpTransport::new(&format!("http://{}", listener.local_addr().unwrap()), None).unwrap();
    let cancel = CancellationToken::new();
    let mut events = transport.events(cancel.clone());
    let (ended, ()) = tokio::join!(timeout(LONG, events.next()), async { cancel.cancel() });
    assert_eq!(ended.expect("an end"), None);
}

#[tokio::test]
async fn what_is_no_stream_of_events_is_said_to_be_none() {
    let page = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>";
    let transport = HttpTransport::new(&answering(page).await, None).unwrap();
    let mut events = transport.events(CancellationToken::new());
    let Feed::Disconnected(error) = next(&mut events).await else { panic!("connected") };
    assert_eq!(error.to_string(), "connection lost: HTTP 200 OK of type text/html instead of events");
}

#[tokio::test]
async fn nothing_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = ask(&HttpTransport::new(&url, None).unwrap()).await.unwrap_err();
    assert!(matches!(&error, TransportError::Unreachable(words) if words.contains(&url)), "{error}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error() {
    for answer in [&b""[..], b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n[1,2", b"\x16\x03\x01 no"] {
        let transport = HttpTransport::new(&answering(answer).await, None).unwrap();
        let error = ask(&transport).await.unwrap_err();
        assert!(matches!(error, TransportError::Broken(_)), "{error}");
    }
}

#[tokio::test]
async fn an_answer_until_the_end_of_the_connection_is_whole() {
    let transport = HttpTransport::new(&answering(b"HTTP/1.1 200 OK\r\n\r\n[1]").await, None).unwrap();
    assert_eq!(ask(&transport).await.unwrap(), "[1]");
}

#[tokio::test]
async fn an_answer_is_bounded_in_time_and_size() {
    let host = host();
    let server = FakeServer::start(Arc::clone(&host), None).await;
    let transport = HttpTransport::new(&server.url(), None).unwrap();
    let small = transport.clone().with_max_body(10);
    assert_eq!(ask(&small).await, Err(TransportError::TooLarge(10)));
    host.fail_next("GET /agent", Fault::Hang);
    let limit = Duration::from_millis(50);
    assert_eq!(ask(&transport.with_timeout(limit)).await, Err(TransportError::Timeout(limit)));
}

#[tokio::test]
async fn a_lost_answer_is_an_unreachable_host() {
    let host = host();
    let server = FakeServer::start(Arc::clone(&host), None).await;
    let client = Client::new(Arc::new(HttpTransport::new(&server.url(), None).unwrap()));
    let id = client.create_session(DIR, NewSession::default()).await.unwrap().id;
    host.fail_next("POST /session/{id}/prompt_async", Fault::AnswerLost);
    let error = client.prompt_async(DIR, &id, prompt()).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    client.prompt_async(DIR, &id, prompt()).await.unwrap();
    assert_eq!(host.prompts(&id).len(), 1);
}
