//! One file a command.

pub mod agents;
pub mod change;
pub mod checklist;
pub mod clean;
pub mod doctor;
pub mod exchange;
pub mod logs;
pub mod retry;
pub mod run;
pub mod servers;
pub mod start;
pub mod status;
pub mod supervise;
pub mod timeout;
pub mod wait;

use std::{env, io::Read, path::PathBuf};

use super::{
    Done,
    context::Context,
    exit,
    json::{TaskList, TaskRow},
    view,
};
use crate::{
    fault::{Code, Fault},
    queue::start::LONGEST_PROMPT,
    store::{Listing, SqliteStore, Store, StoreError},
    task::{Change, Guard, Task, TransitionError},
};

/// Tasks as they are shown.
fn rows(context: &Context, store: &mut SqliteStore, tasks: &[Task]) -> Result<Vec<TaskRow>, Fault> {
    let ids: Vec<_> = tasks.iter().map(|task| task.id).collect();
    let short = store.short_ids(&ids)?;
    let now = context.now();
    Ok(tasks.iter().zip(short).map(|(task, short)| TaskRow::new(task, short, now)).collect())
}

/// Writes a change of a task.
///
/// # Errors
/// [`Code::WrongState`] when it went another way since it was looked at, and the store's.
fn write(context: &Context, store: &mut SqliteStore, task: &Task, change: &Change) -> Result<Task, Fault> {
    match store.change(task.id, Guard::Anyone, change, None, context.now()) {
        Ok(changed) => Ok(changed.step.task),
        Err(StoreError::Refused(refused)) => Err(refusal(task, &refused)),
        Err(error) => Err(error.into()),
    }
}

/// Why a task's state refuses a change.
fn refusal(task: &Task, refused: &TransitionError) -> Fault {
    Fault::new(Code::WrongState, format!("task {}: {refused}", task.id))
}

/// Answers with one task, and what became of it in words.
fn answer(context: &Context, store: &mut SqliteStore, task: &Task, command: &'static str, what: &str) -> Done {
    let rows = rows(context, store, std::slice::from_ref(task))?;
    context.out.say(format!("{}  {what}: {}", rows[0].short_id, view::one_line(&task.spec.title)));
    context.out.document(command, TaskList { tasks: rows });
    Ok(exit::OK)
}

/// The program that runs.
fn own_program() -> Result<PathBuf, Fault> {
    env::current_exe().map_err(|error| Fault::new(Code::NotRun, format!("this program: {error}")))
}

/// The words of a prompt, or the standard input for `-`.
fn words(words: &[String]) -> Result<String, Fault> {
    if words != ["-"] {
        return Ok(words.join(" "));
    }
    let mut text = String::new();
    let most = LONGEST_PROMPT as u64 + 1;
    std::io::stdin()
        .take(most)
        .read_to_string(&mut text)
        .map_err(|error| Fault::new(Code::BadFlag, format!("the standard input: {error}")))?;
    Ok(text)
}
