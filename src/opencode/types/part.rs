//! What messages are made of. Texts and tool calls are read; reasoning, steps, files and patches are not.

use serde::Deserialize;

use super::{fingerprint::Fingerprint, number::or_default};
use crate::opencode::{CallId, MessageId, PartId, SessionId};

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Raw")]
pub enum Part {
    /// Words.
    Text(TextPart),
    /// A tool call.
    Tool(ToolPart),
    /// Anything else.
    Other,
}

/// Words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextPart {
    /// Which part.
    pub id: PartId,
    /// The message it belongs to.
    pub message_id: MessageId,
    /// The session it belongs to.
    pub session_id: SessionId,
    /// The words; empty while a model begins to speak.
    pub text: String,
    /// Whether a program put them there, not the user or the model.
    pub synthetic: bool,
    /// Whether the model does not see them.
    pub ignored: bool,
}

/// A tool call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolPart {
    /// Which part.
    pub id: PartId,
    /// The message it belongs to.
    pub message_id: MessageId,
    /// The session it belongs to.
    pub session_id: SessionId,
    /// Which call, as the provider names it.
    pub call_id: CallId,
    /// The tool; `invalid` when the model called one that does not exist.
    pub tool: String,
    /// How it stands.
    pub state: ToolState,
}

impl ToolPart {
    /// Whether the tool is at work. The host says so several times a call.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state.status == ToolStatus::Running
    }

    /// Whether it has ended, well or not.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state.status, ToolStatus::Completed | ToolStatus::Error)
    }
}

/// How a tool call stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct ToolState {
    /// In one word.
    #[serde(default)]
    pub status: ToolStatus,
    /// What it does, in the tool's words.
    #[serde(default)]
    pub title: Option<String>,
    /// What went wrong.
    #[serde(default)]
    pub error: Option<String>,
    /// Its arguments, as far as the model has written them.
    #[serde(default)]
    pub input: Fingerprint,
    /// What it gave.
    #[serde(default)]
    pub output: Fingerprint,
}

/// How a tool call stands, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ToolStatus {
    /// The model is still writing its arguments.
    Pending,
    /// At work. After a crash of the host it stays so for ever.
    Running,
    /// Done.
    Completed,
    /// Failed, refused or interrupted.
    Error,
    /// A status unknown here.
    #[default]
    #[serde(other)]
    Other,
}

/// All kinds in one, so that what is not wanted is skipped and not kept on the way.
#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    id: Option<PartId>,
    #[serde(default, rename = "messageID")]
    message_id: Option<MessageId>,
    #[serde(default, rename = "sessionID")]
    session_id: Option<SessionId>,
    #[serde(default, deserialize_with = "or_default")]
    text: String,
    #[serde(default, deserialize_with = "or_default")]
    synthetic: bool,
    #[serde(default, deserialize_with = "or_default")]
    ignored: bool,
    #[serde(default, rename = "callID")]
    call_id: Option<CallId>,
    #[serde(default, deserialize_with = "or_default")]
    tool: String,
    #[serde(default, deserialize_with = "or_default")]
    state: ToolState,
}

impl TryFrom<Raw> for Part {
    type Error = &'static str;

    fn try_from(raw: Raw) -> Result<Self, &'static str> {
        if raw.kind != "text" && raw.kind != "tool" {
            return Ok(Self::Other);
        }
        let id = raw.id.ok_or("missing field `id`")?;
        let message_id = raw.message_id.ok_or("missing field `messageID`")?;
        let session_id = raw.session_id.ok_or("missing field `sessionID`")?;
        if raw.kind == "text" {
            let Raw { text, synthetic, ignored, .. } = raw;
            return Ok(Self::Text(TextPart { id, message_id, session_id, text, synthetic, ignored }));
        }
        let call_id = raw.call_id.ok_or("missing field `callID`")?;
        let Raw { tool, state, .. } = raw;
        Ok(Self::Tool(ToolPart { id, message_id, session_id, call_id, tool, state }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_parts_are_read() {
        #[derive(Deserialize)]
        struct Message {
            parts: Vec<Part>,
        }
        let messages: Vec<Message> = serde_json::from_str(include_str!("../fixtures/messages.json")).unwrap();
        let tool = messages[1].parts.iter().find_map(|part| match part {
            Part::Tool(tool) => Some(tool),
            Part::Text(_) | Part::Other => None,
        });
        let tool = tool.unwrap();
        assert_eq!((tool.tool.as_str(), tool.state.status), ("bash", ToolStatus::Completed));
        assert_eq!(tool.state.title.as_deref(), Some("echo hi"));
        assert!(messages[1].parts.contains(&Part::Other), "steps are of no interest");
    }

    #[test]
    fn a_text_needs_its_ids_and_an_unknown_part_needs_nothing() {
        assert_eq!(serde_json::from_str::<Part>(r#"{"type":"hologram"}"#).unwrap(), Part::Other);
        let error = serde_json::from_str::<Part>(r#"{"type":"text","id":"prt_1","messageID":"msg_1"}"#).unwrap_err();
        assert!(error.to_string().contains("missing field `sessionID`"));
        let text = r#"{"type":"tool","id":"prt_1","messageID":"msg_1","sessionID":"ses_1","callID":"a b",
            "state":{"status":"paused","output":"x"}}"#;
        let Part::Tool(tool) = serde_json::from_str(text).unwrap() else { panic!("no tool") };
        assert_eq!((tool.state.status, tool.call_id.as_str()), (ToolStatus::Other, "a b"));
    }
}
