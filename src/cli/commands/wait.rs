//! `sortie wait`: until tasks have ended.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, time::Instant};

use super::{
    super::{
        Done,
        args::WaitArgs,
        context::{Context, runtime},
        exit,
        json::TaskList,
        view,
    },
    rows,
};
use crate::{
    fault::{Code, Fault},
    store::{Filter, Home, SqliteStore, Store, Watcher},
    task::{StateName, TaskId},
};

/// How often one looks without word of a change.
const LOOK: Duration = Duration::from_secs(2);

pub fn run(context: &Context, args: &WaitArgs) -> Done {
    let (home, mut store) = context.open()?;
    let ids: Vec<TaskId> = if args.tasks.is_empty() {
        let filter = Filter { states: StateName::OPEN.to_vec(), ..Filter::default() };
        store.tasks(&context.project, &filter)?.iter().map(|task| task.id).collect()
    } else {
        context.tasks(&mut store, &args.tasks)?.iter().map(|task| task.id).collect()
    };
    let deadline = args.timeout.map(|time| Instant::now() + time);
    let over = runtime()?.block_on(until_ended(context, &home, &mut store, &ids, deadline))?;
    let filter = Filter { ids: Some(ids.clone()), ..Filter::default() };
    let tasks = store.tasks(&context.project, &filter)?;
    let rows = rows(context, &mut store, &tasks)?;
    context.out.say(if rows.is_empty() { "nothing is open".to_owned() } else { view::tasks(&rows, context.out) });
    if over == Over::Time {
        let open = tasks.iter().filter(|task| !task.state.is_terminal()).count();
        return Err(Fault::new(Code::WaitOver, format!("{open} of {} tasks are still open", tasks.len())));
    }
    context.out.document("wait", TaskList { tasks: rows });
    let all_well = tasks.iter().all(|task| task.state.name() == StateName::Complete);
    Ok(match over {
        Over::Interrupted => exit::INTERRUPTED,
        _ if all_well => exit::OK,
        _ => exit::TASKS_FAILED,
    })
}

/// Why a wait is over.
#[derive(Debug, PartialEq, Eq)]
enum Over {
    Ended,
    Time,
    Interrupted,
}

async fn until_ended(
    context: &Context,
    home: &Home,
    store: &mut SqliteStore,
    ids: &[TaskId],
    deadline: Option<Instant>,
) -> Result<Over, Fault> {
    let news = Arc::new(Notify::new());
    let wake = Arc::clone(&news);
    let _commits = Watcher::new(home, move || wake.notify_one());
    let filter = Filter { ids: Some(ids.to_vec()), states: StateName::OPEN.to_vec(), ..Filter::default() };
    loop {
        context.reconcile(home, store).await?;
        if store.tasks(&context.project, &filter)?.is_empty() {
            return Ok(Over::Ended);
        }
        tokio::select! {
            () = news.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
            () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                return Ok(Over::Time);
            }
            () = super::supervise::asked_to_end() => return Ok(Over::Interrupted),
        }
    }
}
