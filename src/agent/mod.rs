//! Putting an agent to work: the session it works in, what it inherits, and what it is told.

mod inherit;
mod roles;
mod session;

pub use inherit::{Inherited, OurTools, RESERVED, child_rules, model};
pub use roles::{Action, COMMANDER, COMMANDER_PROMPT, Mode, Role, TASK_TEMPLATE, host_agents};
pub use session::SessionExecutor;
