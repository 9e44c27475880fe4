//! Putting the changes of a worktree into the user's files.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use tokio::sync::Mutex;

use super::{
    WorktreeError, diff,
    repo::{Repo, attempt, call, call_line, failed, names, text},
    scratch::Scratch,
    snapshot::{Untracked, snapshot},
};
use crate::sys::process::path;

/// Files above these bounds are not part of the merge; a change of one is a conflict.
const UNTRACKED: Untracked = Untracked::UpTo { each: 64 * 1024 * 1024, all: 256 * 1024 * 1024 };

/// One at a time in this process: each begins with the files that the one before left.
static TURN: Mutex<()> = Mutex::const_new(());

/// Applies a patch of [`super::diff`] to the working tree of the repository that `repo` is in, and returns the files
/// that it changed, from its root: none if all of it is there already. What was changed there meanwhile is merged. The
/// index is not written. All is applied or nothing; once files are written, dropping the future does not stop it.
///
/// # Errors
/// [`WorktreeError::Conflict`] and [`WorktreeError::Refused`], with nothing changed.
pub async fn apply(repo: &Path, patch: &str) -> Result<Vec<PathBuf>, WorktreeError> {
    if patch.trim().is_empty() {
        return Ok(Vec::new());
    }
    let repo = Repo::open(repo).await?;
    let turn = TURN.lock().await;
    let scratch = Scratch::new(&repo)?;
    let ours = snapshot(&repo, &scratch, "index", UNTRACKED).await?;
    let merged = merge(&repo, &scratch, &ours, patch).await?;
    if merged == ours {
        return Ok(Vec::new());
    }
    let list = ["diff-tree", "-r", "-z", "--name-only", "--no-renames", &ours, &merged];
    let changed = call(repo.git(list)).await?;
    let file = scratch.file("merged.patch");
    let output = format!("--output={}", text(&file)?);
    call(repo.git(diff::OPTIONS.iter().copied().chain([output.as_str(), &ours, &merged]))).await?;
    // Exact, and refused as a whole, if a file is not what it was a moment ago.
    let file = text(&file)?;
    let check = attempt(repo.git(["apply", "--check", "--whitespace=nowarn", &file])).await?;
    if check.code != 0 {
        return Err(refusal(&check.stderr, BTreeSet::new()));
    }
    // A git that is ended in the middle would leave half.
    let writing = tokio::spawn(async move {
        let _turn = turn;
        write(&repo, &scratch, &file, &ours, &changed).await.map(|()| paths(&changed))
    });
    writing.await.unwrap_or_else(|error| Err(failed("apply", &error.to_string())))
}

/// The tree of the files with the patch in it, by the index of the files alone.
async fn merge(repo: &Repo, scratch: &Scratch, ours: &str, patch: &str) -> Result<String, WorktreeError> {
    let index = scratch.file("index");
    let patch = text(&scratch.write("patch", patch.as_bytes())?)?;
    let three_way = ["apply", "--cached", "--3way", "--whitespace=nowarn", &patch];
    let ended = attempt(repo.with_index(&index, three_way)?).await?;
    if ended.code != 0 {
        if is_applied(repo, scratch, ours, &patch).await? {
            return Ok(ours.to_owned());
        }
        let unmerged = call(repo.with_index(&index, ["ls-files", "-z", "--unmerged"])?).await?;
        // `<mode> <object> <stage>\t<path>`
        let files = names(&unmerged)
            .filter_map(|entry| entry.splitn(2, |byte| *byte == b'\t').nth(1))
            .map(|name| path(name.to_vec()))
            .collect();
        return Err(refusal(&ended.stderr, files));
    }
    call_line(repo.with_index(&index, ["write-tree"])?).await
}

/// Whether the files have all of the patch already: it was applied before a crash, say, and nobody noted it.
async fn is_applied(repo: &Repo, scratch: &Scratch, ours: &str, patch: &str) -> Result<bool, WorktreeError> {
    let index = scratch.file("ours");
    call(repo.with_index(&index, ["read-tree", ours])?).await?;
    let reverse = ["apply", "--cached", "--reverse", "--check", "--whitespace=nowarn", patch];
    Ok(attempt(repo.with_index(&index, reverse)?).await?.code == 0)
}

async fn write(repo: &Repo, scratch: &Scratch, file: &str, ours: &str, changed: &[u8]) -> Result<(), WorktreeError> {
    let Err(error) = call(repo.git(["apply", "--whitespace=nowarn", file])).await else { return Ok(()) };
    // It was checked: something else failed while it wrote, such as a full disk. Puts every file back.
    let index = scratch.file("index");
    let source = format!("--source={ours}");
    let mut left = Vec::new();
    for name in names(changed) {
        let list = scratch.write("changed", name)?;
        let list = format!("--pathspec-from-file={}", text(&list)?);
        let restore = ["restore", &source, "--worktree", "--pathspec-file-nul", &list];
        let mut restore = repo.with_index(&index, restore)?;
        restore.set.push(("GIT_LITERAL_PATHSPECS".to_owned(), "1".to_owned()));
        if call(restore).await.is_err() {
            left.push(path(name.to_vec()));
        }
    }
    if left.is_empty() {
        return Err(error);
    }
    let left: Vec<String> = left.iter().map(|file| file.display().to_string()).collect();
    Err(failed("apply", &format!("{error}; not put back, but kept in the tree {ours}: {}", left.join(", "))))
}

fn paths(printed: &[u8]) -> Vec<PathBuf> {
    names(printed).map(|name| path(name.to_vec())).collect()
}

/// What the words of `git apply` mean: files that do not fit, or a patch that is none.
fn refusal(said: &str, mut files: BTreeSet<PathBuf>) -> WorktreeError {
    const MISFITS: &[&str] = &[
        ": patch does not apply",
        ": already exists in index",
        ": already exists in working directory",
        ": does not exist in index",
        ": does not match index",
        ": No such file or directory",
        ": wrong type",
    ];
    for line in said.lines() {
        let Some(line) = line.strip_prefix("error: ") else { continue };
        files.extend(MISFITS.iter().filter_map(|misfit| line.strip_suffix(misfit)).map(PathBuf::from));
    }
    if files.is_empty() {
        let said = said.lines().map(|line| line.trim_start_matches("error: ")).collect::<Vec<_>>().join("; ");
        return WorktreeError::Refused(said);
    }
    WorktreeError::Conflict(files.into_iter().collect())
}
