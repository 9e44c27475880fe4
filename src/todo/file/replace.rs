//! Replacing the file without losing what somebody writes into it at the same moment.
//!
//! The new text is written beside the file and the two are exchanged in one step. What was there lives on under a
//! name of ours for a while, because whoever opened the file before the exchange may still write into it; only when
//! it still has the content that it was thought to have is it removed. Our names are `.<file>.<hash>-<random>.old`,
//! with the beginning of the hash of what is thought to be in it, and `.<file>.<random>.new` for a text that nobody
//! else has seen yet.

use std::{
    ffi::OsString,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::platform;

/// How much of a hash is in a name of ours.
const SHORT: usize = 16;

/// What was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Old {
    /// Where it is now.
    pub path: PathBuf,
    /// The beginning of the hash of what should be in it; of a file of a process that died, as its name says.
    pub hash: String,
}

impl Old {
    /// Whether a content of this hash is what should be in it.
    #[must_use]
    pub fn is(&self, hash: &str) -> bool {
        hash.starts_with(&self.hash)
    }
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Replaced {
    /// The file holds the text; what it held before is kept for a while.
    Done(Option<Old>),
    /// Somebody made or removed the file meanwhile: look again.
    Moved,
}

/// Puts `text` in the place of a file of content `expected` (a hash), or of none. The mode of the file that was there
/// is kept, and directories that are missing are made. Nothing reaches the disk for sure: the truth is elsewhere.
///
/// # Errors
/// What the system says; then the file is as it was.
pub fn replace(path: &Path, text: &[u8], expected: Option<&str>) -> io::Result<Replaced> {
    replace_with(path, text, expected, platform::exchange)
}

fn replace_with(
    path: &Path,
    text: &[u8],
    expected: Option<&str>,
    exchange: impl Fn(&Path, &Path) -> io::Result<bool>,
) -> io::Result<Replaced> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidFilename)?;
    fs::create_dir_all(directory)?;
    let new = beside(path, &format!("{}.new", random()));
    let written = write_new(&new, path, text);
    let done = written.and_then(|()| match expected {
        None => place(&new, path),
        Some(hash) => swap(&new, path, hash, exchange),
    });
    if !matches!(done, Ok(Replaced::Done(_))) {
        // Nobody but us has seen it.
        let _ = fs::remove_file(&new);
    }
    done
}

/// Writes the new file, with the mode of the one that it will replace.
fn write_new(new: &Path, path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(new)?;
    file.write_all(text)?;
    match fs::symlink_metadata(path) {
        Ok(there) if there.permissions().readonly() => Err(io::ErrorKind::PermissionDenied.into()),
        Ok(there) => file.set_permissions(there.permissions()),
        Err(_) => Ok(()),
    }
}

/// Gives the new file the name, which is free.
fn place(new: &Path, path: &Path) -> io::Result<Replaced> {
    match platform::rename_new(new, path) {
        Ok(()) => Ok(Replaced::Done(None)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Replaced::Moved),
        Err(error) => Err(error),
    }
}

fn swap(
    new: &Path,
    path: &Path,
    hash: &str,
    exchange: impl Fn(&Path, &Path) -> io::Result<bool>,
) -> io::Result<Replaced> {
    let old = old_name(path, hash);
    // Before the exchange: after it, a crash must not leave somebody's text under the name of one of ours.
    fs::rename(new, &old.path)?;
    let moved = match exchange(&old.path, path) {
        Ok(true) => return Ok(Replaced::Done(Some(old))),
        Ok(false) => step_by_step(new, path, &old.path),
        Err(error) => Err(error),
    };
    // Our text is still ours, under one name or the other.
    match moved {
        Ok(Replaced::Done(_)) => Ok(Replaced::Done(Some(old))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let _ = fs::rename(&old.path, new);
            Ok(Replaced::Moved)
        }
        other => {
            let _ = platform::rename_new(&old.path, new);
            other
        }
    }
}

/// A name of ours for what has this hash.
fn old_name(path: &Path, hash: &str) -> Old {
    let hash = hash.get(..SHORT).unwrap_or(hash).to_owned();
    Old { path: beside(path, &format!("{hash}-{}.old", random())), hash }
}

/// Gives a replaced file whose content was dealt with the name that says so.
///
/// # Errors
/// What the system says.
pub fn rename(old: &Old, path: &Path, hash: &str) -> io::Result<Old> {
    let renamed = old_name(path, hash);
    fs::rename(&old.path, &renamed.path)?;
    Ok(renamed)
}

/// Where there is no exchange: the file goes aside, then the new one takes the name unless somebody else took it. For
/// a moment there is no file; after a crash in it the file is made again.
fn step_by_step(new: &Path, path: &Path, old: &Path) -> io::Result<Replaced> {
    fs::rename(old, new)?;
    fs::rename(path, old)?;
    match platform::rename_new(new, path) {
        Ok(()) => Ok(Replaced::Done(None)),
        // Somebody made one in the moment: it stays, and so does what went aside. Both are looked at.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(new)?;
            Ok(Replaced::Done(None))
        }
        Err(error) => {
            let _ = platform::rename_new(old, path);
            Err(error)
        }
    }
}

/// Gives a replaced file a name for people, `<file>.outside-<8 digits of its hash>`, unless it is kept under that name
/// already. Returns where it is.
///
/// # Errors
/// What the system says; then it stays where it is.
pub fn keep_aside(old: &Path, path: &Path, bytes_hash: &str) -> io::Result<PathBuf> {
    for attempt in 0_u32.. {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".outside-{}", bytes_hash.get(..8).unwrap_or(bytes_hash)));
        if attempt > 0 {
            name.push(format!("-{attempt}"));
        }
        let aside = path.with_file_name(name);
        match platform::rename_new(old, &aside) {
            Ok(()) => return Ok(aside),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < 100 => {
                let is_same = fs::read(&aside).is_ok_and(|kept| crate::store::todo_hash(&kept) == bytes_hash);
                if is_same {
                    fs::remove_file(old)?;
                    return Ok(aside);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// The replaced files beside the file, whoever replaced them. Texts that processes left that died are removed: with the
/// turn held, nobody is about to show one.
///
/// # Errors
/// The directory cannot be read.
pub fn leftovers(path: &Path) -> io::Result<Vec<Old>> {
    let Some(directory) = path.parent() else { return Ok(Vec::new()) };
    let prefix = beside(path, "").file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut left = Vec::new();
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(left),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(rest) = name.strip_prefix(&prefix) else { continue };
        if let Some(hash) = rest.strip_suffix(".old").and_then(|rest| rest.split_once('-')).map(|(hash, _)| hash) {
            left.push(Old { path: entry.path(), hash: hash.to_owned() });
        } else if rest.strip_suffix(".new").is_some_and(|random| random.len() == 8) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(left)
}

/// `.<file>.<rest>` beside the file.
fn beside(path: &Path, rest: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".");
    name.push(rest);
    path.with_file_name(name)
}

fn random() -> String {
    format!("{:08x}", fastrand::u32(..))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::todo_hash;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".opencode/todo.md");
        (dir, path)
    }

    fn old(replaced: io::Result<Replaced>) -> Old {
        match replaced {
            Ok(Replaced::Done(Some(old))) => old,
            other => panic!("{other:?}"),
        }
    }

    fn names(path: &Path) -> Vec<String> {
        let entries = fs::read_dir(path.parent().unwrap()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_missing_file_is_made_with_its_directory_and_one_that_came_is_not_touched() {
        let (_dir, path) = place();
        assert_eq!(replace(&path, b"one", None).unwrap(), Replaced::Done(None));
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(replace(&path, b"two", None).unwrap(), Replaced::Moved);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(names(&path), ["todo.md"]);
    }

    #[test]
    fn what_was_replaced_is_kept_whatever_it_is_with_and_without_exchange() {
        for exchange in [platform::exchange as fn(&Path, &Path) -> _, |_, _| Ok(false)] {
            let (_dir, path) = place();
            replace(&path, b"one", None).unwrap();
            // Somebody wrote after our look.
            fs::write(&path, "theirs").unwrap();
            let old = old(replace_with(&path, b"two", Some(&todo_hash(b"one")), exchange));
            assert_eq!((fs::read(&path).unwrap(), fs::read(&old.path).unwrap()), (b"two".to_vec(), b"theirs".to_vec()));
            assert!(old.is(&todo_hash(b"one")) && !old.is(&todo_hash(b"theirs")));
            assert_eq!(leftovers(&path).unwrap(), [old]);
            assert_eq!(names(&path).len(), 2);
        }
    }

    #[test]
    fn a_file_that_went_away_is_looked_for_again() {
        for exchange in [platform::exchange as fn(&Path, &Path) -> _, |_, _| Ok(false)] {
            let (_dir, path) = place();
            assert_eq!(replace_with(&path, b"x", Some(&todo_hash(b"")), exchange).unwrap(), Replaced::Moved);
            assert_eq!(names(&path), [""; 0]);
        }
    }

    #[test]
    fn without_exchange_a_file_that_somebody_made_in_the_moment_stays() {
        let (_dir, path) = place();
        replace(&path, b"one", None).unwrap();
        let theirs = path.clone();
        let new = beside(&path, "00000000.new");
        let aside = beside(&path, "0-0.old");
        fs::write(&aside, "two").unwrap();
        fs::rename(&path, beside(&path, "elsewhere")).unwrap();
        fs::write(&theirs, "made").unwrap();
        // The name is taken again between the two steps.
        fs::rename(&aside, &new).unwrap();
        assert_eq!(super::place(&new, &path).unwrap(), Replaced::Moved);
        assert_eq!(fs::read(&path).unwrap(), b"made");
    }

    #[cfg(unix)]
    #[test]
    fn the_mode_stays_and_a_read_only_file_is_not_replaced() {
        use std::os::unix::fs::PermissionsExt;
        let (_dir, path) = place();
        replace(&path, b"one", None).unwrap();
        let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        mode(0o640);
        replace(&path, b"two", Some(&todo_hash(b"one"))).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        mode(0o440);
        let before = names(&path);
        let error = replace(&path, b"three", Some(&todo_hash(b"two"))).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!((fs::read(&path).unwrap(), names(&path)), (b"two".to_vec(), before));
    }

    #[test]
    fn what_is_kept_aside_never_covers_another() {
        let (_dir, path) = place();
        replace(&path, b"one", None).unwrap();
        let put = |text: &str, hash: &str| {
            let old = beside(&path, "x.old");
            fs::write(&old, text).unwrap();
            let aside = keep_aside(&old, &path, hash).unwrap();
            assert!(!old.exists());
            aside.file_name().unwrap().to_str().unwrap().to_owned()
        };
        let hash = todo_hash(b"a");
        let first = format!("todo.md.outside-{}", &hash[..8]);
        assert_eq!(put("a", &hash), first);
        assert_eq!(put("a", &hash), first);
        fs::write(path.with_file_name(&first), "changed").unwrap();
        assert_eq!(put("a", &hash), format!("{first}-1"));
        assert_eq!(fs::read_to_string(path.with_file_name(&first)).unwrap(), "changed");
    }

    #[test]
    fn texts_of_ours_that_were_left_are_removed_and_other_files_stay() {
        let (_dir, path) = place();
        replace(&path, b"one", None).unwrap();
        fs::write(beside(&path, "0123abcd.new"), "half").unwrap();
        for stays in [".todo.md.swp", ".todo.md.x.new", "todo.md.outside-01234567"] {
            fs::write(path.with_file_name(stays), "x").unwrap();
        }
        assert_eq!(leftovers(&path).unwrap(), []);
        assert_eq!(names(&path), [".todo.md.swp", ".todo.md.x.new", "todo.md", "todo.md.outside-01234567"]);
        assert_eq!(leftovers(Path::new("/nowhere/at/all")).unwrap(), []);
    }
}
