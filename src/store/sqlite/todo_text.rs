//! How the texts of TODO.md are stored small: a whole text now and then, and between two of them what each revision
//! changed. Most commits touch a line or two of hundreds.

use std::io::{Read, Write};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde::{Deserialize, Serialize};

/// A change of one place: at byte `at` of the old text, `drop` bytes give way to `insert`. Written as a list of three.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Hunk(usize, usize, String);

/// What turns a text into the next one: hunks in the order of their places in the old text. Always between lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Delta(Vec<Hunk>);

impl Delta {
    /// The lines that differ. Where the number of lines stays, as when items change their state, each run of
    /// differing lines is a hunk; otherwise everything from the first to the last difference is one.
    pub(super) fn between(old: &str, new: &str) -> Self {
        let (olds, news): (Vec<_>, Vec<_>) = (old.split_inclusive('\n').collect(), new.split_inclusive('\n').collect());
        let head = olds.iter().zip(&news).take_while(|(old, new)| old == new).count();
        let rest = olds.len().min(news.len()) - head;
        let tail = olds.iter().rev().zip(news.iter().rev()).take(rest).take_while(|(old, new)| old == new).count();
        let (olds_between, news_between) = (&olds[head..olds.len() - tail], &news[head..news.len() - tail]);
        let mut at = olds[..head].iter().map(|line| line.len()).sum();
        let mut hunks: Vec<Hunk> = Vec::new();
        if olds_between.len() == news_between.len() {
            let mut running = false;
            for (old, new) in olds_between.iter().zip(news_between) {
                match hunks.last_mut() {
                    _ if old == new => {}
                    Some(Hunk(_, drop, insert)) if running => {
                        *drop += old.len();
                        insert.push_str(new);
                    }
                    _ => hunks.push(Hunk(at, old.len(), (*new).to_owned())),
                }
                running = old != new;
                at += old.len();
            }
        } else {
            let drop = olds_between.iter().map(|line| line.len()).sum();
            hunks.push(Hunk(at, drop, news_between.concat()));
        }
        Self(hunks)
    }

    /// How many bytes of the new text it holds.
    pub(super) fn inserted(&self) -> usize {
        self.0.iter().map(|Hunk(_, _, insert)| insert.len()).sum()
    }

    /// What it takes from the old text and puts in its place; nothing of what does not belong to it.
    pub(super) fn lines<'a>(&'a self, old: &'a str) -> Vec<(&'a str, &'a str)> {
        let place = |Hunk(at, drop, insert): &'a Hunk| Some((old.get(*at..at.checked_add(*drop)?)?, insert.as_str()));
        self.0.iter().filter_map(place).collect()
    }

    /// Makes the new text of the old one; nothing when it does not belong to it.
    pub(super) fn apply(&self, text: &mut String) -> Option<()> {
        // From the end, so that places before a hunk stay what they were.
        for Hunk(at, drop, insert) in self.0.iter().rev() {
            let end = at.checked_add(*drop)?;
            text.get(*at..end)?;
            text.replace_range(*at..end, insert);
        }
        Some(())
    }
}

/// The text under gzip.
pub(super) fn pack(text: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text)?;
    encoder.finish()
}

/// The text that [`pack`] was given.
pub(super) fn unpack(packed: &[u8]) -> std::io::Result<String> {
    let mut text = String::new();
    GzDecoder::new(packed).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts() -> impl Strategy<Value = String> {
        prop::collection::vec("[abé\n]{0,3}\n?", 0..8).prop_map(|lines| lines.concat())
    }

    proptest! {
        #[test]
        fn a_delta_leads_to_the_new_text(old in texts(), new in texts()) {
            let delta = Delta::between(&old, &new);
            let mut text = old.clone();
            delta.apply(&mut text).unwrap();
            prop_assert_eq!(text, &*new);
            prop_assert!(delta.inserted() <= new.len());
            let json = serde_json::to_string(&delta).unwrap();
            prop_assert_eq!(serde_json::from_str::<Delta>(&json).unwrap(), delta);
        }

        #[test]
        fn a_packed_text_comes_back(text in texts()) {
            prop_assert_eq!(unpack(&pack(text.as_bytes()).unwrap()).unwrap(), text);
        }
    }

    #[test]
    fn lines_that_change_far_apart_are_hunks_of_their_own() {
        let old = "a\nb\nc\nd\ne\n";
        let delta = Delta::between(old, "A\nB\nc\nd\nE\n");
        assert_eq!(serde_json::to_string(&delta).unwrap(), r#"[[0,4,"A\nB\n"],[8,2,"E\n"]]"#);
        assert_eq!(Delta::between(old, old), Delta(vec![]));
    }

    #[test]
    fn a_delta_of_another_text_is_refused() {
        for hunk in [Hunk(3, 1, "x".into()), Hunk(1, usize::MAX, "x".into()), Hunk(1, 1, "x".into())] {
            assert_eq!(Delta(vec![hunk]).apply(&mut "é\n".to_owned()), None);
        }
    }
}
