//! A task's log: what its agent writes, bounded.
//!
//! The agent writes into the file itself, so that it goes on when its supervisor is gone. When the file has become too long,
//! its newer half is put aside as `log.1` and the file begins anew; what the agent writes in that moment may be lost.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::PathBuf,
};

use super::place::Place;
use crate::store::private_file;

/// What is kept of a log unless configured otherwise, in bytes.
pub const DEFAULT_SIZE: u32 = 10_000_000;

/// A task's log.
#[derive(Debug, Clone)]
pub struct Log {
    path: PathBuf,
    older: PathBuf,
}

impl Log {
    /// The log of a task's directory.
    #[must_use]
    pub fn of(place: &Place) -> Self {
        Self { path: place.path().join("log"), older: place.path().join("log.1") }
    }

    /// The file, to be written at its end.
    ///
    /// # Errors
    /// Those of file operations.
    pub fn append(&self) -> io::Result<File> {
        private_file().append(true).create(true).open(&self.path)
    }

    /// Keeps it below `size` bytes, together with what was put aside.
    ///
    /// # Errors
    /// Those of file operations.
    pub fn bound(&self, size: u32) -> io::Result<()> {
        let half = u64::from(size / 2).max(1);
        let length = match fs::metadata(&self.path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        if length <= half {
            return Ok(());
        }
        let mut file = File::options().read(true).write(true).open(&self.path)?;
        file.seek(SeekFrom::Start(length - half))?;
        let fresh = self.older.with_extension("new");
        let mut older = private_file().write(true).create(true).truncate(true).open(&fresh)?;
        io::copy(&mut file, &mut older)?;
        older.flush()?;
        fs::rename(&fresh, &self.older)?;
        file.set_len(0)
    }

    /// Its last bytes, at most so many, from the beginning of a line if something was left out.
    ///
    /// # Errors
    /// Those of file operations.
    pub fn tail(&self, most: usize) -> io::Result<String> {
        let mut newest = last(&self.path, most)?;
        if newest.len() < most {
            let mut older = last(&self.older, most - newest.len())?;
            older.append(&mut newest);
            newest = older;
        }
        let is_cut = newest.len() >= most;
        let text = String::from_utf8_lossy(&newest).into_owned();
        Ok(match text.split_once('\n') {
            Some((_, rest)) if is_cut && !rest.is_empty() => rest.to_owned(),
            _ => text,
        })
    }

    /// Its last line that is not empty, cut to `most` characters, without what would steer a terminal.
    #[must_use]
    pub fn last_line(&self, most: usize) -> Option<String> {
        let tail = self.tail(4_096).ok()?;
        let line = tail.lines().rev().map(plain).find(|line| !line.trim().is_empty())?;
        Some(line.trim().chars().take(most).collect())
    }

    /// Where it ends now.
    #[must_use]
    pub fn end(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |file| file.len())
    }

    /// What is new behind `at`, and where it ends. A log that was put aside is read from its new beginning.
    ///
    /// # Errors
    /// Those of file operations.
    pub fn read_from(&self, at: u64) -> io::Result<(Vec<u8>, u64)> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
            Err(error) => return Err(error),
        };
        let at = if file.metadata()?.len() < at { 0 } else { at };
        file.seek(SeekFrom::Start(at))?;
        let mut new = Vec::new();
        let read = file.take(1 << 20).read_to_end(&mut new)?;
        Ok((new, at + read as u64))
    }
}

fn last(path: &std::path::Path, most: usize) -> io::Result<Vec<u8>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(most as u64)))?;
    let mut bytes = Vec::new();
    file.take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A line without colours, movements of the cursor and other control characters.
#[must_use]
pub fn plain(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => match characters.peek() {
                Some('[') => {
                    characters.next();
                    while characters.next().is_some_and(|next| !('@'..='~').contains(&next)) {}
                }
                Some(']') => while characters.next().is_some_and(|next| next != '\u{7}') {},
                _ => {
                    characters.next();
                }
            },
            '\t' => plain.push(' '),
            _ if character.is_control() => {}
            _ => plain.push(character),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Home;

    fn log() -> (tempfile::TempDir, Log) {
        let dir = tempfile::tempdir().unwrap();
        let place =
            Place::of(&Home::open(dir.path()).unwrap(), "tsk_00000000000070008000000000000001".parse().unwrap());
        place.make().unwrap();
        (dir, Log::of(&place))
    }

    #[test]
    fn a_log_is_bounded_and_its_end_is_whole() {
        let (_dir, log) = log();
        assert_eq!(log.tail(100).unwrap(), "");
        let mut file = log.append().unwrap();
        for number in 0..1_000 {
            writeln!(file, "line {number:04}").unwrap();
            log.bound(1_000).unwrap();
            let sizes = [&log.path, &log.older].map(|path| fs::metadata(path).map_or(0, |file| file.len()));
            assert!(sizes.iter().sum::<u64>() <= 1_010, "{sizes:?}");
        }
        let tail = log.tail(300).unwrap();
        assert!(tail.starts_with("line ") && tail.ends_with("line 0998\nline 0999\n"), "{tail}");
        let numbers: Vec<u32> = tail.lines().map(|line| line[5..].parse().unwrap()).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1) && numbers.len() > 25, "{numbers:?}");
    }

    #[test]
    fn it_is_followed_over_a_rotation() {
        let (_dir, log) = log();
        assert_eq!(log.read_from(0).unwrap(), (Vec::new(), 0));
        let mut file = log.append().unwrap();
        writeln!(file, "one").unwrap();
        let (new, at) = log.read_from(0).unwrap();
        assert_eq!((&*new, at), (&b"one\n"[..], 4));
        assert_eq!(log.read_from(at).unwrap(), (Vec::new(), 4));
        log.bound(2).unwrap();
        write!(file, "two").unwrap();
        assert_eq!(log.read_from(at).unwrap().0, b"two");
    }

    #[test]
    fn the_last_line_steers_no_terminal() {
        let (_dir, log) = log();
        write!(log.append().unwrap(), "first\n\u{1b}[31mred\u{1b}[0m \u{1b}]0;title\u{7}word\u{8}\n \n").unwrap();
        assert_eq!(log.last_line(100).as_deref(), Some("red word"));
        assert_eq!(log.last_line(3).as_deref(), Some("red"));
    }
}
