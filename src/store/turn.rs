//! What one process at a time may do: whoever holds the lock on its file. The kernel lets go of it with the process.

use std::fs::{File, TryLockError};

use super::{Home, StoreError, platform};

/// A held turn. Dropped, the next one may.
#[derive(Debug)]
pub struct Turn {
    _file: File,
}

impl Turn {
    /// Takes the turn of this name, if nobody has it just now. Never waits. The name is letters, digits and `-`; its
    /// file stays.
    ///
    /// # Errors
    /// Those of file operations.
    pub fn take(home: &Home, name: &str) -> Result<Option<Self>, StoreError> {
        let path = home.turns().join(format!("{name}.lock"));
        let fail = |source| StoreError::io(&path, source);
        let file = platform::private_file().read(true).write(true).create(true).open(&path).map_err(fail)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(fail(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_has_the_turn() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        let turn = Turn::take(&home, "a").unwrap().unwrap();
        assert!(Turn::take(&home, "a").unwrap().is_none());
        assert!(Turn::take(&home, "b").unwrap().is_some());
        drop(turn);
        assert!(Turn::take(&home, "a").unwrap().is_some());
        std::fs::remove_dir_all(home.turns()).unwrap();
        assert!(matches!(Turn::take(&home, "a"), Err(StoreError::Io { .. })));
    }
}
