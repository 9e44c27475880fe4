//! Tests over the whole room.

mod errors;
mod graph;
mod merge_model;
mod merging;
mod model;
mod operations;
mod parsing;
mod soup;
