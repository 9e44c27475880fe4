//! What a new worktree has, and that the user's repository does not show it.

use super::*;
use crate::{
    fault::Code,
    worktree::repo::{Repo, check_version},
};

/// A main tree with everything that git can tell of it.
fn dirty() -> Fixture {
    let fixture = Fixture::new();
    for name in ["deleted.txt", "renamed.txt", "staged.txt", "both.txt", "mode.sh", "bin.dat"] {
        fixture.write(name, format!("{name}\n"));
    }
    fixture.write(".gitignore", "*.log\nopencode.json\n.opencode/\n");
    fixture.commit();
    fixture.write("a.txt", "changed\n");
    fs::remove_file(fixture.repo().join("deleted.txt")).unwrap();
    fixture.git(&["mv", "renamed.txt", "new name é.txt"]);
    fixture.write("staged.txt", "staged\n");
    fixture.write("both.txt", "staged\n");
    fixture.git(&["add", "staged.txt", "both.txt"]);
    fixture.write("both.txt", "and changed again\n");
    make_executable(&fixture.repo().join("mode.sh"));
    fixture.write("bin.dat", b"\0\xff\xfe");
    fixture.write("new/untracked 空.txt", "new\r\n");
    fixture.write("-dash", "new\n");
    fixture.write(":(glob)*", "new\n");
    make_link("a.txt", &fixture.repo().join("link"));
    make_link("/nowhere/at/all", &fixture.repo().join("dangling"));
    fixture.write("build.log", "ignored\n");
    fixture
}

#[tokio::test]
async fn the_uncommitted_state_is_carried_over_and_nothing_of_the_users_changes() {
    let fixture = dirty();
    let (state, mine) = (fixture.state(), files(&fixture.repo()));
    let worktree = fixture.make("t1").await;
    assert_eq!(fixture.state(), state);
    assert_eq!(files(&fixture.repo()), mine);
    let mut expected = mine;
    expected.remove("build.log").unwrap();
    assert_eq!(files(&worktree.path), expected);
    assert_eq!(worktree.path, fixture.at("t1"));
    assert_eq!(diff(&worktree).await.unwrap(), "");
    // To its agent it looks like the user's own: the same HEAD, the same changes, nothing of ours in the log.
    assert_eq!(git(&worktree.path, &["rev-parse", "HEAD"]), fixture.git(&["rev-parse", "HEAD"]));
    assert_eq!(git(&worktree.path, &["diff", "HEAD", "--", "a.txt"]), fixture.git(&["diff", "HEAD", "--", "a.txt"]));
    assert_eq!(git(&worktree.path, &["log", "--format=%s"]), "commit\ncommit\n");
    assert_eq!(fixture.state(), state);
}

#[tokio::test]
async fn a_clean_tree_needs_no_commit_of_ours() {
    let fixture = Fixture::new();
    let worktree = fixture.make("t1").await;
    assert_eq!(worktree.base, fixture.git(&["rev-parse", "HEAD"]).trim());
    assert_eq!(git(&worktree.path, &["status", "--porcelain"]), "");
}

#[tokio::test]
async fn the_configuration_of_opencode_comes_along_also_where_it_is_ignored() {
    let fixture = dirty();
    for name in [
        "opencode.json",
        ".opencode/agent/own.md",
        ".opencode/package.json",
        ".opencode/todo.md",
        ".opencode/node_modules/x/index.js",
        "project/opencode.jsonc",
        "project/.opencode/command/c.md",
    ] {
        fixture.write(name, format!("{name}\n"));
    }
    fixture.write("dotfiles/own.log", "linked\n");
    make_link("../dotfiles/own.log", &fixture.repo().join(".opencode/linked.md"));
    let worktree = make(&fixture.repo().join("project"), &fixture.at("t1")).await.unwrap();
    let there = |name: &str| fs::read_to_string(worktree.path.join(name)).ok();
    for name in [
        "opencode.json",
        ".opencode/agent/own.md",
        ".opencode/package.json",
        "project/opencode.jsonc",
        "project/.opencode/command/c.md",
    ] {
        assert_eq!(there(name).as_deref(), Some(&*format!("{name}\n")));
    }
    assert_eq!(there(".opencode/linked.md").as_deref(), Some("linked\n"));
    assert!(
        !worktree.path.join(".opencode/todo.md").exists() && !worktree.path.join(".opencode/node_modules").exists()
    );
    // Not ignored, the list of the mission stays out too, in both directions.
    let plain = Fixture::new();
    plain.write(".opencode/todo.md", "- [ ] x\n");
    plain.write("opencode.json", "{}\n");
    let worktree = plain.make("t1").await;
    assert!(worktree.path.join("opencode.json").exists() && !worktree.path.join(".opencode/todo.md").exists());
    write(&worktree.path.join(".opencode/todo.md"), "- [x] x\n");
    assert_eq!(diff(&worktree).await.unwrap(), "");
}

/// Only the time of the index tells git to look into the file.
#[tokio::test]
async fn a_change_in_the_same_instant_and_of_the_same_length_is_seen() {
    let fixture = Fixture::new();
    fixture.git(&["config", "core.trustctime", "false"]);
    fixture.write("racy", "old");
    fixture.git(&["add", "racy"]);
    let instant = fs::metadata(fixture.repo().join("racy")).unwrap().modified().unwrap();
    fixture.write("racy", "new");
    for name in ["racy", ".git/index"] {
        let file = fs::OpenOptions::new().write(true).open(fixture.repo().join(name)).unwrap();
        file.set_modified(instant).unwrap();
    }
    let worktree = fixture.make("t1").await;
    assert_eq!(fs::read(worktree.path.join("racy")).unwrap(), b"new");
}

#[tokio::test]
async fn data_is_not_carried_and_too_much_of_it_is_not_compared() {
    let fixture = Fixture::new();
    fixture.write("small", "x");
    fixture.write("large", "");
    let sized = |path: PathBuf, length| fs::OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
    sized(fixture.repo().join("large"), 17 << 20);
    let worktree = fixture.make("t1").await;
    assert!(worktree.path.join("small").exists() && !worktree.path.join("large").exists());
    write(&worktree.path.join("huge"), "");
    sized(worktree.path.join("huge"), 257 << 20);
    let error = diff(&worktree).await.unwrap_err();
    assert_eq!(error.code(), Code::PatchTooLarge, "{error}");
}

#[tokio::test]
async fn an_unfinished_merge_is_carried_as_it_stands_in_the_files() {
    let fixture = Fixture::new();
    fixture.git(&["checkout", "-q", "-b", "other"]);
    fixture.write("a.txt", "theirs\n");
    fixture.commit();
    fixture.git(&["checkout", "-q", "main"]);
    fixture.write("a.txt", "ours\n");
    fixture.commit();
    let merge = Command::new("git").args(["merge", "other"]).current_dir(fixture.repo()).output().unwrap();
    assert!(!merge.status.success());
    let state = fixture.state();
    let worktree = fixture.make("t1").await;
    assert!(fs::read_to_string(worktree.path.join("a.txt")).unwrap().contains("<<<<<<<"));
    assert_eq!(fixture.state(), state);
}

#[tokio::test]
async fn submodules_are_left_alone() {
    let inner = Fixture::new();
    let fixture = Fixture::new();
    let url = inner.repo().to_string_lossy().into_owned();
    fixture.git(&["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", &url, "module"]);
    fixture.commit();
    fixture.write("module/a.txt", "changed inside\n");
    let (state, mine) = (fixture.state(), files(&fixture.repo()));
    let worktree = fixture.make("t1").await;
    assert_eq!(fs::read_dir(worktree.path.join("module")).unwrap().count(), 0);
    write(&worktree.path.join("a.txt"), "changed\n");
    let patch = diff(&worktree).await.unwrap();
    assert!(patch.contains("a/a.txt") && !patch.contains("module"), "{patch}");
    assert_eq!(fixture.state(), state);
    assert_eq!(apply(&fixture.repo(), &patch).await.unwrap(), [Path::new("a.txt")]);
    assert_eq!(files(&fixture.repo())["module/a.txt"], mine["module/a.txt"]);
    remove(&fixture.repo(), &worktree.path).await.unwrap();
    assert!(!worktree.path.exists());
}

#[tokio::test]
async fn several_are_made_and_compared_at_once() {
    let fixture = dirty();
    let (state, repo) = (fixture.state(), fixture.repo());
    let mut racers = tokio::task::JoinSet::new();
    for number in 0..6 {
        let (repo, at) = (repo.clone(), fixture.at(&format!("t{number}")));
        racers.spawn(async move {
            let worktree = make(&repo, &at).await.unwrap();
            write(&worktree.path.join("mine"), number.to_string());
            let patches = tokio::join!(diff(&worktree), diff(&worktree));
            assert_eq!(patches.0.as_deref().unwrap(), patches.1.unwrap());
            remove(&repo, &worktree.path).await.unwrap();
            patches.0.unwrap()
        });
    }
    let patches = racers.join_all().await;
    assert!(patches.iter().all(|patch| patch.contains("+++ b/mine")));
    assert_eq!(fixture.state(), state);
    assert_eq!(fixture.git(&["worktree", "list"]).lines().count(), 1);
}

#[tokio::test]
async fn where_no_worktree_can_be_made_the_reason_has_a_name() {
    let empty = Fixture::empty();
    let fixture = Fixture::new();
    let bare = empty.directory.path().join("bare.git");
    git(empty.directory.path(), &["init", "-q", "--bare", "bare.git"]);
    let plain = tempfile::tempdir().unwrap();
    for (repo, code) in [
        (plain.path().to_owned(), Code::NotARepository),
        (plain.path().join("nowhere"), Code::NotARepository),
        (bare, Code::NoWorkingTree),
        (fixture.repo().join(".git"), Code::NoWorkingTree),
        (empty.repo(), Code::NoCommit),
    ] {
        let error = make(&repo, &fixture.at("t1")).await.unwrap_err();
        assert_eq!(error.code(), code, "{}: {error}", repo.display());
        assert!(!fixture.at("t1").exists());
    }
    write(&fixture.at("t1").join("theirs"), "x");
    let state = fixture.state();
    let error = make(&fixture.repo(), &fixture.at("t1")).await.unwrap_err();
    assert_eq!(error.code(), Code::WorktreeTaken, "{error}");
    assert!(fixture.at("t1").join("theirs").exists());
    assert_eq!(fixture.state(), state);
}

#[tokio::test]
async fn a_failure_in_the_middle_leaves_nothing() {
    let fixture = Fixture::new();
    fixture.write(".gitattributes", "*.bad filter=broken\n");
    fixture.write("x.bad", "x\n");
    fixture.commit();
    fixture.git(&["config", "filter.broken.smudge", "false"]);
    fixture.git(&["config", "filter.broken.clean", "cat"]);
    fixture.git(&["config", "filter.broken.required", "true"]);
    let state = fixture.state();
    let error = make(&fixture.repo(), &fixture.at("t1")).await.unwrap_err();
    assert_eq!(error.code(), Code::WorktreeFailed, "{error}");
    assert!(error.to_string().contains("smudge filter"), "{error}");
    assert!(!fixture.at("t1").exists());
    assert_eq!(fixture.git(&["worktree", "list"]).lines().count(), 1);
    assert_eq!(fixture.state(), state);
}

#[tokio::test]
async fn git_must_be_there_and_new_enough() {
    let dir = tempfile::tempdir().unwrap();
    let says = |text: &str| {
        let mut command = crate::sys::git::git(["version"], dir.path());
        command.argv = vec!["echo".to_owned(), text.to_owned()];
        command
    };
    for good in [
        "git version 2.32.0",
        "git version 2.39.5 (Apple Git-154)",
        "git version 2.47.1.windows.2",
        "git version 3.0.rc1",
    ] {
        check_version(says(good)).await.unwrap();
    }
    for old in ["git version 2.31.9", "git version 1.99.1", "hub", ""] {
        assert_eq!(check_version(says(old)).await.unwrap_err().code(), Code::GitTooOld, "{old}");
    }
    let mut missing = says("");
    missing.argv[0] = "no-such-git".to_owned();
    assert_eq!(check_version(missing).await.unwrap_err().code(), Code::GitMissing);
    assert!(Repo::open(&Fixture::new().repo()).await.is_ok());
}
