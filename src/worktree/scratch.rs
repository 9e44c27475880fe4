//! A directory for an index and patches of our own, below git's own directory, so that no status shows it.
//!
//! It goes when it is dropped. One that a dead process left goes when the next is made: a lock tells.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{WorktreeError, repo::Repo};

const PREFIX: &str = "sortie-scratch-";
const LOCK: &str = "lock";
/// The lock's name until it is held.
const LOCK_TO_BE: &str = "lock.new";
/// After how long a directory that has no lock yet is one whose maker died: it takes milliseconds to get one.
const MAKING: Duration = Duration::from_secs(3600);

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
        let (to_be, lock) = (scratch.path.join(LOCK_TO_BE), scratch.path.join(LOCK));
        // Another that sweeps meanwhile would take a lock that is not held for one of the dead.
        let file = File::create_new(&to_be).and_then(|file| match file.try_lock() {
            Ok(()) => fs::rename(&to_be, &lock).map(|()| file),
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
        let dead = match File::open(entry.path().join(LOCK)) {
            Ok(lock) => lock.try_lock().is_ok(),
            Err(_) => is_older_than(MAKING, &entry),
        };
        if dead {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_older_than(age: Duration, entry: &fs::DirEntry) -> bool {
    let modified = entry.metadata().and_then(|metadata| metadata.modified());
    modified.is_ok_and(|at| at.elapsed().is_ok_and(|elapsed| elapsed > age))
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

    #[test]
    fn one_that_sweeps_meanwhile_does_not_take_a_new_one_for_one_of_the_dead() {
        let dir = tempfile::tempdir().unwrap();
        let repo = Repo { top: dir.path().to_owned(), git_dir: dir.path().to_owned() };
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !over.load(std::sync::atomic::Ordering::Relaxed) {
                        sweep(dir.path());
                    }
                });
            }
            let made = scope.spawn(|| {
                (0..2_000).try_for_each(|_| Scratch::new(&repo)?.write("a", b"x").map(drop)).map_err(|e| e.to_string())
            });
            let made = made.join();
            over.store(true, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(made.unwrap(), Ok(()));
        });
    }

    #[cfg(unix)]
    #[test]
    fn one_whose_maker_died_before_it_had_a_lock_goes_after_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let repo = Repo { top: dir.path().to_owned(), git_dir: dir.path().to_owned() };
        let (old, new) = (dir.path().join(format!("{PREFIX}old")), dir.path().join(format!("{PREFIX}new")));
        fs::create_dir(&old).unwrap();
        fs::create_dir(&new).unwrap();
        let long_ago = std::time::SystemTime::now() - 2 * MAKING;
        File::open(&old).unwrap().set_times(fs::FileTimes::new().set_modified(long_ago)).unwrap();
        drop(Scratch::new(&repo).unwrap());
        assert!(!old.exists() && new.exists());
    }
}
