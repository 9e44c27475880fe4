//! A list of independent checks, run in parallel, with one verdict each.

mod parse;
mod run;
mod verdict;

pub use parse::{Checklist, Item};
pub use run::{How, Overall, Report, Row};
pub use verdict::Verdict;
