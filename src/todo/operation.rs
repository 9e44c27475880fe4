//! What can be done to a file. The operations of a revision are stored with it.

use serde::{Deserialize, Serialize};

use super::{ItemId, Racer, Size, Status};

/// An item to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewItem {
    /// A free id, so that others of the same call can name it; given out if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ItemId>,
    /// What is to be done. Line breaks and control characters become spaces.
    pub title: String,
    /// Who should do it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The files that it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// What must be done before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<ItemId>,
    /// How much work it is thought to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// Who should try it at the same time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub race: Vec<Racer>,
    /// Text to stand under it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What changes of an item; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// How far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// What is to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Who should do it; an empty name takes the attribute away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The files that it is about; an empty list takes the attribute away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<String>>,
    /// What must be done before; an empty list takes the attribute away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Vec<ItemId>>,
    /// How much work it is thought to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// Who should try it at the same time; an empty list takes the attribute away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub race: Option<Vec<Racer>>,
    /// Text to add under it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Operation {
    /// A new item.
    Add {
        /// The mission that it belongs to; its heading is made if there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mission: Option<String>,
        /// The heading that it goes under: of the mission's, or any where no mission is given. It is made if there is
        /// none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
        /// The item that it goes under; then `mission` and `group` are not looked at.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<ItemId>,
        /// The item.
        item: Box<NewItem>,
    },
    /// Another status, title, attributes, or more notes.
    Update {
        /// Of which item.
        id: ItemId,
        /// What changes.
        change: Box<Change>,
    },
    /// From pending to in progress, if the item is ready.
    Claim {
        /// Which item.
        id: ItemId,
        /// For whom. It stands in the revision, not in the file.
        by: String,
    },
    /// Sub-items for an open item.
    Split {
        /// Which item.
        id: ItemId,
        /// Its sub-items, numbered `<id>.<n>` where they have no id.
        into: Vec<NewItem>,
    },
    /// Takes an item away with everything under it.
    Remove {
        /// Which item.
        id: ItemId,
    },
    /// An edit that was not made through operations. It can be stored, not applied.
    Outside {
        /// How many items and lines it changed.
        changed: usize,
    },
}

impl Operation {
    /// Whether it is about an item. Of an item that was given its id by the operation this is not known.
    #[must_use]
    pub fn concerns(&self, item: &ItemId) -> bool {
        match self {
            Self::Add { item: new, parent, .. } => parent.as_ref() == Some(item) || new.id.as_ref() == Some(item),
            Self::Update { id, .. } | Self::Claim { id, .. } | Self::Split { id, .. } | Self::Remove { id } => {
                id == item
            }
            Self::Outside { .. } => false,
        }
    }

    /// Gives an item another status.
    #[must_use]
    pub fn set(id: ItemId, status: Status) -> Self {
        Self::Update { id, change: Box::new(Change { status: Some(status), ..Change::default() }) }
    }
}
