//! The state of a working tree as a tree object: what is tracked as it is in the files, and what is untracked but not
//! ignored.

use std::{
    fs::{self, File, FileTimes},
    io,
    path::Path,
};

use super::{
    PROJECTION, WorktreeError,
    repo::{Repo, call, call_line, names, text},
    scratch::Scratch,
};
use crate::sys::process::path;

/// Which untracked files belong to the state.
#[derive(Debug, Clone, Copy)]
pub(super) enum Untracked {
    /// Those of at most so many bytes each, up to so many together; the others are left out.
    UpTo {
        /// Bytes of one.
        each: u64,
        /// Bytes of all.
        all: u64,
    },
    /// All; it is an error if they have more bytes together.
    AllOf(u64),
}

/// How often is begun anew because files come and go meanwhile.
const TRIES: u32 = 3;

/// Writes the state into the repository. The index at `index` in `scratch` is that state afterwards.
pub(super) async fn snapshot(
    repo: &Repo,
    scratch: &Scratch,
    index: &str,
    untracked: Untracked,
) -> Result<String, WorktreeError> {
    let index = scratch.file(index);
    let mut tries = 1;
    loop {
        copy_index(&repo.git_dir.join("index"), &index)?;
        match add(repo, scratch, &index, untracked).await {
            Err(WorktreeError::Git { .. }) if tries < TRIES => tries += 1,
            done => break done?,
        }
    }
    call_line(repo.with_index(&index, ["write-tree"])?).await
}

async fn add(repo: &Repo, scratch: &Scratch, index: &Path, untracked: Untracked) -> Result<(), WorktreeError> {
    call(repo.with_index(index, ["add", "--update"])?).await?;
    let others = call(repo.with_index(index, ["ls-files", "-z", "--others", "--exclude-standard"])?).await?;
    let chosen = choose(repo, &others, untracked)?;
    if chosen.is_empty() {
        return Ok(());
    }
    let list = scratch.write("untracked", &chosen.join(&0))?;
    let list = format!("--pathspec-from-file={}", text(&list)?);
    let mut command = repo.with_index(index, ["add", "--pathspec-file-nul", &list])?;
    command.set.push(("GIT_LITERAL_PATHSPECS".to_owned(), "1".to_owned()));
    call(command).await?;
    Ok(())
}

fn choose<'a>(repo: &Repo, others: &'a [u8], untracked: Untracked) -> Result<Vec<&'a [u8]>, WorktreeError> {
    let (mut chosen, mut total, mut left_out) = (Vec::new(), 0, 0_u32);
    for name in names(others) {
        // A directory is another repository: git would note its commit, which nobody else has.
        if name.ends_with(b"/") || name == PROJECTION.as_bytes() {
            continue;
        }
        let file = repo.top.join(path(name.to_vec()));
        let Ok(metadata) = fs::symlink_metadata(&file) else { continue };
        // One that cannot be read would fail all the others.
        if metadata.is_file() && File::open(&file).is_err() {
            left_out += 1;
            continue;
        }
        match untracked {
            Untracked::UpTo { each, all } if metadata.len() > each || total + metadata.len() > all => {
                left_out += 1;
                continue;
            }
            Untracked::AllOf(limit) if total + metadata.len() > limit => {
                return Err(WorktreeError::TooLarge { path: repo.top.clone(), limit });
            }
            Untracked::UpTo { .. } | Untracked::AllOf(_) => total += metadata.len(),
        }
        chosen.push(name);
    }
    if left_out > 0 {
        tracing::warn!(top = %repo.top.display(), left_out, "untracked files are unreadable or too large to be taken");
    }
    Ok(chosen)
}

/// Copies the user's index, with which git need not read unchanged files again. The copy keeps the time: git takes a
/// file for changed if it is as new as the index that tells of it.
fn copy_index(from: &Path, to: &Path) -> Result<(), WorktreeError> {
    let copied = (|| {
        let mut from = File::open(from)?;
        let modified = from.metadata()?.modified()?;
        let mut to = File::create(to)?;
        io::copy(&mut from, &mut to)?;
        to.set_times(FileTimes::new().set_modified(modified))
    })();
    match copied {
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::remove_file(to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(WorktreeError::io(to)(error)),
            _ => Ok(()),
        },
        other => other.map_err(WorktreeError::io(from)),
    }
}
