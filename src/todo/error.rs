//! What can go wrong with a TODO file.

use std::fmt::Write;

use super::{ItemId, MAX_ITEMS, Status};
use crate::fault::{Code, Fault, floor};

/// An operation that was not done. Nothing half-done stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TodoError {
    /// No item has this id.
    #[error("there is no item `{0}`")]
    NoItem(ItemId),
    /// An item that is not pending.
    #[error("item `{id}` is {} already", status.as_str())]
    Claimed {
        /// Which.
        id: ItemId,
        /// What it is.
        status: Status,
    },
    /// A pending item that is not ready.
    #[error("item `{id}` {why}")]
    NotReady {
        /// Which.
        id: ItemId,
        /// What it waits for, in words.
        why: String,
    },
    /// An item that is not open.
    #[error("item `{id}` is {}", status.as_str())]
    NotOpen {
        /// Which.
        id: ItemId,
        /// What it is.
        status: Status,
    },
    /// An id that another item has.
    #[error("another item has the id `{0}`")]
    IdTaken(ItemId),
    /// An item that others wait for.
    #[error("item `{id}` cannot go: `{by}` waits for it")]
    InUse {
        /// Which.
        id: ItemId,
        /// One that waits for it.
        by: String,
    },
    /// Items that would wait for each other.
    #[error("they would wait for each other: {}", .0.join(" -> "))]
    Cycle(Vec<String>),
    /// A text that cannot be written into the file.
    #[error("`{field}` {problem}")]
    BadItem {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The file would have too many items.
    #[error("the file would have more than {MAX_ITEMS} items")]
    Full,
    /// Both sides changed the same items, each in its own way.
    #[error("{}", words(.0))]
    Conflict(Vec<Conflict>),
}

/// An item that both sides changed, each in its own way. `None` is that it is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Its id, or its title where it has none.
    pub item: String,
    /// Its text before.
    pub base: Option<String>,
    /// Its text on our side.
    pub ours: Option<String>,
    /// Its text on the other side.
    pub theirs: Option<String>,
}

/// The most of one text that a message quotes, in bytes.
const QUOTE: usize = 300;

/// The most conflicts that a message tells of.
const TOLD: usize = 2;

fn words(conflicts: &[Conflict]) -> String {
    let names: Vec<_> = conflicts.iter().take(10).map(|conflict| format!("`{}`", quote(&conflict.item, 64))).collect();
    let more = if conflicts.len() > names.len() { ", …" } else { "" };
    let mut text = format!("somebody else changed {}{more}", names.join(", "));
    for conflict in conflicts.iter().take(TOLD) {
        for (name, side) in [("before", &conflict.base), ("now", &conflict.ours), ("yours", &conflict.theirs)] {
            let side = side.as_deref().map_or_else(|| "(not there)".to_owned(), |side| quote(side, QUOTE));
            let _ = write!(text, "\n{name}: {side}");
        }
    }
    text
}

fn quote(text: &str, most: usize) -> String {
    let text = text.trim();
    let cut = &text[..floor(text, most)];
    if cut.len() < text.len() { format!("{cut}…") } else { cut.to_owned() }
}

impl TodoError {
    /// Its place in the catalogue.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::NoItem(_) => Code::TodoNoItem,
            Self::Claimed { .. } => Code::TodoClaimed,
            Self::NotReady { .. } => Code::TodoNotReady,
            Self::NotOpen { .. } => Code::TodoNotOpen,
            Self::IdTaken(_) => Code::TodoIdTaken,
            Self::InUse { .. } => Code::TodoInUse,
            Self::Cycle(_) => Code::TodoCycle,
            Self::BadItem { .. } => Code::TodoBadItem,
            Self::Full => Code::TodoFull,
            Self::Conflict(_) => Code::TodoConflict,
        }
    }
}

impl From<TodoError> for Fault {
    fn from(error: TodoError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}
