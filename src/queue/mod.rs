//! The queue: tasks whose agents are programs, worked without a host.
//!
//! A task of the queue belongs to nobody ([`InstanceId::QUEUE`]) while it does not run. [`dispatch`] (`sortie run`) finds
//! out what may start, by the same admission as everywhere, and starts a supervising process for each such task.
//! [`supervise`] is that process: it has an instance of its own, claims the one task, runs the agent in a group of its own,
//! and writes how it ended. So each task has one owner in the world, whose death is seen by its lock, and nothing of a
//! task hangs on the life of `sortie run`. Invariants:
//! - An agent runs only when its process is on disk under the fence of its supervisor ([`crate::sys::process::Held`]).
//! - While an agent's group may live, a record of it lies in the home ([`processes`]): whoever starts next ends what
//!   nobody supervises and nobody may take up again.
//! - A supervisor that finds an agent of a dead one takes it up, or fails the task as `died`; it never starts a second
//!   one beside it.
//!
//! [`InstanceId::QUEUE`]: crate::task::InstanceId::QUEUE

mod admit;
pub mod dispatch;
pub mod invocation;
pub mod log;
pub mod older;
pub mod place;
pub mod processes;
pub mod start;
pub mod supervise;
pub mod verdict;
