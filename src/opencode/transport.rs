//! How a request reaches OpenCode and its answer comes back: one callback in the plugin, HTTP everywhere else.

use std::{
    fmt::{self, Write as _},
    pin::Pin,
    time::Duration,
};

use serde_json::Value;

/// A future behind a pointer, so that a trait with it can be used as an object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What is done to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Read.
    Get,
    /// Make or do.
    Post,
    /// Change in part.
    Patch,
    /// Remove.
    Delete,
}

impl Method {
    /// As HTTP spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// What is done.
    pub method: Method,
    /// The path from `/`, ready to be sent: the typed ids in it need no escaping.
    pub path: String,
    /// The query as pairs, not escaped.
    pub query: Vec<(&'static str, String)>,
    /// The body, sent as JSON.
    pub body: Option<Value>,
}

impl Request {
    /// Path and query as the first line of an HTTP request has them.
    #[must_use]
    pub fn target(&self) -> String {
        let mut target = self.path.clone();
        for (at, (name, value)) in self.query.iter().enumerate() {
            target.push(if at == 0 { '?' } else { '&' });
            escape(name, &mut target);
            target.push('=');
            escape(value, &mut target);
        }
        target
    }
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
fn escape(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            let _ = write!(into, "%{byte:02X}");
        }
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The body as text; empty when there is none.
    pub body: String,
}

/// Why no answer came back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The host was not reached: it has seen nothing of the request.
    #[error("not reached: {0}")]
    Unreachable(String),
    /// The connection broke before the answer was whole: the host may have done what it was asked.
    #[error("connection lost: {0}")]
    Broken(String),
    /// No whole answer in this time: the host may still do what it was asked.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The answer is larger than is taken, in bytes.
    #[error("answer larger than {0} bytes")]
    TooLarge(usize),
}

/// Sends requests to one OpenCode.
pub trait Transport: Send + Sync + 'static {
    /// Sends a request. Dropping the future gives it up; the host may have done it all the same.
    ///
    /// # Errors
    /// [`TransportError`] when no whole answer came. Any HTTP status is an answer.
    fn request(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_escaped() {
        let query = vec![("directory", "/a b/ü&c=d?#%".to_owned()), ("limit", "3".to_owned())];
        let request = Request { method: Method::Get, path: "/session".to_owned(), query, body: None };
        assert_eq!(request.target(), "/session?directory=%2Fa%20b%2F%C3%BC%26c%3Dd%3F%23%25&limit=3");
        let request = Request { query: Vec::new(), ..request };
        assert_eq!(request.target(), "/session");
    }
}
