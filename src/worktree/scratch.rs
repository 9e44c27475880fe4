//! A directory for an index and patches of our own, below git's own directory, so that no status shows it.
//!
//! It goes when it is dropped. One that a dead process left goes when the next is made: a lock tells.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use super::{WorktreeError, repo::Repo};

const PREFIX: &str = "sortie-scratch-";
const LOCK: &str = "lock";

/// The directory.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
    /// Held while the directory is in use.
    lock: Option<File>,
}

impl Scratch {
    /// A new one for this working tree.
    pub(super) fn new(repo: &Repo) -> Result<Self, WorktreeError> {
        sweep(&repo.git_dir);
        let path = repo.git_dir.join(format!("{PREFIX}{:016x}", fastrand::u64(..)));
        fs::create_dir(&path).map_err(WorktreeError::io(&path))?;
        let mut scratch = Self { path, lock: None };
        let lock = scratch.path.join(LOCK);
        let file = File::create_new(&lock).and_then(|file| match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::ResourceBusy.into()),
            Err(TryLockError::Error(error)) => Err(error),
        });
        scratch.lock = Some(file.map_err(WorktreeError::io(&lock))?);
        Ok(scratch)
    }

    /// The path of a file in it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file into it.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, WorktreeError> {
        let path = self.file(name);
        fs::write(&path, bytes).map_err(WorktreeError::io(&path))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Windows does not delete an open file.
        self.lock = None;
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes what dead processes left.
fn sweep(git_dir: &Path) {
    let Ok(entries) = fs::read_dir(git_dir) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let dead = File::open(entry.path().join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok());
        if dead {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_process_left_goes_and_what_is_in_use_stays() {
        let dir = tempfile::tempdir().unwrap();
        let repo = Repo { top: dir.path().to_owned(), git_dir: dir.path().to_owned() };
        let dead = dir.path().join(format!("{PREFIX}dead"));
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        let other = dir.path().join("sortie-other");
        fs::create_dir(&other).unwrap();
        let first = Scratch::new(&repo).unwrap();
        assert!(!dead.exists() && other.exists());
        let second = Scratch::new(&repo).unwrap();
        let file = first.write("a", b"x").unwrap();
        assert!(file.exists());
        drop((first, second));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
