//! `sortie timeout`: list, extend, or end the time of tasks.

use super::{
    super::{
        Done,
        args::duration,
        context::{Context, runtime},
        exit,
        json::TaskList,
        view,
    },
    answer,
    change::gone,
    rows, write,
};
use crate::{
    fault::{Code, Fault},
    queue::start::backoff,
    store::{Filter, Store},
    task::{Change, ErrorClass, Failure, FailureKind, MAX_TIMEOUT, Retry, StateName, Task},
};

pub fn run(context: &Context, what: &[String]) -> Done {
    let words: Vec<&str> = what.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["list"] => list(context),
        ["extend", id, time] => extend(context, id, time),
        [id] if *id != "extend" => end(context, id),
        _ => {
            let message = format!("`timeout {}`: expected `ID`, `list`, or `extend ID TIME`", words.join(" "));
            Err(Fault::new(Code::BadFlag, message))
        }
    }
}

fn list(context: &Context) -> Done {
    let (_home, mut store) = context.open()?;
    let filter = Filter { states: vec![StateName::Running], ..Filter::default() };
    let tasks = store.tasks(&context.project, &filter)?;
    let rows = rows(context, &mut store, &tasks)?;
    if rows.is_empty() {
        context.out.say("nothing runs");
    } else {
        let line = |row: &super::super::json::TaskRow| {
            let seconds = std::time::Duration::from_secs;
            let elapsed = row.elapsed_seconds.unwrap_or(0);
            let left = row.timeout_seconds.saturating_sub(elapsed);
            let times = [elapsed, row.timeout_seconds, left].map(|time| view::duration(seconds(time)));
            let [elapsed, limit, left] = times;
            ([row.short_id.clone(), elapsed, limit, left, view::one_line(&row.title)], None)
        };
        let head = ["ID", "RUNS FOR", "LIMIT", "LEFT", "TASK"];
        context.out.say(view::table(head, rows.iter().map(line).collect(), context.out));
    }
    context.out.document("timeout", TaskList { tasks: rows });
    Ok(exit::OK)
}

fn extend(context: &Context, name: &str, time: &str) -> Done {
    let by = duration(time).map_err(|message| Fault::new(Code::BadTimeout, message))?;
    let (_home, mut store) = context.open()?;
    let task = context.task(&mut store, name)?;
    if task.limit().saturating_add(by) > MAX_TIMEOUT {
        let message =
            format!("with {} more it would be beyond {} h", view::duration(by), MAX_TIMEOUT.as_secs() / 3_600);
        return Err(Fault::new(Code::BadTimeout, message));
    }
    let task = write(context, &mut store, &task, &Change::Extend { by })?;
    answer(context, &mut store, &task, "timeout", &format!("has {} in all", view::duration(task.limit())))
}

fn end(context: &Context, name: &str) -> Done {
    let (home, mut store) = context.open()?;
    let task = context.task(&mut store, name)?;
    if task.state.name() != StateName::Running {
        let message = format!("task {} is {}: only what runs has time", task.id, task.state.name().as_str());
        return Err(Fault::new(Code::WrongState, message));
    }
    let failure = Failure {
        kind: FailureKind::Timeout,
        class: ErrorClass::Limit,
        message: "its time was ended by hand".to_owned(),
    };
    let again = task.is_queued() && task.attempt < task.spec.max_attempts;
    let retry = again.then(|| Retry::plain(context.now().after(backoff(task.attempt)), false));
    let before = task.clone();
    let task = write(context, &mut store, &task, &Change::Fail { failure, retry })?;
    // What it ran is named by the row before: a task that is tried again has forgotten it.
    runtime()?.block_on(gone(&home, &Task { state: task.state.clone(), ..before }));
    answer(context, &mut store, &task, "timeout", "timed out")
}
