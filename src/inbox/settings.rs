//! What a user may set of prompts: the option `permissions`.

use std::{num::NonZeroU32, time::Duration};

use serde::Deserialize;

use super::pattern::fits;
use crate::fault::{self, Code, Fault};

/// The longest patience: a day.
const MAX_PATIENCE: u32 = 86_400;

/// Settings of the prompts of tasks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Settings {
    /// What becomes of a prompt that nothing else decides.
    #[serde(deserialize_with = "fault::word")]
    pub policy: Policy,
    /// What is allowed without asking.
    #[serde(deserialize_with = "fault::each_strict")]
    pub allow: Vec<Allowed>,
    /// Seconds that a prompt waits for a person. Half of what a task may take by default: an agent that is told that
    /// nobody answered needs time to go on.
    pub patience: NonZeroU32,
}

/// What becomes of a prompt that nothing else decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// A person is asked; where nobody can be asked it is denied.
    #[default]
    Ask,
    /// It is denied.
    AllowListed,
    /// It is denied, and so is what is listed.
    Deny,
}

/// What is allowed without asking.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allowed {
    /// The tool or kind of action, such as `bash`; a pattern.
    pub permission: String,
    /// What it is done to, such as `git *`; a pattern.
    pub pattern: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { policy: Policy::Ask, allow: Vec::new(), patience: NonZeroU32::new(300).unwrap_or(NonZeroU32::MIN) }
    }
}

impl Settings {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// [`Code::BadOptions`], naming the option.
    pub fn check(&self) -> Result<(), Fault> {
        let bad = |message: String| Err(Fault::new(Code::BadOptions, message));
        if self.patience.get() > MAX_PATIENCE {
            return bad(format!("option `permissions.patience`: {} is above {MAX_PATIENCE} s", self.patience));
        }
        for (at, Allowed { permission, pattern }) in self.allow.iter().enumerate() {
            if permission.is_empty() || pattern.is_empty() {
                return bad(format!("option `permissions.allow[{at}]`: a field is empty; `*` stands for anything"));
            }
        }
        Ok(())
    }

    /// How long a prompt waits for a person.
    #[must_use]
    pub fn patience(&self) -> Duration {
        Duration::from_secs(u64::from(self.patience.get()))
    }

    /// Whether something is listed: every single thing that it would be done to. What names nothing is as good as what
    /// names everything.
    pub(super) fn lists(&self, permission: &str, patterns: &[String]) -> bool {
        let listed = |text: &str| {
            self.allow.iter().any(|allowed| fits(&allowed.permission, permission) && fits(&allowed.pattern, text))
        };
        if patterns.is_empty() {
            return self.allow.iter().any(|allowed| fits(&allowed.permission, permission) && allowed.pattern == "*");
        }
        patterns.iter().all(|pattern| listed(pattern))
    }
}
