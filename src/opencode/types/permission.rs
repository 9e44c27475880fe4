//! Permission rules, and questions for permission.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

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
    /// What the tool tells of it besides.
    #[serde(default, deserialize_with = "or_default")]
    pub metadata: Metadata,
    /// The tool call behind it.
    #[serde(default)]
    pub tool: Option<ToolSource>,
}

/// What a tool tells of what it asks for: each tool has its own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Metadata {
    /// The one file that is meant, of which the patterns name only the directory.
    #[serde(default, rename = "filepath", deserialize_with = "text")]
    pub file: Option<String>,
}

/// A text; whatever else stands there is none.
fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Value::deserialize(from)?.as_str().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_question_is_read() {
        let found: Vec<PermissionRequest> = serde_json::from_str(include_str!("../fixtures/permissions.json")).unwrap();
        assert_eq!(found[0].permission, "webfetch");
        assert_eq!(found[0].patterns.len(), 1);
        assert_eq!(found[0].metadata.file, None);
        assert_eq!(found[0].tool.as_ref().unwrap().call_id.as_str(), "call_scripted-4_0");
    }

    #[test]
    fn the_file_that_is_meant_is_read_and_anything_else_is_none() {
        for (metadata, file) in [
            (serde_json::json!({ "filepath": "/etc/hosts", "parentDir": "/etc" }), Some("/etc/hosts")),
            (serde_json::json!({ "filepath": 3 }), None),
            (serde_json::json!({ "command": "ls" }), None),
            (Value::Null, None),
        ] {
            let request = serde_json::json!({
                "id": "per_1", "sessionID": "ses_1", "permission": "external_directory", "metadata": metadata,
            });
            let request: PermissionRequest = serde_json::from_value(request).unwrap();
            assert_eq!(request.metadata.file.as_deref(), file);
        }
    }
}
