//! The answers for programs: `docs/cli.schema.json` is printed from here. A field is never taken away or given another
//! meaning under the same version.

use schemars::JsonSchema;
use serde::Serialize;

use crate::task::{CancelReason, PauseReason, Task, TaskState, Timestamp, Waiting};

/// The version of all documents.
pub const VERSION: u32 = 1;

/// Every answer: what it is, and the fields of its command.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Document<T> {
    /// The version of the format.
    pub version: u32,
    /// The command that answers.
    pub command: &'static str,
    /// Its answer.
    #[serde(flatten)]
    pub body: T,
}

impl<T> Document<T> {
    /// An answer of a command.
    pub fn new(command: &'static str, body: T) -> Self {
        Self { version: VERSION, command, body }
    }
}

/// A task.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskRow {
    /// Its id.
    pub id: String,
    /// The shortest beginning of its id that names it now.
    pub short_id: String,
    /// `pending`, `running`, `paused`, `complete`, `failed` or `cancelled`.
    pub state: &'static str,
    /// Why it waits, stands still, failed or was cancelled.
    pub reason: Option<String>,
    /// How it failed: `error`, `timeout`, `stalled`, `died`, `budget` or `denied`.
    pub failure: Option<&'static str>,
    /// Its agent.
    pub agent: String,
    /// Its title.
    pub title: String,
    /// `low`, `normal` or `high`.
    pub priority: &'static str,
    /// Which attempt is or was running last; 0 before the first.
    pub attempt: u32,
    /// How many it has.
    pub max_attempts: u32,
    /// Where its agent works.
    pub directory: String,
    /// The tasks that must be complete before it starts.
    pub after: Vec<String>,
    /// The task that it repeats.
    pub retry_of: Option<String>,
    /// Whether it is worked by `sortie run`; otherwise by OpenCode.
    pub queued: bool,
    /// The number of its agent's process.
    pub pid: Option<u32>,
    /// When it was launched, as RFC 3339.
    pub created_at: String,
    /// When its present run began.
    pub started_at: Option<String>,
    /// When it ended.
    pub ended_at: Option<String>,
    /// The longest one run may take, in seconds.
    pub timeout_seconds: u64,
    /// How long its present run takes so far, in seconds.
    pub elapsed_seconds: Option<u64>,
}

impl TaskRow {
    /// A task as it is at `now`.
    #[must_use]
    pub fn new(task: &Task, short_id: String, now: Timestamp) -> Self {
        let started = started_at(task);
        Self {
            id: task.id.to_string(),
            short_id,
            state: task.state.name().as_str(),
            reason: reason(task, now),
            failure: match &task.state {
                TaskState::Failed { failure, .. } => Some(failure.kind.as_str()),
                _ => None,
            },
            agent: task.spec.agent.to_string(),
            title: task.spec.title.clone(),
            priority: priority(task.priority()),
            attempt: task.attempt,
            max_attempts: task.spec.max_attempts,
            directory: task.spec.directory.to_string(),
            after: task.spec.depends_on.iter().map(ToString::to_string).collect(),
            retry_of: task.spec.retry_of.map(|of| of.to_string()),
            queued: task.is_queued(),
            pid: task.process().filter(|_| !task.state.is_terminal()).map(|one| one.pid),
            created_at: instant(task.created_at),
            started_at: started.map(instant),
            ended_at: task.state.ended_at().map(instant),
            timeout_seconds: task.limit().as_secs(),
            elapsed_seconds: started.map(|at| now.since(at).as_secs()),
        }
    }
}

/// When the present run of a task began.
#[must_use]
pub fn started_at(task: &Task) -> Option<Timestamp> {
    match &task.state {
        TaskState::Running { started_at, .. } => Some(task.process().map_or(*started_at, |process| process.at)),
        _ => None,
    }
}

/// The name of a priority.
#[must_use]
pub fn priority(priority: crate::task::Priority) -> &'static str {
    match priority {
        crate::task::Priority::Low => "low",
        crate::task::Priority::Normal => "normal",
        crate::task::Priority::High => "high",
    }
}

/// Why a task is where it is, in words.
#[must_use]
pub fn reason(task: &Task, now: Timestamp) -> Option<String> {
    match &task.state {
        TaskState::Pending { waiting, .. } => match waiting {
            Waiting::Turn => None,
            Waiting::Backoff { until, failure } => {
                Some(format!("again in {} after {failure}", super::view::duration(until.since(now))))
            }
            Waiting::Resume => Some("its process is gone; it goes on".to_owned()),
            Waiting::Provider { name, said, .. } => Some(format!("{name} says: {said}")),
        },
        TaskState::Paused { reason, .. } => Some(
            match reason {
                PauseReason::User => "by hand",
                PauseReason::Interrupted => "its process is gone; it asks whether to go on",
                PauseReason::Budget(_) => "a budget is used up",
            }
            .to_owned(),
        ),
        TaskState::Failed { failure, .. } => Some(failure.to_string()),
        TaskState::Cancelled { reason, .. } => Some(match reason {
            CancelReason::Request => "by hand".to_owned(),
            CancelReason::Session => "by its agent".to_owned(),
            CancelReason::Dependency { on } => format!("{on} did not complete"),
            CancelReason::Parent { task } => format!("{task} was cancelled"),
        }),
        TaskState::Running { .. } | TaskState::Complete { .. } => None,
    }
}

/// An instant as RFC 3339.
#[must_use]
pub fn instant(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map(|at| at.to_string()).unwrap_or_default()
}

/// Some tasks.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TaskList {
    /// The tasks.
    pub tasks: Vec<TaskRow>,
}

/// The answer of `status`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusAnswer {
    /// The project.
    pub project: String,
    /// The tasks that were asked for.
    pub tasks: Vec<TaskRow>,
    /// How many tasks there are in each state.
    pub totals: TotalsRow,
    /// How many processes work the queue.
    pub workers: usize,
}

/// How many tasks of a project are in each state.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct TotalsRow {
    /// Waiting.
    pub pending: u64,
    /// Running.
    pub running: u64,
    /// Standing still.
    pub paused: u64,
    /// Ended well.
    pub complete: u64,
    /// Ended badly.
    pub failed: u64,
    /// Stopped.
    pub cancelled: u64,
    /// Cleared away.
    pub archived: u64,
}

/// The answer of `run`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RunAnswer {
    /// The tasks that were run, as they are now.
    pub tasks: Vec<TaskRow>,
    /// What waits for something that is paused.
    pub stuck: Vec<TaskRow>,
    /// Whether it was stopped before the queue was empty.
    pub interrupted: bool,
    /// The worker that was left behind, by the number of its process.
    pub worker: Option<u32>,
}

/// The answer of `logs` and `result`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TextAnswer {
    /// The task.
    pub task: TaskRow,
    /// What it wrote, or what came of it.
    pub text: String,
}

/// The answer of `clean`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CleanAnswer {
    /// The tasks that were cleared away, or would be.
    pub tasks: Vec<TaskRow>,
    /// Whether nothing was done.
    pub dry_run: bool,
}

/// The answer of `agents`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AgentsAnswer {
    /// The agents that are configured.
    pub agents: Vec<AgentRow>,
}

/// An agent.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct AgentRow {
    /// Its name.
    pub name: String,
    /// Its program and arguments.
    pub command: Vec<String>,
    /// What it is.
    pub description: Option<String>,
    /// How it is known that it has done its work: `exit`, `sentinel` or `both`.
    pub success: crate::config::Success,
}

/// The answer of `servers`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ServersAnswer {
    /// The servers, the oldest first.
    pub servers: Vec<ServerRow>,
    /// How many were left behind by processes that were killed, and have been ended now.
    pub ended: usize,
}

/// A server of OpenCode's.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerRow {
    /// Its name in Sortie's home.
    pub id: String,
    /// Its address.
    pub url: String,
    /// The number of its process.
    pub pid: Option<u32>,
    /// Whether its process runs.
    pub running: bool,
    /// The project that it was started for; it may serve others as well.
    pub directory: String,
    /// When it was started, as RFC 3339.
    pub started_at: String,
    /// How long ago that was.
    pub up_seconds: u64,
}

/// The answer of `checklist`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ChecklistAnswer {
    /// `pass` when all checks hold, `fail` when one does not, `incomplete` when of some it is not known.
    pub overall: &'static str,
    /// The checks, in the order of the list.
    pub checks: Vec<VerdictRow>,
    /// How many were left out because they are ticked off.
    pub ticked: usize,
}

/// What came of a check.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerdictRow {
    /// What was to be checked.
    pub check: String,
    /// The heading that it stands under.
    pub group: Option<String>,
    /// `pass`, `fail`, `unclear` when the answer ends with no verdict, or `error` when there is no answer.
    pub verdict: &'static str,
    /// Why it does not hold, or why that is not known.
    pub reason: Option<String>,
    /// How long it took.
    pub seconds: f64,
    /// The tokens that it used, of all kinds.
    pub tokens: u64,
    /// Its session, to look into.
    pub session: Option<String>,
}

/// The answer of `doctor`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DoctorAnswer {
    /// What was looked at.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Check {
    /// What.
    pub name: String,
    /// Whether all is well.
    pub ok: bool,
    /// What was found, and what to do about it.
    pub found: String,
}

/// An error.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ErrorAnswer {
    /// What went wrong.
    pub error: ErrorRow,
}

/// What went wrong.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ErrorRow {
    /// Its code in `docs/errors.md`.
    pub code: &'static str,
    /// What happened.
    pub message: String,
    /// What to do.
    pub remedy: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All answers, for the published schema.
    #[derive(Debug, Serialize, JsonSchema)]
    #[serde(untagged)]
    #[expect(dead_code, clippy::large_enum_variant, reason = "it is only described")]
    enum Answer {
        Tasks(Document<TaskList>),
        Status(Document<StatusAnswer>),
        Run(Document<RunAnswer>),
        Text(Document<TextAnswer>),
        Clean(Document<CleanAnswer>),
        Agents(Document<AgentsAnswer>),
        Servers(Document<ServersAnswer>),
        Checklist(Document<ChecklistAnswer>),
        Doctor(Document<DoctorAnswer>),
        Error(Document<ErrorAnswer>),
    }

    /// The JSON Schema of all answers.
    fn schema() -> String {
        let mut text = serde_json::to_string_pretty(&schemars::schema_for!(Answer)).unwrap_or_default();
        text.push('\n');
        text
    }

    #[test]
    fn the_published_schema_is_the_printed_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.schema.json");
        if std::env::var_os("SORTIE_BLESS").is_some() {
            std::fs::write(path, schema()).unwrap();
        }
        let published = std::fs::read_to_string(path).unwrap();
        assert_eq!(published, schema(), "run this test with SORTIE_BLESS=1 to print it anew");
    }
}
