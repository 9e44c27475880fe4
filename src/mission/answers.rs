//! What agents answer, read: a reviewer's verdict, a worker's split, decisions and findings for all.
//!
//! A line counts wherever it stands, whatever Markdown decorates it; nothing that is missing is ever guessed.

use super::state::Note;

/// What a reviewer said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The work is good.
    Accept,
    /// It is not, for these reasons.
    Reject {
        /// In the reviewer's words.
        reasons: String,
    },
}

/// The longest reasons that a worker is told, in bytes.
const REASONS: usize = 8 * 1024;

/// The longest note, in bytes.
const NOTE: usize = 400;

/// A line without what decorates it.
fn plain(line: &str) -> &str {
    line.trim().trim_start_matches(['*', '_', '`', '#', '>']).trim_end_matches(['*', '_']).trim()
}

/// The rest of a line that begins with a word and a colon.
fn after<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let line = plain(line);
    let head = line.get(..word.len())?;
    let rest = line[word.len()..].trim_start_matches(['*', '_', '`']);
    head.eq_ignore_ascii_case(word).then_some(rest)?.strip_prefix(':').map(str::trim)
}

/// A reviewer's verdict: the last one counts. None if there is none, or if it is neither of the two words.
#[must_use]
pub fn verdict(text: &str) -> Option<Verdict> {
    let mut at = 0;
    let mut found = None;
    for line in text.split_inclusive('\n') {
        at += line.len();
        if let Some(word) = after(line, "VERDICT") {
            found = Some((word.trim_end_matches(['.', '`', '*', '_']), at));
        }
    }
    let (word, end) = found?;
    if word.eq_ignore_ascii_case("ACCEPT") {
        return Some(Verdict::Accept);
    }
    if !word.eq_ignore_ascii_case("REJECT") {
        return None;
    }
    // Reasons follow; a reviewer that gave them before is heard as well.
    let reasons = if text[end..].trim().is_empty() { text } else { &text[end..] };
    Some(Verdict::Reject { reasons: cut(reasons.trim(), REASONS).to_owned() })
}

/// The parts that a worker wants its item split into: the list after a line `SPLIT:`. Each is a line of an item.
#[must_use]
pub fn split(text: &str) -> Option<Vec<String>> {
    let mut lines = text.lines().skip_while(|line| after(line, "SPLIT").is_none());
    lines.next()?;
    let parts: Vec<String> = lines
        .skip_while(|line| line.trim().is_empty())
        .map_while(|line| line.trim_start().strip_prefix(['-', '*', '+']))
        .map(|part| part.trim().to_owned())
        .filter(|part| !part.is_empty())
        .collect();
    (!parts.is_empty()).then_some(parts)
}

/// The decisions and findings of an answer.
#[must_use]
pub fn notes(text: &str) -> Vec<Note> {
    let note = |line: &str| {
        let line = line.trim_start().trim_start_matches(['-', '+']).trim_start();
        let of = |word, decision| after(line, word).map(|text| Note { decision, text: cut(text, NOTE).to_owned() });
        of("DECISION", true).or_else(|| of("FINDING", false)).filter(|note| !note.text.is_empty())
    };
    text.lines().filter_map(note).take(super::state::MEMORY).collect()
}

fn cut(text: &str, limit: usize) -> &str {
    &text[..crate::fault::floor(text, limit)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_verdict_is_one_of_two_words_and_the_last_counts() {
        for (text, accepted) in [
            ("VERDICT: ACCEPT", Some(true)),
            ("fine\n\n**VERDICT: ACCEPT**\n", Some(true)),
            ("**Verdict**: accept.", Some(true)),
            ("VERDICT: REJECT\n1. no test", Some(false)),
            ("VERDICT: ACCEPT\nno, wait\nVERDICT: REJECT\n1. x", Some(false)),
            ("I accept it", None),
            ("VERDICT: maybe", None),
            ("VERDICT: ACCEPT or REJECT", None),
            ("", None),
        ] {
            assert_eq!(verdict(text).map(|verdict| verdict == Verdict::Accept), accepted, "{text}");
        }
        assert_eq!(
            verdict("1. no test\nVERDICT: REJECT"),
            Some(Verdict::Reject { reasons: "1. no test\nVERDICT: REJECT".into() })
        );
        assert_eq!(
            verdict("x\nVERDICT: REJECT\n\n1. a\n2. b\n"),
            Some(Verdict::Reject { reasons: "1. a\n2. b".into() })
        );
    }

    #[test]
    fn a_split_is_the_list_after_its_word() {
        assert_eq!(
            split("too large\nSPLIT:\n\n- one {files: a}\n* two\n\nrest\n- three"),
            Some(vec!["one {files: a}".into(), "two".into()])
        );
        assert_eq!(split("SPLIT:\nnothing"), None);
        assert_eq!(split("- one\n- two"), None);
    }

    #[test]
    fn notes_are_found_in_lists_too() {
        let note = |decision, text: &str| Note { decision, text: text.into() };
        assert_eq!(
            notes("- FINDING: the parser is slow\nDECISION: use `nom`\nfinding:\nFINDINGS: no"),
            [note(false, "the parser is slow"), note(true, "use `nom`")]
        );
    }

    proptest! {
        #[test]
        fn anything_can_be_read(text in "(VERDICT|SPLIT|FINDING|:|\\*|\n|-| |é|ACCEPT|REJECT){0,30}") {
            let _ = (verdict(&text), split(&text), notes(&text));
        }
    }
}
