//! `OpenCode`'s servers for whoever lives outside of it: found, started, shared, watched and ended; and prompts that
//! are run on them to their end.
//!
//! Invariants:
//! - A server listens on loopback only, and is reached with a password that is in no file and on no command line.
//! - A server is written down before it is started ([`registry`]). Its group ends with its pool; where the pool's
//!   process was killed, the next one to open a pool in the same home ends it.
//! - Nothing is asked of a server before it says that it listens: it would never answer.
//! - A run ends: by its answer, an error, its time limit, a cancellation or the death of its server. What its agent
//!   asks is answered by [`crate::inbox`]'s rules, with words, so that nothing waits for a person who is not there.

mod backoff;
pub mod checklist;
mod choose;
mod find;
mod lease;
mod listen;
mod pool;
mod ports;
pub mod registry;
mod run;
mod server;
mod settings;
mod supervise;
mod turn;
mod unattended;

pub use find::{Places, find_opencode};
pub use lease::Lease;
pub use pool::Pool;
pub use run::{Ask, Ran, Run};
pub use settings::{MAX_SERVERS, Settings, Source, Start};
