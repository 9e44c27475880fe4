//! What the tools for background commands take. The doc comments are what the model reads: short, because every model
//! request carries them.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::fault;

/// Arguments of `sortie_command_start`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Program and arguments; no shell
    pub command: String,
    #[expect(missing_docs, reason = "the name says it")]
    pub directory: Option<String>,
    /// Seconds; default 1800
    pub timeout: Option<u64>,
    /// Outlive this task
    #[serde(default)]
    pub keep: bool,
}

/// What is done with a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(description = "")]
pub enum Do {
    /// Shows how it stands, and its output.
    #[default]
    Look,
    /// Waits until it ends or has written a text.
    Wait,
    /// Ends it.
    Kill,
    /// Sets its time limit, from now.
    Limit,
}

/// Arguments of `sortie_command`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Command {
    #[expect(missing_docs, reason = "the name says it")]
    pub id: Option<String>,
    #[expect(missing_docs, reason = "the tool's description says it")]
    #[serde(deserialize_with = "fault::word")]
    pub r#do: Do,
    #[expect(missing_docs, reason = "the tool's description says it")]
    pub text: Option<String>,
    #[expect(missing_docs, reason = "the tool's description says it")]
    pub seconds: Option<u64>,
    #[expect(missing_docs, reason = "every answer names offsets")]
    pub offset: Option<u64>,
}
