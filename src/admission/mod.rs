//! Who may start now: a fixed number of running tasks per agent, as slots that free themselves; how much may be used;
//! and how many tasks one session may bring about.

mod budget;
mod slots;
mod spawn;

pub use budget::{Bounds, Budget, Budgets, Level, NEAR, OFF, Of, SETTINGS, WhenOver};
pub use slots::{Limits, Slot, Slots};
pub use spawn::{Refusal, SpawnLimits, fingerprint};
