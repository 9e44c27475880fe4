//! What was asked: fixed when a task is launched.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{MissionId, Name, ProjectKey, TaskId};

/// The longest time limit of a run that is taken: a day.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(86_400);

/// Which of several runnable tasks starts first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[schemars(description = "")]
pub enum Priority {
    /// After everything else.
    Low,
    /// The usual.
    #[default]
    Normal,
    /// Before everything else.
    High,
}

impl Priority {
    /// How much earlier than at its launch a task is taken to stand in the queue. So nothing waits for ever: a low task
    /// is overtaken only by what is launched within this time after it.
    #[must_use]
    pub fn head_start(self) -> Duration {
        const STEP: Duration = Duration::from_secs(300);
        match self {
            Self::Low => Duration::ZERO,
            Self::Normal => STEP,
            Self::High => 2 * STEP,
        }
    }
}

/// What happens to a task whose process died while it ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ResumePolicy {
    /// It goes on in the same session.
    #[default]
    Auto,
    /// It pauses until somebody decides.
    Ask,
    /// It fails as `died`.
    Never,
}

/// A model by its provider's id and its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ModelChoice {
    /// The provider, such as `anthropic`.
    pub provider: Name,
    /// The model within the provider; may contain slashes.
    pub model: Name,
    /// A variant of the model (reasoning effort, for example).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl ModelChoice {
    /// Reads `provider/model`, of which the model may hold further slashes; none where one of the two is empty.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (provider, model) = text.split_once('/')?;
        let is_whole = !provider.is_empty() && !model.is_empty();
        is_whole.then(|| Self { provider: provider.into(), model: model.into(), variant: None })
    }
}

impl fmt::Display for ModelChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.model)
    }
}

/// Who launched the task, and is told of its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The launching session.
    pub session: Name,
    /// The directory of the launching session: requests about it must carry it.
    pub directory: Name,
}

impl Parent {
    /// The session of this id in this directory.
    #[must_use]
    pub fn new(session: &str, directory: &str) -> Self {
        Self { session: session.into(), directory: directory.into() }
    }
}

/// What a task of the queue has beside the others: its agent is a program, it starts only when somebody works the queue,
/// and it has no session that is told of its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// How often it may be tried again, by itself or by hand.
    pub max_retries: u32,
}

/// The immutable part of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// The project it belongs to.
    pub project: ProjectKey,
    /// The launcher's own name for it, unique within the launching session's latest use.
    pub key: Option<String>,
    /// A short text for people.
    pub title: String,
    /// The agent that runs it.
    pub agent: Name,
    /// What the agent is asked.
    pub prompt: String,
    /// The model, if not the inherited one.
    pub model: Option<ModelChoice>,
    /// The model that it is expected to use, as `provider/model`, if that was known at its launch. Limits go by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_model: Option<Name>,
    /// Where the agent works: an absolute path inside the project.
    pub directory: Name,
    /// Who launched it.
    pub parent: Parent,
    /// 1 for a task launched by a person's session, 2 for one launched by such a task, and so on.
    pub depth: u32,
    /// Its place in the queue.
    pub priority: Priority,
    /// The longest time one run may take, from its start.
    pub timeout: Duration,
    /// How many attempts it has at most, the first included.
    pub max_attempts: u32,
    /// What happens when its process dies.
    pub resume: ResumePolicy,
    /// Tasks that must be complete before it starts.
    pub depends_on: Vec<TaskId>,
    /// The ended task whose session this one goes on in.
    pub continues: Option<TaskId>,
    /// The ended task that this one repeats.
    pub retry_of: Option<TaskId>,
    /// The mission that it works for, which hears of its end instead of the parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mission: Option<MissionId>,
    /// Set for a task of the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<Queued>,
}
