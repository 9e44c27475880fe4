//! From a tool's name and JSON arguments to the words of its answer.

use std::{fmt::Write, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{args, background, launch, table, text, todo};
use crate::{
    engine::{
        handoff,
        ops::{Caller, Sent, may_go_on},
        report_text::{self, label, state},
        service::Attachment,
    },
    fault::{self, Code, Fault},
    opencode::SessionId,
    store::Filter,
    task::{StateName, Task, TaskId, TaskState},
};

/// Answers a tool call.
///
/// # Errors
/// The fault to show to the model.
pub async fn call(
    to: &Attachment,
    tool: &str,
    arguments: &str,
    caller: &Caller,
    abort: &CancellationToken,
) -> Result<String, Fault> {
    match tool {
        "sortie_launch" => launch_tool(to, caller, read(arguments)?, abort).await,
        "sortie_status" => status(to, &caller.session, read(arguments)?).await,
        "sortie_wait" => wait(to, caller, read(arguments)?, abort).await,
        "sortie_result" => result(to, caller, read(arguments)?).await,
        "sortie_send" => send(to, caller, read(arguments)?).await,
        "sortie_cancel" => cancel(to, caller, read(arguments)?).await,
        "sortie_retry" => retry(to, caller, read(arguments)?).await,
        "sortie_extend" => extend(to, caller, read(arguments)?).await,
        "sortie_command_start" => background::start(to, caller, &read(arguments)?).await,
        "sortie_command" => background::command(to, caller, &read(arguments)?, abort).await,
        "sortie_todo" => todo::call(to, caller, read(arguments)?).await,
        _ => Err(Fault::new(Code::UnknownTool, format!("there is no tool `{}`", handoff::cut(tool, 100)))),
    }
}

fn read<T: serde::de::DeserializeOwned>(arguments: &str) -> Result<T, Fault> {
    fault::object(arguments, Code::BadArguments)
}

async fn launch_tool(
    to: &Attachment,
    caller: &Caller,
    args: args::Launch,
    abort: &CancellationToken,
) -> Result<String, Fault> {
    let tasks = launch::launch(to, caller, args).await?;
    if to.headless() {
        // The host leaves when this turn ends, and takes running tasks with it: their ends must be part of the turn.
        let ids: Vec<_> = tasks.iter().map(|task| task.id).collect();
        wait_for(to, &ids, true, None, abort).await?;
        return Ok(report_text::ends(&to.tell_by_call(caller, ids).await?));
    }
    let lines: Vec<_> = tasks.iter().map(|task| format!("{} {}", task.id, label(task))).collect();
    let number = tasks.len();
    let verb = if number == 1 { "task launched" } else { "tasks launched" };
    Ok(format!("{number} {verb}; you will be told of every end.\n{}", lines.join("\n")))
}

async fn named(to: &Attachment, session: &SessionId, names: &[String]) -> Result<Vec<Task>, Fault> {
    if names.is_empty() {
        return Err(Fault::new(Code::EmptyBatch, "`tasks` is empty"));
    }
    let mut tasks: Vec<Task> = Vec::new();
    for name in names {
        let task = to.resolve(session, name).await?;
        if !tasks.iter().any(|known| known.id == task.id) {
            tasks.push(task);
        }
    }
    Ok(tasks)
}

async fn status(to: &Attachment, session: &SessionId, args: args::Status) -> Result<String, Fault> {
    let filter = match &args.tasks {
        Some(names) => {
            let ids = named(to, session, names).await?.iter().map(|task| task.id).collect();
            Filter { ids: Some(ids), ..Filter::default() }
        }
        None if args.all => Filter::default(),
        None => Filter { parent_session: Some(session.to_string()), ..Filter::default() },
    };
    let seen = to.look(filter).await?;
    if args.json {
        return Ok(table::json(to, &seen).to_string());
    }
    if seen.is_empty() {
        return Ok("No tasks.".to_owned());
    }
    Ok(table::table(to, &seen))
}

/// Waits, unless the call is aborted or takes longer than asked; `false` if the time ran out.
async fn wait_for(
    to: &Attachment,
    ids: &[TaskId],
    all: bool,
    limit: Option<Duration>,
    abort: &CancellationToken,
) -> Result<bool, Fault> {
    let over = async {
        match limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        waited = to.wait(ids, all) => waited.map(|()| true),
        () = over => Ok(false),
        () = abort.cancelled() => Err(Fault::new(Code::Aborted, "the call was aborted while it waited")),
    }
}

async fn wait(to: &Attachment, caller: &Caller, args: args::Wait, abort: &CancellationToken) -> Result<String, Fault> {
    if let Some(timeout) = args.timeout.filter(|seconds| !(1..=86_400).contains(seconds)) {
        return Err(Fault::new(Code::BadTimeout, format!("`timeout` is {timeout}")));
    }
    let tasks = if let Some(names) = &args.tasks {
        named(to, &caller.session, names).await?
    } else {
        let parent_session = Some(caller.session.to_string());
        to.find(Filter { parent_session, states: StateName::OPEN.to_vec(), ..Filter::default() }).await?
    };
    if tasks.is_empty() {
        return Err(Fault::new(Code::NothingToWait, "no task of this session is open"));
    }
    let ids: Vec<_> = tasks.iter().map(|task| task.id).collect();
    let all = args.mode == args::WaitMode::All;
    let in_time = wait_for(to, &ids, all, args.timeout.map(Duration::from_secs), abort).await?;
    let ended = to.tell_by_call(caller, ids.clone()).await?;
    let open = ids.len() - ended.len();
    let mut answer = report_text::ends(&ended);
    if !in_time {
        answer.push_str("The time to wait is over. ");
    }
    if open > 0 {
        let _ = write!(answer, "{open} of {} still open; you will be told of their ends.", ids.len());
    }
    Ok(answer)
}

async fn result(to: &Attachment, caller: &Caller, args: args::ResultOf) -> Result<String, Fault> {
    let task = to.resolve(&caller.session, &args.task).await?;
    if !task.state.is_terminal() {
        return Err(Fault::new(Code::NotEnded, format!("task {} is {}", task.id, state(&task))));
    }
    let seen = to.look(Filter { ids: Some(vec![task.id]), ..Filter::default() }).await?;
    let text = seen.into_iter().next().and_then(|seen| seen.outcome).map(|outcome| outcome.text).unwrap_or_default();
    if args.offset > text.len() {
        let message = format!("`offset` is {}, and the result has {} bytes", args.offset, text.len());
        return Err(Fault::new(Code::BadArguments, message));
    }
    let mut answer = format!("{} [{}] {}\n", label(&task), state(&task), task.id);
    if let Some(why) = report_text::reason(&task) {
        answer.push_str(&why);
        answer.push('\n');
    }
    let from = fault::floor(&text, args.offset);
    let to = from + handoff::reach(&text[from..], report_text::PAGE, report_text::PAGE_LINES);
    answer.push_str(if text.is_empty() { "(no output)" } else { &text[from..to] });
    if to < text.len() {
        let _ = write!(answer, "\n[bytes {from} to {to} of {}; go on with offset {to}]", text.len());
    }
    Ok(answer)
}

async fn send(to: &Attachment, caller: &Caller, args: args::Send) -> Result<String, Fault> {
    text::check("message", &args.message, text::Kind::Prompt)?;
    let task = to.resolve(&caller.session, &args.task).await?;
    let above = launch::allowed(to, caller).await?;
    match to.send(caller, task, args.message, &above).await? {
        Sent::Joined(task) => Ok(format!("sent to the running task {}", task.id)),
        Sent::Continued(task) => Ok(format!("task {} continues that session; you will be told of its end", task.id)),
    }
}

async fn cancel(to: &Attachment, caller: &Caller, args: args::Tasks) -> Result<String, Fault> {
    let tasks = named(to, &caller.session, &args.tasks).await?;
    if let Some(ended) = tasks.iter().find(|task| task.state.is_terminal()) {
        return Err(Fault::new(Code::NotOpen, format!("task {} is {}", ended.id, state(ended))));
    }
    let mut cancelled: Vec<Task> = Vec::new();
    for task in tasks {
        // One that an earlier one of this call took with it is done already.
        if !cancelled.iter().any(|done| done.id == task.id) {
            cancelled.extend(to.cancel(task.id).await?);
        }
    }
    let ids = cancelled.iter().map(|task| task.id).collect();
    to.tell_by_call(caller, ids).await?;
    let lines: Vec<_> = cancelled.iter().map(|task| format!("{} {}", task.id, label(task))).collect();
    Ok(format!("cancelled:\n{}", lines.join("\n")))
}

async fn extend(to: &Attachment, caller: &Caller, args: args::Extend) -> Result<String, Fault> {
    let task = to.resolve(&caller.session, &args.task).await?;
    let task = to.extend(caller, task, Duration::from_secs(args.seconds)).await?;
    let left = match task.state {
        TaskState::Running { deadline, .. } => format!("; {} s are left", deadline.since(to.now()).as_secs()),
        _ => String::new(),
    };
    Ok(format!("task {} may run {} s in all{left}", task.id, task.limit().as_secs()))
}

async fn retry(to: &Attachment, caller: &Caller, args: args::Tasks) -> Result<String, Fault> {
    let tasks = named(to, &caller.session, &args.tasks).await?;
    let above = launch::allowed(to, caller).await?;
    if let Some(task) = tasks
        .iter()
        .find(|task| !matches!(task.state.name(), StateName::Failed | StateName::Cancelled | StateName::Paused))
    {
        return Err(Fault::new(Code::NotRetryable, format!("task {} is {}", task.id, state(task))));
    }
    let (paused, ended): (Vec<_>, Vec<_>) = tasks.into_iter().partition(|task| task.state.name() == StateName::Paused);
    paused.iter().try_for_each(may_go_on)?;
    let mut lines = Vec::new();
    for task in paused {
        let task = to.go_on(task.id).await?;
        lines.push(format!("{} {} goes on", task.id, label(&task)));
    }
    if !ended.is_empty() {
        for task in to.repeat(caller, ended, &above).await? {
            let of = task.spec.retry_of.map(|of| format!(" (again: {of})")).unwrap_or_default();
            lines.push(format!("{} {}{of}", task.id, label(&task)));
        }
    }
    Ok(format!("launched; you will be told of every end.\n{}", lines.join("\n")))
}
