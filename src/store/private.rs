//! Small files of Sortie's own, for this user only: there is the old text or the new one, never a part.

use std::{fs, io, io::Write as _, path::Path};

use serde::Serialize;

use super::{StoreError, platform};

/// Makes a directory and its parents.
///
/// # Errors
/// [`StoreError`] as of file operations.
pub fn make_dir(path: &Path) -> Result<(), StoreError> {
    platform::create_private_dir(path).map_err(|source| StoreError::io(path, source))
}

/// Writes a file of JSON, in the place of one that may be there. Only one process at a time may write a file of this name.
///
/// # Errors
/// [`StoreError`] as of file operations; what was there is there still.
pub fn write(path: &Path, what: &impl Serialize) -> Result<(), StoreError> {
    let text = serde_json::to_vec(what).map_err(|error| StoreError::io(path, error.into()))?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = Path::new(&beside);
    put(beside, path, &text).map_err(|source| {
        let _ = fs::remove_file(beside);
        StoreError::io(path, source)
    })
}

fn put(beside: &Path, path: &Path, text: &[u8]) -> io::Result<()> {
    // One that a crash left behind may have been made by anybody.
    match fs::remove_file(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = platform::private_file().write(true).create_new(true).open(beside)?;
    file.write_all(text)?;
    fs::rename(beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_whole_and_again() {
        let dir = tempfile::tempdir().unwrap();
        let (below, old) = (dir.path().join("a/b"), "old");
        make_dir(&below).unwrap();
        let path = below.join("x.json");
        fs::write(below.join("x.json.new"), "left by a crash").unwrap();
        for text in [old, "new"] {
            write(&path, &text).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("\"{text}\""));
        }
        assert_eq!(fs::read_dir(&below).unwrap().count(), 1);
        assert!(write(&dir.path().join("nowhere/x"), &"").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn it_is_for_its_user_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (below, path) = (dir.path().join("a"), dir.path().join("a/x"));
        make_dir(&below).unwrap();
        write(&path, &"x").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&below), mode(&path)), (0o700, 0o600));
    }
}
