//! `sortie cancel`, `pause`, `resume` and `priority`.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    super::{
        Done,
        context::{Context, runtime},
        exit,
        json::{TaskList, priority},
        view,
    },
    refusal, rows, write,
};
use crate::{
    queue::{processes::is_supervised, supervise::end_left},
    store::Home,
    task::{CancelReason, Change, Guard, Priority, StateName, Task},
};

/// How long the end of an agent is waited for: what it takes to ask it, to kill it, and to write that down.
const END: Duration = Duration::from_secs(10);

/// How often one looks whether it has ended.
const LOOK: Duration = Duration::from_millis(20);

pub fn cancel(context: &Context, names: &[String]) -> Done {
    change(context, names, &Change::Cancel { reason: CancelReason::Request }, "cancelled")
}

pub fn pause(context: &Context, names: &[String]) -> Done {
    change(context, names, &Change::Pause, "paused")
}

pub fn resume(context: &Context, names: &[String]) -> Done {
    change(context, names, &Change::Continue, "back in the queue")
}

pub fn prioritize(context: &Context, name: &str, to: Priority) -> Done {
    change(context, &[name.to_owned()], &Change::Prioritize { priority: to }, priority(to))
}

/// Makes one change on several tasks: on all, or on none if one of them is in a state that refuses it.
fn change(context: &Context, names: &[String], change: &Change, done: &str) -> Done {
    let (home, mut store) = context.open()?;
    let tasks = context.tasks(&mut store, names)?;
    let now = context.now();
    for task in &tasks {
        if let Err(refused) = crate::task::transition(task, Guard::Anyone, change, now) {
            return Err(refusal(task, &refused));
        }
    }
    let mut changed = Vec::new();
    for task in &tasks {
        changed.push(write(context, &mut store, task, change)?);
    }
    let stops = matches!(change, Change::Cancel { .. } | Change::Pause);
    if stops && changed.iter().any(|task| task.run.is_some()) {
        runtime()?.block_on(async {
            for task in &changed {
                gone(&home, task).await;
            }
        });
    }
    let rows = rows(context, &mut store, &changed)?;
    for row in &rows {
        context.out.say(format!("{}  {done}: {}", row.short_id, view::one_line(&row.title)));
    }
    context.out.document("change", TaskList { tasks: rows });
    Ok(exit::OK)
}

/// Waits until nothing is left of a stopped task's agent. Its supervisor ends it; where that is dead, we do.
pub async fn gone(home: &Home, task: &Task) {
    if task.state.name() == StateName::Running {
        return;
    }
    let deadline = Instant::now() + END;
    while is_supervised(home, task.id) && Instant::now() < deadline {
        sleep(LOOK).await;
    }
    end_left(home, task).await;
}
