//! The commands that people type: what each answers without a model, or that a model is to answer it.

use serde_json::json;

use super::{agent_command::agent_command, answer, background, table};
use crate::{
    agent::{self, Role},
    engine::{handoff, service::Attachment},
    fault::{Code, Fault},
    opencode::SessionId,
    store::Filter,
};

/// A command as the host lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandSpec {
    /// What is typed after the slash.
    pub name: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// The prompt that it becomes, where a model answers it.
    pub template: &'static str,
    /// Whether the commander answers it.
    pub commands: bool,
}

/// Every command.
pub const COMMANDS: [CommandSpec; 17] = [
    CommandSpec {
        name: "task",
        description: "Make a mission of a request: plan, parallel work, review, report",
        template: agent::TASK_TEMPLATE,
        commands: true,
    },
    shown("tasks", "Show Sortie's tasks, and what they ask you"),
    shown("answer", "Answer what a task asks you: /answer p1 once | always | reject [why], or words"),
    shown("mission", "Show the mission and its items"),
    shown("pause", "Let the mission and its tasks stand still"),
    shown("resume", "Let the paused mission go on, or a paused task by its id or key"),
    shown("budget", "Show what was used, or set a budget: <day|project|mission|task|id> <what> <number|off|default>"),
    shown("limits", "Show or change how many tasks may run, and what is known of providers"),
    shown("stop", "Stop the mission and every task of this session"),
    shown("agent:start", "Put a task into the queue: <agent> <prompt> [--timeout 5m] [--priority high] [--auto-retry]"),
    shown("agent:run", "Run the next task of the queue, in the background"),
    shown("agent:run-parallel", "Work the queue in the background: [how many at once]"),
    shown("agent:status", "Show the queue and what runs, or one task: [id]"),
    shown("agent:retry", "Do a failed task again: <id> [--auto] [--max-retries N]"),
    shown("agent:cancel", "Stop a task of the queue: <id>"),
    shown("agent:clean", "Clear ended tasks away: completed | failed | cancelled | all | <id>"),
    shown("agent:timeout", "The time of tasks: list | extend <id> <time> | <id>"),
];

/// What the plugin adds to the host's configuration: the agents and the commands. What the user configures of them
/// wins, field by field.
#[must_use]
pub fn host_config() -> serde_json::Value {
    let command = |spec: &CommandSpec| {
        let mut command = json!({ "description": spec.description, "template": spec.template });
        if spec.commands {
            command["agent"] = json!(Role::Commander.name());
        }
        (spec.name.to_owned(), command)
    };
    let commands: serde_json::Map<_, _> = COMMANDS.iter().map(command).collect();
    json!({ "agent": agent::host_agents(), "command": commands })
}

/// A command that no model answers.
const fn shown(name: &'static str, description: &'static str) -> CommandSpec {
    CommandSpec { name, description, template: "Show what this command answered.", commands: false }
}

/// What becomes of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandAnswer {
    /// No model is asked. This was shown in the session, unless the host is headless: there it is left to the caller.
    Shown(String),
    /// A model answers the command's own prompt.
    Asked,
    /// A model answers this prompt instead.
    AskedThis(String),
}

/// Does a command.
///
/// # Errors
/// The fault to show to the user.
pub async fn command(
    to: &Attachment,
    name: &str,
    session: &str,
    directory: &str,
    arguments: &str,
) -> Result<CommandAnswer, Fault> {
    let session: SessionId =
        session.parse().map_err(|_| Fault::new(Code::BadArguments, "the session has no valid id"))?;
    let shown = match name {
        "task" => match to.begin_mission(&session, directory, arguments).await {
            Ok(goal) if arguments.trim().is_empty() => return Ok(CommandAnswer::AskedThis(goal)),
            Ok(_) => return Ok(CommandAnswer::Asked),
            Err(fault) => Err(fault),
        },
        "tasks" => tasks(to).await,
        "answer" => answer::answer(to, &session, directory, arguments).await,
        "mission" => to.missions_text(&session).await,
        "pause" => to.pause_mission(&session, "you paused it; /resume goes on").await,
        "resume" => resume(to, &session, arguments).await,
        "budget" => to.budget(&session, arguments).await,
        "limits" => to.limits(arguments).await,
        "stop" => to.stop_mission(&session).await,
        _ => agent_command(to, name, directory, arguments).await.unwrap_or_else(|| {
            Err(Fault::new(Code::UnknownTool, format!("there is no command `{}`", handoff::cut(name, 100))))
        }),
    };
    // A fault is for the person who typed the command: it is shown like an answer.
    let text = shown.unwrap_or_else(|fault| fault.to_string());
    if !to.headless() {
        to.show(&session, directory, &text).await?;
    }
    Ok(CommandAnswer::Shown(text))
}

/// `/resume`: a task by its name, or the mission, or where there is none the session's paused tasks.
async fn resume(to: &Attachment, session: &SessionId, name: &str) -> Result<String, Fault> {
    match name.trim() {
        "" => match to.resume_mission(session).await {
            Err(fault) if fault.code == Code::NoMission => to.resume_tasks(session).await,
            done => done,
        },
        name => to.resume_task(session, name).await,
    }
}

/// The table that `/tasks` shows: the whole project's open tasks and the newest ended ones.
async fn tasks(to: &Attachment) -> Result<String, Fault> {
    const NEWEST: u32 = 50;
    let seen = to.look(Filter { newest: Some(NEWEST), ..Filter::default() }).await?;
    let running = background::running(to);
    if seen.is_empty() {
        return Ok(format!("No tasks in this project yet.\n{running}").trim_end().to_owned());
    }
    let mut text = table::table(to, &seen);
    if !running.is_empty() {
        text.push('\n');
        text.push_str(&running);
    }
    let prompts = answer::prompts(to).await?;
    if !prompts.is_empty() {
        text.push('\n');
        text.push_str(&prompts);
    }
    Ok(text)
}
