//! The file that people and agents see: a projection of the head. The truth is the store.
//!
//! What stands in the file is either known (it was shown, or is about to be), or somebody else's edit, which is merged
//! into the head before anything else is shown. Invariants:
//! - No byte that somebody else wrote is lost: it is in a revision, in the merged text, or kept aside beside the file.
//!   This holds for writers that opened the file before it was replaced, too (`replace`).
//! - What is about to be shown is noted before, and an edit is noted as taken in together with its revision: a crash
//!   leaves nothing that would be taken for an edit, and no edit is taken in twice.
//! - One process at a time looks, takes in and shows. Each does so after its own commits: the last one shows the head.
//! - A project that never used it gets no file.

mod base;
mod import;
mod olds;
mod platform;
mod projector;
mod replace;
mod seen;
#[cfg(test)]
mod tests;

pub use projector::{Access, Config, Note, Projector, QUIET, Round};
pub use seen::{Bad, MAX_BYTES, resolve};
