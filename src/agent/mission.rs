//! The commander: the agent that `/task` puts to work.

/// The commander's name, unless the user has an agent of that name: then theirs is used.
pub const COMMANDER: &str = "commander";

/// Its system prompt.
pub const COMMANDER_PROMPT: &str = include_str!("../../prompts/commander.md");

/// What `/task <what>` becomes.
pub const TASK_TEMPLATE: &str = "$ARGUMENTS";
