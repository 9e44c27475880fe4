//! Identifiers and counters. Each is its own type, so that one cannot be passed for another.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::{Builder, Uuid};

use super::{Name, Timestamp};

/// A text that is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {kind} id: expected `{prefix}` and 32 hexadecimal digits")]
pub struct ParseIdError {
    /// What was expected: `task`, `mission` or `instance`.
    pub kind: &'static str,
    /// The prefix of such an id.
    pub prefix: &'static str,
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// What each such id begins with.
            pub const PREFIX: &'static str = $prefix;

            /// A UUID v7 of the instant `now` and 10 random bytes: ids sort by the time of their making.
            #[must_use]
            pub fn new(now: Timestamp, random: &[u8; 10]) -> Self {
                Self(Builder::from_unix_timestamp_millis(now.millis(), random).into_uuid())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let wrong = ParseIdError { kind: $kind, prefix: $prefix };
                let hex = text.strip_prefix($prefix).ok_or_else(|| wrong.clone())?;
                // `Uuid` also reads hyphens, braces and capitals: an id has one spelling only.
                if hex.len() != 32 || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
                    return Err(wrong);
                }
                Uuid::try_parse(hex).map(Self).map_err(|_| wrong)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

uuid_id!(
    /// A task, for ever.
    TaskId, "task", "tsk_"
);
uuid_id!(
    /// A mission, for ever.
    MissionId, "mission", "msn_"
);
uuid_id!(
    /// One engine in one process, from its start to the death of the process.
    InstanceId, "instance", "ins_"
);

impl InstanceId {
    /// Nobody: the home of a task of the queue that does not run.
    pub const QUEUE: Self = Self(Uuid::nil());
}

/// The project that a task belongs to: the canonical path of its main worktree. State of different projects never
/// meets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProjectKey(Name);

impl ProjectKey {
    /// A key of this text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Name::from(text))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The right to write for a task. Each change of owner raises it; only its holder's writes are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(pub u64);

impl Fence {
    /// The fence after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The revision of a task's row: one more with each change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rev(pub u64);

impl Rev {
    /// The revision after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_exactly_one_spelling() {
        let id = TaskId::new(Timestamp(1_700_000_000_000), &[7; 10]);
        let text = id.to_string();
        assert_eq!(text.parse::<TaskId>(), Ok(id));
        for wrong in [
            text.to_uppercase(),
            text.replace("tsk_", "ins_"),
            text.replace("tsk_", ""),
            format!("{text}0"),
            "tsk_' OR 1=1 --".to_owned(),
            String::new(),
        ] {
            assert!(wrong.parse::<TaskId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn ids_sort_by_the_time_of_their_making() {
        let older = TaskId::new(Timestamp(1_700_000_000_000), &[0xff; 10]);
        let newer = TaskId::new(Timestamp(1_700_000_000_001), &[0; 10]);
        assert!(older < newer && older.to_string() < newer.to_string());
    }
}
