//! Keeping what cannot be merged as text, so that a person can look at it.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write,
};

use crate::todo::{Document, line};

/// What such a line begins with.
const MARK: &str = "outside:";

/// An item's own text with the other side's under it, of which only the lines that it does not have.
pub(super) fn noted(ours: &str, theirs: Option<&str>, newline: &str) -> String {
    let known: HashSet<&str> = ours.lines().map(str::trim).collect();
    let other = theirs.unwrap_or("removed").lines().map(str::trim);
    let lead = line::item(ours).map_or(String::new(), |header| {
        let (_, start) = line::indent(ours);
        format!("{}{}", &ours[..start], " ".repeat(header.width + 1))
    });
    let mut text = line::content(ours).to_owned();
    for line in other.filter(|line| !line.is_empty() && !known.contains(line)) {
        let _ = write!(text, "{newline}{lead}{MARK} {line}");
    }
    text + newline
}

/// An item that both sides made under the same id: theirs without the id, as a neighbour before ours.
pub(super) fn beside(ours: &str, theirs: &str, newline: &str) -> String {
    let lead = |text| line::indent(text).1;
    let (our_lead, their_lead) = (&ours[..lead(ours)], &theirs[..lead(theirs)]);
    let mut text = String::new();
    for (number, whole) in theirs.lines().enumerate() {
        let content = whole.strip_prefix(their_lead).unwrap_or(whole.trim_start());
        let header = line::item(content).filter(|_| number == 0);
        let content = header.map_or(content.to_owned(), |header| {
            format!(
                "{}{}",
                &content[..header.body],
                content[header.id.map_or(header.body, |id| id.end + 1)..].trim_start()
            )
        });
        let _ = write!(text, "{our_lead}{content}{newline}");
    }
    text + ours
}

/// Ours as it is, with every line of theirs that it does not have behind it, none of which begins anything: for what
/// cannot be told from its items, such as a code fence that swallows the rest of the file.
pub(super) fn appended(ours: &Document, theirs: &Document) -> Document {
    let newline = ours.newline();
    let mut known = HashMap::<&str, usize>::new();
    for line in ours.as_str().lines() {
        *known.entry(line.trim()).or_default() += 1;
    }
    let mut text = ours.as_str().to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push_str(newline);
    }
    for line in theirs.as_str().lines().map(str::trim).filter(|line| !line.is_empty()) {
        match known.get_mut(line) {
            Some(number) if *number > 0 => *number -= 1,
            _ => {
                let _ = write!(text, "{MARK} {line}{newline}");
            }
        }
    }
    Document::of(text)
}
