//! Sortie: a durable orchestrator for OpenCode agents.
//!
//! The rooms and what may depend on what: `ARCHITECTURE.md`.

pub mod admission;
pub mod agent;
#[cfg(feature = "napi")]
mod binding;
#[cfg(feature = "cli")]
pub mod cli;
pub mod clock;
#[cfg(feature = "cli")]
pub mod config;
pub mod engine;
pub mod fault;
pub mod inbox;
pub mod mission;
pub mod opencode;
#[cfg(feature = "cli")]
pub mod queue;
#[cfg(feature = "cli")]
pub mod server_pool;
pub mod store;
pub mod sys;
pub mod task;
pub mod todo;
pub mod tools;
pub mod worktree;
