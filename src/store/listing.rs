//! Tasks as people list them: a few rows of many, found without reading the others, and cleared away when they are done.

use super::StoreError;
use crate::task::{ProjectKey, StateName, Task, TaskId, Timestamp};

/// Which tasks a person wants to see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// Of this agent only.
    pub agent: Option<String>,
    /// In these states only; empty for all.
    pub states: Vec<StateName>,
    /// Those that were cleared away, instead of those that were not.
    pub archived: bool,
}

/// How many tasks of a project are in each state, and how many were cleared away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Those in each state of [`StateName::ALL`], in its order; without those that were cleared away.
    pub states: [u64; StateName::ALL.len()],
    /// Those that were cleared away.
    pub archived: u64,
}

impl Totals {
    /// How many are in a state.
    #[must_use]
    pub fn of(&self, state: StateName) -> u64 {
        StateName::ALL.iter().zip(self.states).find(|(name, _)| **name == state).map_or(0, |(_, count)| count)
    }

    /// All that were not cleared away.
    #[must_use]
    pub fn shown(&self) -> u64 {
        self.states.iter().sum()
    }
}

/// What the command line asks the store for. What a question costs grows with the rows of its answer.
pub trait Listing {
    /// At most `limit` tasks: the running ones, then what is paused, then what waits, the oldest of each first; then
    /// the ended ones, the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    fn list(&mut self, project: &ProjectKey, wish: &Wish, limit: u32) -> Result<Vec<Task>, StoreError>;

    /// How many there are.
    ///
    /// # Errors
    /// [`StoreError`].
    fn totals(&mut self, project: &ProjectKey) -> Result<Totals, StoreError>;

    /// The tasks of a project whose ids begin so, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    fn with_prefix(&mut self, project: &ProjectKey, prefix: &str, limit: u32) -> Result<Vec<TaskId>, StoreError>;

    /// Each id cut where it is still unlike every other task's of the user.
    ///
    /// # Errors
    /// [`StoreError`].
    fn short_ids(&mut self, ids: &[TaskId]) -> Result<Vec<String>, StoreError>;

    /// Clears ended tasks away: they are listed no more unless asked for. Returns those that were, and were not
    /// before.
    ///
    /// # Errors
    /// [`StoreError`]; then none was.
    fn archive(&mut self, ids: &[TaskId], now: Timestamp) -> Result<Vec<TaskId>, StoreError>;
}
