//! Checks on texts that a model or user wrote.

use crate::fault::{Code, Fault};

/// What sort of text it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One line for people: a title, a name.
    Line,
    /// A prompt or message.
    Prompt,
    /// A key or id.
    Key,
}

/// The longest prompt, in bytes. A model's context is a few of these.
pub const MAX_PROMPT: usize = 512 * 1024;

/// The longest line, in bytes.
pub const MAX_LINE: usize = 300;

/// The longest key, in bytes.
pub const MAX_KEY: usize = 64;

/// Checks a text.
///
/// # Errors
/// [`Code::EmptyField`], [`Code::TextTooLong`], [`Code::BadCharacters`] or [`Code::BadKey`], naming `field`.
pub fn check(field: &str, text: &str, kind: Kind) -> Result<(), Fault> {
    if text.trim().is_empty() {
        return Err(Fault::new(Code::EmptyField, format!("`{field}` is empty")));
    }
    let most = match kind {
        Kind::Line => MAX_LINE,
        Kind::Prompt => MAX_PROMPT,
        Kind::Key => MAX_KEY,
    };
    if text.len() > most {
        return Err(Fault::new(Code::TextTooLong, format!("`{field}` has {} bytes, at most {most}", text.len())));
    }
    match kind {
        Kind::Line if text.chars().any(char::is_control) => {
            Err(Fault::new(Code::BadCharacters, format!("`{field}` holds a line break or control character")))
        }
        Kind::Prompt if text.contains('\0') => {
            Err(Fault::new(Code::BadCharacters, format!("`{field}` holds a NUL character")))
        }
        Kind::Key if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)) => {
            Err(Fault::new(Code::BadKey, format!("`{field}` is `{}`", text.escape_debug())))
        }
        _ => Ok(()),
    }
}
