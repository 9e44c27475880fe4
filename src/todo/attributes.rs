//! The block `{key: value; key: value}` at the end of an item's or a heading's line.
//!
//! What is not understood stays as it is: only the value of a key that changes is written anew. A value cannot hold the
//! characters that structure the block, so these are written as `%` and two hexadecimal digits.

use std::{fmt::Write, ops::Range};

/// The characters that a value must not hold as such. (`%` is added where it would be read as the start of one.)
const SPECIAL: &[char] = &[';', ',', '{', '}'];

/// One `key: value`; the ranges are places in the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Range<usize>,
    /// The value without the space around it.
    pub value: Range<usize>,
    /// All of it, from behind the separator before it to the separator behind it.
    pub whole: Range<usize>,
}

/// Finds the block at the end of `line[from..to]`: its place with both braces, and its entries. Space must stand before
/// it unless it begins at `from`.
pub fn find(line: &str, from: usize, to: usize) -> Option<(Range<usize>, Vec<Entry>)> {
    let text = line[from..to].trim_end();
    let inner = text.strip_suffix('}')?;
    let open = inner.rfind(['{', '}']).filter(|at| inner[*at..].starts_with('{'))?;
    if !inner[..open].is_empty() && !inner[..open].ends_with([' ', '\t']) {
        return None;
    }
    let block = from + open..from + text.len();
    let mut entries = Vec::new();
    let mut at = block.start + 1;
    for part in line[at..block.end - 1].split(';') {
        let whole = at..at + part.len();
        at = whole.end + 1;
        if part.trim().is_empty() {
            continue;
        }
        let (key, value) = part.split_once(':')?;
        let key_at = trimmed(key, whole.start);
        let value_at = trimmed(value, whole.start + key.len() + 1);
        if !is_key(&line[key_at.clone()]) {
            return None;
        }
        entries.push(Entry { key: key_at, value: value_at, whole });
    }
    Some((block, entries))
}

fn trimmed(text: &str, at: usize) -> Range<usize> {
    let start = at + (text.len() - text.trim_start().len());
    start..start + text.trim().len()
}

fn is_key(text: &str) -> bool {
    text.starts_with(|char: char| char.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// The values of a list as they are written.
pub fn list<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> String {
    let values: Vec<_> = values.into_iter().map(|value| escape(value.as_ref())).collect();
    values.join(", ")
}

/// The values that a written list holds.
pub fn unlist(text: &str) -> impl Iterator<Item = String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(unescape)
}

/// A value as it is written.
pub fn escape(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for (at, char) in value.char_indices() {
        if SPECIAL.contains(&char) || (char == '%' && two_digits(&value[at + 1..]).is_some()) {
            let _ = write!(text, "%{:02X}", u32::from(char));
        } else {
            text.push(char);
        }
    }
    text
}

/// What a written value says.
pub fn unescape(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        value.push_str(&rest[..at]);
        let code = two_digits(&rest[at + 1..]).map(char::from);
        if let Some(char) = code.filter(|char| *char == '%' || SPECIAL.contains(char)) {
            value.push(char);
            rest = &rest[at + 3..];
        } else {
            value.push('%');
            rest = &rest[at + 1..];
        }
    }
    value.push_str(rest);
    value
}

fn two_digits(text: &str) -> Option<u8> {
    let digits = text.get(..2)?;
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u8::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(line: &str) -> Option<Vec<(&str, &str)>> {
        let (_, entries) = find(line, 0, line.len())?;
        Some(entries.iter().map(|entry| (&line[entry.key.clone()], &line[entry.value.clone()])).collect())
    }

    #[test]
    fn a_block_is_keys_and_values_at_the_end() {
        assert_eq!(read("do it {a: 1;b:2 ; c-d: }"), Some(vec![("a", "1"), ("b", "2"), ("c-d", "")]));
        assert_eq!(read("do it {after: t1, t2;}  "), Some(vec![("after", "t1, t2")]));
        assert_eq!((read("{}"), read("x { }")), (Some(vec![]), Some(vec![])));
        for none in
            ["x{a: 1}", "x {a: 1} y", "x {a}", "x {{a: 1}}", "x {a: {b}}", "{a b: 1}", "}", "{", "x {{result:a}}"]
        {
            assert_eq!(read(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn a_list_of_any_values_is_read_back(values in prop::collection::vec("[a-z%;,{}0-9AB][ a%3Bb;,{}é:]{0,6}[a%;}2C]", 0..4)) {
            let written = list(&values);
            let is_plain = !written.contains(['{', '}', ';']);
            prop_assert!(is_plain);
            prop_assert_eq!(unlist(&written).collect::<Vec<_>>(), values);
        }
    }
}
