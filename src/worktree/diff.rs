//! What was changed in a worktree.

use std::{fs, path::Path};

use super::{
    PROJECTION, Worktree, WorktreeError,
    repo::{Ended, Repo, attempt, call, call_line, failed, text},
    scratch::Scratch,
    snapshot::{Untracked, snapshot},
};
use crate::sys::process::Command;

/// The longest patch, in bytes: it is stored with the task.
const LONGEST: usize = 32 * 1024 * 1024;

/// Bytes of files that are taken up to be compared.
const UNTRACKED: Untracked = Untracked::AllOf(256 * 1024 * 1024);

/// Options of every comparison, so that the user's own have no say. Renames are a deletion and a new file: the patch
/// then says all that it needs. Names that are not ASCII are quoted.
pub(super) const OPTIONS: &[&str] = &[
    "-c",
    "core.quotePath=true",
    "diff-tree",
    "-r",
    "-p",
    "--binary",
    "--full-index",
    "--no-renames",
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--submodule=short",
    "--src-prefix=a/",
    "--dst-prefix=b/",
];

/// Everything that was changed in a worktree since its base, as a patch for [`super::apply`]: committed there or not,
/// new files too, but nothing that git ignores. Empty if nothing was. Bytes that are not UTF-8 are in binary form.
///
/// # Errors
/// [`WorktreeError::TooLarge`], or that it is no worktree any more.
pub async fn diff(worktree: &Worktree) -> Result<String, WorktreeError> {
    let repo = Repo::open(&worktree.path).await?;
    // Without its `.git`, git would take a repository around it for it.
    let same =
        fs::canonicalize(&repo.top).is_ok_and(|top| fs::canonicalize(&worktree.path).is_ok_and(|path| path == top));
    if !same {
        return Err(WorktreeError::NotARepository(worktree.path.clone()));
    }
    let base = format!("{}^{{tree}}", worktree.base);
    let base = call_line(repo.git(["rev-parse", "--verify", "--end-of-options", &base])).await?;
    let scratch = Scratch::new(&repo)?;
    let tree = snapshot(&repo, &scratch, "index", UNTRACKED).await?;
    let printed = patch(&repo, repo.git(arguments(&base, &tree))).await?;
    match String::from_utf8(printed) {
        Ok(patch) => Ok(patch),
        Err(_) => all_binary(&repo, &scratch, &base, &tree).await,
    }
}

fn arguments(base: &str, tree: &str) -> Vec<String> {
    let projection = format!(":(exclude,literal){PROJECTION}");
    OPTIONS.iter().copied().chain([base, tree, "--", &projection]).map(str::to_owned).collect()
}

async fn patch(repo: &Repo, mut command: Command) -> Result<Vec<u8>, WorktreeError> {
    // Half is kept from each end.
    command.keep = 2 * LONGEST;
    let too_large = || WorktreeError::TooLarge { path: repo.top.clone(), limit: LONGEST as u64 };
    match attempt(command).await? {
        Ended { code: 0, stdout: Some(patch), .. } if patch.len() <= LONGEST => Ok(patch),
        Ended { code: 0, .. } => Err(too_large()),
        Ended { stderr, .. } => Err(failed("diff-tree", &stderr)),
    }
}

/// The same patch with every file in binary form. git calls a file a text unless it has a NUL byte, and attributes of
/// the user's files may say so as well: an empty repository around the same objects has no such attributes.
async fn all_binary(repo: &Repo, scratch: &Scratch, base: &str, tree: &str) -> Result<String, WorktreeError> {
    let plain = scratch.file("plain.git");
    let format = if base.len() == 64 { "--object-format=sha256" } else { "--object-format=sha1" };
    call(repo.git(["init", "--quiet", "--bare", "--template=", format, &text(&plain)?])).await?;
    let info = plain.join("info");
    fs::create_dir_all(&info).map_err(WorktreeError::io(&info))?;
    let attributes = info.join("attributes");
    fs::write(&attributes, "* -diff\n").map_err(WorktreeError::io(&attributes))?;
    let objects = call(repo.git(["rev-parse", "--git-path", "objects"])).await?;
    let objects = repo.top.join(Path::new(String::from_utf8_lossy(&objects).trim_end_matches('\n')));
    let mut command = repo.git(arguments(base, tree));
    command.dir.clone_from(&plain);
    command.set.push(("GIT_DIR".to_owned(), text(&plain)?));
    command.set.push(("GIT_OBJECT_DIRECTORY".to_owned(), text(&objects)?));
    String::from_utf8(patch(repo, command).await?)
        .map_err(|_| failed("diff-tree", "the patch is not UTF-8 in binary form either"))
}
