//! Events of `/global/event`: one envelope a line, of which most are not for us.

use std::borrow::Cow;

use serde::{Deserialize, de::DeserializeOwned};

use super::{
    MessageInfo, Part, PermissionId, PermissionRequest, ProviderError, QuestionId, QuestionRequest, Reply, Session,
    SessionId, SessionStatus,
};

/// The types of event that [`Envelope::parse`] reads. Whoever feeds events in may leave out all others; the host sends
/// most of these a second time as type `sync`, which is one of the others.
pub const WANTED: &[&str] = &[
    "session.status",
    "session.idle",
    "session.error",
    "session.created",
    "session.updated",
    "session.deleted",
    "message.updated",
    "message.part.updated",
    "message.part.delta",
    "permission.asked",
    "permission.replied",
    "question.asked",
    "question.replied",
    "question.rejected",
    "server.connected",
    "server.instance.disposed",
];

/// An event that is wanted and could not be read: the host has changed its form.
#[derive(Debug, thiserror::Error)]
#[error("read event {kind}: {source}")]
pub struct EventError {
    /// Its type, or `envelope`.
    pub kind: String,
    /// What is wrong with it.
    pub source: serde_json::Error,
}

/// An event with the directory that it happened in.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// None for what concerns the whole process.
    pub directory: Option<String>,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A session went into a turn, waits in one, or is out of it. Comes often without a change.
    SessionStatus {
        /// Which session.
        session: SessionId,
        /// How it stands.
        status: SessionStatus,
    },
    /// A session's turn is over, whatever its end. After an error it comes twice.
    SessionIdle {
        /// Which session.
        session: SessionId,
    },
    /// Something went wrong. Not always the end: the host summarises a session that is too long and goes on.
    SessionError {
        /// In which session, if in one.
        session: Option<SessionId>,
        /// What.
        error: ProviderError,
    },
    /// A session was made.
    SessionCreated(Box<Session>),
    /// A session's record changed.
    SessionUpdated(Box<Session>),
    /// A session was deleted; children come before their parents.
    SessionDeleted(Box<Session>),
    /// A message was made or changed.
    MessageUpdated(Box<MessageInfo>),
    /// A text or tool call was made or changed.
    PartUpdated(Box<Part>),
    /// A piece of an answer came. The host sends each, and whoever feeds events in may leave most of them out: they are
    /// signs of life and nothing else.
    Delta {
        /// In which session.
        session: SessionId,
    },
    /// A question for permission waits.
    PermissionAsked(Box<PermissionRequest>),
    /// A question for permission was answered, by whomever.
    PermissionReplied {
        /// The session that asked.
        session: SessionId,
        /// Which question.
        request: PermissionId,
        /// What was answered; none for an answer unknown here.
        reply: Option<Reply>,
    },
    /// A question to the user waits.
    QuestionAsked(Box<QuestionRequest>),
    /// A question to the user was answered or refused.
    QuestionClosed {
        /// The session that asked.
        session: SessionId,
        /// Which question.
        request: QuestionId,
        /// Whether it was refused.
        rejected: bool,
    },
    /// The stream has begun.
    ServerConnected,
    /// The instance of a directory is gone, with every turn in it.
    InstanceDisposed {
        /// Which directory.
        directory: String,
    },
}

impl Event {
    /// The session that it concerns.
    #[must_use]
    pub fn session(&self) -> Option<&SessionId> {
        match self {
            Self::SessionStatus { session, .. }
            | Self::SessionIdle { session }
            | Self::Delta { session }
            | Self::PermissionReplied { session, .. }
            | Self::QuestionClosed { session, .. } => Some(session),
            Self::SessionError { session, .. } => session.as_ref(),
            Self::SessionCreated(info) | Self::SessionUpdated(info) | Self::SessionDeleted(info) => Some(&info.id),
            Self::MessageUpdated(info) => Some(info.session_id()),
            Self::PartUpdated(part) => match part.as_ref() {
                Part::Text(part) => Some(&part.session_id),
                Part::Tool(part) => Some(&part.session_id),
                Part::Other => None,
            },
            Self::PermissionAsked(request) => Some(&request.session_id),
            Self::QuestionAsked(request) => Some(&request.session_id),
            Self::ServerConnected | Self::InstanceDisposed { .. } => None,
        }
    }
}

impl Envelope {
    /// Reads an event; none when it is of a type that is not wanted. Those are only skimmed for their type.
    ///
    /// # Errors
    /// [`EventError`] for what is no envelope, and for a wanted event in a form not known here.
    pub fn parse(text: &str) -> Result<Option<Self>, EventError> {
        let peek: Peek<'_> =
            serde_json::from_str(text).map_err(|source| EventError { kind: "envelope".to_owned(), source })?;
        let kind = peek.payload.kind.as_ref();
        if !WANTED.contains(&kind) {
            return Ok(None);
        }
        match event(kind, text) {
            Ok(event) => Ok(event.map(|event| Self { directory: peek.directory.map(Cow::into_owned), event })),
            Err(source) => Err(EventError { kind: kind.to_owned(), source }),
        }
    }
}

fn event(kind: &str, text: &str) -> Result<Option<Event>, serde_json::Error> {
    Ok(Some(match kind {
        "session.status" => {
            let Status { session, status } = properties(text)?;
            Event::SessionStatus { session, status }
        }
        "session.idle" => Event::SessionIdle { session: properties::<Idle>(text)?.session },
        "session.error" => {
            let Failure { session, error } = properties(text)?;
            Event::SessionError { session, error: error.unwrap_or_default() }
        }
        "session.created" => Event::SessionCreated(properties::<Info<Session>>(text)?.info),
        "session.updated" => Event::SessionUpdated(properties::<Info<Session>>(text)?.info),
        "session.deleted" => Event::SessionDeleted(properties::<Info<Session>>(text)?.info),
        "message.updated" => Event::MessageUpdated(properties::<Info<MessageInfo>>(text)?.info),
        "message.part.updated" => match properties::<PartOf>(text)?.part {
            part if *part == Part::Other => return Ok(None),
            part => Event::PartUpdated(part),
        },
        "message.part.delta" => Event::Delta { session: properties::<Idle>(text)?.session },
        "permission.asked" => Event::PermissionAsked(properties(text)?),
        "permission.replied" => {
            let Replied { session, request, reply } = properties(text)?;
            Event::PermissionReplied { session, request, reply: Reply::of(&reply) }
        }
        "question.asked" => Event::QuestionAsked(properties(text)?),
        "question.replied" | "question.rejected" => {
            let Answered { session, request } = properties(text)?;
            Event::QuestionClosed { session, request, rejected: kind == "question.rejected" }
        }
        "server.connected" => Event::ServerConnected,
        "server.instance.disposed" => Event::InstanceDisposed { directory: properties::<Disposed>(text)?.directory },
        _ => return Ok(None),
    }))
}

fn properties<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    Ok(serde_json::from_str::<Full<T>>(text)?.payload.properties)
}

#[derive(Deserialize)]
struct Peek<'a> {
    #[serde(borrow, default)]
    directory: Option<Cow<'a, str>>,
    #[serde(borrow)]
    payload: PeekPayload<'a>,
}

#[derive(Deserialize)]
struct PeekPayload<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Full<T> {
    payload: Payload<T>,
}

#[derive(Deserialize)]
struct Payload<T> {
    properties: T,
}

#[derive(Deserialize)]
struct Status {
    #[serde(rename = "sessionID")]
    session: SessionId,
    status: SessionStatus,
}

#[derive(Deserialize)]
struct Idle {
    #[serde(rename = "sessionID")]
    session: SessionId,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(default, rename = "sessionID")]
    session: Option<SessionId>,
    #[serde(default)]
    error: Option<ProviderError>,
}

#[derive(Deserialize)]
struct Info<T> {
    info: Box<T>,
}

#[derive(Deserialize)]
struct PartOf {
    part: Box<Part>,
}

#[derive(Deserialize)]
struct Replied {
    #[serde(rename = "sessionID")]
    session: SessionId,
    #[serde(rename = "requestID")]
    request: PermissionId,
    #[serde(default)]
    reply: String,
}

#[derive(Deserialize)]
struct Answered {
    #[serde(rename = "sessionID")]
    session: SessionId,
    #[serde(rename = "requestID")]
    request: QuestionId,
}

#[derive(Deserialize)]
struct Disposed {
    directory: String,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::opencode::ToolStatus;

    fn real() -> Vec<Value> {
        serde_json::from_str(include_str!("fixtures/events.json")).unwrap()
    }

    fn parse(value: &Value) -> Option<Envelope> {
        Envelope::parse(&value.to_string()).unwrap()
    }

    #[test]
    fn every_real_event_is_read_or_left() {
        for value in real() {
            let kind = value["payload"]["type"].as_str().unwrap();
            let part = &value["payload"]["properties"]["part"]["type"];
            let wanted = WANTED.contains(&kind) && (part.is_null() || *part == "text" || *part == "tool");
            let envelope = parse(&value);
            assert_eq!(envelope.is_some(), wanted, "{value}");
            let Some(Envelope { directory, event }) = envelope else { continue };
            assert_eq!(directory.as_deref(), value["directory"].as_str());
            let id = &value["payload"]["properties"]["sessionID"];
            assert_eq!(event.session().map(SessionId::as_str), id.as_str(), "{value}");
        }
    }

    #[test]
    fn real_events_say_what_they_say() {
        let events: Vec<Event> = real().iter().filter_map(parse).map(|envelope| envelope.event).collect();
        let any = |wanted: &dyn Fn(&Event) -> bool| assert!(events.iter().any(wanted));
        any(&|event| matches!(event, Event::SessionStatus { status: SessionStatus::Busy, .. }));
        any(&|event| matches!(event, Event::SessionStatus { status: SessionStatus::Retry { attempt: 1, .. }, .. }));
        any(&|event| matches!(event, Event::SessionError { error, .. } if error.status_code == Some(400)));
        any(&|event| matches!(event, Event::PermissionAsked(request) if request.permission == "webfetch"));
        any(&|event| matches!(event, Event::PermissionReplied { reply: Some(Reply::Reject), .. }));
        any(&|event| matches!(event, Event::QuestionClosed { rejected: false, .. }));
        any(&|event| matches!(event, Event::InstanceDisposed { directory } if directory == "/p"));
        let failed_tool = |part: &Part| matches!(part, Part::Tool(part) if part.state.status == ToolStatus::Error);
        any(&|event| matches!(event, Event::PartUpdated(part) if failed_tool(part)));
    }

    #[test]
    fn an_error_of_no_session_and_a_refused_question_are_read() {
        let envelope = |kind: &str, properties: Value| json!({ "payload": { "type": kind, "properties": properties } });
        let event = |value: &Value| parse(value).unwrap().event;
        let value = envelope("session.error", json!({}));
        assert_eq!(event(&value), Event::SessionError { session: None, error: ProviderError::default() });
        let value = envelope("question.rejected", json!({ "sessionID": "ses_1", "requestID": "que_1" }));
        assert!(matches!(event(&value), Event::QuestionClosed { rejected: true, .. }));
    }

    #[test]
    fn a_wanted_event_in_another_form_is_an_error_that_names_it() {
        let text = json!({ "payload": { "type": "session.idle", "properties": { "session": 1 } } }).to_string();
        let error = Envelope::parse(&text).unwrap_err();
        assert!(error.to_string().starts_with("read event session.idle: missing field `sessionID`"), "{error}");
        assert!(Envelope::parse("[]").is_err());
    }

    proptest! {
        #[test]
        fn nothing_panics(text in ".*") {
            let _ = Envelope::parse(&text);
        }
    }
}
