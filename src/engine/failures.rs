//! What went wrong, sorted for the retry rule.

use std::time::Duration;

use super::guards::UNREADABLE;
use crate::{
    opencode::{ClientError, Finish, ProviderError},
    task::{ErrorClass, Failure, FailureKind},
};

/// A failure of the kind `error`.
#[must_use]
pub fn error(class: ErrorClass, message: impl Into<String>) -> Failure {
    Failure { kind: FailureKind::Error, class, message: message.into() }
}

/// The session was deleted.
#[must_use]
pub fn session_lost() -> Failure {
    error(ErrorClass::SessionLost, "its session no longer exists")
}

/// The host knows no such agent, but these. It would say so with a trace of its own code.
#[must_use]
pub fn unknown_agent(name: &str, known: &[&str]) -> Failure {
    let name = super::handoff::cut(name, 100);
    error(ErrorClass::Invalid, format!("its agent is `{name}`; OpenCode knows {}", known.join(", ")))
}

/// The run went idle and there is no answer.
#[must_use]
pub fn no_answer() -> Failure {
    error(ErrorClass::NoOutput, "its session is idle and the agent gave no answer")
}

/// The run needed a permission or an answer that it was not given.
#[must_use]
pub fn denied(what: Option<&str>) -> Failure {
    let message = "the host ended its turn because a permission or a question was refused";
    let message =
        what.map_or_else(|| message.to_owned(), |what| format!("{message}: {}", super::handoff::cut(what, 1_000)));
    Failure { kind: FailureKind::Denied, class: ErrorClass::Limit, message }
}

/// The model's answers end in a way that makes the host ask again, without end.
#[must_use]
pub fn endless(answers: u32) -> Failure {
    let message = format!("{answers} answers in a row ended without a reason that the host understands");
    Failure { kind: FailureKind::Stalled, class: ErrorClass::Limit, message }
}

/// The agent finished without a word.
#[must_use]
pub fn no_output(finish: &Finish) -> Failure {
    error(ErrorClass::NoOutput, format!("the agent finished ({finish}) without any text"))
}

/// The agent was cut off.
#[must_use]
pub fn cut_off() -> Failure {
    error(ErrorClass::OutputLimit, "the answer was cut off by the model's output limit")
}

/// The host ended the turn after a tool that failed.
#[must_use]
pub fn tool_crash(what: &str) -> Failure {
    let message = format!("the host ended its turn after a tool failed: {}", super::handoff::cut(what, 1_000));
    error(ErrorClass::ToolCrash, message)
}

/// Nothing was heard of the run for so long.
#[must_use]
pub fn stalled(silent: Duration, in_tool: bool) -> Failure {
    let of = if in_tool { "of the tool at work" } else { "of its session" };
    let message = format!("nothing was heard {of} for {} s, also after a nudge", silent.as_secs());
    Failure { kind: FailureKind::Stalled, class: ErrorClass::Stall, message }
}

/// The run goes round in a circle.
#[must_use]
pub fn looped(tool: &str, times: u32) -> Failure {
    let message = if tool == UNREADABLE {
        format!("it called tools {times} times in a row in a form that OpenCode could not read")
    } else {
        format!("it called `{}` {times} times in a row with the same result", super::handoff::cut(tool, 100))
    };
    Failure { kind: FailureKind::Stalled, class: ErrorClass::Loop, message }
}

/// The host waits for its provider longer than it takes another model to begin.
#[must_use]
pub fn parked(wait: Duration, message: &str) -> Failure {
    let message = super::handoff::cut(message, 1_000);
    error(ErrorClass::RateLimit, format!("OpenCode would wait {} s for its provider: {message}", wait.as_secs()))
}

/// A model of the agent's chain is not one that the host can use.
#[must_use]
pub fn bad_fallback(message: String) -> Failure {
    error(ErrorClass::Invalid, message)
}

/// The run took too long.
#[must_use]
pub fn timeout(seconds: u64) -> Failure {
    Failure { kind: FailureKind::Timeout, class: ErrorClass::Limit, message: format!("no end after {seconds} s") }
}

/// The runner itself broke.
#[must_use]
pub fn panicked() -> Failure {
    error(ErrorClass::Unknown, "a fault of Sortie's own; see the log in its home")
}

/// What the host reported of the provider.
#[must_use]
pub fn of_provider(found: &ProviderError) -> Failure {
    let class = match (found.name.as_str(), found.status_code) {
        ("ProviderAuthError", _) | (_, Some(401 | 403)) => ErrorClass::Auth,
        ("ContextOverflowError", _) | (_, Some(413)) => ErrorClass::ContextOverflow,
        ("MessageOutputLengthError", _) => ErrorClass::OutputLimit,
        ("ContentFilterError", _) => ErrorClass::Refused,
        ("MessageAbortedError", _) => ErrorClass::Aborted,
        (_, Some(402)) => ErrorClass::Quota,
        (_, Some(429)) if is_spent(found) => ErrorClass::Quota,
        (_, Some(429)) => ErrorClass::RateLimit,
        (_, Some(408)) => ErrorClass::Network,
        (_, Some(500..=599)) => ErrorClass::Provider,
        (_, Some(400..=499)) => ErrorClass::Invalid,
        (name, None) if is_unreadable(name, &found.message) => ErrorClass::Parse,
        _ if found.is_retryable || broken_connection(&found.message) => ErrorClass::Network,
        _ => ErrorClass::Unknown,
    };
    let status = found.status_code.map(|status| format!(" (HTTP {status})")).unwrap_or_default();
    error(class, format!("{}{status}", super::handoff::cut(found.words(), 1_000)))
}

/// What came of a request to the host.
#[must_use]
pub fn of_host(found: &ClientError) -> Failure {
    let class = if found.is_not_found() {
        ErrorClass::SessionLost
    } else if found.is_transient() {
        ErrorClass::Network
    } else {
        ErrorClass::Invalid
    };
    error(class, found.to_string())
}

/// Whether the account has nothing left: patience would not help. Providers say so with the status of a rate limit.
fn is_spent(found: &ProviderError) -> bool {
    const WORDS: [&str; 3] = ["insufficient_quota", "billing_hard_limit", "credit balance"];
    let said = [Some(found.message.as_str()), found.response_body.as_deref()];
    let said = said.into_iter().flatten().collect::<String>().to_ascii_lowercase();
    WORDS.iter().any(|word| said.contains(word))
}

/// Whether an answer of the provider's could not be read. The host passes on the names and the words of the library that
/// read it.
fn is_unreadable(name: &str, message: &str) -> bool {
    const WORDS: [&str; 5] = ["json pars", "invalid json", "type validation failed", "unexpected token", "parse error"];
    let message = message.to_ascii_lowercase();
    ["AI_JSONParseError", "AI_TypeValidationError", "AI_InvalidResponseDataError"].contains(&name)
        || WORDS.iter().any(|word| message.contains(word))
}

/// The host wraps what breaks below HTTP into errors that have no status, only words.
fn broken_connection(message: &str) -> bool {
    const WORDS: [&str; 9] =
        ["connect", "socket", "network", "fetch failed", "terminated", "timed out", "timeout", "econnreset", "stream"];
    let message = message.to_ascii_lowercase();
    WORDS.iter().any(|word| message.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(name: &str, status_code: Option<u16>, message: &str, is_retryable: bool) -> ErrorClass {
        let found = ProviderError {
            name: name.to_owned(),
            message: message.to_owned(),
            status_code,
            is_retryable,
            ..ProviderError::default()
        };
        of_provider(&found).class
    }

    #[test]
    fn each_error_has_its_class() {
        for (name, status, message, retryable, class) in [
            ("APIError", Some(429), "slow down", true, ErrorClass::RateLimit),
            ("APIError", Some(500), "boom", true, ErrorClass::Provider),
            ("APIError", Some(529), "overloaded", true, ErrorClass::Provider),
            ("APIError", Some(400), "bad", false, ErrorClass::Invalid),
            ("APIError", Some(401), "who", false, ErrorClass::Auth),
            ("APIError", Some(413), "big", false, ErrorClass::ContextOverflow),
            ("APIError", Some(402), "pay", false, ErrorClass::Quota),
            ("APIError", Some(429), "insufficient_quota: pay", true, ErrorClass::Quota),
            ("ContentFilterError", None, "blocked", false, ErrorClass::Refused),
            ("UnknownError", None, "JSON parsing failed: Text: x.", false, ErrorClass::Parse),
            ("AI_TypeValidationError", None, "", false, ErrorClass::Parse),
            ("APIError", None, "gone", true, ErrorClass::Network),
            ("ProviderAuthError", None, "key", false, ErrorClass::Auth),
            ("MessageOutputLengthError", None, "", false, ErrorClass::OutputLimit),
            ("ContextOverflowError", None, "", false, ErrorClass::ContextOverflow),
            ("MessageAbortedError", None, "", false, ErrorClass::Aborted),
            ("UnknownError", None, "The socket connection was closed unexpectedly", false, ErrorClass::Network),
            ("UnknownError", None, "undefined is not a function", false, ErrorClass::Unknown),
        ] {
            assert_eq!(provider(name, status, message, retryable), class, "{name} {status:?} {message}");
        }
    }
}
