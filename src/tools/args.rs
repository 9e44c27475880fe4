//! What each tool takes. The doc comments are what the model reads: short, because every model request carries them.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    fault,
    task::{Priority, ResumePolicy},
};

/// Arguments of `sortie_launch`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    #[expect(missing_docs, reason = "the tool's description says it; a doc comment would be sent with every request")]
    #[serde(deserialize_with = "fault::each_strict")]
    pub tasks: Vec<LaunchTask>,
}

/// One task of a launch.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(description = "")]
pub struct LaunchTask {
    #[expect(clippy::doc_markdown, reason = "a model reads it")]
    /// Short name for depends_on and {{result:key}}
    pub key: Option<String>,
    /// A few words for people
    pub title: String,
    /// Agent name
    pub agent: String,
    /// Complete instructions; the agent sees nothing else. {{result:key}} is replaced by that task's result
    pub prompt: String,
    /// Keys or ids that must complete first
    #[serde(default)]
    pub depends_on: Vec<String>,
    #[expect(missing_docs, reason = "the name says it")]
    #[serde(default, deserialize_with = "fault::word")]
    pub priority: Priority,
    /// provider/model; default: yours
    pub model: Option<String>,
    /// Inside the project; default: yours
    pub directory: Option<String>,
    /// Seconds one run may take
    pub timeout: Option<u64>,
    /// Tries after the first, 0-4
    pub retries: Option<u32>,
    /// After a crash: continue, ask the user, or fail
    #[serde(default, deserialize_with = "fault::word_or_none")]
    pub resume: Option<ResumePolicy>,
}

/// Arguments of `sortie_status`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Status {
    /// Ids or keys; default: all of this session
    pub tasks: Option<Vec<String>>,
    /// The whole project's
    pub all: bool,
    /// Machine-readable
    pub json: bool,
}

/// How many must end before a wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(description = "")]
pub enum WaitMode {
    /// Every one.
    #[default]
    All,
    /// One.
    Any,
}

/// Arguments of `sortie_wait`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Wait {
    /// Ids or keys; default: all open ones of this session
    pub tasks: Option<Vec<String>>,
    #[expect(missing_docs, reason = "the name says it")]
    #[serde(deserialize_with = "fault::word")]
    pub mode: WaitMode,
    /// Seconds to wait at most
    pub timeout: Option<u64>,
}

/// Arguments of `sortie_result`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResultOf {
    /// Id or key
    pub task: String,
    /// Byte to start from, for long results
    #[serde(default)]
    pub offset: usize,
}

/// Arguments of `sortie_send`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Send {
    /// Id or key
    pub task: String,
    #[expect(missing_docs, reason = "the name says it")]
    pub message: String,
}

/// Arguments of `sortie_extend`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Extend {
    /// Id or key
    pub task: String,
    #[expect(missing_docs, reason = "the tool's description says it")]
    pub seconds: u64,
}

/// Arguments of `sortie_cancel` and `sortie_retry`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tasks {
    /// Ids or keys
    pub tasks: Vec<String>,
}
