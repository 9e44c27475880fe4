//! Why a model stopped, as the host notes it.

use std::fmt;

use serde::Deserialize;

/// Why a model stopped.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum Finish {
    /// `tool-calls`: tools are called, and the host asks the model again after them.
    Tools,
    /// `unknown`: the host asks the model again at once.
    Unknown,
    /// `length`: it was cut off by the limit of its output.
    Cut,
    /// `stop`, or what else ends a turn.
    Last(String),
}

impl Finish {
    /// Whether the host asks the model again.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        matches!(self, Self::Tools | Self::Unknown)
    }
}

impl From<String> for Finish {
    fn from(word: String) -> Self {
        match word.as_str() {
            "tool-calls" => Self::Tools,
            "unknown" => Self::Unknown,
            "length" => Self::Cut,
            _ => Self::Last(word),
        }
    }
}

impl fmt::Display for Finish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tools => "tool-calls",
            Self::Unknown => "unknown",
            Self::Cut => "length",
            Self::Last(word) => word,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_says_whether_the_host_goes_on() {
        for (word, goes_on) in
            [("tool-calls", true), ("unknown", true), ("length", false), ("stop", false), ("content-filter", false)]
        {
            let finish: Finish = serde_json::from_value(word.into()).unwrap();
            assert_eq!((finish.to_string().as_str(), finish.goes_on()), (word, goes_on));
        }
    }
}
