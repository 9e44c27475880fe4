//! Budgets: how much may be used, by whom, and whether it is used up.
//!
//! Amounts are whole numbers in the units of [`What`], so that sums are exact in whatever order they are made.

use std::{collections::HashMap, num::NonZeroU64};

use serde::Deserialize;

use crate::{
    fault,
    task::{MissionId, Over, ProjectKey, Scope, Spent, TaskId, What},
};

/// From how many hundredths of a budget on its user is warned.
pub const NEAR: u64 = 80;

/// How much may be used. What has no limit is not bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(from = "Fields")]
pub struct Budget([Option<u64>; What::ALL.len()]);

/// A budget as users write it.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[derive(Default)]
struct Fields {
    tokens: Option<NonZeroU64>,
    cost: Option<Dollars>,
    seconds: Option<NonZeroU64>,
    tool_calls: Option<NonZeroU64>,
    tasks: Option<NonZeroU64>,
}

#[derive(Deserialize)]
#[serde(try_from = "f64")]
struct Dollars(u64);

impl TryFrom<f64> for Dollars {
    type Error = &'static str;

    fn try_from(dollars: f64) -> Result<Self, Self::Error> {
        let millionths = Spent::millionths(dollars);
        if millionths > 0 {
            Ok(Self(millionths))
        } else {
            Err("not an amount above 0, expected US dollars, such as 2.5")
        }
    }
}

impl From<Fields> for Budget {
    fn from(Fields { tokens, cost, seconds, tool_calls, tasks }: Fields) -> Self {
        let mut budget = Self::default();
        for (what, limit) in
            [(What::Tokens, tokens), (What::Seconds, seconds), (What::ToolCalls, tool_calls), (What::Tasks, tasks)]
        {
            budget.set(what, limit.map(|limit| limit.get().saturating_mul(what.unit())));
        }
        budget.set(What::Cost, cost.map(|dollars| dollars.0));
        budget
    }
}

/// How near a budget is to its end: the most pressing of its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Nothing is bounded, or there is enough.
    Fine,
    /// At least [`NEAR`] hundredths are used.
    Near {
        /// Of what.
        what: What,
        /// How much.
        used: u64,
        /// Of how much.
        limit: u64,
    },
    /// Nothing is left.
    Over {
        /// Of what.
        what: What,
        /// How much.
        used: u64,
        /// Of how much.
        limit: u64,
    },
}

impl Budget {
    /// The limit of something.
    #[must_use]
    pub fn limit(&self, what: What) -> Option<u64> {
        self.0[what as usize]
    }

    /// Sets the limit of something, or takes it away.
    pub fn set(&mut self, what: What, limit: Option<u64>) {
        self.0[what as usize] = limit;
    }

    /// Whether anything is bounded.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        self.0.iter().any(Option::is_some)
    }

    /// The limits that there are, with what was used.
    pub fn limits<'a>(&'a self, spent: &'a Spent) -> impl Iterator<Item = (What, u64, u64)> + 'a {
        What::ALL.into_iter().filter_map(|what| Some((what, spent.of(what), self.limit(what)?)))
    }

    /// How it stands for what runs. That as many tasks were started as may be stops none of them.
    #[must_use]
    pub fn check(&self, spent: &Spent) -> Level {
        let hundredths = |used: u64, limit: u64| u128::from(used) * 100 / u128::from(limit.max(1));
        let worst = self
            .limits(spent)
            .filter(|(what, ..)| *what != What::Tasks)
            .max_by_key(|(_, used, limit)| (used >= limit, hundredths(*used, *limit)));
        match worst {
            Some((what, used, limit)) if used >= limit => Level::Over { what, used, limit },
            Some((what, used, limit)) if hundredths(used, limit) >= u128::from(NEAR) => {
                Level::Near { what, used, limit }
            }
            _ => Level::Fine,
        }
    }

    /// What is used up for one that is about to start.
    #[must_use]
    pub fn refuses(&self, spent: &Spent, scope: Scope, is_new: bool) -> Option<Over> {
        if let Level::Over { what, used, limit } = self.check(spent) {
            return Some(Over { scope, what, used, limit });
        }
        let (used, limit) = (spent.of(What::Tasks), self.limit(What::Tasks)?);
        (is_new && used >= limit).then_some(Over { scope, what: What::Tasks, used, limit })
    }

    /// The same with as much again, beyond what was used, of everything that is used up: what a person gives who lets
    /// the work go on.
    #[must_use]
    pub fn again(&self, spent: &Spent) -> Vec<(What, u64)> {
        let up = self.limits(spent).filter(|(_, used, limit)| used >= limit);
        up.map(|(what, used, limit)| (what, used.saturating_add(limit))).collect()
    }
}

/// What happens to a running task when a budget is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenOver {
    /// It pauses until there is more.
    #[default]
    Pause,
    /// It fails.
    Fail,
}

/// The option `budget`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budgets {
    /// Of each task, with all that it launches.
    #[serde(deserialize_with = "fault::strict")]
    pub task: Budget,
    /// Of each mission.
    #[serde(deserialize_with = "fault::strict")]
    pub mission: Budget,
    /// Of the project, for as long as it lasts.
    #[serde(deserialize_with = "fault::strict")]
    pub project: Budget,
    /// Of one day of all projects.
    #[serde(deserialize_with = "fault::strict")]
    pub day: Budget,
    /// What happens at the end.
    #[serde(deserialize_with = "fault::word")]
    pub over: WhenOver,
}

/// Whom a limit is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Of {
    /// All projects of one day.
    Day,
    /// A project.
    Project(ProjectKey),
    /// Each mission of a project.
    Missions(ProjectKey),
    /// One mission.
    Mission(MissionId),
    /// Each task of a project.
    Tasks(ProjectKey),
    /// One task.
    Task(TaskId),
}

/// How the names of settings that set a limit begin.
pub const SETTINGS: &str = "budget ";

/// The value of a setting that takes a limit away.
pub const OFF: &str = "off";

impl Of {
    /// Whose budget it is.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self {
            Self::Day => Scope::Day,
            Self::Project(_) => Scope::Project,
            Self::Missions(_) | Self::Mission(_) => Scope::Mission,
            Self::Tasks(_) | Self::Task(_) => Scope::Task,
        }
    }

    /// The name of the setting that sets its limit of something.
    #[must_use]
    pub fn setting(&self, what: What) -> String {
        let what = what.as_str();
        match self {
            Self::Day => format!("{SETTINGS}{what} day"),
            Self::Project(key) => format!("{SETTINGS}{what} project {}", key.as_str()),
            Self::Missions(key) => format!("{SETTINGS}{what} missions {}", key.as_str()),
            Self::Mission(id) => format!("{SETTINGS}{what} mission {id}"),
            Self::Tasks(key) => format!("{SETTINGS}{what} tasks {}", key.as_str()),
            Self::Task(id) => format!("{SETTINGS}{what} task {id}"),
        }
    }
}

/// The budgets in force in a project: what a person set last goes over the options.
#[derive(Debug, Clone, Default)]
pub struct Bounds {
    options: Budgets,
    set: HashMap<String, Option<u64>>,
}

impl Bounds {
    /// From the options and the settings whose names begin with [`SETTINGS`].
    #[must_use]
    pub fn new(options: &Budgets, settings: Vec<(String, String)>) -> Self {
        // A value that does not read was not written by us: it sets nothing.
        let set = settings.into_iter().filter_map(|(name, value)| {
            let limit = if value == OFF { None } else { Some(value.parse().ok()?) };
            Some((name, limit))
        });
        Self { options: options.clone(), set: set.collect() }
    }

    /// Whether nothing at all is bounded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Budgets { task, mission, project, day, .. } = &self.options;
        self.set.is_empty() && ![task, mission, project, day].into_iter().any(Budget::is_bounded)
    }

    /// What happens when one is used up.
    #[must_use]
    pub fn when_over(&self) -> WhenOver {
        self.options.over
    }

    /// The budget of somebody; `project` is where it works.
    #[must_use]
    pub fn of(&self, of: &Of, project: &ProjectKey) -> Budget {
        let (option, general) = match of {
            Of::Day => (self.options.day, None),
            Of::Project(_) => (self.options.project, None),
            Of::Missions(_) => (self.options.mission, None),
            Of::Mission(_) => (self.options.mission, Some(Of::Missions(project.clone()))),
            Of::Tasks(_) => (self.options.task, None),
            Of::Task(_) => (self.options.task, Some(Of::Tasks(project.clone()))),
        };
        let mut budget = option;
        if self.set.is_empty() {
            return budget;
        }
        for what in What::ALL {
            let set = |of: &Of| self.set.get(&of.setting(what)).copied();
            if let Some(limit) = set(of).or_else(|| set(&general.clone()?)) {
                budget.set(what, limit);
            }
        }
        budget
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fault::Code;

    fn spent() -> impl Strategy<Value = Spent> {
        [0..2_000_u64, 0..2_000, 0..2_000, 0..2_000, 0..2_000]
            .prop_map(|[tokens, cost, millis, tool_calls, tasks]| Spent { tokens, cost, millis, tool_calls, tasks })
    }

    fn budget() -> impl Strategy<Value = Budget> {
        prop::collection::vec(prop::option::of(1..2_000_u64), 5).prop_map(|limits| Budget(limits.try_into().unwrap()))
    }

    fn pressure(level: Level) -> u8 {
        match level {
            Level::Fine => 0,
            Level::Near { .. } => 1,
            Level::Over { .. } => 2,
        }
    }

    proptest! {
        #[test]
        fn a_budget_is_over_exactly_when_one_of_its_limits_is_reached(budget in budget(), spent in spent()) {
            let bounded = [What::Tokens, What::Cost, What::Seconds, What::ToolCalls];
            let reached = |share: u64| bounded.iter().any(|what| {
                budget.limit(*what).is_some_and(|limit| spent.of(*what) * 100 >= limit * share)
            });
            let expected = if reached(100) { 2 } else { u8::from(reached(NEAR)) };
            prop_assert_eq!(pressure(budget.check(&spent)), expected);
        }

        #[test]
        fn using_more_never_eases_it(budget in budget(), spent in spent(), more in spent()) {
            let mut sum = spent;
            sum += more;
            prop_assert!(pressure(budget.check(&sum)) >= pressure(budget.check(&spent)));
            for is_new in [false, true] {
                let refused = budget.refuses(&spent, Scope::Day, is_new);
                prop_assert!(refused.is_none() || budget.refuses(&sum, Scope::Day, is_new).is_some());
            }
        }

        #[test]
        fn the_order_of_adding_up_does_not_matter(parts in prop::collection::vec(spent(), 0..6), budget in budget()) {
            let sum = |parts: &mut dyn Iterator<Item = &Spent>| parts.fold(Spent::default(), |mut sum, part| {
                sum += *part;
                sum
            });
            let (one, other) = (sum(&mut parts.iter()), sum(&mut parts.iter().rev()));
            prop_assert_eq!(one, other);
            prop_assert_eq!(budget.check(&one), budget.check(&other));
        }

        #[test]
        fn as_much_again_is_enough_to_go_on(budget in budget(), spent in spent()) {
            let mut raised = budget;
            for (what, limit) in budget.again(&spent) {
                prop_assert!(limit > spent.of(what) && Some(limit) >= budget.limit(what).map(|limit| 2 * limit));
                raised.set(what, Some(limit));
            }
            prop_assert!(raised.refuses(&spent, Scope::Task, true).is_none());
        }
    }

    #[test]
    fn as_many_tasks_as_may_start_go_on_and_one_more_does_not_start() {
        let mut budget = Budget::default();
        budget.set(What::Tasks, Some(2));
        let spent = Spent { tasks: 2, ..Spent::default() };
        assert_eq!(budget.check(&spent), Level::Fine);
        assert_eq!(budget.refuses(&spent, Scope::Day, false), None, "one that goes on is not a new one");
        let over = Over { scope: Scope::Day, what: What::Tasks, used: 2, limit: 2 };
        assert_eq!(budget.refuses(&spent, Scope::Day, true), Some(over));
    }

    #[test]
    fn what_is_written_is_read_in_the_units_of_people() {
        let budgets: Budgets = fault::object(
            r#"{"task": {"tokens": 5, "cost": 0.25, "seconds": 60}, "day": {"toolCalls": 7, "tasks": 8}, "over": "fail"}"#,
            Code::BadOptions,
        )
        .unwrap();
        let limits = |budget: &Budget| What::ALL.map(|what| budget.limit(what));
        assert_eq!(limits(&budgets.task), [Some(5), Some(250_000), Some(60_000), None, None]);
        assert_eq!(limits(&budgets.day), [None, None, None, Some(7), Some(8)]);
        assert_eq!((budgets.over, budgets.project.is_bounded()), (WhenOver::Fail, false));
    }

    #[test]
    fn a_wrong_budget_is_named() {
        for (json, named) in [
            (r#"{"day": {"tokens": 0}}"#, "`day.tokens`"),
            (r#"{"day": {"cost": 0}}"#, "`day.cost`"),
            (r#"{"day": {"cost": "1"}}"#, "`day.cost`"),
            (r#"{"task": {"Tokens": 1}}"#, "Tokens"),
            (r#"{"over": "ask"}"#, "ask"),
            (r#"{"week": {}}"#, "week"),
            (r#"{"task": [1]}"#, "`task`"),
        ] {
            let fault = fault::object::<Budgets>(json, Code::BadOptions).unwrap_err();
            assert!(fault.message.contains(named), "{json}: {fault}");
        }
    }

    #[test]
    fn a_setting_goes_over_the_options_and_a_nearer_one_over_a_wider() {
        let (project, id) = (ProjectKey::new("/a b"), TaskId::new(crate::task::Timestamp(1), &[1; 10]));
        let mut options = Budgets::default();
        options.task.set(What::Tokens, Some(10));
        options.task.set(What::Cost, Some(20));
        let (task, tasks) = (Of::Task(id), Of::Tasks(project.clone()));
        let bounds = |settings: &[(&Of, &str)]| {
            let settings = settings.iter().map(|(of, value)| (of.setting(What::Tokens), (*value).to_owned()));
            Bounds::new(&options, settings.collect())
        };
        let tokens = |bounds: &Bounds| bounds.of(&task, &project).limit(What::Tokens);
        assert_eq!(tokens(&bounds(&[])), Some(10));
        assert_eq!(tokens(&bounds(&[(&tasks, "30")])), Some(30));
        assert_eq!(tokens(&bounds(&[(&tasks, "30"), (&task, "40")])), Some(40));
        assert_eq!(tokens(&bounds(&[(&tasks, "30"), (&task, OFF)])), None);
        assert_eq!(tokens(&bounds(&[(&task, "much")])), Some(10));
        let set = bounds(&[(&task, "40")]);
        assert_eq!((set.of(&task, &project).limit(What::Cost), set.of(&tasks, &project)), (Some(20), options.task));
        assert!(!bounds(&[]).is_empty() && Bounds::default().is_empty());
    }
}
