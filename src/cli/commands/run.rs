//! `sortie run`: works the queue.

use std::{ffi::OsString, process::Stdio};

use super::{
    super::{
        Done, SUPERVISE,
        args::{Parallel, RunArgs},
        context::{Context, runtime},
        exit,
        json::RunAnswer,
        view,
    },
    rows,
};
use crate::{
    config::Config,
    fault::{Code, Fault},
    queue::dispatch::{self, News, Plan, Queue, Worked},
    store::{Listing, SqliteStore},
    sys::process::apart,
    task::{StateName, Task, TaskState},
};

/// How many tasks run at once where `--parallel` has no number and none is configured: the seed's figure.
const PARALLEL: usize = 3;

pub fn run(context: &Context, args: &RunArgs) -> Done {
    let config = context.config()?;
    let (home, mut store) = context.open()?;
    let only = context.tasks(&mut store, &args.tasks)?;
    if let Some(wrong) = only.iter().find(|task| !task.is_queued()) {
        return Err(Fault::new(Code::NotQueued, format!("task {} was launched in OpenCode", wrong.id)));
    }
    if let Some(wrong) = only.iter().find(|task| task.state.is_terminal()) {
        let message = format!("task {} is {}", wrong.id, wrong.state.name().as_str());
        return Err(Fault::new(Code::WrongState, message));
    }
    if args.detach {
        return detach(context, args);
    }
    let plan = Plan {
        parallel: parallel(args, &config),
        only: (!only.is_empty()).then(|| only.iter().map(|task| task.id).collect()),
        most: args.limit.map(|most| most.get() as usize),
        supervisor: supervisor(context)?,
    };
    let worked = runtime()?.block_on(async {
        let stop = super::supervise::stop_when_asked();
        // Names are looked up on a connection of their own: the worker holds the other.
        let (_home, mut names) = context.open()?;
        let mut tell = |news| tell(context, &mut names, &news);
        let (project, clock) = (&context.project, &context.clock);
        let queue = Queue { home: &home, store: &mut store, config: &config, clock, project };
        dispatch::work(queue, &plan, &stop, &mut tell).await
    })?;
    answer(context, &mut store, worked)
}

fn parallel(args: &RunArgs, config: &Config) -> usize {
    match args.parallel {
        None => 1,
        Some(Parallel::Number(number)) => number.get() as usize,
        Some(Parallel::Configured) => config.queue.parallel.map_or(PARALLEL, |number| number.get() as usize),
    }
}

/// The command that supervises one task.
fn supervisor(context: &Context) -> Result<Vec<OsString>, Fault> {
    Ok(vec![super::own_program()?.into(), SUPERVISE.into(), context.project.as_str().into()])
}

/// Leaves a worker behind: the same command in a process of its own.
fn detach(context: &Context, args: &RunArgs) -> Done {
    let mut command = std::process::Command::new(&supervisor(context)?[0]);
    command.args(["-C".as_ref(), context.directory.as_os_str()]).arg("run").args(&args.tasks);
    if let Some(parallel) = args.parallel {
        command.arg("--parallel");
        if let Parallel::Number(number) = parallel {
            command.arg(number.to_string());
        }
    }
    if let Some(limit) = args.limit {
        command.arg("--limit").arg(limit.to_string());
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    apart(&mut command);
    let child = command.spawn().map_err(|error| Fault::new(Code::NotRun, format!("the worker: {error}")))?;
    context.out.say(format!("a worker works the queue (process {})", child.id()));
    context.out.hint("next: sortie status --watch");
    let answer = RunAnswer { tasks: Vec::new(), stuck: Vec::new(), interrupted: false, worker: Some(child.id()) };
    context.out.document("run", answer);
    Ok(exit::OK)
}

fn tell(context: &Context, store: &mut SqliteStore, news: &News) {
    let mut short = |task: &crate::task::TaskId| {
        store.short_ids(&[*task]).ok().and_then(|mut ids| ids.pop()).unwrap_or_else(|| task.to_string())
    };
    let line = match news {
        News::Started(task) => {
            format!("{}  started {}: {}", short(&task.id), task.spec.agent, view::one_line(&task.spec.title))
        }
        News::Waits(task, why) => format!("{}  waits: {}", short(task), view::one_line(why)),
        News::Broken(task, why) => format!("{}  its supervisor broke: {}", short(task), view::one_line(why)),
        News::Over(task) => match over(context, task) {
            Some(words) => format!("{}  {words}", short(&task.id)),
            None => return,
        },
    };
    context.out.say(line);
}

/// How a run ended, in words; nothing for one that did not begin.
fn over(context: &Context, task: &Task) -> Option<String> {
    let took = |ended: crate::task::Timestamp| {
        let from = task.process().map_or(task.created_at, |process| process.at);
        view::duration(ended.since(from))
    };
    Some(match &task.state {
        TaskState::Complete { ended_at } => format!("complete after {}", took(*ended_at)),
        TaskState::Failed { ended_at, failure } => {
            format!("failed after {}: {}", took(*ended_at), view::one_line(&failure.to_string()))
        }
        TaskState::Cancelled { .. } | TaskState::Paused { .. } => {
            let why = super::super::json::reason(task, context.now()).unwrap_or_default();
            format!("{}: {why}", task.state.name().as_str())
        }
        TaskState::Pending { waiting: crate::task::Waiting::Turn, .. } | TaskState::Running { .. } => return None,
        TaskState::Pending { .. } => format!("back in the queue: {}", super::super::json::reason(task, context.now())?),
    })
}

fn answer(context: &Context, store: &mut SqliteStore, worked: Worked) -> Done {
    let Worked { tasks, stuck, interrupted } = worked;
    let count = |state: StateName| tasks.iter().filter(|task| task.state.name() == state).count();
    let (complete, failed, cancelled) =
        (count(StateName::Complete), count(StateName::Failed), count(StateName::Cancelled));
    if tasks.is_empty() && stuck.is_empty() {
        context.out.say("nothing to do: the queue is empty");
        context.out.hint("next: sortie start AGENT PROMPT");
    } else {
        context.out.say(format!("{complete} complete, {failed} failed, {cancelled} cancelled"));
    }
    if !stuck.is_empty() {
        let ids: Vec<_> = stuck.iter().map(|task| task.id).collect();
        context.out.say(format!(
            "left: {} paused, or waiting for such: {}",
            stuck.len(),
            store.short_ids(&ids)?.join(", ")
        ));
        context.out.hint("next: sortie resume ID");
    }
    let stands_still = stuck.len();
    let body = RunAnswer {
        tasks: rows(context, store, &tasks)?,
        stuck: rows(context, store, &stuck)?,
        interrupted,
        worker: None,
    };
    context.out.document("run", body);
    Ok(match () {
        () if interrupted => exit::INTERRUPTED,
        () if failed + cancelled + stands_still > 0 => exit::TASKS_FAILED,
        () => exit::OK,
    })
}
