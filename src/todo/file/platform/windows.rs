//! Windows.

use std::{
    fs::{File, OpenOptions},
    io,
    os::windows::fs::OpenOptionsExt,
    path::Path,
};

/// `FILE_FLAG_OPEN_REPARSE_POINT` of `winbase.h`: a link itself is opened, not what it leads to.
const REPARSE_POINT: u32 = 0x0020_0000;

/// Opens a file for reading; of a link, the link itself, which is no regular file.
pub fn open_plain(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(REPARSE_POINT).open(path)
}

/// Exchanges two files in one step: the system cannot.
pub fn exchange(_one: &Path, _other: &Path) -> io::Result<bool> {
    Ok(false)
}

/// Renames a file to a name that is free; [`io::ErrorKind::AlreadyExists`] when it is not.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    super::rename_free(from, to)
}
