//! A new worktree with the user's present state.

use std::{
    fs, io,
    path::{self as paths, Path, PathBuf},
};

use super::{
    PROJECTION, Worktree, WorktreeError, remove,
    repo::{Repo, call, call_line, call_worktree, names, text},
    scratch::Scratch,
    snapshot::{Untracked, snapshot},
};
use crate::sys::process::path;

/// Untracked files are carried over up to these bounds: they are work in progress, not data.
const UNTRACKED: Untracked = Untracked::UpTo { each: 16 * 1024 * 1024, all: 128 * 1024 * 1024 };

/// Who writes the commit that holds the state.
const AUTHOR: (&str, &str) = ("Sortie", "sortie@localhost");

/// Makes a worktree of the repository that `repo` is in, at `at`, where nothing may be. Its HEAD and index are those of
/// the user's HEAD; its files are the user's, uncommitted changes and untracked files included, and the configuration
/// of OpenCode also where git ignores it. If it fails nothing is left; if its future is dropped, [`remove`] clears up.
///
/// # Errors
/// Every [`WorktreeError`] but those of a patch.
pub async fn make(repo: &Path, at: &Path) -> Result<Worktree, WorktreeError> {
    let at = paths::absolute(at).map_err(WorktreeError::io(at))?;
    let source = Repo::open(repo).await?;
    let head = source.head().await?;
    match fs::symlink_metadata(&at) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(WorktreeError::io(&at)(error)),
        Ok(_) => return Err(WorktreeError::Taken(at)),
    }
    if let Some(parent) = at.parent() {
        fs::create_dir_all(parent).map_err(WorktreeError::io(parent))?;
    }
    let base = commit(&source, &head).await?;
    match fill(&source, repo, &at, &head, &base).await {
        Ok(()) => Ok(Worktree { path: at, base }),
        Err(error) => {
            if let Err(left) = remove(repo, &at).await {
                tracing::warn!(at = %at.display(), %left, "a worktree that could not be made is left");
            }
            Err(error)
        }
    }
}

/// The commit of the present state: HEAD itself if nothing is changed.
async fn commit(source: &Repo, head: &str) -> Result<String, WorktreeError> {
    let scratch = Scratch::new(source)?;
    let tree = snapshot(source, &scratch, "index", UNTRACKED).await?;
    let of_head = call_line(source.git(["rev-parse", "--verify", &format!("{head}^{{tree}}")])).await?;
    if tree == of_head {
        return Ok(head.to_owned());
    }
    let mut command = source.git(["commit-tree", "-p", head, "-m", "Uncommitted state of the working tree", &tree]);
    for role in ["AUTHOR", "COMMITTER"] {
        command.set.push((format!("GIT_{role}_NAME"), AUTHOR.0.to_owned()));
        command.set.push((format!("GIT_{role}_EMAIL"), AUTHOR.1.to_owned()));
    }
    call_line(command).await
}

async fn fill(source: &Repo, repo: &Path, at: &Path, head: &str, base: &str) -> Result<(), WorktreeError> {
    // The log of the worktree's HEAD is what keeps `base` from being collected.
    let keep_log = ["-c", "core.logAllRefUpdates=true"];
    let at_text = text(at)?;
    let add = ["worktree", "add", "--quiet", "--detach", "--no-checkout", "--", &at_text, base];
    call_worktree(source.git(keep_log.iter().chain(&add).copied())).await?;
    // The files by themselves: many may be written at once, while of `git worktree` one runs at a time.
    let made = Repo { top: at.to_owned(), git_dir: PathBuf::new() };
    call(made.git(["reset", "--quiet", "--hard"])).await?;
    if base != head {
        let reset = ["reset", "--quiet", "--mixed", head];
        call(made.git(keep_log.iter().chain(&reset).copied())).await?;
    }
    let ignored = ignored_configuration(source, repo).await?;
    let (from, to) = (source.top.clone(), at.to_owned());
    tokio::task::spawn_blocking(move || ignored.iter().try_for_each(|name| copy(&from, &to, name)))
        .await
        .map_err(|error| WorktreeError::io(at)(io::Error::other(error)))?
}

/// The configuration of OpenCode that git ignores, at the root and in the project's directory if that is another. What
/// git does not ignore is part of the base.
async fn ignored_configuration(source: &Repo, repo: &Path) -> Result<Vec<PathBuf>, WorktreeError> {
    let top = fs::canonicalize(&source.top).map_err(WorktreeError::io(&source.top))?;
    let project = fs::canonicalize(repo).map_err(WorktreeError::io(repo))?;
    let below = project.strip_prefix(&top).ok().and_then(Path::to_str).map(|below| below.replace('\\', "/"));
    let mut places = vec![String::new()];
    places.extend(below.filter(|below| !below.is_empty()).map(|below| format!("{below}/")));
    let mut command = vec!["ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--"];
    let wanted: Vec<String> = places
        .iter()
        .flat_map(|place| {
            let of = move |magic: &str, name: &str| format!(":({magic}){place}{name}");
            [
                of("literal", "opencode.json"),
                of("literal", "opencode.jsonc"),
                of("literal", ".opencode"),
                of("exclude,literal", ".opencode/node_modules"),
                of("exclude,literal", PROJECTION),
            ]
        })
        .collect();
    command.extend(wanted.iter().map(String::as_str));
    let printed = call(source.git(command)).await?;
    Ok(names(&printed).map(|name| path(name.to_vec())).collect())
}

/// Copies a file or a symbolic link, where nothing is yet.
fn copy(from: &Path, to: &Path, name: &Path) -> Result<(), WorktreeError> {
    let (from, target) = (from.join(name), to.join(name));
    let directory = target.parent().unwrap_or(to);
    fs::create_dir_all(directory).map_err(WorktreeError::io(directory))?;
    if fs::symlink_metadata(&target).is_ok() {
        return Ok(());
    }
    // A link's target is copied: a relative one would lead elsewhere from here.
    match fs::metadata(&from) {
        Ok(metadata) if metadata.is_file() => fs::copy(&from, &target).map(drop).map_err(WorktreeError::io(&target)),
        // Gone meanwhile, a dangling link, or a link to a directory: nothing that OpenCode could read.
        _ => Ok(()),
    }
}
