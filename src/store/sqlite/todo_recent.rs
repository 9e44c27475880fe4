//! The texts of TODO.md that were read or written last.
//!
//! A change reads the head, is made on it, and is then compared with it: three times the same text, which would each
//! time be put together from up to a span of deltas and hashed. Here it is found by the hash that its revision names, so
//! that nothing has to be forgotten when a transaction is rolled back or another process commits.

use std::{cell::RefCell, collections::VecDeque, sync::Arc};

/// How many texts are remembered: before and after a change, in two projects.
const KEPT: usize = 4;

/// The newest first.
#[derive(Debug, Default)]
pub(super) struct Recent(RefCell<VecDeque<(String, Arc<str>)>>);

impl Recent {
    /// The text with this hash.
    pub(super) fn get(&self, hash: &str) -> Option<Arc<str>> {
        let mut texts = self.0.borrow_mut();
        let at = texts.iter().position(|(known, _)| known == hash)?;
        let found = texts.remove(at)?;
        let text = Arc::clone(&found.1);
        texts.push_front(found);
        Some(text)
    }

    /// Remembers a text under the hash that it was seen to have.
    pub(super) fn put(&self, hash: &str, text: &Arc<str>) {
        if self.get(hash).is_none() {
            let mut texts = self.0.borrow_mut();
            texts.truncate(KEPT - 1);
            texts.push_front((hash.to_owned(), Arc::clone(text)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_that_were_used_last_are_remembered() {
        let recent = Recent::default();
        let text = |name: &str| Arc::<str>::from(format!("text {name}"));
        for name in ["a", "b", "c", "d"] {
            recent.put(name, &text(name));
        }
        assert_eq!(recent.get("a"), Some(text("a")));
        recent.put("e", &text("e"));
        recent.put("a", &text("a"));
        let known = ["a", "b", "c", "d", "e"].map(|name| recent.get(name).is_some());
        assert_eq!(known, [true, false, true, true, true]);
    }
}
