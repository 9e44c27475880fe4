//! What an item is.

use std::{fmt, str::FromStr, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{ItemId, line::Header};
use crate::task::ModelChoice;

/// How far an item is: the character in its box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(description = "")]
pub enum Status {
    /// `[ ]`: nobody works on it.
    Pending,
    /// `[~]`: somebody does.
    InProgress,
    /// `[x]`: done.
    Done,
    /// `[!]`: tried and failed.
    Failed,
    /// `[-]`: not wanted any more.
    Cancelled,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 5] = [Self::Pending, Self::InProgress, Self::Done, Self::Failed, Self::Cancelled];

    /// Whether there is still something to do.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::InProgress)
    }

    /// The character in the box.
    #[must_use]
    pub fn mark(self) -> char {
        match self {
            Self::Pending => ' ',
            Self::InProgress => '~',
            Self::Done => 'x',
            Self::Failed => '!',
            Self::Cancelled => '-',
        }
    }

    /// What a character in the box says; a capital `X` is read as well.
    #[must_use]
    pub fn of_mark(mark: char) -> Option<Self> {
        let mark = if mark == 'X' { 'x' } else { mark };
        Self::ALL.into_iter().find(|status| status.mark() == mark)
    }

    /// Its name in messages and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in_progress",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How much work an item is thought to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "")]
pub enum Size {
    /// Small.
    S,
    /// Medium.
    M,
    /// Large.
    L,
    /// Very large.
    #[serde(rename = "XL")]
    Xl,
}

impl Size {
    /// Its name in the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::S => "S",
            Self::M => "M",
            Self::L => "L",
            Self::Xl => "XL",
        }
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        [Self::S, Self::M, Self::L, Self::Xl].into_iter().find(|size| size.as_str() == text)
    }
}

/// One of several that try the same item: `agent`, or `agent@provider/model`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Racer {
    /// The agent.
    pub agent: String,
    /// `provider/model`, if not the agent's own.
    pub model: Option<String>,
}

/// A text that names no racer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a racer: expected `agent` or `agent@provider/model`")]
pub struct ParseRacerError;

impl FromStr for Racer {
    type Err = ParseRacerError;

    fn from_str(text: &str) -> Result<Self, ParseRacerError> {
        let (agent, model) = text.split_once('@').map_or((text, None), |(agent, model)| (agent, Some(model)));
        let (agent, model) = (agent.trim(), model.map(str::trim));
        let model_is_good = model.is_none_or(|model| ModelChoice::parse(model).is_some());
        if agent.is_empty() || !model_is_good {
            return Err(ParseRacerError);
        }
        Ok(Self { agent: agent.to_owned(), model: model.map(str::to_owned) })
    }
}

impl fmt::Display for Racer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.model {
            Some(model) => write!(f, "{}@{model}", self.agent),
            None => f.write_str(&self.agent),
        }
    }
}

impl Serialize for Racer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Racer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// An item of a file, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its name, unless it has none yet or one that an earlier item has.
    pub id: Option<ItemId>,
    /// How far it is.
    pub status: Status,
    /// What is to be done, in one line.
    pub title: String,
    /// Who should do it.
    pub agent: Option<String>,
    /// The files that it is about.
    pub files: Vec<String>,
    /// What must be done before.
    pub after: Vec<ItemId>,
    /// What else is written under `after` and is no id: such an item never becomes ready.
    pub after_unread: Vec<String>,
    /// How much work it is thought to be.
    pub size: Option<Size>,
    /// Who should try it at the same time.
    pub race: Vec<Racer>,
    /// The lines indented under it, without that indentation and without blank lines around them.
    pub notes: String,
    /// How many items it stands under.
    pub depth: usize,
    /// The id of the item that it stands under.
    pub parent: Option<ItemId>,
    /// The mission of the nearest heading above that names one.
    pub mission: Option<Arc<str>>,
    /// The titles of the headings that it stands under, the outermost first.
    pub groups: Arc<[String]>,
    /// Its line in the file, from 1.
    pub line: usize,
    /// The place of the item that it stands under among the document's items.
    pub(super) above: Option<usize>,
    /// Where the parts of its line are.
    pub(super) header: Header,
}

impl Item {
    /// What it is called in a message: its id, or its line where it has none.
    #[must_use]
    pub fn label(&self) -> String {
        self.id.as_ref().map_or_else(|| format!("line {}", self.line), ToString::to_string)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_mark_and_its_name() {
        for status in Status::ALL {
            assert_eq!(Status::of_mark(status.mark()), Some(status));
            assert_eq!(serde_json::to_string(&status).unwrap(), format!("\"{}\"", status.as_str()));
        }
        assert_eq!((Status::of_mark('X'), Status::of_mark('?')), (Some(Status::Done), None));
        assert!(Status::InProgress.is_open() && !Status::Failed.is_open());
    }

    #[test]
    fn a_racer_is_an_agent_and_perhaps_a_model() {
        for text in ["build", "build@openai/gpt-5", "a@b/c/d"] {
            assert_eq!(text.parse::<Racer>().unwrap().to_string(), text);
        }
        for wrong in ["", "@a/b", "build@", "build@gpt", "build@/gpt", "build@openai/"] {
            assert!(wrong.parse::<Racer>().is_err(), "{wrong}");
        }
    }
}
