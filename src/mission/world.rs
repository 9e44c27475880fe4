//! What a mission sees when it decides, and what it decides. Plain data: the engine gathers the one and does the other.

use std::{collections::HashMap, path::PathBuf};

use super::{settings::Settings, state::Mission};
use crate::{
    task::{TaskId, Timestamp},
    todo::{Document, ItemId, Operation},
};

/// Everything that a mission decides by.
#[derive(Debug, Clone, Copy)]
pub struct World<'a> {
    /// Now.
    pub now: Timestamp,
    /// TODO.md as it stands.
    pub todo: &'a Document,
    /// Its revision.
    pub rev: u64,
    /// The tasks of the mission.
    pub tasks: &'a HashMap<TaskId, TaskView>,
    /// The tasks that the commander launched by itself.
    pub own: Own,
    /// The commander's session.
    pub commander: &'a Commander,
    /// Tokens that the mission's tasks have used since it began.
    pub tokens: u64,
    /// What came of errands.
    pub errands: &'a HashMap<Errand, Result<String, String>>,
    /// The user's settings.
    pub settings: &'a Settings,
}

impl World<'_> {
    /// The result of a complete task.
    #[must_use]
    pub fn result(&self, task: TaskId) -> Option<&str> {
        match self.tasks.get(&task) {
            Some(TaskView::Complete(text)) => Some(text),
            _ => None,
        }
    }
}

/// A task as its mission sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskView {
    /// It has not ended.
    Open,
    /// It ended well, with this result.
    Complete(String),
    /// It ended badly, for this reason.
    Failed(String),
    /// Somebody stopped it, as is said here.
    Cancelled(String),
}

/// The tasks that a session launched by itself while its mission goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Own {
    /// How many.
    pub all: usize,
    /// How many have not ended, or have ended and were not told yet.
    pub open: usize,
}

/// The commander's session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Commander {
    /// In a turn, or about to be.
    Busy,
    /// Between two turns.
    Idle(Turn),
}

/// How the latest turn of the commander stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Turn {
    /// Whether it ended with an answer.
    pub answered: bool,
    /// The error that it ended with.
    pub trouble: Option<String>,
    /// The latest message of a person's.
    pub person: Option<String>,
}

/// Something outside the store that a mission needs done before it can go on. Doing it again does no harm.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Errand {
    /// Make a worktree there; gives its base commit.
    Make(PathBuf),
    /// Bring the changes of a worktree, taken against this commit, into the project.
    Land(PathBuf, String),
    /// Remove a worktree.
    Drop(PathBuf),
    /// Run the project's checks; the number tells one time from another. Gives what they said; an error if one failed.
    Check(u32),
    /// Look at the project's files; the number tells one time from another. Gives their fingerprint.
    Look(u32),
}

/// A task to launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// Its id.
    pub id: TaskId,
    /// A short name, for `sortie_result`.
    pub key: String,
    /// For people.
    pub title: String,
    /// Its agent.
    pub agent: String,
    /// Its model, if not the inherited one: `provider/model`.
    pub model: Option<String>,
    /// What it is asked.
    pub prompt: String,
    /// The ended task whose session it goes on in.
    pub continues: Option<TaskId>,
    /// Where it works, if not in the mission's directory.
    pub directory: Option<PathBuf>,
}

/// Something that people should hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The plan is made.
    Planned {
        /// How many items it has.
        items: usize,
    },
    /// A further quarter is done.
    Progress {
        /// Items that have ended.
        done: usize,
        /// All items.
        all: usize,
    },
    /// An item failed.
    Failed {
        /// The item.
        item: ItemId,
        /// Why.
        reason: String,
    },
    /// The mission stands still.
    Paused {
        /// Why.
        reason: String,
    },
    /// The mission is over.
    Complete {
        /// Items that are done.
        done: usize,
        /// Items that were given up.
        given_up: usize,
    },
}

/// What changes, all at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The mission after it.
    pub mission: Mission,
    /// What is done, in a word, for the journal.
    pub word: &'static str,
    /// Tasks that are launched with it.
    pub launch: Vec<Launch>,
    /// What changes in TODO.md.
    pub todo: Vec<Operation>,
    /// Tasks that are no longer wanted.
    pub cancel: Vec<TaskId>,
    /// Whether the tasks at work stand still from now on.
    pub halt: bool,
    /// What people should hear of.
    pub news: Vec<News>,
}

impl Step {
    /// A step that only changes the mission.
    #[must_use]
    pub fn of(mission: Mission, word: &'static str) -> Self {
        let (launch, todo, cancel, news) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { mission, word, launch, todo, cancel, halt: false, news }
    }
}

/// What a mission decides.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decision {
    /// What changes; after it, decide anew.
    pub step: Option<Step>,
    /// What is to be done first, unless it is under way.
    pub errands: Vec<Errand>,
}

/// Names for new things.
pub trait Names {
    /// A task id.
    fn task(&mut self) -> TaskId;
    /// Ids for a message and its text part.
    fn message(&mut self) -> (String, String);
    /// A directory for a worktree.
    fn tree(&mut self) -> PathBuf;
}
