//! The engine over a fake host, with a clock that only the tests move.

mod admission;
mod budgets;
#[cfg(unix)]
mod commands;
mod flow;
mod missions;
mod peers;
mod pool;
mod prompts;
mod recovers;
mod retries;
mod rig;
mod spawn;
mod steps;
mod still;
mod stores;
mod telling;
mod trouble;
