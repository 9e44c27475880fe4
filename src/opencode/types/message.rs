//! Messages: prompts of the user and answers of the model, one answer a model step.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    finish::Finish,
    number::{TokenCounts, amount, count, or_default},
    part::Part,
    provider_error::ProviderError,
};
use crate::opencode::{MessageId, SessionId};

/// A message with its parts.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Message {
    /// What it is.
    pub info: MessageInfo,
    /// What it is made of.
    #[serde(default, deserialize_with = "or_default")]
    pub parts: Vec<Part>,
}

/// A provider's model.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ModelRef {
    /// The provider.
    #[serde(rename = "providerID")]
    pub provider_id: String,
    /// The provider's name for the model.
    #[serde(rename = "modelID")]
    pub model_id: String,
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider_id, self.model_id)
    }
}

/// The model that a prompt asks for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct UserModel {
    /// The provider.
    #[serde(rename = "providerID")]
    pub provider_id: String,
    /// The provider's name for the model.
    #[serde(rename = "modelID")]
    pub model_id: String,
    /// The model's variant, such as `high`.
    #[serde(default)]
    pub variant: Option<String>,
}

impl UserModel {
    /// The model without its variant.
    #[must_use]
    pub fn reference(&self) -> ModelRef {
        ModelRef { provider_id: self.provider_id.clone(), model_id: self.model_id.clone() }
    }
}

/// A message without its parts.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub enum MessageInfo {
    /// A prompt.
    User(UserInfo),
    /// An answer.
    Assistant(AssistantInfo),
}

impl MessageInfo {
    /// Which message.
    #[must_use]
    pub fn id(&self) -> &MessageId {
        match self {
            Self::User(info) => &info.id,
            Self::Assistant(info) => &info.id,
        }
    }

    /// The session it belongs to.
    #[must_use]
    pub fn session_id(&self) -> &SessionId {
        match self {
            Self::User(info) => &info.session_id,
            Self::Assistant(info) => &info.session_id,
        }
    }
}

/// A prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserInfo {
    /// Which message.
    pub id: MessageId,
    /// The session it belongs to.
    pub session_id: SessionId,
    /// The agent it asks for.
    pub agent: Option<String>,
    /// The model it asks for.
    pub model: Option<UserModel>,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created: u64,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct AssistantInfo {
    /// Which message.
    pub id: MessageId,
    /// The session it belongs to.
    pub session_id: SessionId,
    /// The prompt it answers. Of several that waited, the last.
    pub parent_id: Option<MessageId>,
    /// The agent that answers.
    pub agent: Option<String>,
    /// The model that answers.
    pub model: Option<ModelRef>,
    /// The model's variant.
    pub variant: Option<String>,
    /// Why the model stopped; none while it speaks, and after an interruption.
    pub finish: Option<Finish>,
    /// What went wrong.
    pub error: Option<ProviderError>,
    /// Whether it is the host's own summary of a session that had grown too long.
    pub summary: bool,
    /// Whether the host is done with it. Comes after `finish`, with it, or without it.
    pub completed: bool,
    /// What it cost, in US dollars.
    pub cost: f64,
    /// What it used.
    pub tokens: TokenCounts,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created: u64,
}

/// Both kinds in one, so that what is not wanted (a prompt's whole diffs) is skipped and not kept on the way.
#[derive(Deserialize)]
struct Raw {
    id: MessageId,
    #[serde(rename = "sessionID")]
    session_id: SessionId,
    role: String,
    #[serde(default, deserialize_with = "or_default")]
    time: RawTime,
    #[serde(default)]
    agent: Option<String>,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    model: Option<UserModel>,
    #[serde(default, rename = "parentID")]
    parent_id: Option<MessageId>,
    #[serde(default, rename = "providerID")]
    provider_id: Option<String>,
    #[serde(default, rename = "modelID")]
    model_id: Option<String>,
    #[serde(default)]
    variant: Option<String>,
    #[serde(default)]
    finish: Option<Finish>,
    #[serde(default)]
    error: Option<ProviderError>,
    #[serde(default)]
    summary: Summary,
    #[serde(default, deserialize_with = "amount")]
    cost: f64,
    #[serde(default, deserialize_with = "or_default")]
    tokens: TokenCounts,
}

#[derive(Deserialize, Default)]
struct RawTime {
    #[serde(default, deserialize_with = "count")]
    created: u64,
    #[serde(default)]
    completed: Option<f64>,
}

/// An answer's `summary` is a flag, a prompt's an object.
#[derive(Default)]
struct Summary(bool);

impl<'de> Deserialize<'de> for Summary {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Summary;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a flag or an object")
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Summary, E> {
                Ok(Summary(flag))
            }

            fn visit_unit<E>(self) -> Result<Summary, E> {
                Ok(Summary(false))
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Summary, A::Error> {
                while map.next_entry::<serde::de::IgnoredAny, serde::de::IgnoredAny>()?.is_some() {}
                Ok(Summary(false))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl TryFrom<Raw> for MessageInfo {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        let Raw { id, session_id, .. } = raw;
        match raw.role.as_str() {
            "user" => {
                let (agent, model, created) = (raw.agent, raw.model, raw.time.created);
                Ok(Self::User(UserInfo { id, session_id, agent, model, created }))
            }
            "assistant" => {
                let model = raw.provider_id.zip(raw.model_id);
                Ok(Self::Assistant(AssistantInfo {
                    id,
                    session_id,
                    parent_id: raw.parent_id,
                    agent: raw.agent.or(raw.mode),
                    model: model.map(|(provider_id, model_id)| ModelRef { provider_id, model_id }),
                    variant: raw.variant,
                    finish: raw.finish,
                    error: raw.error,
                    summary: raw.summary.0,
                    completed: raw.time.completed.is_some(),
                    cost: raw.cost,
                    tokens: raw.tokens,
                    created: raw.time.created,
                }))
            }
            other => Err(format!("unknown role `{other}`, expected `user` or `assistant`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Message> {
        serde_json::from_str(text).unwrap()
    }

    fn last_answer(messages: &[Message]) -> &AssistantInfo {
        match &messages.last().unwrap().info {
            MessageInfo::Assistant(info) => info,
            MessageInfo::User(_) => panic!("a prompt"),
        }
    }

    #[test]
    fn a_real_turn_with_a_tool_is_read() {
        let messages = read(include_str!("../fixtures/messages.json"));
        let MessageInfo::User(prompt) = &messages[0].info else { panic!("an answer") };
        assert_eq!(prompt.agent.as_deref(), Some("build"));
        assert_eq!(prompt.model.as_ref().unwrap().reference().model_id, "model");
        let finishes: Vec<_> = messages[1..]
            .iter()
            .map(|message| match &message.info {
                MessageInfo::Assistant(info) => info.finish.clone(),
                MessageInfo::User(_) => None,
            })
            .collect();
        assert_eq!(finishes, [Some(Finish::Tools), Some(Finish::Last("stop".to_owned()))]);
        let answer = last_answer(&messages);
        assert_eq!(answer.parent_id.as_ref(), Some(&prompt.id));
        assert!(answer.completed && answer.error.is_none() && answer.tokens.output > 0 && !answer.summary);
        let texts: Vec<_> = messages[2]
            .parts
            .iter()
            .filter_map(|part| match part {
                Part::Text(text) => Some(text.text.as_str()),
                Part::Tool(_) | Part::Other => None,
            })
            .collect();
        assert_eq!(texts, ["done"]);
    }

    #[test]
    fn real_ends_without_an_answer_are_read() {
        let failed = read(include_str!("../fixtures/messages_error.json"));
        let error = last_answer(&failed).error.as_ref().unwrap();
        assert_eq!((error.name.as_str(), error.status_code, error.is_retryable), ("APIError", Some(400), false));
        let aborted = read(include_str!("../fixtures/messages_abort.json"));
        let answer = last_answer(&aborted);
        assert!(answer.completed && answer.finish.is_none() && answer.error.is_none());
    }

    #[test]
    fn a_summary_is_a_flag_or_an_object() {
        let with = |summary: &str| {
            let text = format!(r#"{{"id":"msg_1","sessionID":"ses_1","role":"assistant","summary":{summary}}}"#);
            match serde_json::from_str(&text).unwrap() {
                MessageInfo::Assistant(info) => info.summary,
                MessageInfo::User(_) => panic!("a prompt"),
            }
        };
        assert!(with("true") && !with("false") && !with("null") && !with(r#"{"diffs":[{"a":1}]}"#));
    }

    #[test]
    fn an_unknown_role_is_an_error() {
        let error = serde_json::from_str::<MessageInfo>(r#"{"id":"msg_1","sessionID":"ses_1","role":"system"}"#);
        assert!(error.unwrap_err().to_string().contains("unknown role `system`"));
    }
}
