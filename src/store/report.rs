//! Telling a parent: what is told, how, and under which ids.

use crate::task::{Parent, TaskId};

/// A report's name: its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReportId(pub i64);

/// How a parent is told. The ids are stored before anything is sent: after a crash they show whether it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    /// By a message under ids of ours; sending it again does no harm.
    Message {
        /// The message's id.
        message: String,
        /// Its text part's id.
        part: String,
    },
    /// By the result of a tool call of the parent's own.
    Tool {
        /// The message that holds the call.
        message: String,
        /// The call.
        call: String,
    },
}

/// Ended tasks on their way to their parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Its name.
    pub id: ReportId,
    /// Who is told.
    pub parent: Parent,
    /// How.
    pub via: Via,
    /// Of which tasks, oldest first.
    pub tasks: Vec<TaskId>,
}
