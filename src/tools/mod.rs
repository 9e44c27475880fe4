//! The tools: what a model may call, how its arguments are checked, and the words of the answers.
//!
//! A new tool is an argument struct in [`args`], a line in [`list`], and an arm in [`call`].

mod agent_command;
mod answer;
pub mod args;
mod asks;
mod background;
pub mod background_args;
mod call;
mod command;
mod launch;
mod list;
mod table;
mod text;
mod todo;
pub mod todo_args;
pub mod todo_text;
mod words;

pub use asks::{Ask, asks};
pub use call::call;
pub use command::{COMMANDS, CommandAnswer, CommandSpec, command, host_config};
pub use list::{ToolSpec, list};
