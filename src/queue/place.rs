//! A task's own directory: its log, and what its agent says of itself by files of known names.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{
    fault::floor,
    store::{Home, StoreError},
    task::TaskId,
};

/// The most that is read of what an agent says, in bytes.
const MOST: usize = 256 * 1024;

/// The directory of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    directory: PathBuf,
}

/// What an agent has said of its end, the weightiest if it has said several things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// `.cancelled`: it is not to be gone on with.
    Cancelled,
    /// `.timeout`: its own time limit was over.
    Timeout,
    /// `.error`: it could not do its work.
    Error(String),
    /// `.done`: it has done its work; with its report, if it wrote one into the file.
    Done(Option<String>),
}

/// What `.error` holds, if it is JSON.
#[derive(Deserialize)]
struct ErrorFile {
    error: String,
    #[serde(default)]
    details: Option<String>,
}

impl Place {
    /// The directory of a task below a home, whether it is there or not.
    #[must_use]
    pub fn of(home: &Home, task: TaskId) -> Self {
        Self { directory: home.tasks().join(task.to_string()) }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Makes it, for this user only.
    ///
    /// # Errors
    /// Those of file operations.
    pub fn make(&self) -> Result<(), StoreError> {
        crate::store::private_dir(&self.directory).map_err(|source| StoreError::io(&self.directory, source))
    }

    /// Forgets what an agent of an earlier attempt has said.
    ///
    /// # Errors
    /// Those of file operations.
    pub fn clear(&self) -> io::Result<()> {
        for name in NAMES {
            match fs::remove_file(self.directory.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes it with all that is in it. Only what lies here is ours.
    ///
    /// # Errors
    /// Those of file operations.
    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// What the agent has said so far.
    #[must_use]
    pub fn said(&self) -> Option<Said> {
        Self::said_by(|name| self.has(name), |name| self.read(name))
    }

    /// What is said by files of the known names, wherever they lie.
    pub fn said_by(has: impl Fn(&str) -> bool, read: impl Fn(&str) -> Option<String>) -> Option<Said> {
        if has(CANCELLED) {
            return Some(Said::Cancelled);
        }
        if has(TIMEOUT) {
            return Some(Said::Timeout);
        }
        if let Some(text) = read(ERROR) {
            return Some(Said::Error(error_in(&text)));
        }
        let text = read(DONE)?;
        let text = text.trim();
        Some(Said::Done((!text.is_empty()).then(|| text.to_owned())))
    }

    /// The exit code that a wrapper of the agent has noted.
    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        Self::exit_code_by(|name| self.read(name))
    }

    /// The exit code in the file of the known name, wherever it lies.
    pub fn exit_code_by(read: impl Fn(&str) -> Option<String>) -> Option<i32> {
        read(EXIT_CODE)?.trim().parse().ok()
    }

    fn has(&self, name: &str) -> bool {
        // A link would let an agent point at somebody else's file.
        fs::symlink_metadata(self.directory.join(name)).is_ok_and(|metadata| metadata.is_file())
    }

    fn read(&self, name: &str) -> Option<String> {
        use io::Read;
        if !self.has(name) {
            return None;
        }
        let mut bytes = Vec::new();
        fs::File::open(self.directory.join(name)).ok()?.take(MOST as u64).read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Some(text[..floor(&text, MOST)].to_owned())
    }
}

const DONE: &str = ".done";
const ERROR: &str = ".error";
const CANCELLED: &str = ".cancelled";
const TIMEOUT: &str = ".timeout";
const EXIT_CODE: &str = ".exitcode";

/// The files by which an agent speaks.
pub const NAMES: [&str; 5] = [DONE, ERROR, CANCELLED, TIMEOUT, EXIT_CODE];

fn error_in(text: &str) -> String {
    let words = match serde_json::from_str::<ErrorFile>(text) {
        Ok(ErrorFile { error, details: Some(details) }) if !details.trim().is_empty() && details != error => {
            format!("{error}: {details}")
        }
        Ok(ErrorFile { error, .. }) => error,
        Err(_) => text.to_owned(),
    };
    let words = words.trim();
    if words.is_empty() { "the agent gave no reason".to_owned() } else { words.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (tempfile::TempDir, Place) {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        let place = Place::of(&home, "tsk_00000000000070008000000000000001".parse().unwrap());
        place.make().unwrap();
        (dir, place)
    }

    #[test]
    fn the_weightiest_word_counts_and_is_forgotten_with_the_rest() {
        let (_dir, place) = place();
        let say = |name: &str, text: &str| fs::write(place.path().join(name), text).unwrap();
        assert_eq!((place.said(), place.exit_code()), (None, None));
        say(DONE, "\n");
        assert_eq!(place.said(), Some(Said::Done(None)));
        say(DONE, " three files \n");
        assert_eq!(place.said(), Some(Said::Done(Some("three files".to_owned()))));
        say(ERROR, r#"{"error": "no disk", "details": "at /x", "timestamp": "2025-12-01T10:30:00Z"}"#);
        assert_eq!(place.said(), Some(Said::Error("no disk: at /x".to_owned())));
        for (text, words) in
            [("plain words\n", "plain words"), ("", "the agent gave no reason"), ("{\"a\":1}", "{\"a\":1}")]
        {
            say(ERROR, text);
            assert_eq!(place.said(), Some(Said::Error(words.to_owned())));
        }
        say(TIMEOUT, "");
        assert_eq!(place.said(), Some(Said::Timeout));
        say(CANCELLED, "");
        assert_eq!(place.said(), Some(Said::Cancelled));
        say(EXIT_CODE, "124\n");
        assert_eq!(place.exit_code(), Some(124));
        say("own.txt", "kept");
        place.clear().unwrap();
        assert_eq!((place.said(), place.exit_code()), (None, None));
        assert!(place.path().join("own.txt").exists());
        place.remove().unwrap();
        place.remove().unwrap();
        assert!(!place.path().exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_says_nothing() {
        let (dir, place) = place();
        let secret = dir.path().join("secret");
        fs::write(&secret, "of somebody else").unwrap();
        std::os::unix::fs::symlink(&secret, place.path().join(DONE)).unwrap();
        assert_eq!(place.said(), None);
        place.clear().unwrap();
        assert!(secret.exists());
    }
}
