//! The engine over a fake host, with a clock that only the tests move.

mod flow;
mod missions;
mod peers;
mod prompts;
mod retries;
mod rig;
mod steps;
mod stores;
mod telling;
mod trouble;
