//! A mission: `/task` from plan to report.
//!
//! The mission's state is data ([`Mission`]), the world it sees is data ([`World`]), and what it does next is one pure
//! function of both ([`next`]). The engine gathers the world, writes each step in one transaction with the tasks it
//! launches and the revision of TODO.md, and only then acts. Invariants:
//! - No model decides whether a mission goes on: it is done when its items are, and every loop of it is bounded.
//! - Nothing is taken as accepted, checked or done that no reviewer, check or person has said.
//! - What people change in TODO.md stands.

mod answers;
mod decide;
mod phases;
mod reconcile;
mod settings;
mod state;
pub mod words;
mod work;
mod world;

pub use decide::next;
pub use settings::{Cast, Settings};
pub use state::{Checked, End, Message, MessageKind, Mission, Note, Pause, Phase, Racer, RacerStep, Stage, Tree, Work};
pub use world::{Commander, Decision, Errand, Launch, Names, News, Own, Step, TaskView, Turn, World};

#[cfg(test)]
mod tests;
