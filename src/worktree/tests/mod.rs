//! Worktrees with the real git. Links, modes and signals of the fixtures are those of Unix.

#![cfg(unix)]

mod changes;
mod hostile;
mod making;
mod removal;

use std::{
    collections::BTreeMap,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::*;

/// A repository, in a directory whose name needs care, and a place for worktrees.
struct Fixture {
    directory: TempDir,
}

impl Fixture {
    /// With a first commit of two files.
    fn new() -> Self {
        let fixture = Self::empty();
        fixture.write("a.txt", "one\ntwo\nthree\nfour\nfive\nsix\nseven\n");
        fixture.write("sub/b.txt", "b\n");
        fixture.commit();
        fixture
    }

    fn empty() -> Self {
        let fixture = Self { directory: tempfile::tempdir().unwrap() };
        fs::create_dir_all(fixture.repo()).unwrap();
        fixture.git(&["init", "-q", "-b", "main"]);
        for (key, value) in [("user.name", "Ada"), ("user.email", "ada@localhost"), ("commit.gpgSign", "false")] {
            fixture.git(&["config", key, value]);
        }
        fixture
    }

    fn repo(&self) -> PathBuf {
        self.directory.path().join("it's a \"repo\" é空")
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join("home é").join("worktrees").join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        write(&self.repo().join(name), text);
    }

    fn commit(&self) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "commit"]);
    }

    fn git(&self, arguments: &[&str]) -> String {
        git(&self.repo(), arguments)
    }

    async fn make(&self, name: &str) -> Worktree {
        make(&self.repo(), &self.at(name)).await.unwrap()
    }

    /// All that must stay as it is when a worktree is made or compared: index, refs, stash, log, status, and what is in
    /// git's directory.
    fn state(&self) -> Vec<String> {
        let mut index = DefaultHasher::new();
        fs::read(self.repo().join(".git/index")).ok().hash(&mut index);
        let index = format!("index {:x}", index.finish());
        let mut entries: Vec<String> = fs::read_dir(self.repo().join(".git"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| name != "worktrees")
            .collect();
        entries.sort();
        let mut state = vec![index, entries.join(" ")];
        let commands: [&[&str]; 5] = [
            &["for-each-ref"],
            &["stash", "list"],
            &["log", "--all", "--format=%H"],
            &["symbolic-ref", "HEAD"],
            &["--no-optional-locks", "status", "--porcelain", "--untracked-files=all"],
        ];
        state.extend(commands.map(|command| self.git(command)));
        state
    }
}

fn git(dir: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git").args(arguments).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn write(path: &Path, text: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn make_executable(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn make_link(target: &str, path: &Path) {
    let _ = fs::remove_file(path);
    symlink(target, path).unwrap();
}

/// Every file below a directory but git's: what it is, and what is in it.
fn files(root: &Path) -> BTreeMap<String, (char, Vec<u8>)> {
    fn walk(root: &Path, dir: &Path, files: &mut BTreeMap<String, (char, Vec<u8>)>) {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let (path, metadata) = (entry.path(), entry.metadata().unwrap());
            let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            if name == ".git" {
                continue;
            }
            if metadata.is_dir() {
                walk(root, &path, files);
            } else if metadata.is_symlink() {
                files.insert(name, ('l', fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()));
            } else {
                let kind = if metadata.permissions().mode() & 0o100 == 0 { 'f' } else { 'x' };
                files.insert(name, (kind, fs::read(&path).unwrap()));
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(root, root, &mut found);
    found
}
