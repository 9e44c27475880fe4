//! Questions that an agent asks the user.

use serde::Deserialize;

use super::{number::or_default, permission::ToolSource};
use crate::opencode::{QuestionId, SessionId};

/// One choice.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct QuestionOption {
    /// What an answer names.
    pub label: String,
    /// What it means.
    #[serde(default, deserialize_with = "or_default")]
    pub description: String,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Question {
    /// The question.
    pub question: String,
    /// It in a few words.
    #[serde(default, deserialize_with = "or_default")]
    pub header: String,
    /// The choices.
    #[serde(default, deserialize_with = "or_default")]
    pub options: Vec<QuestionOption>,
    /// Whether several choices may be taken.
    #[serde(default, deserialize_with = "or_default")]
    pub multiple: bool,
}

/// Questions that wait for their answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct QuestionRequest {
    /// Which ones.
    pub id: QuestionId,
    /// The session that asks.
    #[serde(rename = "sessionID")]
    pub session_id: SessionId,
    /// What is asked, answered in this order.
    #[serde(default, deserialize_with = "or_default")]
    pub questions: Vec<Question>,
    /// The tool call behind it.
    #[serde(default)]
    pub tool: Option<ToolSource>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_question_is_read() {
        let found: Vec<QuestionRequest> = serde_json::from_str(include_str!("../fixtures/questions.json")).unwrap();
        let question = &found[0].questions[0];
        assert_eq!((question.question.as_str(), question.options[0].label.as_str()), ("Which?", "A"));
        assert!(!question.multiple);
    }
}
