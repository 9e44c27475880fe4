//! A working directory of its own for a task that writes: made from the user's present state, compared, applied, removed.
//!
//! Of the user's repository only two things are written: objects, and the record that git keeps of each worktree. Their
//! index, stash, branches and refs stay as they are. Their files change in [`apply`] only, and there all or none.

mod apply;
mod diff;
mod error;
mod make;
mod remove;
mod repo;
mod scratch;
mod snapshot;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use apply::apply;
pub use diff::diff;
pub use error::WorktreeError;
pub use make::make;
pub use remove::remove;

/// A worktree that was made, and what it began with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worktree {
    /// Its root.
    pub path: PathBuf,
    /// The commit that holds the user's state, uncommitted changes included, when it was made. No ref names it; the
    /// worktree keeps it from being collected.
    pub base: String,
}

/// The engine's projection of its own state: neither carried into a worktree nor taken from it.
const PROJECTION: &str = ".opencode/todo.md";
