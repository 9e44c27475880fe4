//! What is found at the file's path.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::platform;
use crate::store::todo_hash;

/// The largest file that is taken in, in bytes. 10,000 items with notes are a tenth of it.
pub const MAX_BYTES: u64 = 16 << 20;

/// A file's content as far as it matters.
#[derive(Debug)]
pub enum Seen {
    /// There is no file.
    Missing,
    /// Text.
    Text(Text),
    /// No text: it holds a NUL or is not UTF-8.
    Binary(Stamp),
    /// Something that is left alone.
    Bad(Bad),
}

/// A text and the look of its file.
#[derive(Debug, Clone)]
pub struct Text {
    /// The whole text.
    pub text: String,
    /// The file's look.
    pub stamp: Stamp,
}

/// What shows that a file has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Its length in bytes.
    pub len: u64,
    /// When it was last written, by its file system.
    pub modified: Option<SystemTime>,
    /// The hash of its bytes.
    pub hash: String,
}

/// Why a file is neither taken in nor replaced.
#[derive(Debug, thiserror::Error)]
pub enum Bad {
    /// A merge of git's, or of another tool's, is not finished.
    #[error("it holds conflict markers; it is taken in when they are resolved")]
    Marked(Stamp),
    /// The path leads out of the project.
    #[error("it leads outside the project, to {}", .0.display())]
    Outside(PathBuf),
    /// A directory, a pipe or the like, or a link to nothing.
    #[error("it is not a regular file")]
    NotAFile,
    /// Larger than [`MAX_BYTES`].
    #[error("its {0} bytes are more than {MAX_BYTES}")]
    TooLarge(u64),
    /// The system refuses.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
}

/// The real place of the file `relative` of the project at `root`: links are followed, but not out of the project.
///
/// # Errors
/// [`Bad::Outside`], [`Bad::NotAFile`] or [`Bad::Unreadable`].
pub fn resolve(root: &Path, relative: &Path) -> Result<PathBuf, Bad> {
    let root = fs::canonicalize(root)?;
    let path = root.join(relative);
    // The nearest thing that is there decides where the rest would come to lie.
    for there in path.ancestors() {
        match fs::symlink_metadata(there) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => continue,
            Err(error) => return Err(error.into()),
        }
        let real = match fs::canonicalize(there) {
            Ok(real) => real,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Bad::NotAFile),
            Err(error) => return Err(error.into()),
        };
        if !real.starts_with(&root) {
            return Err(Bad::Outside(real));
        }
        let rest = path.strip_prefix(there).unwrap_or(Path::new(""));
        if rest.as_os_str().is_empty() {
            return Ok(real);
        }
        return if real.is_dir() { Ok(real.join(rest)) } else { Err(Bad::NotAFile) };
    }
    Err(Bad::NotAFile)
}

/// Looks at the file at `path`, which is no link any more.
#[must_use]
pub fn observe(path: &Path) -> Seen {
    match look(path) {
        Ok(seen) => seen,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Seen::Missing,
        Err(error) => Seen::Bad(Bad::Unreadable(error)),
    }
}

fn look(path: &Path) -> io::Result<Seen> {
    // Before it is opened: opening a pipe would wait for its other end.
    if !fs::symlink_metadata(path)?.is_file() {
        return Ok(Seen::Bad(Bad::NotAFile));
    }
    let mut file: File = platform::open_plain(path)?;
    let before = file.metadata()?;
    if !before.is_file() {
        return Ok(Seen::Bad(Bad::NotAFile));
    }
    if before.len() > MAX_BYTES {
        return Ok(Seen::Bad(Bad::TooLarge(before.len())));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(before.len()).unwrap_or(0) + 1);
    (&mut file).take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    let len = bytes.len() as u64;
    if len > MAX_BYTES {
        return Ok(Seen::Bad(Bad::TooLarge(len)));
    }
    let stamp = Stamp { len, modified: before.modified().ok(), hash: todo_hash(&bytes) };
    Ok(match String::from_utf8(bytes) {
        Ok(text) if text.contains('\0') => Seen::Binary(stamp),
        Ok(text) if is_marked(&text) => Seen::Bad(Bad::Marked(stamp)),
        Ok(text) => Seen::Text(Text { text, stamp }),
        Err(_) => Seen::Binary(stamp),
    })
}

/// Whether an unfinished merge is in it: both kinds of outer markers at the start of a line.
fn is_marked(text: &str) -> bool {
    let marks = |mark: &str| {
        text.lines().any(|line| line.strip_prefix(mark).is_some_and(|rest| rest.is_empty() || rest.starts_with(' ')))
    };
    marks("<<<<<<<") || marks(">>>>>>>")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(bytes: &[u8]) -> Seen {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("todo.md");
        fs::write(&path, bytes).unwrap();
        observe(&path)
    }

    #[test]
    fn a_text_is_read_with_its_look() {
        let Seen::Text(found) = seen("- [ ] é\n".as_bytes()) else { panic!() };
        assert_eq!((found.text.as_str(), found.stamp.len), ("- [ ] é\n", 9));
        assert_eq!(found.stamp.hash, todo_hash("- [ ] é\n".as_bytes()));
        assert!(found.stamp.modified.is_some());
        assert!(matches!(seen(b""), Seen::Text(text) if text.text.is_empty()));
    }

    #[test]
    fn what_is_no_text_of_ours_is_told_apart() {
        assert!(matches!(seen(b"a\0b"), Seen::Binary(_)) && matches!(seen(b"a\xffb"), Seen::Binary(_)));
        for marked in ["<<<<<<< HEAD\na\n=======\nb\n>>>>>>> x\n", "a\n<<<<<<<\n", ">>>>>>> theirs"] {
            assert!(matches!(seen(marked.as_bytes()), Seen::Bad(Bad::Marked(_))), "{marked}");
        }
        for plain in ["a <<<<<<< b\n", "<<<<<<<<\n", "=======\n"] {
            assert!(matches!(seen(plain.as_bytes()), Seen::Text(_)), "{plain}");
        }
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(observe(&dir.path().join("none")), Seen::Missing));
        assert!(matches!(observe(dir.path()), Seen::Bad(Bad::NotAFile)));
        let large = dir.path().join("large");
        File::create(&large).unwrap().set_len(MAX_BYTES + 1).unwrap();
        assert!(matches!(observe(&large), Seen::Bad(Bad::TooLarge(_))));
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(matches!(observe(&pipe), Seen::Bad(Bad::NotAFile)));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_within_the_project_only() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(dir.path()).unwrap();
        let (root, away) = (base.join("root"), base.join("away"));
        for made in [root.join("inside"), away.clone()] {
            fs::create_dir_all(made).unwrap();
        }
        let path = |relative: &str| resolve(&root, Path::new(relative));
        assert_eq!(path(".opencode/todo.md").unwrap(), root.join(".opencode/todo.md"));
        symlink(root.join("inside"), root.join("link")).unwrap();
        assert_eq!(path("link/todo.md").unwrap(), root.join("inside/todo.md"));
        fs::write(root.join("inside/real.md"), "x").unwrap();
        symlink("inside/real.md", root.join("todo.md")).unwrap();
        assert_eq!(path("todo.md").unwrap(), root.join("inside/real.md"));
        symlink(&away, root.join("out")).unwrap();
        assert!(matches!(path("out/todo.md"), Err(Bad::Outside(to)) if to == away));
        fs::write(away.join("theirs.md"), "x").unwrap();
        symlink(away.join("theirs.md"), root.join("theirs.md")).unwrap();
        assert!(matches!(path("theirs.md"), Err(Bad::Outside(_))));
        symlink(root.join("nothing"), root.join("dangling")).unwrap();
        assert!(matches!(path("dangling"), Err(Bad::NotAFile)));
        fs::write(root.join("file"), "x").unwrap();
        assert!(matches!(path("file/todo.md"), Err(Bad::NotAFile)));
    }
}
