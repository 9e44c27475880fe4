//! What came of a run.

use serde::{Deserialize, Serialize};

/// Tokens as the provider counted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tokens {
    /// Sent, not from the cache.
    pub input: u64,
    /// Answered.
    pub output: u64,
    /// Spent on reasoning.
    pub reasoning: u64,
    /// Read from the provider's cache.
    pub cache_read: u64,
    /// Written to the provider's cache.
    pub cache_write: u64,
}

impl Tokens {
    /// All tokens together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.input + self.output + self.reasoning + self.cache_read + self.cache_write
    }
}

/// What changed in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DiffSummary {
    /// Files touched.
    pub files: u64,
    /// Lines added.
    pub additions: u64,
    /// Lines removed.
    pub deletions: u64,
}

/// What a task's session has used.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Tokens of the whole session.
    pub tokens: Tokens,
    /// Cost in the provider's currency (US dollars), as the host reports it.
    pub cost: f64,
    /// Files changed by the session, when the host knows.
    pub diff: Option<DiffSummary>,
}

impl Usage {
    /// Counts one answer more.
    pub fn add(&mut self, answer: Tokens, cost: f64) {
        let Tokens { input, output, reasoning, cache_read, cache_write } = answer;
        let tokens = &mut self.tokens;
        tokens.input += input;
        tokens.output += output;
        tokens.reasoning += reasoning;
        tokens.cache_read += cache_read;
        tokens.cache_write += cache_write;
        self.cost += cost;
    }
}

/// A run's result.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// The agent's last words, whole.
    pub text: String,
    /// What it used.
    pub usage: Usage,
}
