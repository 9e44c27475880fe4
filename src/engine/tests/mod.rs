//! The engine over a fake host, with a clock that only the tests move.

mod budgets;
mod flow;
mod missions;
mod peers;
mod prompts;
mod retries;
mod rig;
mod spawn;
mod steps;
mod stores;
mod telling;
mod trouble;
