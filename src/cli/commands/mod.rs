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

use std::io::Read;

use super::{context::Context, json::TaskRow};
use crate::{
    fault::{Code, Fault},
    queue::start::LONGEST_PROMPT,
    store::{Listing, SqliteStore},
    task::Task,
};

/// Tasks as they are shown.
fn rows(context: &Context, store: &mut SqliteStore, tasks: &[Task]) -> Result<Vec<TaskRow>, Fault> {
    let ids: Vec<_> = tasks.iter().map(|task| task.id).collect();
    let short = store.short_ids(&ids)?;
    let now = context.now();
    Ok(tasks.iter().zip(short).map(|(task, short)| TaskRow::new(task, short, now)).collect())
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
