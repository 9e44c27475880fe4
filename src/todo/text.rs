//! Making texts of models harmless before they become lines of the file.
//!
//! No text can make another item, a heading, a fence or a comment: a title is one line behind a box; a line of a note
//! is indented under its item, and one that would begin something gets a backslash before it, which Markdown does not
//! show. What `Document::parse` then reads is what [`title`] and [`note`] return.

use super::{
    ItemId, Racer, TodoError,
    line::{self, Block},
};

/// The longest title, in bytes.
pub const MAX_TITLE: usize = 500;

/// The longest value of an attribute, in bytes.
pub const MAX_VALUE: usize = 300;

/// The most values of one attribute.
pub const MAX_VALUES: usize = 100;

/// The longest note that is added at once, in bytes.
pub const MAX_NOTE: usize = 16 * 1024;

/// A title as one line: every run of space and control characters is one space.
///
/// # Errors
/// [`TodoError::BadItem`] where nothing is left or it is too long.
pub fn title(field: &'static str, text: &str) -> Result<String, TodoError> {
    let words: Vec<_> = text.split(is_gap).filter(|word| !word.is_empty()).collect();
    let title = words.join(" ");
    let problem = match title.len() {
        0 => "is empty".to_owned(),
        1..=MAX_TITLE => return Ok(title),
        bytes => format!("has {bytes} bytes, at most {MAX_TITLE}"),
    };
    Err(TodoError::BadItem { field, problem })
}

/// A byte order mark inside a text is an invisible gap like a space.
fn is_gap(char: char) -> bool {
    char.is_whitespace() || char.is_control() || char == '\u{feff}'
}

/// The lines of a note: without control characters, space at their ends, and blank lines around; each harmless.
///
/// # Errors
/// [`TodoError::BadItem`] where nothing is left or it is too long.
pub fn note(field: &'static str, text: &str) -> Result<Vec<String>, TodoError> {
    if text.len() > MAX_NOTE {
        return Err(TodoError::BadItem { field, problem: format!("has {} bytes, at most {MAX_NOTE}", text.len()) });
    }
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<String> = text.trim_matches(is_gap).split('\n').map(harmless).collect();
    lines.dedup_by(|second, first| first.is_empty() && second.is_empty());
    if lines.iter().all(String::is_empty) {
        return Err(TodoError::BadItem { field, problem: "is empty".to_owned() });
    }
    Ok(lines)
}

/// One line of a note.
pub(super) fn harmless(text: &str) -> String {
    let text: String = text.chars().map(|char| if is_gap(char) { ' ' } else { char }).collect();
    let text = text.trim_end();
    let (_, indent) = line::indent(text);
    let (space, rest) = text.split_at(indent);
    let begins = line::item(rest).is_some() || line::heading(rest).is_some() || Block::begins(rest).is_some();
    if begins { format!("{space}\\{rest}") } else { text.to_owned() }
}

/// A value of an attribute: one line without control characters.
///
/// # Errors
/// [`TodoError::BadItem`].
pub fn value<'a>(field: &'static str, text: &'a str) -> Result<&'a str, TodoError> {
    let bad = |problem: String| Err(TodoError::BadItem { field, problem });
    let text = text.trim();
    if text.chars().any(char::is_control) {
        return bad("holds a line break or control character".to_owned());
    }
    match text.len() {
        0 => bad("is empty".to_owned()),
        1..=MAX_VALUE => Ok(text),
        bytes => bad(format!("has {bytes} bytes, at most {MAX_VALUE}")),
    }
}

/// The values of an attribute.
///
/// # Errors
/// [`TodoError::BadItem`].
pub fn values(field: &'static str, texts: &[String]) -> Result<(), TodoError> {
    count(field, texts.len())?;
    texts.iter().try_for_each(|text| value(field, text).map(drop))
}

/// The racers of an item.
///
/// # Errors
/// [`TodoError::BadItem`].
pub fn racers(racers: &[Racer]) -> Result<(), TodoError> {
    count("race", racers.len())?;
    racers.iter().try_for_each(|racer| {
        let text = racer.to_string();
        let same = value("race", &text)?.parse::<Racer>().is_ok_and(|read| read == *racer);
        let problem =
            || TodoError::BadItem { field: "race", problem: format!("holds `{text}`, not `agent@provider/model`") };
        if same { Ok(()) } else { Err(problem()) }
    })
}

/// The ids that an item waits for.
///
/// # Errors
/// [`TodoError::BadItem`].
pub fn ids(ids: &[ItemId]) -> Result<(), TodoError> {
    count("after", ids.len())
}

fn count(field: &'static str, number: usize) -> Result<(), TodoError> {
    if number <= MAX_VALUES {
        return Ok(());
    }
    Err(TodoError::BadItem { field, problem: format!("has {number} values, at most {MAX_VALUES}") })
}
