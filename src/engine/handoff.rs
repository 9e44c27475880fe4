//! Handing a task's result to the tasks that come after it: `{{result:…}}` in a prompt.

use std::collections::HashMap;

use crate::fault::floor;

/// How much of one result is handed on. Larger ones are cut, with a note that says so: a worker's prompt is no place
/// for a book, and the whole stays in `sortie_result`.
pub const MAX_RESULT: usize = 16 * 1024;

const OPEN: &str = "{{result:";
const CLOSE: &str = "}}";

/// The names that a prompt asks for, in their order, each once.
#[must_use]
pub fn references(prompt: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for (_, name) in places(prompt) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The prompt with every reference replaced by what `value` gives for its name; one without a value stays. What is
/// put in is not searched again.
#[must_use]
pub fn replace(prompt: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(prompt.len());
    let mut done = 0;
    for (at, name) in places(prompt) {
        let end = at + OPEN.len() + name.len() + CLOSE.len();
        out.push_str(&prompt[done..at]);
        match value(name) {
            Some(text) => out.push_str(&text),
            None => out.push_str(&prompt[at..end]),
        }
        done = end;
    }
    out.push_str(&prompt[done..]);
    out
}

/// The prompt with results by task id put in, each cut to [`MAX_RESULT`].
#[must_use]
pub fn fill(prompt: &str, results: &HashMap<String, String>) -> String {
    replace(prompt, |name| results.get(name).map(|text| cut(text, MAX_RESULT).into_owned()))
}

/// A text of at most `limit` bytes of `text`, cut between characters and with a note if it was longer.
#[must_use]
pub fn cut(text: &str, limit: usize) -> std::borrow::Cow<'_, str> {
    if text.len() <= limit {
        return text.into();
    }
    let end = floor(text, limit);
    format!("{}\n[cut: {} of {} bytes]", &text[..end], end, text.len()).into()
}

/// The last character boundary of `text` before which there are at most `bytes` bytes and `lines` lines.
#[must_use]
pub fn reach(text: &str, bytes: usize, lines: usize) -> usize {
    let line_end = text.match_indices('\n').nth(lines.saturating_sub(1)).map_or(text.len(), |(at, _)| at + 1);
    floor(text, bytes.min(line_end))
}

/// Where references stand, and their names.
fn places(prompt: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let at = from + prompt[from..].find(OPEN)?;
            let start = at + OPEN.len();
            let length = prompt[start..].find(CLOSE)?;
            let name = &prompt[start..start + length];
            // Names are ids or keys; anything else is the user's own text.
            if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)) {
                from = start + length + CLOSE.len();
                return Some((at, name));
            }
            from = start;
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn references_are_found_once_and_in_order() {
        let prompt =
            "{{result:b}} and {{result:a-1.x}} and {{result:b}} but not {{result:}} or {{result:a b}} or {{result:c";
        assert_eq!(references(prompt), ["b", "a-1.x"]);
    }

    #[test]
    fn what_is_put_in_is_not_searched_again() {
        let results = HashMap::from([("a".to_owned(), "{{result:b}}".to_owned()), ("b".to_owned(), "no".to_owned())]);
        assert_eq!(fill("<{{result:a}}> {{result:z}}", &results), "<{{result:b}}> {{result:z}}");
    }

    #[test]
    fn reach_keeps_both_limits() {
        assert_eq!(reach("a\nb\nc", 100, 2), 4);
        assert_eq!(reach("a\nb\nc", 100, 3), 5);
        assert_eq!(reach("a\nb\nc", 3, 3), 3);
        assert_eq!(reach("éé", 3, 1), 2);
    }

    #[test]
    fn a_long_result_is_cut_between_characters() {
        let results = HashMap::from([("a".to_owned(), "é".repeat(MAX_RESULT))]);
        let filled = fill("{{result:a}}", &results);
        assert!(
            filled.starts_with('é') && filled.ends_with(&format!("[cut: {MAX_RESULT} of {} bytes]", MAX_RESULT * 2))
        );
    }

    proptest! {
        #[test]
        fn never_panics_and_changes_nothing_without_values(prompt in "(\\{\\{result:|\\}\\}|[a-zé{} ]){0,20}") {
            prop_assert_eq!(replace(&prompt, |_| None), prompt);
        }
    }
}
