//! A repository, by the working tree that is used of it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{sync::Mutex, time::sleep};
use tokio_util::sync::CancellationToken;

use super::WorktreeError;
use crate::sys::{
    git::git,
    process::{Command, Status, path, run_split},
};

/// `git apply --3way` works on an index alone since 2.32 (June 2021).
pub(super) const OLDEST: (u32, u32) = (2, 32);

/// A working tree.
#[derive(Debug)]
pub(super) struct Repo {
    /// Its root.
    pub top: PathBuf,
    /// Where git keeps what belongs to this working tree alone.
    pub git_dir: PathBuf,
}

/// How a command of git ended that could be run.
#[derive(Debug)]
pub(super) struct Ended {
    /// The exit code.
    pub code: i32,
    /// What it printed; none if that was more than is kept.
    pub stdout: Option<Vec<u8>>,
    /// What it said.
    pub stderr: String,
}

impl Repo {
    /// The working tree that a directory is in.
    pub(super) async fn open(dir: &Path) -> Result<Self, WorktreeError> {
        check_version(git(["version"], &existing(dir)?)).await?;
        let ended =
            attempt(git(["rev-parse", "--is-bare-repository", "--absolute-git-dir", "--show-toplevel"], dir)).await?;
        let printed = ended.stdout.clone().unwrap_or_default();
        if ended.code == 0 {
            let mut lines = printed.strip_suffix(b"\n").unwrap_or(&printed).splitn(3, |byte| *byte == b'\n').skip(1);
            if let (Some(git_dir), Some(top)) = (lines.next(), lines.next()) {
                return Ok(Self { top: path(top.to_vec()), git_dir: path(git_dir.to_vec()) });
            }
        }
        Err(if ended.stderr.contains("not a git repository") {
            WorktreeError::NotARepository(dir.to_owned())
        } else if ended.stderr.contains("must be run in a work tree") {
            WorktreeError::NoWorkingTree(dir.to_owned())
        } else {
            failed("rev-parse", &ended.stderr)
        })
    }

    /// The commit that HEAD is.
    pub(super) async fn head(&self) -> Result<String, WorktreeError> {
        let ended = attempt(self.git(["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])).await?;
        match ended.code {
            0 => Ok(line(&ended.stdout.unwrap_or_default())),
            _ => Err(WorktreeError::NoCommit(self.top.clone())),
        }
    }

    /// A command at the root.
    pub(super) fn git<S: Into<String>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        git(arguments, &self.top)
    }

    /// A command at the root that reads and writes this index instead of the user's.
    pub(super) fn with_index<S: Into<String>>(
        &self,
        index: &Path,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Command, WorktreeError> {
        // A split index leaves its other half beside the user's.
        let own = ["-c", "core.splitIndex=false"].map(str::to_owned);
        let mut command = self.git(own.into_iter().chain(arguments.into_iter().map(Into::into)));
        command.set.push(("GIT_INDEX_FILE".to_owned(), text(index)?));
        Ok(command)
    }
}

/// Runs git, whatever its exit code.
pub(super) async fn attempt(command: Command) -> Result<Ended, WorktreeError> {
    let name = name(&command);
    let ended = run_split(&command, &CancellationToken::new()).await;
    let stderr = ended.stderr.text();
    match ended.status {
        Status::Exited(code) => Ok(Ended { code, stdout: ended.stdout.whole(), stderr }),
        Status::NotStarted(fault) => Err(WorktreeError::GitMissing(fault.message)),
        Status::TimedOut => Err(failed(&name, &format!("it took longer than {} s", command.timeout.as_secs()))),
        Status::Signalled(signal) => Err(failed(&name, &format!("ended by signal {signal}. {stderr}"))),
        Status::Cancelled => Err(failed(&name, "Sortie is shutting down")),
    }
}

/// Runs git; any exit code but 0 is an error, and so is more output than is kept.
pub(super) async fn call(command: Command) -> Result<Vec<u8>, WorktreeError> {
    let name = name(&command);
    let ended = attempt(command).await?;
    match (ended.code, ended.stdout) {
        (0, Some(stdout)) => Ok(stdout),
        (0, None) => Err(failed(&name, "its output is too long")),
        _ => Err(failed(&name, &ended.stderr)),
    }
}

/// Runs `git worktree`, one in this process at a time: each reads the records of all worktrees, and fails over one that
/// another is just writing. Another process may do that too, so such a failure is tried again.
pub(super) async fn call_worktree(command: Command) -> Result<Vec<u8>, WorktreeError> {
    static TURN: Mutex<()> = Mutex::const_new(());
    const TRIES: u32 = 20;
    const PAUSE: Duration = Duration::from_millis(10);
    let _turn = TURN.lock().await;
    let mut tries = 1;
    loop {
        match call(command.clone()).await {
            Err(WorktreeError::Git { said, .. }) if said.contains("commondir") && tries < TRIES => tries += 1,
            ended => return ended,
        }
        sleep(PAUSE).await;
    }
}

/// Runs git for the one line that it prints.
pub(super) async fn call_line(command: Command) -> Result<String, WorktreeError> {
    call(command).await.map(|printed| line(&printed))
}

/// What git refused, with the end of what it said about it.
pub(super) fn failed(command: &str, said: &str) -> WorktreeError {
    const SHOWN: usize = 1_000;
    let said = said.trim();
    let from = said.char_indices().rev().take(SHOWN).last().map_or(0, |(at, _)| at);
    WorktreeError::Git { command: format!("git {command}"), said: said[from..].to_owned() }
}

/// A path as an argument.
pub(super) fn text(path: &Path) -> Result<String, WorktreeError> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| WorktreeError::Refused(format!("the path {} is not UTF-8", path.display())))
}

/// The names in what git prints with `-z`.
pub(super) fn names(printed: &[u8]) -> impl Iterator<Item = &[u8]> {
    printed.split(|byte| *byte == 0).filter(|name| !name.is_empty())
}

/// Refuses a git that is missing or too old.
pub(super) async fn check_version(command: Command) -> Result<(), WorktreeError> {
    let printed = call_line(command).await?;
    let mut numbers = printed.trim_start_matches("git version ").split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= OLDEST => Ok(()),
        _ => Err(WorktreeError::GitTooOld(printed)),
    }
}

fn existing(dir: &Path) -> Result<PathBuf, WorktreeError> {
    if dir.is_dir() { Ok(dir.to_owned()) } else { Err(WorktreeError::NotARepository(dir.to_owned())) }
}

fn line(printed: &[u8]) -> String {
    String::from_utf8_lossy(printed).trim_end().to_owned()
}

/// The subcommand: the first argument after git's own.
fn name(command: &Command) -> String {
    let mut arguments = command.argv.iter().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-c" => drop(arguments.next()),
            other if other.starts_with('-') => {}
            other => return other.to_owned(),
        }
    }
    String::new()
}
