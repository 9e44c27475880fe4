//! The end of a worktree.

use std::{
    fs, io,
    path::{self as paths, Path, PathBuf},
};

use super::{
    WorktreeError,
    repo::{Repo, call_worktree, names, text},
};
use crate::sys::process::path;

/// Removes a worktree that [`super::make`] made, with all that is in it, and git's record of it. One that is gone
/// already is fine. Only a path that the caller has on record as made by it may be given.
///
/// # Errors
/// [`WorktreeError::Taken`] if what is there is no worktree of this repository; it is left untouched.
pub async fn remove(repo: &Path, worktree: &Path) -> Result<(), WorktreeError> {
    let at = paths::absolute(worktree).map_err(WorktreeError::io(worktree))?;
    let exists = || fs::symlink_metadata(&at).is_ok();
    let repo = match Repo::open(repo).await {
        // With the repository, its record of the worktree is gone as well.
        Err(WorktreeError::NotARepository(_)) if !exists() => return Ok(()),
        opened => opened?,
    };
    let Some(known) = known_as(&repo, &at).await? else {
        return match fs::remove_dir(&at) {
            // Made, but never filled.
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(_) => Err(WorktreeError::Taken(at)),
        };
    };
    // Twice forced: also one that is locked, because its making was interrupted.
    let command = ["worktree", "remove", "--force", "--force", "--", &text(&known)?];
    if call_worktree(repo.git(command)).await.is_ok() && !exists() {
        return Ok(());
    }
    // Its `.git` is damaged, or files came while it was emptied. The record of git says that it is one.
    match fs::remove_dir_all(&at) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(WorktreeError::io(&at)(error)),
        _ => {}
    }
    if known_as(&repo, &at).await?.is_some() {
        call_worktree(repo.git(command)).await?;
    }
    Ok(())
}

/// The name under which git has a linked worktree at this path on record.
async fn known_as(repo: &Repo, at: &Path) -> Result<Option<PathBuf>, WorktreeError> {
    let printed = call_worktree(repo.git(["worktree", "list", "--porcelain"])).await?;
    let lines: Vec<u8> = printed.iter().map(|byte| if *byte == b'\n' { 0 } else { *byte }).collect();
    let wanted = real(at);
    // The first is the user's own.
    let linked = names(&lines).filter_map(|line| line.strip_prefix(b"worktree ")).skip(1);
    Ok(linked.map(|name| path(name.to_vec())).find(|known| real(known) == wanted))
}

/// The path without symbolic links on the way to it; its end need not exist, and is not followed.
fn real(at: &Path) -> PathBuf {
    match (at.parent().map(fs::canonicalize), at.file_name()) {
        (Some(Ok(parent)), Some(name)) => parent.join(name),
        _ => at.to_owned(),
    }
}
