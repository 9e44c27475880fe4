//! Tests over the whole room.

mod errors;
mod operations;
mod parsing;
