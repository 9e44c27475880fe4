//! What a user may set of missions: the option `mission`.

use std::{
    num::{NonZeroU32, NonZeroU64},
    time::Duration,
};

use serde::Deserialize;

use crate::fault::{self, Code, Fault};

/// Settings of missions.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Settings {
    /// Which agent plays which part.
    #[serde(deserialize_with = "fault::strict")]
    pub agents: Cast,
    /// Commands that must succeed before a mission is done, each as a list of words; no shell reads them.
    pub checks: Vec<Vec<String>>,
    /// Seconds that one check may take.
    pub check_timeout: NonZeroU32,
    /// How often a reviewer may reject the work on an item before the commander has to decide.
    pub rounds: NonZeroU32,
    /// How many workers an item gets when they fail.
    pub workers: NonZeroU32,
    /// How many messages the commander gets in a row without any progress before the mission pauses.
    pub continuations: NonZeroU32,
    /// The most items of a mission.
    pub max_items: NonZeroU32,
    /// How often an item's part may be split again.
    pub max_split_depth: u32,
    /// The most messages that the engine sends to the commander.
    pub max_turns: NonZeroU32,
    /// The most tokens that all tasks of a mission use together.
    pub max_tokens: NonZeroU64,
    /// The most seconds that a mission takes, pauses included.
    pub max_time: NonZeroU32,
}

/// The agents of the parts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cast {
    /// Researches, and writes the items.
    pub planner: String,
    /// Does one item; an item may name another.
    pub worker: String,
    /// Judges the work on one item.
    pub reviewer: String,
}

impl Default for Cast {
    fn default() -> Self {
        Self { planner: "planner".to_owned(), worker: "worker".to_owned(), reviewer: "reviewer".to_owned() }
    }
}

impl Default for Settings {
    fn default() -> Self {
        let number = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        Self {
            agents: Cast::default(),
            checks: Vec::new(),
            check_timeout: number(600),
            rounds: number(3),
            workers: number(2),
            continuations: number(3),
            max_items: number(200),
            max_split_depth: 2,
            max_turns: number(50),
            max_tokens: NonZeroU64::new(50_000_000).unwrap_or(NonZeroU64::MIN),
            max_time: number(86_400),
        }
    }
}

impl Settings {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// [`Code::BadOptions`], naming the option.
    pub fn check(&self) -> Result<(), Fault> {
        let bad = |message: String| Err(Fault::new(Code::BadOptions, message));
        if let Some(at) = self.checks.iter().position(|check| check.first().is_none_or(String::is_empty)) {
            return bad(format!("option `mission.checks[{at}]`: names no program"));
        }
        let Cast { planner, worker, reviewer } = &self.agents;
        for (part, agent) in [("planner", planner), ("worker", worker), ("reviewer", reviewer)] {
            if agent.is_empty() {
                return bad(format!("option `mission.agents.{part}`: is empty"));
            }
        }
        Ok(())
    }

    /// How long one check may take.
    #[must_use]
    pub fn check_limit(&self) -> Duration {
        Duration::from_secs(u64::from(self.check_timeout.get()))
    }
}
