//! `sortie.jsonc`: the programs that are agents, and how the queue is worked.
//!
//! What holds is put together from the user's file, the file of older orchestrators in the project
//! (`.opencode/agent-config.json`), and the project's own file: an agent of a later one replaces that of an earlier one as
//! a whole, any other setting replaces the single value. An agent that none of them names is one of OpenCode's.

mod read;
mod schema;

use std::{collections::BTreeMap, num::NonZeroU32};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use read::{Source, load};
pub use schema::schema;

/// The longest a task's command line may be written in a configuration, in arguments.
const MOST_ARGUMENTS: usize = 256;

/// A configuration file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    /// Where this file's format is described, for editors.
    #[serde(rename = "$schema")]
    pub schema: Option<String>,
    /// Programs that are agents, by their names.
    pub agents: BTreeMap<String, Agent>,
    /// How the queue is worked.
    pub queue: Queue,
    /// The OpenCode servers that `sortie checklist` and `sortie servers` start.
    pub servers: Servers,
}

/// A program that is an agent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// The program: a name that is looked for in PATH, or a path.
    pub command: String,
    /// Its arguments. `{prompt}`, `{taskId}`, `{agent}` and `{dir}` (the task's own directory) are filled in; no shell
    /// reads them.
    #[serde(default)]
    pub args: Vec<String>,
    /// Variables that are set for it; the same words are filled in.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Where it runs, if not in the task's directory: an absolute path, or one below the project.
    pub cwd: Option<String>,
    /// How it is known that it has done its work.
    #[serde(default)]
    pub success: Success,
    /// What it is, for `sortie agents`.
    pub description: Option<String>,
    /// How many tasks of it run at once at most.
    pub slots: Option<NonZeroU32>,
}

/// How it is known that an agent has done its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Success {
    /// It ends with the exit code 0.
    #[default]
    Exit,
    /// It has written `.done` into the task's directory, whatever its exit code.
    Sentinel,
    /// Both.
    Both,
}

/// How the queue is worked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Queue {
    /// How many tasks `sortie run --parallel` runs at once if it is given no number; 3 if not set.
    pub parallel: Option<NonZeroU32>,
    /// How many tasks of one agent run at once at most; 10 if not set.
    pub slots: Option<NonZeroU32>,
    /// How many tasks run at once in this project, whoever runs them.
    pub project: Option<NonZeroU32>,
    /// The time limit of a task for which none is given, in seconds; an hour if not set.
    pub timeout: Option<NonZeroU32>,
    /// How often a failed task may be tried again; 3 if not set.
    pub max_retries: Option<u32>,
    /// Failed tasks are tried again by themselves.
    pub auto_retry: Option<bool>,
    /// The most that is kept of a task's log, in bytes; 10 MB if not set.
    pub log_size: Option<NonZeroU32>,
}

/// OpenCode servers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Servers {
    /// How many are started at most, 5 at the most; 1 if not set.
    pub max: Option<NonZeroU32>,
    /// The ports that they may use, such as `"4096-4100"`; any free one if not set.
    pub ports: Option<String>,
    /// Whether each has data of its own.
    pub isolated: Option<bool>,
    /// A server that runs already: none is started then. Its password is taken from `OPENCODE_SERVER_PASSWORD`.
    pub url: Option<String>,
}

/// What holds in a project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// The agents that are programs.
    pub agents: BTreeMap<String, Agent>,
    /// How the queue is worked.
    pub queue: Queue,
    /// OpenCode servers.
    pub servers: Servers,
}

impl Config {
    /// The agent of a name, whatever its case; one that is not configured is OpenCode's.
    #[must_use]
    pub fn agent(&self, name: &str) -> Agent {
        let known = self.agents.get(name);
        let alike = || self.agents.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, agent)| agent);
        known.or_else(alike).cloned().unwrap_or_else(Agent::of_opencode)
    }
}

impl Agent {
    /// An agent that OpenCode runs.
    #[must_use]
    pub fn of_opencode() -> Self {
        Self {
            command: OPENCODE.to_owned(),
            args: ["run", "{prompt}", "--agent", "{agent}"].map(str::to_owned).to_vec(),
            env: BTreeMap::new(),
            cwd: None,
            success: Success::Exit,
            description: None,
            slots: None,
        }
    }
}

/// The program that is looked for in more places than PATH: see `server_pool::find_opencode`.
pub const OPENCODE: &str = "opencode";

/// The ports of a range such as `4096-4100`.
#[must_use]
pub fn port_range(text: &str) -> Option<std::ops::RangeInclusive<u16>> {
    let (first, last) = text.split_once('-')?;
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (0 < first && first <= last).then_some(first..=last)
}
