//! Proof of life: every instance holds a lock on a file of its own, and the kernel lets go of it with the process.
//!
//! A lock file is removed only by somebody who holds its lock and sees that the path still names it; whoever has
//! made and locked one looks as well. So nobody goes on with a lock on a file that was removed.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use super::{Home, StoreError, platform};
use crate::task::InstanceId;

/// How often an id's lock is tried: somebody who looks whether we live holds it for microseconds.
const TRIES: u32 = 2_000;

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(1);

/// The lock of a live instance. Dropped, the instance is dead.
#[derive(Debug)]
pub struct InstanceLock {
    id: InstanceId,
    path: PathBuf,
    file: File,
}

impl InstanceLock {
    /// Takes the lock of `id`. Blocks for moments at most.
    ///
    /// # Errors
    /// [`StoreError::InstanceTaken`] when a live instance has this id, or those of file operations.
    pub fn acquire(home: &Home, id: InstanceId) -> Result<Self, StoreError> {
        let path = file_of(home, id);
        let fail = |source| StoreError::io(&path, source);
        for _ in 0..TRIES {
            let file = platform::private_file().read(true).write(true).create(true).open(&path).map_err(fail)?;
            match file.try_lock() {
                Ok(()) if platform::names(&path, &file).map_err(fail)? => return Ok(Self { id, path, file }),
                // A sweep took it between its making and our lock: make it again.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
                Err(TryLockError::Error(error)) => return Err(fail(error)),
            }
        }
        Err(StoreError::InstanceTaken { path })
    }

    /// Whose lock it is.
    #[must_use]
    pub fn id(&self) -> InstanceId {
        self.id
    }
}

impl Drop for InstanceLock {
    fn drop(&mut self) {
        // A file that stays behind is swept later.
        if matches!(platform::names(&self.path, &self.file), Ok(true)) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether an instance lives. What cannot be found out counts as life: the work of a live instance must not be done
/// twice.
#[must_use]
pub fn is_alive(home: &Home, id: InstanceId) -> bool {
    match platform::private_file().read(true).open(file_of(home, id)) {
        Ok(file) => file.try_lock_shared().is_err(),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Removes the lock files of dead instances; returns how many. Files that are no lock files stay.
///
/// # Errors
/// [`StoreError`] when the directory cannot be read. A file that cannot be removed is left for the next sweep.
pub fn sweep(home: &Home) -> Result<usize, StoreError> {
    let directory = home.instances();
    let fail = |source| StoreError::io(&directory, source);
    let mut removed = 0;
    for entry in fs::read_dir(&directory).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if is_lock_file(&path) && remove_if_dead(&path).unwrap_or(false) {
            removed += 1;
        }
    }
    Ok(removed)
}

fn remove_if_dead(path: &Path) -> io::Result<bool> {
    let file = platform::private_file().read(true).write(true).open(path)?;
    if file.try_lock().is_err() || !platform::names(path, &file)? {
        return Ok(false);
    }
    fs::remove_file(path)?;
    Ok(true)
}

fn file_of(home: &Home, id: InstanceId) -> PathBuf {
    home.instances().join(format!("{id}.lock"))
}

fn is_lock_file(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.and_then(|name| name.strip_suffix(".lock")).is_some_and(|id| id.parse::<InstanceId>().is_ok())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::task::Timestamp;

    fn home() -> (tempfile::TempDir, Home) {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        (dir, home)
    }

    fn id(n: u8) -> InstanceId {
        InstanceId::new(Timestamp(1), &[n; 10])
    }

    #[test]
    fn an_instance_lives_as_long_as_its_lock() {
        let (_dir, home) = home();
        assert!(!is_alive(&home, id(1)));
        let lock = InstanceLock::acquire(&home, id(1)).unwrap();
        assert!(is_alive(&home, id(1)));
        assert_eq!(sweep(&home).unwrap(), 0);
        drop(lock);
        assert!(!is_alive(&home, id(1)));
        assert_eq!(fs::read_dir(home.instances()).unwrap().count(), 0);
    }

    #[test]
    fn what_the_dead_left_is_dead_and_swept_and_other_files_stay() {
        let (_dir, home) = home();
        let foreign = home.instances().join("notes.lock");
        for path in [file_of(&home, id(1)), foreign.clone()] {
            fs::write(path, "").unwrap();
        }
        assert!(!is_alive(&home, id(1)));
        assert_eq!(sweep(&home).unwrap(), 1);
        assert!(foreign.exists());
    }

    #[test]
    fn an_instance_is_never_swept_while_it_starts() {
        let (_dir, home) = home();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        sweep(&home).unwrap();
                    }
                });
            }
            for n in 0..200 {
                let lock = InstanceLock::acquire(&home, id(n)).unwrap();
                assert!(is_alive(&home, id(n)) && platform::names(&lock.path, &lock.file).unwrap());
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}
