//! Putting an agent to work: the session it works in, what it inherits, and what it is told.

mod inherit;
mod mission;
mod session;

pub use inherit::{Inherited, child_rules, model};
pub use mission::{COMMANDER, COMMANDER_PROMPT, TASK_TEMPLATE};
pub use session::SessionExecutor;
