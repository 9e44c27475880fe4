//! What a user may set, per project: the second half of `["opencode-sortie", {…}]` in OpenCode's configuration.

use std::{
    num::NonZeroU32,
    path::{Component, Path},
    time::Duration,
};

use serde::Deserialize;

use super::{fallback::Fallback, pool};
use crate::{
    admission::{Budgets, Limits, Memory, Setting as ProviderSetting, SpawnLimits},
    fault::{self, Code, Fault},
    inbox, mission,
    store::Durability,
    task::{MAX_TIMEOUT, ResumePolicy, attempt},
};

/// The seed's guard: how long one run may take unless told otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

/// Settings of one project.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Options {
    /// Sortie's home; the platform's data directory if not set. The environment's `SORTIE_HOME` wins.
    pub home: Option<String>,
    /// How many tasks of an agent run at once.
    #[serde(deserialize_with = "fault::strict")]
    pub limits: Limits,
    /// How the providers of models are treated.
    #[serde(deserialize_with = "fault::strict")]
    pub providers: ProviderSetting,
    /// Above what part of the memory, in percent, tasks wait.
    #[serde(deserialize_with = "fault::strict")]
    pub memory: MemoryMarks,
    /// Seconds that one run of a task may take, unless the task says otherwise.
    pub timeout: NonZeroU32,
    /// How often a task is tried again after its first attempt, unless the task says otherwise.
    pub retries: u32,
    /// What happens to a task whose process died, unless the task says otherwise.
    #[serde(deserialize_with = "fault::word")]
    pub resume: ResumePolicy,
    /// Seconds in which nothing is heard of a run after which it is nudged, and after as many again stopped; 0 for never.
    pub stall: u32,
    /// How often in a row the same tool call may give the same result before the run is stopped; 0 for without end.
    pub repeats: u32,
    /// How many sessions of a kind are made before they are needed.
    pub pool: u32,
    /// Which models take over from an agent's own when its provider fails.
    pub fallback: Fallback,
    /// How deep tasks may launch tasks: 1 means that only sessions of people launch.
    pub max_depth: NonZeroU32,
    /// How much may be used.
    #[serde(deserialize_with = "fault::strict")]
    pub budget: Budgets,
    /// How many tasks one session may bring about.
    #[serde(deserialize_with = "fault::strict")]
    pub spawn: SpawnLimits,
    /// Whether toasts are shown.
    pub toasts: bool,
    /// How missions go.
    #[serde(deserialize_with = "fault::strict")]
    pub mission: mission::Settings,
    /// What becomes of the prompts of tasks.
    #[serde(deserialize_with = "fault::strict")]
    pub permissions: inbox::Settings,
    /// The file that shows TODO.md, from the project's root.
    pub todo: String,
    /// `full` survives a power cut; `normal` only the death of any process.
    #[serde(deserialize_with = "fault::word")]
    pub durability: DurabilityOption,
}

/// How hard the database presses the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DurabilityOption {
    /// Each commit reaches the disk.
    #[default]
    Full,
    /// The system may delay it.
    Normal,
}

/// Above what part of the memory, in percent, tasks wait; at 100 none does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryMarks {
    /// Those of low priority.
    pub low: u8,
    /// All, while something runs.
    pub stop: u8,
}

impl Default for MemoryMarks {
    /// The usual.
    fn default() -> Self {
        Self { low: Memory::LOW, stop: Memory::STOP }
    }
}

impl MemoryMarks {
    /// The marks with how full the memory is; none when no mark can be passed.
    #[must_use]
    pub fn at(self, used: impl FnOnce() -> u8) -> Option<Memory> {
        let Self { low: low_mark, stop: stop_mark } = self;
        (low_mark < 100 || stop_mark < 100).then(|| Memory { used: used(), low_mark, stop_mark })
    }
}

impl From<DurabilityOption> for Durability {
    fn from(option: DurabilityOption) -> Self {
        match option {
            DurabilityOption::Full => Self::Full,
            DurabilityOption::Normal => Self::Normal,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            home: None,
            limits: Limits::default(),
            providers: ProviderSetting::default(),
            memory: MemoryMarks::default(),
            timeout: NonZeroU32::new(600).unwrap_or(NonZeroU32::MIN),
            retries: attempt::MAX_ATTEMPTS - 1,
            resume: ResumePolicy::Auto,
            stall: 180,
            repeats: 5,
            pool: 0,
            fallback: Fallback::default(),
            max_depth: NonZeroU32::MIN,
            budget: Budgets::default(),
            spawn: SpawnLimits::default(),
            toasts: true,
            mission: mission::Settings::default(),
            permissions: inbox::Settings::default(),
            todo: ".opencode/todo.md".to_owned(),
            durability: DurabilityOption::Full,
        }
    }
}

impl Options {
    /// Reads them from JSON.
    ///
    /// # Errors
    /// [`Code::BadOptions`], naming the option.
    pub fn parse(json: &str) -> Result<Self, Fault> {
        let wrong = |message: String| Fault::new(Code::BadOptions, message);
        let options: Self = fault::object(json, Code::BadOptions)?;
        if options.retries >= attempt::MAX_ATTEMPTS {
            return Err(wrong(format!("option `retries`: {} is above {}", options.retries, attempt::MAX_ATTEMPTS - 1)));
        }
        if options.timeout() > MAX_TIMEOUT {
            return Err(wrong(format!("option `timeout`: {} is above {} s", options.timeout, MAX_TIMEOUT.as_secs())));
        }
        if Duration::from_secs(options.stall.into()) > MAX_TIMEOUT {
            return Err(wrong(format!("option `stall`: {} is above {} s", options.stall, MAX_TIMEOUT.as_secs())));
        }
        if options.repeats == 1 {
            return Err(wrong("option `repeats`: 1 would stop at every call; give 0 or at least 2".to_owned()));
        }
        if options.pool > pool::MOST {
            return Err(wrong(format!("option `pool`: {} is above {}", options.pool, pool::MOST)));
        }
        options.fallback.check()?;
        for (name, mark) in [("low", options.memory.low), ("stop", options.memory.stop)] {
            if !(1..=100).contains(&mark) {
                return Err(wrong(format!("option `memory.{name}`: {mark} is not between 1 and 100 percent")));
            }
        }
        options.mission.check()?;
        options.permissions.check()?;
        if !is_below(Path::new(&options.todo)) {
            return Err(wrong(format!(
                "option `todo`: {:?} is not the path of a file below the project's root, such as `.opencode/todo.md`",
                options.todo
            )));
        }
        Ok(options)
    }

    /// The time limit of a run.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.timeout.get()))
    }

    /// The longest silence of a run; zero for any.
    #[must_use]
    pub fn stall(&self) -> Duration {
        Duration::from_secs(u64::from(self.stall))
    }
}

/// Whether a path leads to something below where it starts from, and nowhere else on any system.
fn is_below(path: &Path) -> bool {
    let text = path.to_string_lossy();
    let is_plain = |component| matches!(component, Component::Normal(_));
    !text.is_empty() && !text.ends_with('/') && !text.contains(['\\', ':', '\0']) && path.components().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_set_means_the_documented_defaults() {
        let options = Options::parse("{}").unwrap();
        assert_eq!(options, Options::default());
        assert_eq!(
            (options.timeout(), options.retries, options.limits.of("build").max.get()),
            (DEFAULT_TIMEOUT, 4, 10)
        );
    }

    #[test]
    fn a_wrong_option_is_named() {
        for (json, named) in [
            (r#"{"timeout": 0}"#, "timeout"),
            (r#"{"timeout": 86401}"#, "timeout"),
            (r#"{"limits": {"agents": {"build": -1}}}"#, "limits.agents.build"),
            (r#"{"limits": {"models": {"p": 0}}}"#, "limits.models.p"),
            (r#"{"memory": {"low": 101}}"#, "memory.low"),
            (r#"{"memory": {"stop": 0}}"#, "memory.stop"),
            (r#"{"providers": {"floor": -1}}"#, "providers.floor"),
            (r#"{"retries": 5}"#, "retries"),
            (r#"{"resume": "maybe"}"#, "resume"),
            (r#"{"budget": {"day": {"cost": -1}}}"#, "budget.day.cost"),
            (r#"{"budget": {"task": {"tokens": 0}}}"#, "budget.task.tokens"),
            (r#"{"spawn": {"tree": 0}}"#, "spawn.tree"),
            (r#"{"spawn": [1, 2]}"#, "spawn"),
            (r#"{"stall": 86401}"#, "stall"),
            (r#"{"stall": -1}"#, "stall"),
            (r#"{"repeats": 1}"#, "repeats"),
            (r#"{"fallback": {"build": ["sonnet"]}}"#, "fallback.build[0]"),
            (r#"{"fallback": ["p/m"]}"#, "fallback"),
            (r#"{"pool": 6}"#, "pool"),
            (r#"{"limit": {}}"#, "limit"),
            (r#"{"limits": [10, {}]}"#, "limits"),
            (r#"{"durability": {"full": null}}"#, "durability"),
            (r#"{"permissions": {"policy": "allow"}}"#, "permissions.policy"),
            (r#"{"permissions": {"patience": 0}}"#, "permissions.patience"),
            (r#"{"permissions": {"patience": 86401}}"#, "permissions.patience"),
            (r#"{"permissions": {"allow": [["bash", "*"]]}}"#, "permissions.allow"),
            (r#"{"permissions": {"allow": [{"permission": "bash", "pattern": ""}]}}"#, "permissions.allow[0]"),
            (r#"{"permissions": {"allow": [{"permission": "bash"}]}}"#, "permissions.allow[0]"),
            (r#"{"todo": ""}"#, "todo"),
            (r#"{"todo": "../todo.md"}"#, "todo"),
            (r#"{"todo": "/etc/todo.md"}"#, "todo"),
            (r#"{"todo": "docs/./../../x"}"#, "todo"),
            (r#"{"todo": "C:\\todo.md"}"#, "todo"),
            (r#"{"todo": "docs/"}"#, "todo"),
            ("[]", "object"),
        ] {
            let fault = Options::parse(json).unwrap_err();
            assert!(fault.code == Code::BadOptions && fault.message.contains(named), "{json}: {fault}");
        }
    }
}
