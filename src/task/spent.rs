//! What was used of that which a budget bounds.

use std::{fmt, ops::AddAssign};

use serde::{Deserialize, Serialize};

/// What may be bounded. Amounts are whole numbers of the unit that each names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Tokens, cached ones included.
    Tokens,
    /// Millionths of a US dollar.
    Cost,
    /// Milliseconds of running, those of several tasks added up.
    Seconds,
    /// Calls of tools.
    ToolCalls,
    /// Tasks that were started.
    Tasks,
}

impl What {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Tokens, Self::Cost, Self::Seconds, Self::ToolCalls, Self::Tasks];

    /// The name as users write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Cost => "cost",
            Self::Seconds => "seconds",
            Self::ToolCalls => "toolCalls",
            Self::Tasks => "tasks",
        }
    }

    /// How many of its units are one of the unit that people count in.
    #[must_use]
    pub fn unit(self) -> u64 {
        match self {
            Self::Cost => 1_000_000,
            Self::Seconds => 1_000,
            Self::Tokens | Self::ToolCalls | Self::Tasks => 1,
        }
    }

    /// An amount as people read it, without its unit's name.
    #[must_use]
    pub fn show(self, amount: u64) -> String {
        match self {
            // A cent is too coarse for what one answer costs.
            Self::Cost if !amount.is_multiple_of(10_000) => {
                format!("${}.{:04}", amount / 1_000_000, amount % 1_000_000 / 100)
            }
            Self::Cost => format!("${}.{:02}", amount / 1_000_000, amount % 1_000_000 / 10_000),
            Self::Seconds => (amount / 1_000).to_string(),
            Self::Tokens | Self::ToolCalls | Self::Tasks => amount.to_string(),
        }
    }

    /// `used of limit unit`.
    #[must_use]
    pub fn compare(self, used: u64, limit: u64) -> String {
        let unit = match self {
            Self::Tokens => " tokens",
            Self::Cost => "",
            Self::Seconds => " s",
            Self::ToolCalls => " tool calls",
            Self::Tasks => " tasks",
        };
        format!("{} of {}{unit}", self.show(used), self.show(limit))
    }
}

/// What was used, in the units of [`What`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Spent {
    /// Tokens.
    pub tokens: u64,
    /// Millionths of a US dollar.
    pub cost: u64,
    /// Milliseconds of running.
    pub millis: u64,
    /// Calls of tools.
    pub tool_calls: u64,
    /// Tasks that were started.
    pub tasks: u64,
}

impl Spent {
    /// How much of one of them.
    #[must_use]
    pub fn of(&self, what: What) -> u64 {
        match what {
            What::Tokens => self.tokens,
            What::Cost => self.cost,
            What::Seconds => self.millis,
            What::ToolCalls => self.tool_calls,
            What::Tasks => self.tasks,
        }
    }

    /// Both, field by field.
    #[must_use]
    pub fn with(&self, other: &Self, each: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            tokens: each(self.tokens, other.tokens),
            cost: each(self.cost, other.cost),
            millis: each(self.millis, other.millis),
            tool_calls: each(self.tool_calls, other.tool_calls),
            tasks: each(self.tasks, other.tasks),
        }
    }

    /// Dollars, as the host reports them, in millionths. What is no amount counts as nothing.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, as is wanted here")]
    pub fn millionths(dollars: f64) -> u64 {
        (dollars * 1e6).round() as u64
    }
}

impl AddAssign for Spent {
    fn add_assign(&mut self, other: Self) {
        *self = self.with(&other, u64::saturating_add);
    }
}

/// Whose budget it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// A task with all that it launched.
    Task,
    /// All tasks of a mission.
    Mission,
    /// All tasks of a project.
    Project,
    /// All tasks of all projects on one day (UTC).
    Day,
}

impl Scope {
    /// The name as users write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Mission => "mission",
            Self::Project => "project",
            Self::Day => "day",
        }
    }
}

/// A budget that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Over {
    /// Whose.
    pub scope: Scope,
    /// Of what.
    pub what: What,
    /// How much was used.
    pub used: u64,
    /// How much there was.
    pub limit: u64,
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {}'s budget is used up: {}", self.scope.as_str(), self.what.compare(self.used, self.limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_shown_in_the_units_that_people_count_in() {
        assert_eq!(What::Cost.compare(1_250_000, 1_000_000), "$1.25 of $1.00");
        assert_eq!(What::Cost.show(Spent::millionths(0.0013)), "$0.0013");
        assert_eq!(What::Seconds.compare(61_900, 60_000), "61 of 60 s");
        assert_eq!([f64::NAN, -1.0].map(Spent::millionths), [0, 0]);
        let over = Over { scope: Scope::Day, what: What::ToolCalls, used: 41, limit: 40 };
        assert_eq!(over.to_string(), "the day's budget is used up: 41 of 40 tool calls");
    }

    #[test]
    fn sums_do_not_overflow() {
        let mut spent = Spent { tokens: u64::MAX, tasks: 1, ..Spent::default() };
        spent += Spent { tokens: 1, tasks: 2, ..Spent::default() };
        assert_eq!((spent.tokens, spent.tasks), (u64::MAX, 3));
    }
}
