//! The engine: one for a process, one [`project::Project`] for each project that a directory holds.
//!
//! Loops of each project, asleep until something concerns them: [`recovery`] takes over from dead processes,
//! [`dispatcher`] starts what may start, [`reports`] tells parents, [`poller`] asks the host about sessions that have
//! gone silent, [`inbox`] sees to what agents ask of the user, [`missions`] drives missions, [`budgets`] counts what is
//! used, [`todo`] keeps TODO.md and its file in step. One [`runner`] a running task, and [`commands`] for what agents run
//! in the background. Invariants:
//! - The store is written before anybody hears of a change; what is lost in memory is found again from the store.
//! - A runner owns its task by a fence. Whoever loses the fence stops without a word.
//! - Nothing wakes up while nothing runs.

mod admission;
mod budgets;
pub mod commands;
pub mod core;
mod dispatcher;
mod events;
mod extend;
mod failures;
pub mod fallback;
mod guards;
pub mod handoff;
pub mod inbox;
mod limit;
mod limits;
mod listening;
pub mod live;
pub mod missions;
pub mod models;
mod monitor;
#[cfg(test)]
mod monitor_test;
mod notes;
pub mod ops;
mod ops_todo;
pub mod options;
mod poller;
mod pool;
mod project;
mod recovery;
pub mod report_text;
mod reports;
pub mod root;
mod runner;
pub mod service;
mod sessions;
pub mod shutdown;
pub mod spawn;
pub mod stream;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod toasts;
mod todo;
