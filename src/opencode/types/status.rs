//! Whether a session is in a turn.

use serde::Deserialize;

use super::number::count;

/// A session's status. The host lists those that are not idle only.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum SessionStatus {
    /// In no turn.
    Idle,
    /// In a turn, waiting to ask the provider again.
    Retry {
        /// Which retry it will be, from 1.
        #[serde(default)]
        attempt: u32,
        /// What the provider said.
        #[serde(default)]
        message: String,
        /// When, in milliseconds since the Unix epoch.
        #[serde(default, deserialize_with = "count")]
        next: u64,
    },
    /// In a turn, and what a status unknown here is taken for.
    #[serde(other)]
    Busy,
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::opencode::SessionId;

    #[test]
    fn a_real_list_is_read() {
        let text = include_str!("../fixtures/status.json");
        let statuses: HashMap<SessionId, SessionStatus> = serde_json::from_str(text).unwrap();
        let of = |id: &str| &statuses[&id.parse().unwrap()];
        assert_eq!(of("ses_e02fd02c3ffeMaXVDqPs4wT79E"), &SessionStatus::Busy);
        let retry = SessionStatus::Retry { attempt: 1, message: "scripted 429".to_owned(), next: 1_795_246_206_823 };
        assert_eq!(of("ses_e02fcd962ffe1deLsvuPXS83Uf"), &retry);
        assert_eq!(serde_json::from_str::<SessionStatus>(r#"{"type":"idle"}"#).unwrap(), SessionStatus::Idle);
        assert_eq!(serde_json::from_str::<SessionStatus>(r#"{"type":"newer","a":[]}"#).unwrap(), SessionStatus::Busy);
    }
}
