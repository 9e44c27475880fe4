//! What a fake model does with a prompt.

use std::time::Duration;

use crate::opencode::{MessageId, ModelRef, SessionId};

/// A prompt as the model is asked to answer it.
#[derive(Debug, Clone, PartialEq)]
pub struct PromptSeen {
    /// The session.
    pub session: SessionId,
    /// Its directory.
    pub directory: String,
    /// The session that it is a child of.
    pub parent: Option<SessionId>,
    /// The prompt's id.
    pub message_id: MessageId,
    /// Its words, without those that the model does not see.
    pub text: String,
    /// The agent asked for.
    pub agent: String,
    /// The model asked for.
    pub model: Option<ModelRef>,
    /// The variant asked for.
    pub variant: Option<String>,
    /// The addition to the system prompt.
    pub system: Option<String>,
    /// How often the model was asked to answer this prompt before.
    pub asked_before: u32,
}

/// One thing that happens in a turn.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Time passes.
    Wait(Duration),
    /// The model says something.
    Say(String),
    /// The model calls a tool, which takes this long and succeeds; then it is asked again.
    Tool(String, Duration),
    /// The model calls a tool with these arguments, which gives this at once, or fails with it (`Err`); then it is asked
    /// again.
    Call(String, serde_json::Value, Result<String, String>),
    /// Pieces of an answer come for this long, one a second.
    Think(Duration),
    /// A tool asks for permission to do something to something, and waits for the answer.
    AskPermission(String, String),
    /// Tools called at once ask for permission, each to do something to something, and all wait for their answers.
    AskPermissions(Vec<(String, String)>),
    /// A tool asks the user a question with these choices, and waits for the answer.
    AskQuestion(String, Vec<String>),
    /// The provider failed with this message; the host waits so long and asks again.
    Retry(String, Duration),
    /// The provider failed for good: name, message, HTTP status. The turn is over.
    Fail(String, String, Option<u16>),
    /// The session is too long: the host reports an error, summarises, and asks again.
    Compact,
    /// The model used this much: tokens in, tokens out, dollars. Default 10, 5 and 0.001 an answer.
    Use(u64, u64, f64),
    /// Nothing, until the turn is aborted.
    Hang,
    /// The answer ends with this reason instead of `stop`.
    Finish(String),
}

/// What a fake model does with a prompt: steps in their order. After the last one the answer is finished.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Script {
    pub(super) steps: Vec<Step>,
}

impl Script {
    /// No step: an answer without words.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says something at once.
    #[must_use]
    pub fn say(text: &str) -> Self {
        Self::new().then_say(text)
    }

    /// Says something later.
    #[must_use]
    pub fn say_after(delay: Duration, text: &str) -> Self {
        Self::new().then(Step::Wait(delay)).then_say(text)
    }

    /// Fails with a named error, such as `APIError`.
    #[must_use]
    pub fn fail(name: &str, message: &str, status: Option<u16>) -> Self {
        Self::new().then(Step::Fail(name.to_owned(), message.to_owned(), status))
    }

    /// Never answers.
    #[must_use]
    pub fn hang() -> Self {
        Self::new().then(Step::Hang)
    }

    /// Adds a step.
    #[must_use]
    pub fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Adds words.
    #[must_use]
    pub fn then_say(self, text: &str) -> Self {
        self.then(Step::Say(text.to_owned()))
    }
}
