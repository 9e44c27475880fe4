//! `sortie retry` and `sortie send`: new tasks from ended ones.

use super::{
    super::{Done, args::RetryArgs, context::Context, view},
    answer, words,
};
use crate::{
    fault::{Code, Fault},
    queue::start::{self, LONGEST_PROMPT},
    store::{SqliteStore, Store},
    task::{Task, TaskSpec},
};

/// How much of what a task was asked and has answered goes into what follows it, in bytes each.
const CONTEXT: usize = 20_000;

pub fn run(context: &Context, args: &RetryArgs) -> Done {
    let config = context.config()?;
    let (_home, mut store) = context.open()?;
    let of = context.task(&mut store, &args.task)?;
    let before = repetitions(context, &mut store, &of)?;
    let auto = args.auto || config.queue.auto_retry.unwrap_or(false);
    let task = start::retry(&context.ids(), &of, before, args.max_retries, auto, context.now())?;
    let number = before + 1;
    let most = task.spec.queued.map_or(0, |queued| queued.max_retries);
    launched(context, &mut store, &task, "retry", &format!("repeats {} (retry {number} of {most})", args.task))
}

/// How many repetitions led to a task.
fn repetitions(context: &Context, store: &mut SqliteStore, task: &Task) -> Result<u32, Fault> {
    let (mut count, mut at) = (0, task.spec.retry_of);
    while let Some(id) = at {
        count += 1;
        at = context.reload(store, id)?.spec.retry_of;
    }
    Ok(count)
}

pub fn send(context: &Context, name: &str, message: &[String]) -> Done {
    let message = words(message)?;
    let (_home, mut store) = context.open()?;
    let of = context.task(&mut store, name)?;
    if !of.is_queued() {
        return Err(Fault::new(Code::NotQueued, format!("task {} was launched in OpenCode", of.id)));
    }
    if !of.state.is_terminal() {
        let message = format!("task {} is {}: its agent hears nothing before its end", of.id, of.state.name().as_str());
        return Err(Fault::new(Code::WrongState, message));
    }
    if message.trim().is_empty() {
        return Err(Fault::new(Code::EmptyField, "the text is empty"));
    }
    let answer = store.outcome(of.id)?.map(|outcome| outcome.text).unwrap_or_default();
    let prompt = follow_up(&of, &answer, &message);
    if prompt.len() > LONGEST_PROMPT {
        let message = format!("the text has {} bytes", message.len());
        return Err(Fault::new(Code::TextTooLong, message));
    }
    let spec = TaskSpec {
        title: view::one_line(&message).chars().take(80).collect(),
        prompt,
        depends_on: Vec::new(),
        continues: Some(of.id),
        retry_of: None,
        ..of.spec
    };
    let task = Task::new(context.ids().task(), spec, crate::task::InstanceId::QUEUE, context.now());
    launched(context, &mut store, &task, "send", &format!("goes on from {name}"))
}

/// What the next agent is told: a program remembers nothing of the one before it.
fn follow_up(of: &Task, answer: &str, message: &str) -> String {
    let cut = |text: &str| {
        let end = crate::fault::floor(text, CONTEXT);
        if end < text.len() { format!("{}\n[… cut]", &text[..end]) } else { text.to_owned() }
    };
    let state = of.state.name().as_str();
    let (asked, answer) = (cut(of.spec.prompt.trim()), cut(answer.trim()));
    format!(
        "This goes on from a task that is {state}.\n\n<task>\n{asked}\n</task>\n\n<result>\n{answer}\n</result>\n\n{message}"
    )
}

fn launched(context: &Context, store: &mut SqliteStore, task: &Task, command: &'static str, what: &str) -> Done {
    store.launch(std::slice::from_ref(task))?;
    let done = answer(context, store, task, command, what)?;
    context.out.hint("next: sortie run");
    Ok(done)
}
