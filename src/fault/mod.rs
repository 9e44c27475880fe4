//! Everything that can go wrong for a user or a model, in one catalogue.
//!
//! A [`Fault`] is what crosses every face: a [`Code`] that stays the same over versions, a message about this case,
//! and the code's remedy. `docs/errors.md` is printed from here.

mod code;
mod read;
mod text;

use std::fmt::{self, Write};

pub use code::Code;
pub use read::{each_strict, object, strict, word, word_or_none};
pub use text::floor;

/// An error as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which one.
    pub code: Code,
    /// What happened, in this case: names the field, what was given and what is accepted.
    pub message: String,
}

impl Fault {
    /// A fault of this code and message. What was given may be quoted in it: it is cut, and characters that would
    /// steer a terminal are written out.
    #[must_use]
    pub fn new(code: Code, message: impl AsRef<str>) -> Self {
        let message = message.as_ref();
        let mut shown = String::with_capacity(message.len().min(LONGEST));
        for char in message.chars() {
            if shown.len() >= LONGEST {
                shown.push('…');
                break;
            }
            if char.is_control() && char != '\n' { shown.extend(char.escape_default()) } else { shown.push(char) }
        }
        Self { code, message: shown }
    }
}

/// The longest message, in bytes: room for a list of names, not for a prompt.
const LONGEST: usize = 2_000;

impl fmt::Display for Fault {
    /// `sortie error <code>: <message>. <remedy>`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.message.trim_end_matches('.');
        write!(f, "sortie error {}: {message}. {}", self.code.as_str(), self.code.remedy())
    }
}

impl std::error::Error for Fault {}

/// The catalogue as the page `docs/errors.md`.
#[must_use]
pub fn catalogue() -> String {
    let mut page = String::from(
        "# Errors\n\nPrinted from `src/fault/code.rs`. Every message reads `sortie error <code>: <what happened>. \
         <what to do>`.\n\n| code | when | what to do |\n|---|---|---|\n",
    );
    for code in Code::ALL {
        let _ = writeln!(page, "| `{}` | {} | {} |", code.as_str(), code.when(), code.remedy());
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_say_what_to_do() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.remedy().ends_with('.') && !code.when().is_empty(), "{code:?}");
        }
    }

    #[test]
    fn what_was_given_is_quoted_short_and_harmless() {
        let fault = Fault::new(Code::NoSuchTask, format!("`\u{1b}[2J{}`", "é".repeat(LONGEST)));
        assert!(fault.message.starts_with("`\\u{1b}[2Jé") && fault.message.ends_with("é…"), "{fault}");
        assert!(fault.message.len() < LONGEST + 10);
        assert_eq!(Fault::new(Code::NoSuchTask, "a\nb").message, "a\nb");
    }

    #[test]
    fn the_page_is_the_printed_catalogue() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md");
        if std::env::var_os("SORTIE_BLESS").is_some() {
            std::fs::write(path, catalogue()).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(path).unwrap(),
            catalogue(),
            "run this test with SORTIE_BLESS=1 to print it anew"
        );
    }
}
