//! Windows. Access is governed by the access lists that a user's directories inherit.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::windows::fs::MetadataExt,
    path::{Component, Path, Prefix},
};

/// Makes a directory and its parents. One that is there stays as it is.
pub(crate) fn create_private_dir(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// Options that make files.
pub(crate) fn private_file() -> OpenOptions {
    OpenOptions::new()
}

/// Nothing: the file inherits the access list of its directory.
pub(crate) fn make_private(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Whether this process may make files in a directory: not known before it tries.
pub(crate) fn check_writable(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Whether `path` still names the open `file`. The creation time alone would not do: a file that is made again
/// within seconds under the same name inherits it.
pub(crate) fn names(path: &Path, file: &File) -> io::Result<bool> {
    let (open, named) = match (file.metadata()?, fs::metadata(path)) {
        (open, Ok(named)) => (open, named),
        (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        (_, Err(error)) => return Err(error),
    };
    Ok((open.creation_time(), open.last_write_time()) == (named.creation_time(), named.last_write_time()))
}

/// The kind of network file system that `path` is on, if it is on one. A mapped drive shows as its server.
pub(crate) fn network_fs(path: &Path) -> io::Result<Option<&'static str>> {
    let real = fs::canonicalize(path)?;
    let Some(Component::Prefix(prefix)) = real.components().next() else { return Ok(None) };
    Ok(matches!(prefix.kind(), Prefix::UNC(..) | Prefix::VerbatimUNC(..)).then_some("smb"))
}
