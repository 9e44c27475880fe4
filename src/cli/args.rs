//! What can be typed.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueHint};

use crate::{
    inbox::Allowed,
    opencode::ModelRef,
    task::{MAX_TIMEOUT, Priority, StateName},
};

/// Send agents out and get every one of them back.
///
/// Tasks wait in a queue on disk until `sortie run` works it. Nothing is lost when a process is killed, and nothing runs
/// twice.
#[derive(Debug, Parser)]
#[command(name = "sortie", version, max_term_width = 100, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 all well, 1 a task failed, was cancelled or stands still, 2 wrong use, 3 no such task,\n\
    4 not in this state, 5 Sortie's own files, 6 configuration, 7 OpenCode,\n\
    8 a check came to no verdict, 124 waited too long, 130 interrupted."
)]
pub struct Cli {
    /// Print one JSON document for programs instead of text for people.
    #[arg(long, global = true)]
    pub json: bool,
    /// The project's directory, instead of the one that this is typed in.
    #[arg(short = 'C', long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub project: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Put a task into the queue.
    Start(StartArgs),
    /// Work the queue.
    Run(RunArgs),
    /// Show tasks.
    Status(StatusArgs),
    /// Wait for tasks to end.
    Wait(WaitArgs),
    /// Show what a task's agent wrote.
    Logs(LogsArgs),
    /// Print what came of a task.
    Result {
        /// The task.
        #[arg(value_name = "ID")]
        task: String,
    },
    /// Stop tasks for good.
    Cancel(Tasks),
    /// Do a failed or cancelled task again.
    Retry(RetryArgs),
    /// Show, extend or end the time of tasks: `timeout ID`, `timeout list`, `timeout extend ID TIME`.
    Timeout(TimeoutArgs),
    /// Clear ended tasks away, with their logs.
    Clean(CleanArgs),
    /// Go on from an ended task with another prompt.
    Send {
        /// The task.
        #[arg(value_name = "ID")]
        task: String,
        /// What its agent is told; `-` reads it from the standard input.
        #[arg(required = true, value_name = "TEXT")]
        message: Vec<String>,
    },
    /// Let tasks stand still.
    Pause(Tasks),
    /// Let paused tasks go on.
    Resume(Tasks),
    /// Give a waiting task another place in the queue.
    Priority {
        /// The task.
        #[arg(value_name = "ID")]
        task: String,
        /// `low`, `normal`, `high`, or a number: below 5, 5, above 5.
        #[arg(value_parser = priority)]
        priority: Priority,
    },
    /// List the agents that are configured.
    Agents,
    /// Put independent checks to OpenCode at once, and print a verdict for each.
    Checklist(ChecklistArgs),
    /// List the servers of OpenCode that checklists have started.
    Servers,
    /// Look whether all is as it should be.
    Doctor,
    /// Take in the tasks of an older orchestrator, such as `.gemini/agents`.
    Import {
        /// Its directory: `tasks` and `logs` lie in it.
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        directory: PathBuf,
    },
    /// Write the queue's tasks as an older orchestrator keeps them.
    Export {
        /// A directory that is new or empty.
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        directory: PathBuf,
        /// How they are written.
        #[arg(long, value_parser = ["seed"], default_value = "seed")]
        format: String,
    },
    /// Print the completions of a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    Man,
}

/// Tasks by their ids.
#[derive(Debug, Args)]
pub struct Tasks {
    /// The tasks, by as much of their ids as tells them apart.
    #[arg(required = true, value_name = "ID")]
    pub tasks: Vec<String>,
}

/// `sortie start`.
#[derive(Debug, Args)]
pub struct StartArgs {
    /// The agent: one of `sortie agents`, or one of OpenCode's.
    pub agent: String,
    /// What it is to do; `-` reads it from the standard input.
    #[arg(value_name = "PROMPT", required_unless_present = "file")]
    pub prompt: Vec<String>,
    /// Read the prompt from a file.
    #[arg(short, long, value_name = "FILE", conflicts_with = "prompt", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// A short text for people; the first line of the prompt if not given.
    #[arg(long)]
    pub title: Option<String>,
    /// The longest time one run may take: seconds, or a time such as 90s, 5m, 2h.
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// `low`, `normal`, `high`, or a number: below 5, 5, above 5.
    #[arg(short, long, value_parser = priority, default_value = "normal")]
    pub priority: Priority,
    /// How often it may be tried again.
    #[arg(long, value_name = "N")]
    pub max_retries: Option<u32>,
    /// Try it again by itself when it fails.
    #[arg(long)]
    pub auto_retry: bool,
    /// Start it only when this task is complete; may be given more than once.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub after: Vec<String>,
    /// Where the agent works: a directory of the project.
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
    /// Print nothing but the new task's id.
    #[arg(short, long)]
    pub quiet: bool,
}

/// `sortie run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Only these tasks; all that wait if none is given.
    #[arg(value_name = "ID")]
    pub tasks: Vec<String>,
    /// Run so many tasks at once; without a number, as many as configured (3).
    #[arg(short, long, value_name = "N", num_args = 0..=1, default_missing_value = "configured", value_parser = parallel)]
    pub parallel: Option<Parallel>,
    /// Run so many tasks at most.
    #[arg(short, long, value_name = "N")]
    pub limit: Option<NonZeroU32>,
    /// Leave a worker behind that works the queue, and return at once.
    #[arg(short, long)]
    pub detach: bool,
}

/// How many tasks run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parallel {
    /// As many as configured.
    Configured,
    /// So many.
    Number(NonZeroU32),
}

/// `sortie status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Only these tasks, with all that is known of them.
    #[arg(value_name = "ID")]
    pub tasks: Vec<String>,
    /// Show it again whenever something changes.
    #[arg(short, long, conflicts_with = "json")]
    pub watch: bool,
    /// Only tasks in this state; may be given more than once.
    #[arg(short, long, value_parser = state)]
    pub state: Vec<StateName>,
    /// Only tasks of this agent.
    #[arg(short, long)]
    pub agent: Option<String>,
    /// Show so many at most.
    #[arg(short = 'n', long, default_value_t = 50)]
    pub limit: u32,
    /// Show those that were cleared away.
    #[arg(long)]
    pub archived: bool,
}

/// `sortie wait`.
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// The tasks; all that are open if none is given.
    #[arg(value_name = "ID")]
    pub tasks: Vec<String>,
    /// Wait so long at most: seconds, or a time such as 90s, 5m, 2h.
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    pub timeout: Option<Duration>,
}

/// `sortie logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// The task.
    #[arg(value_name = "ID")]
    pub task: String,
    /// Go on until the task has ended.
    #[arg(short, long, conflicts_with = "json")]
    pub follow: bool,
    /// Only the last lines.
    #[arg(short = 'n', long, value_name = "N")]
    pub lines: Option<usize>,
}

/// `sortie retry`.
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// The task.
    #[arg(value_name = "ID")]
    pub task: String,
    /// Try it again by itself when it fails once more.
    #[arg(long)]
    pub auto: bool,
    /// How often it may be tried again in all.
    #[arg(long, value_name = "N")]
    pub max_retries: Option<u32>,
}

/// `sortie timeout`.
#[derive(Debug, Args)]
pub struct TimeoutArgs {
    /// `list`, `extend ID TIME`, or the ID of a running task whose time is to be over now.
    #[arg(required = true, num_args = 1..=3, value_names = ["WHAT", "ID", "TIME"])]
    pub what: Vec<String>,
}

/// `sortie clean`.
#[derive(Debug, Args)]
pub struct CleanArgs {
    /// `completed`, `failed`, `cancelled`, `all`, or the IDs of tasks.
    #[arg(value_name = "WHICH", default_value = "completed")]
    pub which: Vec<String>,
    /// Only say what would be cleared away.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask, however many they are.
    #[arg(short, long)]
    pub yes: bool,
}

/// `sortie checklist`.
#[derive(Debug, Args)]
pub struct ChecklistArgs {
    /// The list: an item such as `- [ ] every public function has a test`, or a line, is a check; `-` reads it from the
    /// standard input.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// The agent that checks; the project's own if not given.
    #[arg(short, long)]
    pub agent: Option<String>,
    /// The model that checks, such as `anthropic/claude-haiku-4-5`; the agent's own if not given.
    #[arg(short, long, value_name = "PROVIDER/MODEL", value_parser = model)]
    pub model: Option<ModelRef>,
    /// How many checks are made at once (5).
    #[arg(short, long, value_name = "N")]
    pub parallel: Option<NonZeroU32>,
    /// The longest time one check may take (10m): seconds, or a time such as 90s, 5m, 2h.
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// What agents may do although OpenCode would ask, such as `bash=cargo test *`; may be given more than once.
    /// Anything else that OpenCode would ask is denied: nobody is there.
    #[arg(long, value_name = "TOOL=PATTERN", value_parser = allowed)]
    pub allow: Vec<Allowed>,
    /// Use a server that runs already, such as `http://127.0.0.1:4096`, instead of starting one. Its password is taken
    /// from `OPENCODE_SERVER_PASSWORD`.
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub server: Option<String>,
}

/// A time: seconds, or with units.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time: give seconds, or a time such as 90s, 5m or 2h");
    let time = if let Ok(seconds) = text.parse::<u64>() {
        Duration::from_secs(seconds)
    } else {
        let with_units: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
        Duration::try_from(with_units).map_err(|_| wrong())?
    };
    if time < Duration::from_secs(1) || time > MAX_TIMEOUT {
        return Err(format!("`{text}` is not between 1 s and {} h", MAX_TIMEOUT.as_secs() / 3_600));
    }
    Ok(time)
}

fn parallel(text: &str) -> Result<Parallel, String> {
    if text == "configured" {
        return Ok(Parallel::Configured);
    }
    text.parse().map(Parallel::Number).map_err(|_| format!("`{text}` is no number above 0"))
}

/// A priority by its name, or as a number of older orchestrators, in which 5 is the usual.
fn priority(text: &str) -> Result<Priority, String> {
    match (text.to_ascii_lowercase().as_str(), text.parse::<u32>()) {
        ("low", _) | (_, Ok(0..=4)) => Ok(Priority::Low),
        ("normal", _) | (_, Ok(5)) => Ok(Priority::Normal),
        ("high", _) | (_, Ok(6..=10)) => Ok(Priority::High),
        _ => Err(format!("`{text}` is none of low, normal, high and the numbers 0 to 10")),
    }
}

fn model(text: &str) -> Result<ModelRef, String> {
    match text.split_once('/') {
        Some((provider, model)) if !provider.is_empty() && !model.is_empty() => {
            Ok(ModelRef { provider_id: provider.to_owned(), model_id: model.to_owned() })
        }
        _ => Err(format!("`{text}` is no model: give its provider and its name, such as `openai/gpt-5`")),
    }
}

fn allowed(text: &str) -> Result<Allowed, String> {
    match text.split_once('=') {
        Some((permission, pattern)) if !permission.is_empty() && !pattern.is_empty() => {
            Ok(Allowed { permission: permission.to_owned(), pattern: pattern.to_owned() })
        }
        _ => Err(format!("`{text}` allows nothing: give a tool and a pattern, such as `bash=cargo test *`")),
    }
}

fn state(text: &str) -> Result<StateName, String> {
    let known = StateName::ALL.into_iter().find(|state| state.as_str().eq_ignore_ascii_case(text));
    known.ok_or_else(|| {
        let all: Vec<_> = StateName::ALL.iter().map(|state| state.as_str()).collect();
        format!("`{text}` is none of {}", all.join(", "))
    })
}
