//! Numbers as JavaScript writes them: a count may be missing, `null` (it was `NaN`), or not whole.

use serde::{Deserialize, Deserializer};

use crate::task::Tokens;

/// A count: anything below zero or no number at all is none.
pub(super) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = Option::<f64>::deserialize(deserializer)?.unwrap_or_default();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, as is wanted here")]
    Ok(number as u64)
}

/// An amount of money: missing is nothing.
pub(super) fn amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.filter(|amount| amount.is_finite()).unwrap_or_default())
}

/// A missing and a `null` value are the default.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Tokens of a message or a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(from = "Raw")]
pub struct TokenCounts {
    /// Sent, not from the cache.
    pub input: u64,
    /// Answered.
    pub output: u64,
    /// Spent on reasoning.
    pub reasoning: u64,
    /// Read from the provider's cache.
    pub cache_read: u64,
    /// Written to the provider's cache.
    pub cache_write: u64,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default, deserialize_with = "count")]
    input: u64,
    #[serde(default, deserialize_with = "count")]
    output: u64,
    #[serde(default, deserialize_with = "count")]
    reasoning: u64,
    #[serde(default, deserialize_with = "or_default")]
    cache: RawCache,
}

#[derive(Deserialize, Default)]
struct RawCache {
    #[serde(default, deserialize_with = "count")]
    read: u64,
    #[serde(default, deserialize_with = "count")]
    write: u64,
}

impl From<Raw> for TokenCounts {
    fn from(raw: Raw) -> Self {
        Self {
            input: raw.input,
            output: raw.output,
            reasoning: raw.reasoning,
            cache_read: raw.cache.read,
            cache_write: raw.cache.write,
        }
    }
}

impl From<TokenCounts> for Tokens {
    fn from(counts: TokenCounts) -> Self {
        let TokenCounts { input, output, reasoning, cache_read, cache_write } = counts;
        Self { input, output, reasoning, cache_read, cache_write }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_numbers_are_counts_all_the_same() {
        let text = r#"{"input":12,"output":3.7,"reasoning":-4,"cache":{"read":null}}"#;
        let counts: TokenCounts = serde_json::from_str(text).unwrap();
        assert_eq!(counts, TokenCounts { input: 12, output: 3, ..TokenCounts::default() });
        assert_eq!(serde_json::from_str::<TokenCounts>("{\"cache\":null}").unwrap(), TokenCounts::default());
        assert!(serde_json::from_str::<TokenCounts>(r#"{"input":"12"}"#).is_err());
    }
}
