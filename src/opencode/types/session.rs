//! A session's own record.

use serde::Deserialize;
use serde_json::Value;

use super::{
    number::{TokenCounts, amount, count, or_default},
    permission::Rule,
};
use crate::{opencode::SessionId, task::DiffSummary};

/// A session.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Session {
    /// Which one.
    pub id: SessionId,
    /// The session that it is a child of.
    #[serde(default, rename = "parentID")]
    pub parent_id: Option<SessionId>,
    /// The host's id of the project: a commit, or `global`.
    #[serde(default, rename = "projectID", deserialize_with = "or_default")]
    pub project_id: String,
    /// Where its tools work.
    #[serde(default, deserialize_with = "or_default")]
    pub directory: String,
    /// What it is about.
    #[serde(default, deserialize_with = "or_default")]
    pub title: String,
    /// What a client has attached to it.
    #[serde(default)]
    pub metadata: Option<Value>,
    /// Its rules, which come after its agent's.
    #[serde(default, deserialize_with = "or_default")]
    pub permission: Vec<Rule>,
    /// Files changed, once the host has counted.
    #[serde(default)]
    pub summary: Option<ChangeSummary>,
    /// What it has cost, in US dollars: the sum of its messages.
    #[serde(default, deserialize_with = "amount")]
    pub cost: f64,
    /// What it has used: the sum of its messages.
    #[serde(default, deserialize_with = "or_default")]
    pub tokens: TokenCounts,
    /// When it was made and changed.
    #[serde(default, deserialize_with = "or_default")]
    pub time: SessionTime,
}

/// Instants of a session, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub struct SessionTime {
    /// Made.
    #[serde(default, deserialize_with = "count")]
    pub created: u64,
    /// Last changed.
    #[serde(default, deserialize_with = "count")]
    pub updated: u64,
}

/// What a session has changed in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub struct ChangeSummary {
    /// Files touched.
    #[serde(default, deserialize_with = "count")]
    pub files: u64,
    /// Lines added.
    #[serde(default, deserialize_with = "count")]
    pub additions: u64,
    /// Lines removed.
    #[serde(default, deserialize_with = "count")]
    pub deletions: u64,
}

impl From<ChangeSummary> for DiffSummary {
    fn from(ChangeSummary { files, additions, deletions }: ChangeSummary) -> Self {
        Self { files, additions, deletions }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_session_is_read() {
        let session: Session = serde_json::from_str(include_str!("../fixtures/session.json")).unwrap();
        assert_eq!(session.id.as_str(), "ses_e02fd0608ffe6M5EepJFwqcNbG");
        assert_eq!((session.title.as_str(), session.directory.as_str()), ("t", "/p"));
        assert_eq!(session.metadata.unwrap()["sortie"]["task"], "tsk_1");
        assert_eq!(session.permission[0].action, "deny");
        assert!(session.tokens.output > 0 && session.time.updated >= session.time.created);
        let children: Vec<Session> = serde_json::from_str(include_str!("../fixtures/children.json")).unwrap();
        assert_eq!(children[0].parent_id, Some(session.id));
    }

    #[test]
    fn an_id_is_enough() {
        let session: Session = serde_json::from_str(r#"{"id":"ses_1"}"#).unwrap();
        assert!(session.parent_id.is_none() && session.permission.is_empty() && session.summary.is_none());
        assert!(serde_json::from_str::<Session>(r#"{"id":"../x"}"#).is_err());
    }
}
