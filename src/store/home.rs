//! `$SORTIE_HOME`: the one directory in which Sortie keeps its own files.

use std::{
    io,
    path::{self, Path, PathBuf},
};

use super::{StoreError, platform};

/// The home, checked: a directory on a local file system in which this process may make files.
#[derive(Debug, Clone)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// Opens the home at `path` and makes what is missing, for this user only.
    ///
    /// # Errors
    /// [`StoreError::NetworkFileSystem`], [`StoreError::ReadOnly`], [`StoreError::Full`],
    /// [`StoreError::NotADirectory`] or [`StoreError::Io`]. A home on a network file system is left without a file.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, platform::network_fs)
    }

    fn open_with(
        path: &Path,
        network_fs: impl Fn(&Path) -> io::Result<Option<&'static str>>,
    ) -> Result<Self, StoreError> {
        let fail = |source| StoreError::io(path, source);
        let root = path::absolute(path).map_err(fail)?;
        if root.exists() && !root.is_dir() {
            return Err(StoreError::NotADirectory { path: root });
        }
        platform::create_private_dir(&root).map_err(fail)?;
        if let Some(fs) = network_fs(&root).map_err(fail)? {
            return Err(StoreError::NetworkFileSystem { fs, path: root });
        }
        platform::check_writable(&root).map_err(fail)?;
        let home = Self { root };
        for directory in [home.instances(), home.turns(), home.log(), home.tasks(), home.processes()] {
            platform::create_private_dir(&directory).map_err(|source| StoreError::io(&directory, source))?;
        }
        Ok(home)
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The database. Only `SQLite` may open it: closing any other descriptor of it drops `SQLite`'s locks.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.root.join("sortie.db")
    }

    /// The lock files of live instances.
    #[must_use]
    pub fn instances(&self) -> PathBuf {
        self.root.join("instances")
    }

    /// The lock files of what one process at a time may do.
    #[must_use]
    pub fn turns(&self) -> PathBuf {
        self.root.join("turns")
    }

    /// The directories of single tasks: their logs, and what their agents say by files.
    #[must_use]
    pub fn tasks(&self) -> PathBuf {
        self.root.join("tasks")
    }

    /// Notes of what runs for the queue.
    #[must_use]
    pub fn processes(&self) -> PathBuf {
        self.root.join("processes")
    }

    /// The notes of programs that run in the background; made with the first.
    #[must_use]
    pub fn commands(&self) -> PathBuf {
        self.root.join("commands")
    }

    /// The records of servers that run, and what they keep.
    #[must_use]
    pub fn servers(&self) -> PathBuf {
        self.root.join("servers")
    }

    /// Log files.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_home_is_made_with_its_parents_and_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let home = Home::open(&path).unwrap();
        assert!(home.instances().is_dir() && home.turns().is_dir() && home.log().is_dir());
        Home::open(&path).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_home_is_for_its_user_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(&dir.path().join("h")).unwrap();
        for path in [home.root(), &home.instances(), &home.log()] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn a_network_file_system_is_refused_by_its_name_and_left_empty() {
        let dir = tempfile::tempdir().unwrap();
        let error = Home::open_with(dir.path(), |_| Ok(Some("nfs"))).unwrap_err();
        assert!(matches!(&error, StoreError::NetworkFileSystem { fs: "nfs", .. }), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_in_its_place_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("h");
        fs::write(&path, "mine").unwrap();
        for path in [&path, &path.join("below")] {
            assert_eq!(Home::open(path).unwrap_err().code(), crate::fault::Code::StoreNotADirectory);
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }
}
