//! Who may start now, and what everybody else waits for.
//!
//! One decision, [`World::decide`], is a pure function of a task's lane and the world: the limits, what runs in all
//! processes, and what is known of the model's provider. [`choose`] makes it for a whole queue, in its order. What a
//! face shows of a waiting task is the reason of the same decision. How much may be used, and how many tasks one session
//! may bring about, are questions of their own ([`Budget`], [`SpawnLimits`]).
//!
//! Invariants, which the simulation in `tests/sim.rs` checks over thousands of runs of several processes:
//! - No count is above its limit after a choice.
//! - Nothing starts on a provider that asks for patience, and one task at most tries it out after that.
//! - Whatever may start does so in a bounded time, however much comes after it.

mod budget;
mod choose;
mod decide;
mod limits;
mod provider;
mod slots;
mod spawn;

#[cfg(test)]
mod tests;

pub use budget::{Bounds, Budget, Budgets, Level, NEAR, OFF, Of, SETTINGS, WhenOver};
pub use choose::{COURTESY, Chosen, DEPTH, Left, choose, keep_living};
pub use decide::{Decision, Memory, Own, Reason, World};
pub use limits::{Limit, Limits, Overrides};
pub use provider::{News, Passage, Provider, QUOTA_PAUSE, Setting, Why, said};
pub use slots::{Slot, Slots};
pub use spawn::{Refusal, SpawnLimits, fingerprint};
