//! What can go wrong with a call, sorted by what it means for the caller.

use serde::Deserialize;

use super::{Response, TransportError};
use crate::fault::{Code, Fault, floor};

/// How much of the host's words an error keeps, in bytes.
const SAID: usize = 500;

/// A call that gave no result. `endpoint` is the call's method and path pattern, such as
/// `POST /session/{id}/prompt_async`; `said` is what the host said, cut to 500 bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// No answer: the host is gone, or the connection to it broke.
    #[error("call {endpoint}: {source}")]
    Unreachable {
        /// The call.
        endpoint: &'static str,
        /// Why.
        source: TransportError,
    },
    /// No answer in time. The host may still do what it was asked.
    #[error("call {endpoint}: {source}")]
    Timeout {
        /// The call.
        endpoint: &'static str,
        /// After how long.
        source: TransportError,
    },
    /// What the call is about does not exist (404).
    #[error("call {endpoint}: not found: {said}")]
    NotFound {
        /// The call.
        endpoint: &'static str,
        /// What the host said.
        said: String,
    },
    /// The host did not take the request (400 and the other 4xx).
    #[error("call {endpoint}: refused with HTTP {status}: {said}")]
    Refused {
        /// The call.
        endpoint: &'static str,
        /// The HTTP status.
        status: u16,
        /// What the host said.
        said: String,
    },
    /// The host failed (5xx), or answered with a status that is no answer.
    #[error("call {endpoint}: failed with HTTP {status}: {said}")]
    Failed {
        /// The call.
        endpoint: &'static str,
        /// The HTTP status.
        status: u16,
        /// What the host said.
        said: String,
    },
    /// The answer is not what the call answers with, or too large to be taken.
    #[error("call {endpoint}: answer not understood: {reason}")]
    Decode {
        /// The call.
        endpoint: &'static str,
        /// What is wrong with it, and where.
        reason: String,
    },
}

impl ClientError {
    /// No answer came.
    #[must_use]
    pub fn of_transport(endpoint: &'static str, source: TransportError) -> Self {
        match source {
            TransportError::Unreachable(_) | TransportError::Broken(_) => Self::Unreachable { endpoint, source },
            TransportError::Timeout(_) => Self::Timeout { endpoint, source },
            TransportError::TooLarge(_) => Self::Decode { endpoint, reason: source.to_string() },
        }
    }

    /// An answer whose status is no success.
    #[must_use]
    pub fn of_status(endpoint: &'static str, response: &Response) -> Self {
        let (status, said) = (response.status, said(&response.body));
        match status {
            404 => Self::NotFound { endpoint, said },
            400..=499 => Self::Refused { endpoint, status, said },
            _ => Self::Failed { endpoint, status, said },
        }
    }

    /// The call, as method and path pattern.
    #[must_use]
    pub fn endpoint(&self) -> &'static str {
        match self {
            Self::Unreachable { endpoint, .. }
            | Self::Timeout { endpoint, .. }
            | Self::NotFound { endpoint, .. }
            | Self::Refused { endpoint, .. }
            | Self::Failed { endpoint, .. }
            | Self::Decode { endpoint, .. } => endpoint,
        }
    }

    /// The HTTP status, if the host answered with one that says no.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::NotFound { .. } => Some(404),
            Self::Refused { status, .. } | Self::Failed { status, .. } => Some(*status),
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Decode { .. } => None,
        }
    }

    /// Whether what the call is about does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } => true,
            Self::Failed { status, .. } => *status >= 500,
            Self::Refused { status, .. } => matches!(status, 408 | 429),
            Self::NotFound { .. } | Self::Decode { .. } => false,
        }
    }

    /// The error's place in the catalogue.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Unreachable { .. } => Code::HostUnreachable,
            Self::Timeout { .. } => Code::HostTimeout,
            Self::NotFound { .. } => Code::HostMissing,
            Self::Refused { .. } | Self::Failed { .. } => Code::HostRefused,
            Self::Decode { .. } => Code::HostAnswer,
        }
    }
}

impl From<ClientError> for Fault {
    fn from(error: ClientError) -> Self {
        let message = match error.status() {
            Some(401 | 403) => format!("{error}: give the server's password, as OPENCODE_SERVER_PASSWORD has it"),
            _ => error.to_string(),
        };
        Self::new(error.code(), message)
    }
}

/// The host's errors come as `{name, data: {message}}`, `{_tag, message}` or with less.
#[derive(Deserialize)]
struct Said {
    name: Option<String>,
    #[serde(rename = "_tag")]
    tag: Option<String>,
    message: Option<String>,
    data: Option<SaidData>,
}

#[derive(Deserialize)]
struct SaidData {
    message: Option<String>,
}

/// The words in an error's body, in one line.
fn said(body: &str) -> String {
    let words = serde_json::from_str::<Said>(body)
        .ok()
        .and_then(|said| said.data.and_then(|data| data.message).or(said.message).or(said.name).or(said.tag));
    let words = words.as_deref().unwrap_or(body);
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() { "nothing".to_owned() } else { bounded(&line) }
}

/// At most [`SAID`] bytes of a text, cut between characters.
pub(super) fn bounded(text: &str) -> String {
    if text.len() <= SAID {
        return text.to_owned();
    }
    format!("{}…", &text[..floor(text, SAID)])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const CALL: &str = "POST /session/{id}/prompt_async";

    fn of(status: u16, body: &str) -> ClientError {
        ClientError::of_status(CALL, &Response { status, body: body.to_owned() })
    }

    #[test]
    fn each_status_has_its_meaning() {
        for (status, body, text, transient, code) in [
            (
                404,
                r#"{"name":"NotFoundError","data":{"message":"Session not found: ses_1"}}"#,
                "not found: Session not found: ses_1",
                false,
                Code::HostMissing,
            ),
            (
                404,
                r#"{"_tag":"PermissionNotFoundError","requestID":"per_1","message":"gone"}"#,
                "not found: gone",
                false,
                Code::HostMissing,
            ),
            (
                400,
                r#"{"name":"BadRequest","data":{"message":"Missing key\n  at [\"parts\"]","kind":"Payload"}}"#,
                "refused with HTTP 400: Missing key at [\"parts\"]",
                false,
                Code::HostRefused,
            ),
            (400, r#"{"_tag":"BadRequest"}"#, "refused with HTTP 400: BadRequest", false, Code::HostRefused),
            (401, "", "refused with HTTP 401: nothing", false, Code::HostRefused),
            (429, "slow", "refused with HTTP 429: slow", true, Code::HostRefused),
            (
                500,
                r#"{"name":"UnknownError","data":{"message":"Unexpected server error.","ref":"err_1"}}"#,
                "failed with HTTP 500: Unexpected server error.",
                true,
                Code::HostRefused,
            ),
            (302, "", "failed with HTTP 302: nothing", false, Code::HostRefused),
        ] {
            let error = of(status, body);
            assert_eq!(error.to_string(), format!("call {CALL}: {text}"));
            assert_eq!((error.is_transient(), error.code()), (transient, code), "{error}");
            assert_eq!((error.status(), error.is_not_found()), (Some(status), status == 404));
            assert_eq!(Fault::from(error).message.contains("password"), status == 401);
        }
    }

    #[test]
    fn no_answer_is_transient_unless_it_was_too_large() {
        for (source, transient, code) in [
            (TransportError::Unreachable("refused".to_owned()), true, Code::HostUnreachable),
            (TransportError::Broken("reset".to_owned()), true, Code::HostUnreachable),
            (TransportError::Timeout(Duration::from_secs(3)), true, Code::HostTimeout),
            (TransportError::TooLarge(9), false, Code::HostAnswer),
        ] {
            let error = ClientError::of_transport(CALL, source);
            assert_eq!((error.is_transient(), error.code(), error.status()), (transient, code, None), "{error}");
            assert_eq!(error.endpoint(), CALL);
        }
    }

    #[test]
    fn the_hosts_words_are_bounded() {
        let said = said(&"é".repeat(SAID));
        assert!(said.len() <= SAID + '…'.len_utf8() && said.ends_with('…'));
    }
}
