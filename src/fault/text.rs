//! Where a text may be cut.

/// The last character boundary of `text` that is not after `at`.
#[must_use]
pub fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}
