//! What a mission is: everything about it that must survive the process.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    task::{MissionId, ProjectKey, TaskId, Timestamp},
    todo::ItemId,
};

/// One request of a person's, from plan to report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mission {
    /// Its name.
    pub id: MissionId,
    /// The project it belongs to.
    pub project: ProjectKey,
    /// Its name in TODO.md.
    pub tag: String,
    /// The commander's session.
    pub session: String,
    /// That session's directory.
    pub directory: String,
    /// What was asked for.
    pub goal: String,
    /// Whether the items that stand under no mission's heading are its own too.
    pub adopts: bool,
    /// How many items it had when it was last planned.
    pub planned: usize,
    /// How far it is.
    pub phase: Phase,
    /// Why it stands still, if it does.
    pub pause: Option<Pause>,
    /// How it ended.
    pub end: Option<End>,
    /// The planner's task.
    pub planner: Option<TaskId>,
    /// The items that were begun.
    pub works: BTreeMap<ItemId, Work>,
    /// The latest message to the commander.
    pub message: Option<Message>,
    /// How many messages the commander got since the mission began or was resumed.
    pub turns: u32,
    /// How many of the latest ones brought no progress.
    pub stale: u32,
    /// What the world looked like when the latest one was sent.
    pub fingerprint: Option<String>,
    /// The latest message of a person's that was seen in the session.
    pub heard: Option<String>,
    /// What the checks said, and of which revision of TODO.md.
    pub checked: Option<Checked>,
    /// Decisions and findings that all its agents share.
    pub memory: Vec<Note>,
    /// Worktrees of ended races that are still to be removed.
    pub litter: Vec<PathBuf>,
    /// The percent that was last told.
    pub told: u32,
    /// Tokens used before it was last resumed: the bound counts from there.
    pub spent: u64,
    /// When it began, or was last resumed: the bound counts from there.
    pub since: Timestamp,
    /// When it began.
    pub created_at: Timestamp,
}

/// How far a mission is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Items are still to be found.
    Plan,
    /// Items are worked on.
    Execute,
    /// All items are done: the project's checks run.
    Verify,
    /// The commander was asked for its report.
    Report,
    /// It is over.
    Done,
}

impl Phase {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Execute => "execute",
            Self::Verify => "verify",
            Self::Report => "report",
            Self::Done => "done",
        }
    }
}

/// A standstill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Why, for people.
    pub reason: String,
    /// Whether a person wanted it.
    pub by_person: bool,
}

/// How a mission ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// Everything that was planned is done, or was given up by the commander or a person.
    Complete,
    /// A person stopped it.
    Stopped,
}

/// The work on one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Where it stands.
    pub stage: Stage,
    /// How many workers it had, races counted once.
    pub tries: u32,
    /// How deep in splits it is: 0 for an item of the plan.
    pub depth: u32,
}

/// Where the work on an item stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "lowercase")]
pub enum Stage {
    /// Somebody works on it, or several race.
    Active {
        /// Who.
        racers: Vec<Racer>,
    },
    /// Its parts are worked on instead.
    Split,
    /// It was accepted.
    Accepted {
        /// The task with the accepted result; none when a person said so.
        worker: Option<TaskId>,
    },
    /// It could not be done.
    Failed {
        /// Why.
        reason: String,
    },
}

/// One that works on an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Racer {
    /// The agent.
    pub agent: String,
    /// The model, if not the inherited one: `provider/model`.
    pub model: Option<String>,
    /// The directory of its own that it works in.
    pub tree: Option<Tree>,
    /// What it does just now.
    pub step: RacerStep,
    /// How often it was rejected.
    pub rounds: u32,
    /// How many reviewers it had in this round.
    pub reviewers: u32,
}

/// A worktree of a racer's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// Where it is.
    pub path: PathBuf,
    /// The commit that its changes are taken against, once it exists.
    pub base: Option<String>,
}

/// What a racer does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "lowercase")]
pub enum RacerStep {
    /// Its worktree is being made.
    Preparing,
    /// Its task works.
    Working {
        /// That task.
        worker: TaskId,
    },
    /// Its work is judged.
    Reviewing {
        /// The task whose work it is.
        worker: TaskId,
        /// The task that judges.
        reviewer: TaskId,
    },
    /// It has won; its changes are brought into the project.
    Landing {
        /// The task whose work it is.
        worker: TaskId,
    },
    /// It is out.
    Out {
        /// Why.
        reason: String,
        /// Whether another may be luckier: it was not the work that was at fault.
        again: bool,
    },
}

impl RacerStep {
    /// The task that is at work.
    #[must_use]
    pub fn task(&self) -> Option<TaskId> {
        match self {
            Self::Working { worker } => Some(*worker),
            Self::Reviewing { reviewer, .. } => Some(*reviewer),
            Self::Preparing | Self::Landing { .. } | Self::Out { .. } => None,
        }
    }
}

/// A message to the commander. Its ids are stored before it is sent, so that it is answered once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// What for.
    pub kind: MessageKind,
    /// The words.
    pub text: String,
    /// The message's id.
    pub message: String,
    /// Its text part's id.
    pub part: String,
    /// Whether it is known to have been sent.
    pub sent: bool,
}

/// What a message to the commander is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    /// Its turn was cut off.
    GoOn,
    /// The planner found no items.
    NoPlan,
    /// Items need a decision.
    Decide,
    /// The project's checks failed.
    Checks,
    /// All is done: it reports.
    Report,
}

/// What the checks said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// The revision of TODO.md at which they ran.
    pub rev: u64,
    /// Whether all succeeded.
    pub passed: bool,
    /// What they were and said.
    pub text: String,
}

/// Something that all agents of a mission should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Whether it was decided, rather than found.
    pub decision: bool,
    /// The words, on one line.
    pub text: String,
}

impl Mission {
    /// Whether it has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.end.is_some()
    }

    /// The tasks that work for it just now.
    pub fn at_work(&self) -> impl Iterator<Item = TaskId> + '_ {
        let racing = self.works.values().flat_map(|work| work.stage.racers());
        racing.filter_map(|racer| racer.step.task()).chain(self.planner.filter(|_| self.phase == Phase::Plan))
    }

    /// Takes note of a decision or finding; the oldest ones give way.
    pub fn remember(&mut self, note: Note) {
        if note.text.is_empty() || self.memory.contains(&note) {
            return;
        }
        self.memory.push(note);
        if self.memory.len() > MEMORY {
            self.memory.remove(0);
        }
    }
}

/// How many notes a mission keeps.
pub const MEMORY: usize = 40;

impl Stage {
    /// Those that work on it.
    #[must_use]
    pub fn racers(&self) -> &[Racer] {
        match self {
            Self::Active { racers } => racers,
            _ => &[],
        }
    }
}
