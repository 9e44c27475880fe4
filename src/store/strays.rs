//! A file for each program that a process of ours runs in the background: should the process be killed, the next one
//! finds there what it has left behind.

use std::{fs, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{Home, StoreError, instance, private};
use crate::{sys::process::Identity, task::InstanceId};

/// The note of a program. Dropped, it stays; [`Note::remove`] is for what has ended.
#[derive(Debug)]
pub struct Note {
    path: PathBuf,
}

/// A program that a dead process has left behind, or has ended without removing its note.
#[derive(Debug)]
pub struct Stray {
    /// Its note.
    pub note: Note,
    /// The program.
    pub leader: Identity,
}

#[derive(Serialize, Deserialize)]
struct Text {
    instance: InstanceId,
    leader: Identity,
}

/// Notes a program of a process under a name that the process gives once.
///
/// # Errors
/// [`StoreError`] of the file.
pub fn note(home: &Home, instance: InstanceId, name: &str, leader: Identity) -> Result<Note, StoreError> {
    let directory = home.commands();
    private::make_dir(&directory)?;
    let path = directory.join(format!("{instance}-{name}.json"));
    private::write(&path, &Text { instance, leader })?;
    Ok(Note { path })
}

/// What dead processes have noted. A file that is no note stays where it is.
///
/// # Errors
/// [`StoreError`] when the directory cannot be read.
pub fn of_the_dead(home: &Home) -> Result<Vec<Stray>, StoreError> {
    let directory = home.commands();
    if !directory.is_dir() {
        return Ok(Vec::new());
    }
    let fail = |source| StoreError::io(&directory, source);
    let mut found = Vec::new();
    for entry in fs::read_dir(&directory).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let text = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Text>(&text).ok());
        let Some(Text { instance, leader }) = text else { continue };
        if !instance::is_alive(home, instance) {
            found.push(Stray { note: Note { path }, leader });
        }
    }
    Ok(found)
}

impl Note {
    /// The program has ended.
    pub fn remove(self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "the note of a command was not removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{store::InstanceLock, task::Timestamp};

    #[test]
    fn notes_of_living_processes_are_theirs_and_others_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        assert!(of_the_dead(&home).unwrap().is_empty());
        let id = |n: u8| InstanceId::new(Timestamp(1), &[n; 10]);
        let lock = InstanceLock::acquire(&home, id(1)).unwrap();
        let leader = |pid| Identity { pid, birth: 7 };
        let first = note(&home, id(1), "cmd_1", leader(11)).unwrap();
        note(&home, id(1), "cmd_2", leader(12)).unwrap();
        note(&home, id(2), "cmd_1", leader(13)).unwrap();
        fs::write(home.commands().join("notes.json"), "mine").unwrap();
        let dead = |home| of_the_dead(home).unwrap().into_iter().map(|stray| stray.leader.pid).collect::<Vec<_>>();
        assert_eq!(dead(&home), [13]);
        first.remove();
        drop(lock);
        let mut left = dead(&home);
        left.sort_unstable();
        assert_eq!(left, [12, 13]);
        of_the_dead(&home).unwrap().into_iter().for_each(|stray| stray.note.remove());
        assert_eq!(fs::read_dir(home.commands()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_note_is_for_its_user_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        let note = note(&home, InstanceId::new(Timestamp(1), &[1; 10]), "cmd_1", Identity { pid: 1, birth: 1 });
        let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&note.unwrap().path), mode(&home.commands())), (0o600, 0o700));
    }
}
