//! The domain: what a task is and how it may change.
//!
//! Everything here is pure: no I/O, no clock, no randomness; instants and ids are handed in. Invariants:
//! - [`transition`] is the only way from one state to another; a terminal state is never left.
//! - Whoever writes for a running task shows its [`Fence`]; every change of owner raises it, so a stale runner's
//!   write is refused.
//! - A dependency graph is accepted only when it has no cycle ([`graph::check`]).

pub mod attempt;
pub mod graph;
mod id;
mod name;
mod outcome;
pub mod recovery;
mod spec;
mod spent;
mod state;
mod time;
mod transition;

pub use id::{Fence, InstanceId, MissionId, ParseIdError, ProjectKey, Rev, TaskId};
pub use name::Name;
pub use outcome::{DiffSummary, Outcome, Tokens, Usage};
pub use recovery::Recovery;
pub use spec::{MAX_TIMEOUT, ModelChoice, Parent, Priority, Queued, ResumePolicy, TaskSpec};
pub use spent::{Over, Scope, Spent, What};
pub use state::{
    CancelReason, ErrorClass, Failure, FailureKind, PauseReason, Process, Run, StateName, Task, TaskState, Waiting,
};
pub use time::Timestamp;
pub use transition::{Change, Guard, MAX_INTERRUPTIONS, Refusal, Retry, Step, TransitionError, transition};

#[cfg(test)]
mod model_test;
