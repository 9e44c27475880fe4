//! The host's ids. Each is its own type, and each is safe in a path: nothing else gets into one.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longer texts are no ids. The host's have 30 bytes; clients may choose message ids of their own.
const MAX_BYTES: usize = 128;

/// A text that is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {kind} id: expected `{prefix}` and letters, digits, `-` or `_`")]
pub struct ParseIdError {
    /// What was expected, such as `session`.
    pub kind: &'static str,
    /// The prefix of such an id.
    pub prefix: &'static str,
}

macro_rules! host_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// How every such id begins.
            pub const PREFIX: &'static str = $prefix;

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                if is_id(text, $prefix) {
                    Ok(Self(Arc::from(text)))
                } else {
                    Err(ParseIdError { kind: $kind, prefix: $prefix })
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// The host's own ids are letters and digits after the prefix. It checks no more than the prefix of what clients
/// choose, so `-` and `_`, as in a UUID, must not make a whole list of messages unreadable.
fn is_id(text: &str, prefix: &str) -> bool {
    text.len() <= MAX_BYTES
        && text.strip_prefix(prefix).is_some_and(|rest| {
            !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        })
}

host_id!(
    /// A session.
    SessionId, "session", "ses_"
);
host_id!(
    /// A message of a session. The host's sort by the time of their making, and so do those of
    /// [`AscendingIds`](super::AscendingIds).
    MessageId, "message", "msg_"
);
host_id!(
    /// A part of a message.
    PartId, "part", "prt_"
);
host_id!(
    /// A question for permission.
    PermissionId, "permission", "per_"
);
host_id!(
    /// A question to the user.
    QuestionId, "question", "que_"
);

/// A tool call, named by the provider as it likes: never part of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(Arc<str>);

impl CallId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for CallId {
    fn from(text: &str) -> Self {
        Self(Arc::from(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_ids_are_read() {
        for good in ["ses_e030f44aaffeby99DNnrjmuDEj", "ses_1", "ses_7b1e-4a_0"] {
            assert_eq!(good.parse::<SessionId>().unwrap().to_string(), good);
        }
        assert!("call_a/b.c".parse::<MessageId>().is_err());
        assert_eq!(CallId::from("call_a/b.c").as_str(), "call_a/b.c");
    }

    #[test]
    fn hostile_ids_are_not() {
        let long = format!("ses_{}", "a".repeat(MAX_BYTES));
        for bad in [
            "",
            "ses",
            "ses_",
            "SES_1",
            "msg_1",
            " ses_1",
            "ses_1 ",
            "ses_1\n",
            "ses_../../x",
            "ses_1/abort",
            "ses_1?directory=/",
            "ses_%2e%2e",
            "ses_é",
            "ses_a.b",
            "ses_\0",
            &long,
        ] {
            assert!(bad.parse::<SessionId>().is_err(), "{bad:?}");
            assert!(serde_json::from_value::<SessionId>(bad.into()).is_err(), "{bad:?}");
        }
    }
}
