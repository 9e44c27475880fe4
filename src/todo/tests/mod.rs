//! Tests over the whole room.

mod errors;
mod merge_model;
mod merging;
mod operations;
mod parsing;
mod soup;
