//! What can go wrong with the store.

use std::{io, path::Path, path::PathBuf};

use rusqlite::ErrorCode;

use crate::{
    fault::{Code, Fault},
    task::{TaskId, TransitionError},
};

/// An operation of the store that was not done. Nothing half-done stays.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else held the write lock for longer than the busy timeout.
    #[error("write to the database: another process holds it")]
    Busy,
    /// No space is left on the device.
    #[error("write to {}: no space is left", path.display())]
    Full {
        /// What was being written.
        path: PathBuf,
    },
    /// The home or one of its files cannot be opened for writing.
    #[error("write to {}: access is denied or the file system is read-only", path.display())]
    ReadOnly {
        /// What cannot be written.
        path: PathBuf,
    },
    /// A later version of Sortie made the database.
    #[error("open {}: its version is {found}, and this program knows versions up to {known}", path.display())]
    NewerVersion {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// The file is something else, or so damaged that it cannot be told.
    #[error("open {}: it is not a database of Sortie", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The database file is damaged.
    #[error("read {}: the database is damaged", path.display())]
    Corrupt {
        /// The database.
        path: PathBuf,
    },
    /// A task's row cannot be understood.
    #[error("read task {task}: {reason}")]
    CorruptTask {
        /// The task, as its row names it.
        task: String,
        /// What is wrong with the row.
        reason: String,
    },
    /// A mission's row cannot be understood.
    #[error("read mission {mission}: {reason}")]
    CorruptMission {
        /// The mission, as its row names it.
        mission: String,
        /// What is wrong with the row.
        reason: String,
    },
    /// Somebody else has made a step meanwhile: read again, and decide anew.
    #[error("write a step: somebody else was first")]
    Moved,
    /// A revision of TODO.md cannot be read.
    #[error("read revision {rev} of TODO.md: {reason}")]
    CorruptTodo {
        /// The revision.
        rev: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// TODO.md has no such revision, or its text is no longer kept.
    #[error("read revision {rev} of TODO.md: there is none, or it is too old; the newest is {head}")]
    NoSuchRevision {
        /// What was asked for.
        rev: u64,
        /// The newest revision.
        head: u64,
    },
    /// Somebody else has committed a revision of TODO.md since.
    #[error("change revision {parent} of TODO.md: the newest is {head}")]
    TodoMoved {
        /// What the change was made on.
        parent: u64,
        /// The newest revision.
        head: u64,
    },
    /// The home is on a file system whose locks do not hold between machines.
    #[error("use {}: it is on a network file system ({fs})", path.display())]
    NetworkFileSystem {
        /// The kind of file system.
        fs: &'static str,
        /// The home.
        path: PathBuf,
    },
    /// The home is not a directory.
    #[error("use {}: it is not a directory", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// The linked `SQLite` may lose commits.
    #[error("use SQLite {found}: at least {needed} is needed")]
    OldSqlite {
        /// The linked version.
        found: i32,
        /// The oldest good version.
        needed: i32,
    },
    /// No task has this id.
    #[error("find task {0}: there is none")]
    NoSuchTask(TaskId),
    /// A launched task depends on one that its project does not have.
    #[error("launch task {task}: it depends on {dependency}, which its project does not have")]
    NoSuchDependency {
        /// The launched task.
        task: TaskId,
        /// What it depends on.
        dependency: TaskId,
    },
    /// The task's state or owner does not allow the change.
    #[error(transparent)]
    Refused(#[from] TransitionError),
    /// The target of a backup is there already.
    #[error("write a backup to {}: it exists", path.display())]
    TargetExists {
        /// The target.
        path: PathBuf,
    },
    /// Another live instance has this id.
    #[error("lock {}: another process holds it", path.display())]
    InstanceTaken {
        /// The lock file.
        path: PathBuf,
    },
    /// The operating system gives no notice of changes.
    #[error("watch {}: {source}", path.display())]
    Watch {
        /// What was to be watched.
        path: PathBuf,
        /// Why not.
        source: notify::Error,
    },
    /// A file operation failed.
    #[error("access {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Any other failure of the database.
    #[error("query the database: {0}")]
    Sql(#[from] rusqlite::Error),
    /// The store was closed.
    #[error("use the store: it is closed")]
    Closed,
    /// A fault of ours.
    #[error("finish in the store: {0}")]
    Internal(String),
}

impl StoreError {
    /// Its place in the catalogue.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Busy | Self::Moved => Code::StoreBusy,
            Self::Full { .. } => Code::StoreFull,
            Self::ReadOnly { .. } => Code::StoreReadOnly,
            Self::NewerVersion { .. } => Code::StoreNewer,
            Self::NotADatabase { .. }
            | Self::Corrupt { .. }
            | Self::CorruptTask { .. }
            | Self::CorruptMission { .. }
            | Self::CorruptTodo { .. } => Code::StoreCorrupt,
            Self::NoSuchRevision { .. } => Code::TodoNoRevision,
            Self::TodoMoved { .. } => Code::TodoMoved,
            Self::NetworkFileSystem { .. } => Code::StoreNetwork,
            Self::NotADirectory { .. } => Code::StoreNotADirectory,
            Self::OldSqlite { .. } => Code::StoreSqlite,
            Self::NoSuchTask(_) => Code::NoSuchTask,
            Self::NoSuchDependency { .. } => Code::UnknownDependency,
            Self::Refused(_) => Code::NotOpen,
            Self::TargetExists { .. } => Code::StoreTargetExists,
            Self::InstanceTaken { .. } | Self::Watch { .. } | Self::Io { .. } | Self::Sql(_) => Code::StoreBroken,
            Self::Closed => Code::NotAttached,
            Self::Internal(_) => Code::Internal,
        }
    }

    /// The error of a file operation on `path`.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            io::ErrorKind::NotADirectory => Self::NotADirectory { path },
            _ => Self::Io { path, source },
        }
    }

    /// An error of the database at `path` under its own name, where it has one.
    pub(crate) fn at(self, path: &Path) -> Self {
        let Self::Sql(error) = self else { return self };
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DiskFull) => Self::Full { path },
            // `CannotOpen` is what files of another user give: SQLite does not pass the system's reason on.
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => Self::ReadOnly { path },
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt { path },
            Some(ErrorCode::NotADatabase) => Self::NotADatabase { path },
            _ => Self::Sql(error),
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Refusal, Timestamp};

    #[test]
    fn every_error_has_its_place_in_the_catalogue_and_says_what_was_tried() {
        let path = || PathBuf::from("/h");
        let id = TaskId::new(Timestamp(1), &[0; 10]);
        let refused = TransitionError { change: "claim", state: "failed", refusal: Refusal::State };
        for (error, code) in [
            (StoreError::Busy, Code::StoreBusy),
            (StoreError::Full { path: path() }, Code::StoreFull),
            (StoreError::ReadOnly { path: path() }, Code::StoreReadOnly),
            (StoreError::NewerVersion { path: path(), found: 2, known: 1 }, Code::StoreNewer),
            (StoreError::NotADatabase { path: path() }, Code::StoreCorrupt),
            (StoreError::Corrupt { path: path() }, Code::StoreCorrupt),
            (StoreError::CorruptTask { task: "t".into(), reason: "r".into() }, Code::StoreCorrupt),
            (StoreError::CorruptMission { mission: "m".into(), reason: "r".into() }, Code::StoreCorrupt),
            (StoreError::Moved, Code::StoreBusy),
            (StoreError::CorruptTodo { rev: 1, reason: "r".into() }, Code::StoreCorrupt),
            (StoreError::NoSuchRevision { rev: 2, head: 1 }, Code::TodoNoRevision),
            (StoreError::TodoMoved { parent: 1, head: 2 }, Code::TodoMoved),
            (StoreError::NetworkFileSystem { fs: "nfs", path: path() }, Code::StoreNetwork),
            (StoreError::NotADirectory { path: path() }, Code::StoreNotADirectory),
            (StoreError::OldSqlite { found: 1, needed: 2 }, Code::StoreSqlite),
            (StoreError::NoSuchTask(id), Code::NoSuchTask),
            (StoreError::NoSuchDependency { task: id, dependency: id }, Code::UnknownDependency),
            (StoreError::Refused(refused), Code::NotOpen),
            (StoreError::TargetExists { path: path() }, Code::StoreTargetExists),
            (StoreError::InstanceTaken { path: path() }, Code::StoreBroken),
            (StoreError::Watch { path: path(), source: notify::Error::generic("x") }, Code::StoreBroken),
            (StoreError::Io { path: path(), source: io::Error::other("x") }, Code::StoreBroken),
            (StoreError::Sql(rusqlite::Error::InvalidQuery), Code::StoreBroken),
            (StoreError::Closed, Code::NotAttached),
            (StoreError::Internal("x".into()), Code::Internal),
        ] {
            let message = error.to_string();
            assert!(!message.is_empty());
            assert_eq!(Fault::from(error), Fault { code, message });
        }
    }

    #[test]
    fn the_systems_reasons_get_names() {
        let named = |kind: io::ErrorKind| StoreError::io(Path::new("/h"), kind.into()).code();
        assert_eq!(named(io::ErrorKind::ReadOnlyFilesystem), Code::StoreReadOnly);
        assert_eq!(named(io::ErrorKind::PermissionDenied), Code::StoreReadOnly);
        assert_eq!(named(io::ErrorKind::StorageFull), Code::StoreFull);
        assert_eq!(named(io::ErrorKind::NotFound), Code::StoreBroken);
    }
}
