//! Which project a checkout belongs to.
//!
//! OpenCode tells projects apart by their first commit, so to it all clones of a repository are one project with the
//! root of the clone that it met first. Ours are told apart by where they lie: a clone is a project of its own, and a
//! linked worktree belongs to the checkout that it was made from.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The root of the project of a checkout; two spellings of one directory are one project.
#[must_use]
pub fn of(checkout: &Path) -> PathBuf {
    let root = main_checkout(checkout).unwrap_or_else(|| checkout.to_owned());
    fs::canonicalize(&root).unwrap_or(root)
}

/// The checkout from which a linked worktree was made. Its `.git` is a file that says
/// `gitdir: <main checkout>/.git/worktrees/<name>`; that of a submodule points elsewhere.
fn main_checkout(worktree: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(worktree.join(".git")).ok()?;
    let git_dir = worktree.join(text.strip_prefix("gitdir:")?.trim());
    let (worktrees, git) = (git_dir.parent()?, git_dir.parent()?.parent()?);
    let main = git.parent()?;
    (worktrees.ends_with("worktrees") && git.ends_with(".git") && main.is_dir()).then(|| main.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linked_worktree_belongs_to_its_main_checkout_and_nothing_else_does() {
        let home = tempfile::tempdir().unwrap();
        let home = fs::canonicalize(home.path()).unwrap();
        let checkout = |name: &str, git: &str| {
            let path = home.join(name);
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join(".git"), git).unwrap();
            path
        };
        let main = home.join("main");
        fs::create_dir_all(main.join(".git/worktrees/linked")).unwrap();
        let absolute = format!("gitdir: {}\n", main.join(".git/worktrees/linked").display());
        assert_eq!(of(&main), main);
        assert_eq!(of(&main.join("../main/.git/..")), main);
        assert_eq!(of(&checkout("linked", &absolute)), main);
        assert_eq!(of(&checkout("relative", "gitdir: ../main/.git/worktrees/linked\n")), main);
        for (name, git) in [
            ("submodule", "gitdir: ../main/.git/modules/submodule\n"),
            ("orphan", "gitdir: /nowhere/.git/worktrees/orphan\n"),
            ("damaged", "what is this"),
        ] {
            let path = checkout(name, git);
            assert_eq!(of(&path), path);
        }
        assert_eq!(of(&home.join("missing")), home.join("missing"));
    }
}
