//! `sortie status`: tasks as they are.

use std::{io::Write, sync::Arc, time::Duration};

use tokio::sync::Notify;

use super::{
    super::{
        Done,
        args::StatusArgs,
        context::{Context, print, runtime},
        exit,
        json::{StatusAnswer, TaskRow, TotalsRow},
        view,
    },
    rows,
};
use crate::{
    fault::Fault,
    queue::{log::Log, place::Place, processes::WorkerNote},
    store::{Home, Listing, SqliteStore, Totals, Watcher, Wish},
    task::StateName,
};

pub fn run(context: &Context, args: &StatusArgs) -> Done {
    let (home, mut store) = context.open()?;
    if args.watch {
        return runtime()?.block_on(watch(context, args, &home, &mut store));
    }
    if !args.tasks.is_empty() && !context.out.json {
        return single(context, args, &home, &mut store);
    }
    let answer = look(context, args, &home, &mut store)?;
    context.out.say(text(&answer, args, context));
    if answer.totals.pending > 0 && answer.workers == 0 {
        context.out.hint("nobody works the queue: sortie run");
    }
    context.out.document("status", answer);
    Ok(exit::OK)
}

fn look(context: &Context, args: &StatusArgs, home: &Home, store: &mut SqliteStore) -> Result<StatusAnswer, Fault> {
    let tasks = if args.tasks.is_empty() {
        let wish = Wish { agent: args.agent.clone(), states: args.state.clone(), archived: args.archived };
        store.list(&context.project, &wish, args.limit)?
    } else {
        context.tasks(store, &args.tasks)?
    };
    let totals = totals(store.totals(&context.project)?);
    let workers = WorkerNote::living(home, &context.project).len();
    Ok(StatusAnswer {
        project: context.project.as_str().to_owned(),
        tasks: rows(context, store, &tasks)?,
        totals,
        workers,
    })
}

fn totals(totals: Totals) -> TotalsRow {
    TotalsRow {
        pending: totals.of(StateName::Pending),
        running: totals.of(StateName::Running),
        paused: totals.of(StateName::Paused),
        complete: totals.of(StateName::Complete),
        failed: totals.of(StateName::Failed),
        cancelled: totals.of(StateName::Cancelled),
        archived: totals.archived,
    }
}

fn text(answer: &StatusAnswer, args: &StatusArgs, context: &Context) -> String {
    let shown = answer.tasks.len() as u64;
    let TotalsRow { pending, running, paused, complete, failed, cancelled, archived } = answer.totals;
    let all = if args.archived { archived } else { pending + running + paused + complete + failed + cancelled };
    let is_filtered = !args.state.is_empty() || args.agent.is_some() || !args.tasks.is_empty();
    let summary = if args.archived { format!("{archived} cleared away") } else { view::totals(answer.totals) };
    let more =
        if !is_filtered && shown < all { format!(" ({} not shown: --limit)", all - shown) } else { String::new() };
    if answer.tasks.is_empty() {
        return summary;
    }
    format!("{}\n{summary}{more}", view::tasks(&answer.tasks, context.out))
}

/// Single tasks with all that is known of them.
fn single(context: &Context, args: &StatusArgs, home: &Home, store: &mut SqliteStore) -> Done {
    let tasks = context.tasks(store, &args.tasks)?;
    let rows: Vec<TaskRow> = rows(context, store, &tasks)?;
    for (at, (task, row)) in tasks.iter().zip(&rows).enumerate() {
        let place = Place::of(home, task.id);
        let log = place.path().join("log").display().to_string();
        if at > 0 {
            print("");
        }
        print(&view::task(row, &task.spec.prompt, &log));
        if let Some(line) = Log::of(&place).last_line(200).filter(|_| !task.state.is_terminal()) {
            print(&format!("\nlatest: {line}"));
        }
    }
    Ok(exit::OK)
}

/// Shows it again whenever something changes, and each second while something runs, until nothing is left open or the
/// user has seen enough.
async fn watch(context: &Context, args: &StatusArgs, home: &Home, store: &mut SqliteStore) -> Done {
    const CLEAR: &str = "\x1b[H\x1b[2J";
    let news = Arc::new(Notify::new());
    let wake = Arc::clone(&news);
    let _commits = Watcher::new(home, move || wake.notify_one());
    let mut latest = String::new();
    loop {
        context.reconcile(home, store).await?;
        let answer = look(context, args, home, store)?;
        let text = text(&answer, args, context);
        if text != latest {
            let begin = if context.out.width.is_some() { CLEAR } else { "" };
            let mut out = std::io::stdout().lock();
            if writeln!(out, "{begin}{text}").and_then(|()| out.flush()).is_err() {
                return Ok(exit::OK);
            }
            latest = text;
        }
        let open = answer.totals.pending + answer.totals.running + answer.totals.paused;
        if open == 0 {
            return Ok(exit::OK);
        }
        // Times move while something runs; the rest is told by the store.
        let pause = if answer.totals.running > 0 { Duration::from_secs(1) } else { Duration::from_secs(30) };
        tokio::select! {
            () = news.notified() => {}
            () = tokio::time::sleep(pause) => {}
            () = super::supervise::asked_to_end() => return Ok(exit::INTERRUPTED),
        }
        // Not more often than anybody can read.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
