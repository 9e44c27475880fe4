//! What is answered to a prompt of an agent's (a request for permission, a question) when no person answers it: a pure
//! function of the user's settings, of what is asked for, and of how long it has waited.
//!
//! Invariants:
//! - Nothing waits longer than the user's patience, and nothing waits at all where nobody can be asked.
//! - Nothing is allowed but what the user listed and what lies in the task's own directory; for good, nothing.
//! - A refusal comes with words for the agent: without them the host would end its turn.

mod decide;
mod pattern;
mod settings;
mod words;

pub use decide::{Ask, Decision, Why, decide};
pub use settings::{Allowed, Policy, Settings};
pub use words::{for_agent, one_line};
