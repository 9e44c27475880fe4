//! `sortie clean`: clears ended tasks away, with what lies in their directories.

use std::io::{BufRead, IsTerminal, Write};

use super::{
    super::{Done, args::CleanArgs, context::Context, exit, json::CleanAnswer, view},
    rows,
};
use crate::{
    fault::{Code, Fault},
    queue::{place::Place, processes::AgentNote},
    store::{Listing, SqliteStore, Wish},
    task::{StateName, Task},
};

/// From how many tasks on somebody has to agree: the seed's figure.
const MANY: usize = 10;

pub fn run(context: &Context, args: &CleanArgs) -> Done {
    let (home, mut store) = context.open()?;
    let tasks = which(context, &mut store, &args.which)?;
    let rows = rows(context, &mut store, &tasks)?;
    let answer = |rows| CleanAnswer { tasks: rows, dry_run: args.dry_run };
    if rows.is_empty() {
        context.out.say("nothing to clear away");
        context.out.document("clean", answer(rows));
        return Ok(exit::OK);
    }
    if args.dry_run {
        context.out.say(format!("{}\n{} would be cleared away", view::tasks(&rows, context.out), rows.len()));
        context.out.document("clean", answer(rows));
        return Ok(exit::OK);
    }
    if rows.len() > MANY && !args.yes && !agreed(context, rows.len()) {
        return Err(Fault::new(Code::NotConfirmed, format!("{} tasks would be cleared away", rows.len())));
    }
    let ids: Vec<_> = tasks.iter().map(|task| task.id).collect();
    let cleared = store.archive(&ids, context.now())?;
    let mut kept = 0;
    for task in &cleared {
        // Whose agent still ends writes there yet; it is cleared with the next.
        if AgentNote::of(&home, *task).is_some() || Place::of(&home, *task).remove().is_err() {
            kept += 1;
        }
    }
    context.out.say(format!("{} cleared away", cleared.len()));
    if kept > 0 {
        context.out.say(format!("{kept} directories could not be removed below {}", home.tasks().display()));
    }
    context.out.document("clean", answer(rows));
    Ok(exit::OK)
}

/// The tasks of a filter or of ids.
fn which(context: &Context, store: &mut SqliteStore, which: &[String]) -> Result<Vec<Task>, Fault> {
    let states = match which {
        [one] => match one.as_str() {
            "completed" | "complete" => Some(vec![StateName::Complete]),
            "failed" => Some(vec![StateName::Failed]),
            "cancelled" | "canceled" => Some(vec![StateName::Cancelled]),
            "all" => Some(vec![StateName::Complete, StateName::Failed, StateName::Cancelled]),
            _ => None,
        },
        _ => None,
    };
    if let Some(states) = states {
        let wish = Wish { states, ..Wish::default() };
        let tasks = store.list(&context.project, &wish, u32::MAX)?;
        // Those of OpenCode are its user's to look at there.
        return Ok(tasks.into_iter().filter(Task::is_queued).collect());
    }
    let tasks = context.tasks(store, which)?;
    if let Some(open) = tasks.iter().find(|task| !task.state.is_terminal()) {
        let message = format!("task {} is {}: cancel it first", open.id, open.state.name().as_str());
        return Err(Fault::new(Code::WrongState, message));
    }
    if let Some(wrong) = tasks.iter().find(|task| !task.is_queued()) {
        return Err(Fault::new(Code::NotQueued, format!("task {} was launched in OpenCode", wrong.id)));
    }
    Ok(tasks)
}

/// Asks, where somebody is there to answer.
fn agreed(context: &Context, count: usize) -> bool {
    if context.out.json || !std::io::stdin().is_terminal() {
        return false;
    }
    let mut error = std::io::stderr().lock();
    let _ = write!(error, "clear {count} tasks away, with their logs? [y/N] ").and_then(|()| error.flush());
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).is_ok() && matches!(line.trim(), "y" | "Y" | "yes")
}
