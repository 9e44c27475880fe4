//! What can go wrong with a worktree.

use std::{
    fmt::Write,
    io,
    path::{Path, PathBuf},
};

use crate::fault::{Code, Fault};

/// Something that was not done. What is there besides objects in the repository is said at each case; if nothing is
/// said, nothing is.
#[derive(Debug, thiserror::Error)]
pub enum WorktreeError {
    /// git cannot be started.
    #[error("start git: {0}")]
    GitMissing(String),
    /// git is older than [`super::repo::OLDEST`].
    #[error("use git: `{0}`")]
    GitTooOld(String),
    /// The directory is in no repository, or not in the one that it should be in.
    #[error("use {}: it is not in a git repository of its own", .0.display())]
    NotARepository(PathBuf),
    /// The repository is bare, or the directory is in its `.git`.
    #[error("use {}: no files are checked out there", .0.display())]
    NoWorkingTree(PathBuf),
    /// The repository has no commit.
    #[error("use {}: HEAD is no commit yet", .0.display())]
    NoCommit(PathBuf),
    /// Something else is at a worktree's path.
    #[error("use {}: there is something else", .0.display())]
    Taken(PathBuf),
    /// More was changed than is carried over.
    #[error("compare {}: the changes are larger than {limit} bytes", path.display())]
    TooLarge {
        /// The worktree.
        path: PathBuf,
        /// How much is carried over.
        limit: u64,
    },
    /// The changes do not fit to the present state.
    #[error("apply the changes: they do not fit to {}", list(.0))]
    Conflict(Vec<PathBuf>),
    /// The patch is malformed or reaches outside.
    #[error("apply the changes: {0}")]
    Refused(String),
    /// git refused, for a reason of its own.
    #[error("{command}: {said}")]
    Git {
        /// What was asked of it.
        command: String,
        /// What it said.
        said: String,
    },
    /// A file operation failed.
    #[error("access {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl WorktreeError {
    /// Its place in the catalogue.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::GitMissing(_) => Code::GitMissing,
            Self::GitTooOld(_) => Code::GitTooOld,
            Self::NotARepository(_) => Code::NotARepository,
            Self::NoWorkingTree(_) => Code::NoWorkingTree,
            Self::NoCommit(_) => Code::NoCommit,
            Self::Taken(_) => Code::WorktreeTaken,
            Self::TooLarge { .. } => Code::PatchTooLarge,
            Self::Conflict(_) => Code::PatchConflict,
            Self::Refused(_) => Code::PatchRefused,
            Self::Git { .. } | Self::Io { .. } => Code::WorktreeFailed,
        }
    }

    /// For `map_err` on a file operation.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

impl From<WorktreeError> for Fault {
    fn from(error: WorktreeError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// The first few names, and how many more there are.
fn list(files: &[PathBuf]) -> String {
    const SHOWN: usize = 10;
    let mut text = files.iter().take(SHOWN).map(|file| format!("`{}`", file.display())).collect::<Vec<_>>().join(", ");
    if files.len() > SHOWN {
        let _ = write!(text, " and {} more", files.len() - SHOWN);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_place_in_the_catalogue() {
        let path = || PathBuf::from("/p");
        for (error, code) in [
            (WorktreeError::GitMissing("x".into()), Code::GitMissing),
            (WorktreeError::GitTooOld("x".into()), Code::GitTooOld),
            (WorktreeError::NotARepository(path()), Code::NotARepository),
            (WorktreeError::NoWorkingTree(path()), Code::NoWorkingTree),
            (WorktreeError::NoCommit(path()), Code::NoCommit),
            (WorktreeError::Taken(path()), Code::WorktreeTaken),
            (WorktreeError::TooLarge { path: path(), limit: 1 }, Code::PatchTooLarge),
            (WorktreeError::Conflict(vec![path()]), Code::PatchConflict),
            (WorktreeError::Refused("x".into()), Code::PatchRefused),
            (WorktreeError::Git { command: "x".into(), said: "y".into() }, Code::WorktreeFailed),
            (WorktreeError::io(&path())(io::Error::other("x")), Code::WorktreeFailed),
        ] {
            let message = error.to_string();
            assert_eq!(Fault::from(error), Fault { code, message });
        }
    }

    #[test]
    fn a_long_list_is_cut() {
        let files: Vec<PathBuf> = (0..12).map(|number| format!("f{number}").into()).collect();
        assert!(list(&files).ends_with("`f9` and 2 more"));
        assert_eq!(list(&files[..2]), "`f0`, `f1`");
    }
}
