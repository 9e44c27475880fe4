//! How a turn went wrong, as the host reports it in messages and in `session.error`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::number::or_default;

/// A named error of the host. Most are a provider's, hence the name; `MessageAbortedError` is an abort.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(from = "Raw")]
pub struct ProviderError {
    /// The host's name for it, such as `APIError`.
    pub name: String,
    /// What was said; may be empty.
    pub message: String,
    /// The provider's HTTP status, where there was one.
    pub status_code: Option<u16>,
    /// Whether the host takes it for one that may pass.
    pub is_retryable: bool,
    /// The provider's HTTP headers.
    pub response_headers: BTreeMap<String, String>,
    /// The provider's answer.
    pub response_body: Option<String>,
}

impl ProviderError {
    /// Whether somebody stopped the turn.
    #[must_use]
    pub fn is_abort(&self) -> bool {
        self.name == "MessageAbortedError"
    }

    /// What was said, or else its name.
    #[must_use]
    pub fn words(&self) -> &str {
        if self.message.is_empty() { &self.name } else { &self.message }
    }
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    data: RawData,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct RawData {
    #[serde(default, deserialize_with = "or_default")]
    message: String,
    #[serde(default)]
    status_code: Option<u16>,
    #[serde(default, deserialize_with = "or_default")]
    is_retryable: bool,
    #[serde(default, deserialize_with = "or_default")]
    response_headers: BTreeMap<String, String>,
    #[serde(default)]
    response_body: Option<String>,
}

impl From<Raw> for ProviderError {
    fn from(Raw { name, data }: Raw) -> Self {
        Self {
            name,
            message: data.message,
            status_code: data.status_code,
            is_retryable: data.is_retryable,
            response_headers: data.response_headers,
            response_body: data.response_body,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_without_data_is_read() {
        let error: ProviderError = serde_json::from_str(r#"{"name":"MessageAbortedError"}"#).unwrap();
        assert!(error.is_abort() && error.message.is_empty());
        let text = r#"{"name":"APIError","data":{"message":"slow down","statusCode":429,"isRetryable":true,
            "responseHeaders":{"retry-after":"7"}}}"#;
        let error: ProviderError = serde_json::from_str(text).unwrap();
        assert_eq!((error.status_code, error.is_retryable, error.is_abort()), (Some(429), true, false));
        assert_eq!(error.response_headers["retry-after"], "7");
    }
}
