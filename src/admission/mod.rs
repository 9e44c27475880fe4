//! Who may start now: a fixed number of running tasks per agent, as slots that free themselves.

mod slots;

pub use slots::{Limits, Slot, Slots};
