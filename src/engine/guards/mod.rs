//! What watches a run beside its time limit: that it moves, and not in a circle. Pure: what was seen in, a verdict out.
//! The [runner](super::runner) acts on it.

mod repeats;
mod stall;

pub use repeats::{Repeats, UNREADABLE};
pub use stall::{Seen, Stall, Verdict};
