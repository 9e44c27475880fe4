//! The record of prompts: what agents below tasks asked of the user, and what was answered by whom.
//!
//! A record, not a queue: a prompt lives in the process of the host that asks, and is answered there.

use super::StoreError;
use crate::task::{InstanceId, ProjectKey, TaskId, Timestamp};

/// How many answered prompts of a project are kept. Those that wait are kept all.
pub const ANSWERED_PROMPTS: u32 = 500;

/// A prompt that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPrompt {
    /// The project.
    pub project: ProjectKey,
    /// The host's id of it.
    pub request: String,
    /// The task that it was asked below.
    pub task: TaskId,
    /// The session that asks.
    pub session: String,
    /// Its directory, as the host spells it.
    pub directory: String,
    /// The instance in whose process it waits.
    pub home: InstanceId,
    /// What is asked, in a line.
    pub what: String,
}

/// What became of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The answer, in a word or a line: `once`, `always`, `reject`, what was chosen, or `gone`.
    pub answer: String,
    /// Who gave it: `you`, or the rule that decided.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// A prompt as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptRow {
    /// Its number, by which people name it.
    pub number: i64,
    /// The prompt.
    pub prompt: NewPrompt,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// What became of it; none while it waits.
    pub answered: Option<Answered>,
}

/// The prompts of the store. Every method is one transaction.
pub trait Prompts {
    /// Records a prompt; one that is known already is given as it stands.
    ///
    /// # Errors
    /// [`StoreError::NoSuchTask`], or the database's.
    fn ask_prompt(&mut self, prompt: &NewPrompt, now: Timestamp) -> Result<PromptRow, StoreError>;

    /// Records what became of a prompt; false when that is recorded already. Of older ones than the newest
    /// [`ANSWERED_PROMPTS`] the record is removed.
    ///
    /// # Errors
    /// [`StoreError`].
    fn close_prompt(&mut self, number: i64, answered: &Answered) -> Result<bool, StoreError>;

    /// The prompts of a project that wait, or the newest `answered` ones that do not, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    fn prompts(&mut self, project: &ProjectKey, answered: Option<u32>) -> Result<Vec<PromptRow>, StoreError>;

    /// A prompt by its number.
    ///
    /// # Errors
    /// [`StoreError`].
    fn prompt(&mut self, project: &ProjectKey, number: i64) -> Result<Option<PromptRow>, StoreError>;
}
