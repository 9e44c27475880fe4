//! What the host is asked for: the bodies of requests.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value, json};

use super::{MessageId, ModelRef, PartId, Rule, SessionId};

/// A session to be made.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NewSession {
    /// The session that it becomes a child of. The host does not check that it exists.
    pub parent: Option<SessionId>,
    /// What it is about; empty lets the host find a title.
    pub title: String,
    /// Rules that come after its agent's.
    pub permission: Vec<Rule>,
    /// Kept with the session and given back with it.
    pub metadata: Option<Value>,
}

impl NewSession {
    pub(super) fn body(&self) -> Value {
        let mut body = Map::new();
        put(&mut body, "parentID", self.parent.as_ref().map(SessionId::as_str));
        put(&mut body, "title", Some(self.title.as_str()).filter(|title| !title.is_empty()));
        if !self.permission.is_empty() {
            body.insert("permission".to_owned(), json!(self.permission));
        }
        if let Some(metadata) = &self.metadata {
            body.insert("metadata".to_owned(), metadata.clone());
        }
        Value::Object(body)
    }
}

/// A prompt of one text part.
///
/// Its ids are the caller's, so that sending it again is harmless as long as it is the session's last prompt. The host
/// has one name space for the messages of all sessions: an id that another session has used goes there.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// The id of the message.
    pub message_id: MessageId,
    /// The id of its part.
    pub part_id: PartId,
    /// The words.
    pub text: String,
    /// The agent; the session's if none.
    pub agent: Option<String>,
    /// The model; the agent's or session's if none.
    pub model: Option<ModelRef>,
    /// The model's variant.
    pub variant: Option<String>,
    /// Added at the end of the system prompt, for this prompt.
    pub system: Option<String>,
    /// Whether the message is only stored, and nobody answers it.
    pub no_reply: bool,
    /// Whether the text is marked as put there by a program.
    pub synthetic: bool,
    /// Whether the text is kept from the model.
    pub ignored: bool,
    /// Tools switched on or off by name. The host turns these into rules of the session that stay.
    pub tools: BTreeMap<String, bool>,
}

impl Prompt {
    /// A prompt with nothing but its words.
    #[must_use]
    pub fn new(message_id: MessageId, part_id: PartId, text: impl Into<String>) -> Self {
        Self {
            message_id,
            part_id,
            text: text.into(),
            agent: None,
            model: None,
            variant: None,
            system: None,
            no_reply: false,
            synthetic: false,
            ignored: false,
            tools: BTreeMap::new(),
        }
    }

    pub(super) fn body(&self) -> Value {
        let mut part = Map::new();
        put(&mut part, "id", Some(self.part_id.as_str()));
        put(&mut part, "type", Some("text"));
        put(&mut part, "text", Some(self.text.as_str()));
        flag(&mut part, "synthetic", self.synthetic);
        flag(&mut part, "ignored", self.ignored);
        let mut body = Map::new();
        put(&mut body, "messageID", Some(self.message_id.as_str()));
        put(&mut body, "agent", self.agent.as_deref());
        put(&mut body, "variant", self.variant.as_deref());
        put(&mut body, "system", self.system.as_deref());
        flag(&mut body, "noReply", self.no_reply);
        if let Some(model) = &self.model {
            body.insert("model".to_owned(), json!(model));
        }
        if !self.tools.is_empty() {
            body.insert("tools".to_owned(), json!(self.tools));
        }
        body.insert("parts".to_owned(), json!([part]));
        Value::Object(body)
    }
}

/// An answer to a question for permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reply {
    /// This once.
    Once,
    /// This and all like it.
    Always,
    /// No. With a message the turn goes on, without one it ends.
    Reject,
}

impl Reply {
    /// As the host spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Always => "always",
            Self::Reject => "reject",
        }
    }

    /// From the host's spelling.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        [Self::Once, Self::Always, Self::Reject].into_iter().find(|reply| reply.as_str() == text)
    }
}

/// How a toast looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ToastVariant {
    /// News.
    Info,
    /// Good news.
    Success,
    /// Something to look at.
    Warning,
    /// Bad news.
    Error,
}

impl ToastVariant {
    /// As the host spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Success => "success",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A note shown for a moment. There is one place for it: the newest one wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toast {
    /// Above the message.
    pub title: Option<String>,
    /// The message.
    pub message: String,
    /// How it looks.
    pub variant: ToastVariant,
    /// How long it stays; the host's default if none.
    pub duration: Option<Duration>,
}

impl Toast {
    pub(super) fn body(&self) -> Value {
        let mut body = Map::new();
        put(&mut body, "title", self.title.as_deref());
        put(&mut body, "message", Some(self.message.as_str()));
        put(&mut body, "variant", Some(self.variant.as_str()));
        if let Some(duration) = self.duration {
            // The host wants whole milliseconds, at least one.
            let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1);
            body.insert("duration".to_owned(), json!(millis));
        }
        Value::Object(body)
    }
}

/// The host takes a missing field for none, but not `null`.
fn put(object: &mut Map<String, Value>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        object.insert(name.to_owned(), json!(value));
    }
}

fn flag(object: &mut Map<String, Value>, name: &str, value: bool) {
    if value {
        object.insert(name.to_owned(), json!(true));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_spelled_one_way() {
        for reply in [Reply::Once, Reply::Always, Reply::Reject] {
            assert_eq!(Reply::of(reply.as_str()), Some(reply));
        }
        assert_eq!(Reply::of("Once"), None);
    }

    #[test]
    fn what_is_not_given_is_not_sent() {
        assert_eq!(NewSession::default().body(), json!({}));
        let prompt = Prompt::new("msg_1".parse().unwrap(), "prt_1".parse().unwrap(), "hi");
        let part = json!({ "id": "prt_1", "type": "text", "text": "hi" });
        assert_eq!(prompt.body(), json!({ "messageID": "msg_1", "parts": [part] }));
        let toast = Toast {
            title: None,
            message: "m".to_owned(),
            variant: ToastVariant::Info,
            duration: Some(Duration::from_nanos(1)),
        };
        assert_eq!(toast.body(), json!({ "message": "m", "variant": "info", "duration": 1 }));
    }
}
