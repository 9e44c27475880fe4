//! `sortie logs` and `sortie result`.

use std::{io::Write, time::Duration};

use super::{
    super::{
        Done,
        args::LogsArgs,
        context::{Context, print, runtime},
        exit,
        json::TextAnswer,
    },
    rows,
};
use crate::{
    fault::{Code, Fault},
    queue::{
        log::{DEFAULT_SIZE, Log, plain},
        place::Place,
    },
    store::{SqliteStore, Store},
    task::{Task, TaskId},
};

/// How often a followed log is looked at.
const LOOK: Duration = Duration::from_millis(200);

pub fn run(context: &Context, args: &LogsArgs) -> Done {
    let (home, mut store) = context.open()?;
    let task = context.task(&mut store, &args.task)?;
    if !task.is_queued() {
        return Err(Fault::new(Code::NotQueued, format!("task {} has no log: its session is in OpenCode", task.id)));
    }
    let log = Log::of(&Place::of(&home, task.id));
    let fail = |error: std::io::Error| Fault::new(Code::NotRun, format!("the log of {}: {error}", task.id));
    let (seen, at) = (log.tail(DEFAULT_SIZE as usize * 2).map_err(fail)?, log.end());
    let text = last_lines(&seen, args.lines);
    if context.out.json {
        answer(context, &mut store, "logs", &task, text)?;
        return Ok(exit::OK);
    }
    if !text.is_empty() {
        print(&shown(&text));
    }
    if args.follow {
        return runtime()?.block_on(follow(context, &mut store, task.id, &log, at));
    }
    Ok(exit::OK)
}

/// What an agent wrote, without what would steer the terminal.
fn shown(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

fn last_lines(text: &str, lines: Option<usize>) -> String {
    let Some(lines) = lines else { return text.to_owned() };
    let all: Vec<_> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

async fn follow(context: &Context, store: &mut SqliteStore, task: TaskId, log: &Log, mut at: u64) -> Done {
    let mut rest = String::new();
    loop {
        let has_ended = context.reload(store, task)?.state.is_terminal();
        let (new, end) = log.read_from(at).map_err(|error| Fault::new(Code::NotRun, format!("the log: {error}")))?;
        at = end;
        rest.push_str(&String::from_utf8_lossy(&new));
        let mut out = std::io::stdout().lock();
        while let Some((line, more)) = rest.split_once('\n') {
            if writeln!(out, "{}", plain(line)).is_err() {
                return Ok(exit::OK);
            }
            rest = more.to_owned();
        }
        let _ = out.flush();
        drop(out);
        if has_ended && new.is_empty() {
            if !rest.is_empty() {
                print(&plain(&rest));
            }
            return Ok(exit::OK);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = super::supervise::asked_to_end() => return Ok(exit::INTERRUPTED),
        }
    }
}

fn answer(
    context: &Context,
    store: &mut SqliteStore,
    command: &'static str,
    task: &Task,
    text: String,
) -> Result<(), Fault> {
    let row = rows(context, store, std::slice::from_ref(task))?.remove(0);
    context.out.document(command, TextAnswer { task: row, text });
    Ok(())
}

pub fn result(context: &Context, task: &str) -> Done {
    let (_home, mut store) = context.open()?;
    let task = context.task(&mut store, task)?;
    if !task.state.is_terminal() {
        let message = format!("task {} is {}: it has no result yet", task.id, task.state.name().as_str());
        return Err(Fault::new(Code::WrongState, message));
    }
    let text = store.outcome(task.id)?.map(|outcome| outcome.text).unwrap_or_default();
    if !text.is_empty() {
        context.out.say(shown(&text));
    }
    answer(context, &mut store, "result", &task, text)?;
    let is_well = task.state.name() == crate::task::StateName::Complete;
    if let Some(why) = super::super::json::reason(&task, context.now()).filter(|_| !is_well && !context.out.json) {
        let _ = writeln!(std::io::stderr(), "{}: {}", task.state.name().as_str(), plain(&why.replace('\n', " ")));
    }
    Ok(if is_well { exit::OK } else { exit::TASKS_FAILED })
}
