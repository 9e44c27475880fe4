//! TODO.md: a plain Markdown file of items, read without loss, changed by operations, merged by item.
//!
//! [`board`] changes it in the store, [`file`] keeps the file that people see in step with it; everything else is pure: no
//! I/O, no clock. The format is told in `docs/todo.md`. Invariants:
//! - Every text is a document, and a document prints as the very text that it was read from.
//! - An operation changes the bytes that it must: a status is one character. All operations of a call are done, or none.
//! - No text that an operation brings can become another item, a heading, or the beginning of a block.
//! - A merge loses no line of either side; what both changed in different ways is a conflict, never a choice.

mod apply;
mod attributes;
pub mod board;
mod document;
mod draft;
mod error;
pub mod file;
#[doc(hidden)]
pub mod fixture;
mod id;
mod item;
mod line;
mod merge;
mod operation;
mod ready;
mod text;
mod write;

pub use apply::{MAX_ITEMS, apply, assign_ids};
pub use document::Document;
pub use error::{Conflict, TodoError};
pub use id::{ItemId, MAX_ID, ParseItemIdError};
pub use item::{Item, ParseRacerError, Racer, Size, Status};
pub use merge::{distance, merge, merge_keeping_both};
pub use operation::{Change, NewItem, Operation};
pub use ready::{Why, blocked, complete, hindrance, ready};
pub use text::{MAX_NOTE, MAX_TITLE, MAX_VALUE, MAX_VALUES};

#[cfg(test)]
mod tests;
