//! The id of an item: short, for people to type and for models to cost few tokens.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest id, in bytes.
pub const MAX_ID: usize = 64;

/// Names an item within its file: a small letter, letters and digits, then numbers after dots: `t3`, `t3.1`, `lexer`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId(Arc<str>);

/// A text that is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an item's id: expected a small letter, letters and digits, then numbers after dots, as in `t3` or `t3.1`")]
pub struct ParseItemIdError;

impl ItemId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `t<n>`.
    pub(super) fn numbered(n: u64) -> Self {
        Self(format!("t{n}").into())
    }

    /// `<self>.<n>`; `None` if that is too long.
    pub(super) fn sub(&self, n: u64) -> Option<Self> {
        format!("{self}.{n}").parse().ok()
    }

    /// The `n` of `t<n>`, if the id is of that form and its number is one that numbering goes on from.
    pub(super) fn number(&self) -> Option<u64> {
        let digits = self.0.strip_prefix('t')?;
        (digits.len() <= 12 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
    }
}

impl Borrow<str> for ItemId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ItemId {
    type Err = ParseItemIdError;

    fn from_str(text: &str) -> Result<Self, ParseItemIdError> {
        let (head, numbers) = text.split_once('.').map_or((text, None), |(head, rest)| (head, Some(rest)));
        let head_is_good = head.starts_with(|char: char| char.is_ascii_lowercase())
            && head.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if text.len() > MAX_ID || !head_is_good || !numbers.is_none_or(|rest| rest.split('.').all(is_number)) {
            return Err(ParseItemIdError);
        }
        Ok(Self(text.into()))
    }
}

impl Serialize for ItemId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ItemId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_letters_digits_and_dotted_numbers() {
        for good in ["t", "t1", "t3.1", "t3.1.12", "lexer", "a1b2.0"] {
            assert_eq!(good.parse::<ItemId>().unwrap().to_string(), good);
        }
        let long = "a".repeat(MAX_ID + 1);
        for wrong in ["", "1", "T1", "t-1", "t1.", "t1.a", ".1", "t 1", "t1..2", "é", "t1:", "t1\n", &long] {
            assert!(wrong.parse::<ItemId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbering_goes_on_from_plain_numbers_only() {
        let number = |text: &str| text.parse::<ItemId>().unwrap().number();
        assert_eq!((number("t12"), number("t3.1"), number("task"), number("t")), (Some(12), None, None, None));
        assert_eq!(number("t99999999999999999999"), None);
    }

    #[test]
    fn an_id_is_a_string_in_json() {
        let id: ItemId = serde_json::from_str("\"t3.1\"").unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"t3.1\"");
        assert!(serde_json::from_str::<ItemId>("\"t 3\"").is_err());
    }
}
