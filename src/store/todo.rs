//! What the store keeps of each project's TODO.md: its revisions, and what its file is known to hold.
//!
//! Revisions count from 1 without a gap, each on top of the one before it, so that a commit is a comparison of one
//! number. Revision 0 is the empty text. The store does not look into the texts.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::StoreError;
use crate::task::{ProjectKey, Timestamp};

/// How many of a project's newest revisions keep their text. The record of who did what is kept of all.
pub const TODO_TEXTS: u64 = 10_000;

/// The text of a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Which revision; 0 is the empty text that every project begins with.
    pub rev: u64,
    /// [`todo_hash`] of the text.
    pub hash: String,
    /// The whole text.
    pub text: Arc<str>,
}

/// The record of a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// Which revision, from 1.
    pub rev: u64,
    /// [`todo_hash`] of its text.
    pub hash: String,
    /// Who made it.
    pub author: String,
    /// The revision that it was made on: always the one before it.
    pub parent: u64,
    /// What was done, as JSON.
    pub operations: String,
    /// When it was committed.
    pub at: Timestamp,
}

/// A new revision.
#[derive(Debug, Clone)]
pub struct TodoCommit {
    /// Whose TODO.md.
    pub project: ProjectKey,
    /// What it was made on: it is taken only while this is the head.
    pub parent: u64,
    /// The whole new text.
    pub text: Arc<str>,
    /// Who made it.
    pub author: String,
    /// What was done, as JSON.
    pub operations: String,
}

/// What leads to a revision's text.
#[derive(Debug)]
pub enum TodoStep<'a> {
    /// The whole text.
    Whole(&'a str),
    /// Whole lines of the text before it, and the lines in their place.
    Changed(&'a [(&'a str, &'a str)]),
}

/// A text of the file, by the revision that it is, or that took it in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The revision.
    pub rev: u64,
    /// [`todo_hash`] of the file's text; of an imported one not that of the revision, which may hold more.
    pub hash: String,
}

/// What a file is known to hold. After a crash it may hold either.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TodoFile {
    /// What was last shown or imported.
    pub shown: Option<Known>,
    /// What is about to be shown.
    pub next: Option<Known>,
}

/// A text of the file that somebody else wrote.
#[derive(Debug, Clone, Copy)]
pub struct TodoEdit<'a> {
    /// The file.
    pub path: &'a str,
    /// [`todo_hash`] of the text.
    pub hash: &'a str,
    /// The text.
    pub text: &'a str,
}

/// How many texts of a project's file are kept that were taken in without being what a revision holds.
pub const TODO_EDITS: u32 = 16;

/// The hash that names a text: SHA-256 in lower-case hexadecimal digits.
#[must_use]
pub fn todo_hash(text: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(text).iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a string does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The revisions of each project's TODO.md. Every method is one transaction; an error leaves everything as it was.
pub trait Todos {
    /// The text of a revision, or of the newest one.
    ///
    /// # Errors
    /// [`StoreError::NoSuchRevision`] when there is none of that number or its text is no longer kept.
    fn todo(&mut self, project: &ProjectKey, rev: Option<u64>) -> Result<Snapshot, StoreError>;

    /// Adds a revision on top of `commit.parent`.
    ///
    /// # Errors
    /// [`StoreError::TodoMoved`] when the parent is not the head (any more).
    fn commit_todo(&mut self, commit: &TodoCommit, now: Timestamp) -> Result<Revision, StoreError>;

    /// At most `limit` records, newest first: of all revisions, or of those before one.
    ///
    /// # Errors
    /// [`StoreError`].
    fn todo_history(
        &mut self,
        project: &ProjectKey,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Revision>, StoreError>;

    /// Tells the kept texts of the revisions that were the head at `since` or later, oldest first: the first as a whole,
    /// the others as a whole or as what they changed. Texts that are told so are not checked against their hashes.
    ///
    /// # Errors
    /// [`StoreError`]; then not all were told.
    fn scan_todo(
        &mut self,
        project: &ProjectKey,
        since: Timestamp,
        visit: &mut dyn FnMut(u64, TodoStep<'_>),
    ) -> Result<(), StoreError>;

    /// The newest kept revision with exactly this text, by its [`todo_hash`].
    ///
    /// # Errors
    /// [`StoreError`].
    fn todo_with_hash(&mut self, project: &ProjectKey, hash: &str) -> Result<Option<u64>, StoreError>;

    /// Makes a change of the head while nobody else can write, so that it is on top of the head for sure. `edit` sees
    /// the head and answers with the commit, or with nothing to leave it. A text of the file that the commit takes in is
    /// noted in the same transaction as shown, so that nothing takes it in again, and kept unless it is the revision's.
    ///
    /// # Errors
    /// [`StoreError`].
    fn edit_todo(
        &mut self,
        project: &ProjectKey,
        taken: Option<TodoEdit<'_>>,
        edit: &mut dyn FnMut(&Snapshot) -> Option<TodoCommit>,
        now: Timestamp,
    ) -> Result<Option<Revision>, StoreError>;

    /// The last [`TODO_EDITS`] texts that were taken in and are not what their revision holds, each with that revision.
    ///
    /// # Errors
    /// [`StoreError`].
    fn todo_edits(&mut self, project: &ProjectKey) -> Result<Vec<(u64, String)>, StoreError>;

    /// What the project's file at `path` is known to hold.
    ///
    /// # Errors
    /// [`StoreError`].
    fn todo_file(&mut self, project: &ProjectKey, path: &str) -> Result<TodoFile, StoreError>;

    /// Notes what the project's file at `path` is known to hold.
    ///
    /// # Errors
    /// [`StoreError`].
    fn set_todo_file(&mut self, project: &ProjectKey, path: &str, file: &TodoFile) -> Result<(), StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_sha_256_in_hexadecimal_digits() {
        assert_eq!(todo_hash(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(todo_hash(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
