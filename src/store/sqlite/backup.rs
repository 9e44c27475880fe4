//! Copies of the database.

use std::{fs, io, path::Path};

use super::SqliteStore;
use crate::store::{StoreError, platform};

impl SqliteStore {
    /// Writes a compact copy of the whole database to `to`, for this user only. Others may read and write meanwhile.
    ///
    /// # Errors
    /// [`StoreError::TargetExists`], [`StoreError::Full`] and others; then no file is left at `to`.
    pub fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let fail = |error| StoreError::io(to, error);
        // `VACUUM INTO` takes an empty file: making it first refuses a file of somebody else's and sets the mode.
        let file = platform::private_file().write(true).create_new(true).open(to).map_err(|error| {
            let exists = error.kind() == io::ErrorKind::AlreadyExists;
            if exists { StoreError::TargetExists { path: to.to_owned() } } else { fail(error) }
        })?;
        let name = to.to_str().ok_or_else(|| fail(io::ErrorKind::InvalidFilename.into()));
        let copied = name.and_then(|name| {
            self.conn.execute("VACUUM INTO ?1", [name]).map_err(|error| StoreError::from(error).at(to))?;
            file.sync_all().map_err(fail)
        });
        if copied.is_err() {
            let _ = fs::remove_file(to);
        }
        copied
    }
}
