//! Permission rules, and questions for permission.

use serde::{Deserialize, Serialize};

use super::number::or_default;
use crate::opencode::{CallId, MessageId, PermissionId, SessionId};

/// What an agent may do. Of several rules that match, the last one counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rule {
    /// The tool or kind of action, such as `bash`; `*` matches any text.
    pub permission: String,
    /// What it is done to, such as `git *`. A denial with `*` hides the tool from the model.
    pub pattern: String,
    /// `allow`, `ask` or `deny`.
    pub action: String,
}

/// The tool call that asks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ToolSource {
    /// The message it belongs to.
    #[serde(rename = "messageID")]
    pub message_id: MessageId,
    /// Which call.
    #[serde(rename = "callID")]
    pub call_id: CallId,
}

/// A question for permission that waits for its answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PermissionRequest {
    /// Which one.
    pub id: PermissionId,
    /// The session that asks.
    #[serde(rename = "sessionID")]
    pub session_id: SessionId,
    /// The tool or kind of action.
    pub permission: String,
    /// What it would be done to.
    #[serde(default, deserialize_with = "or_default")]
    pub patterns: Vec<String>,
    /// The tool call behind it.
    #[serde(default)]
    pub tool: Option<ToolSource>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_question_is_read() {
        let found: Vec<PermissionRequest> = serde_json::from_str(include_str!("../fixtures/permissions.json")).unwrap();
        assert_eq!(found[0].permission, "webfetch");
        assert_eq!(found[0].patterns.len(), 1);
        assert_eq!(found[0].tool.as_ref().unwrap().call_id.as_str(), "call_scripted-4_0");
    }
}
