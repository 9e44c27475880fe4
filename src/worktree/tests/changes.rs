//! From a worktree's files to a patch, and from the patch to the user's files.

use super::*;
use crate::fault::Code;

/// Changes of every kind in a worktree of a repository that has something to change.
async fn changed() -> (Fixture, Worktree) {
    let fixture = Fixture::new();
    for name in ["deleted.txt", "old name.txt", "mode.sh", "both.txt"] {
        fixture.write(name, format!("{name}\nwith a second line\n"));
    }
    fixture.write("bin.dat", b"\0\x01\x02");
    fixture.write("crlf.txt", "one\r\ntwo\r\n");
    fixture.write("latin.txt", b"caf\xe9\n");
    fixture.write(".gitattributes", "latin.txt diff\n");
    make_link("a.txt", &fixture.repo().join("link"));
    fixture.write(".gitignore", "*.log\n");
    fixture.commit();
    // Uncommitted, so that the base is a commit of ours.
    fixture.write("a.txt", "one\ntwo\nthree\nfour\nfive\nsix\nSEVEN\n");
    let worktree = fixture.make("t1").await;
    let root = worktree.path.clone();
    write(&root.join("a.txt"), "ONE\ntwo\nthree\nfour\nfive\nsix\nSEVEN\n");
    fs::remove_file(root.join("deleted.txt")).unwrap();
    fs::rename(root.join("old name.txt"), root.join("new é 空.txt")).unwrap();
    make_executable(&root.join("mode.sh"));
    write(&root.join("bin.dat"), b"\0\xff\xfe\xfd");
    write(&root.join("crlf.txt"), "one\r\ntwo\r\nthree\r\n");
    write(&root.join("latin.txt"), b"caf\xe9 cr\xe8me\n");
    write(&root.join("deep/new/file with \"quotes\"\tand tab.txt"), "no end of line");
    write(&root.join("empty"), "");
    write(&root.join("run.sh"), "#!/bin/sh\n");
    make_executable(&root.join("run.sh"));
    make_link("sub/b.txt", &root.join("link"));
    make_link("../elsewhere", &root.join("new link"));
    write(&root.join("build.log"), "ignored\n");
    (fixture, worktree)
}

#[tokio::test]
async fn every_kind_of_change_arrives_in_the_files_and_not_in_the_index() {
    let (fixture, worktree) = changed().await;
    let patch = diff(&worktree).await.unwrap();
    let index = fs::read(fixture.repo().join(".git/index")).unwrap();
    let state = fixture.state();
    let applied = apply(&fixture.repo(), &patch).await.unwrap();
    let mut expected = files(&worktree.path);
    expected.remove("build.log").unwrap();
    assert_eq!(files(&fixture.repo()), expected);
    assert_eq!(fs::read(fixture.repo().join(".git/index")).unwrap(), index);
    assert_eq!(fixture.state()[..6], state[..6]);
    let mut names: Vec<_> = applied.iter().map(|path| path.to_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names.len(), 13, "{names:?}");
    assert!(names.contains(&"new é 空.txt") && names.contains(&"deep/new/file with \"quotes\"\tand tab.txt"));
    // Once more there is nothing left to do.
    assert_eq!(apply(&fixture.repo(), &patch).await.unwrap(), [""; 0].map(PathBuf::from));
}

#[tokio::test]
async fn what_its_agent_staged_or_committed_belongs_to_it() {
    let (fixture, worktree) = changed().await;
    let before = diff(&worktree).await.unwrap();
    git(&worktree.path, &["add", "-A"]);
    assert_eq!(diff(&worktree).await.unwrap(), before);
    git(&worktree.path, &["commit", "-q", "-m", "mine"]);
    assert_eq!(diff(&worktree).await.unwrap(), before);
    git(&worktree.path, &["checkout", "-q", "-b", "agent"]);
    assert_eq!(diff(&worktree).await.unwrap(), before);
    apply(&fixture.repo(), &before).await.unwrap();
}

#[tokio::test]
async fn collecting_garbage_leaves_the_base() {
    let (fixture, worktree) = changed().await;
    let before = diff(&worktree).await.unwrap();
    assert_ne!(worktree.base, fixture.git(&["rev-parse", "HEAD"]).trim());
    fixture.git(&["gc", "--quiet", "--prune=now"]);
    assert_eq!(diff(&worktree).await.unwrap(), before);
    apply(&fixture.repo(), &before).await.unwrap();
}

#[tokio::test]
async fn what_the_user_changed_meanwhile_is_merged() {
    let (fixture, worktree) = changed().await;
    let patch = diff(&worktree).await.unwrap();
    fixture.write("a.txt", "one\ntwo\nthree\nfour\nfive\nsix\nSEVEN\nand eight\n");
    fixture.write("sub/b.txt", "mine\n");
    fixture.write("own new", "mine\n");
    fixture.git(&["add", "sub/b.txt"]);
    apply(&fixture.repo(), &patch).await.unwrap();
    let text = |name: &str| fs::read_to_string(fixture.repo().join(name)).unwrap();
    assert_eq!(text("a.txt"), "ONE\ntwo\nthree\nfour\nfive\nsix\nSEVEN\nand eight\n");
    assert_eq!((text("sub/b.txt"), text("own new")), ("mine\n".to_owned(), "mine\n".to_owned()));
    // Also when it was committed meanwhile.
    let (fixture, worktree) = changed().await;
    let patch = diff(&worktree).await.unwrap();
    fixture.commit();
    fixture.git(&["mv", "sub/b.txt", "sub/c.txt"]);
    fixture.commit();
    apply(&fixture.repo(), &patch).await.unwrap();
}

#[tokio::test]
async fn a_conflict_names_the_files_and_changes_nothing() {
    type Change = fn(&Fixture);
    let changes: [(&str, Change); 5] = [
        ("a.txt", |fixture| fixture.write("a.txt", "uno\ntwo\nthree\nfour\nfive\nsix\nSEVEN\n")),
        ("bin.dat", |fixture| fixture.write("bin.dat", b"\0mine")),
        ("run.sh", |fixture| fixture.write("run.sh", "mine\n")),
        ("crlf.txt", |fixture| fs::remove_file(fixture.repo().join("crlf.txt")).unwrap()),
        ("deleted.txt", |fixture| fixture.write("deleted.txt", "not any more\n")),
    ];
    for (name, change) in changes {
        let (fixture, worktree) = changed().await;
        let patch = diff(&worktree).await.unwrap();
        change(&fixture);
        let (state, mine) = (fixture.state(), files(&fixture.repo()));
        let error = apply(&fixture.repo(), &patch).await.unwrap_err();
        assert_eq!(error.code(), Code::PatchConflict, "{name}: {error}");
        let WorktreeError::Conflict(named) = error else { panic!("{error}") };
        assert_eq!(named, [Path::new(name)]);
        assert_eq!(files(&fixture.repo()), mine, "{name}");
        assert_eq!(fixture.state(), state, "{name}");
    }
}

#[tokio::test]
async fn what_is_in_the_way_but_ignored_is_not_overwritten() {
    let fixture = Fixture::new();
    let worktree = fixture.make("t1").await;
    write(&worktree.path.join("secret"), "theirs\n");
    let patch = diff(&worktree).await.unwrap();
    fixture.write(".git/info/exclude", "secret\n");
    fixture.write("secret", "mine\n");
    let error = apply(&fixture.repo(), &patch).await.unwrap_err();
    assert!(matches!(&error, WorktreeError::Conflict(files) if files == &[Path::new("secret")]), "{error}");
    assert_eq!(fs::read(fixture.repo().join("secret")).unwrap(), b"mine\n");
}

#[tokio::test]
async fn line_ends_that_git_converts_stay_the_users() {
    for setting in ["true", "input", "false"] {
        let fixture = Fixture::new();
        fixture.git(&["config", "core.autocrlf", setting]);
        fixture.write("w.txt", "one\r\ntwo\r\n");
        fixture.commit();
        let worktree = fixture.make("t1").await;
        let end = if setting == "input" { "\n" } else { "\r\n" };
        assert_eq!(fs::read_to_string(worktree.path.join("w.txt")).unwrap(), format!("one{end}two{end}"), "{setting}");
        write(&worktree.path.join("w.txt"), format!("one{end}two{end}three{end}"));
        let patch = diff(&worktree).await.unwrap();
        apply(&fixture.repo(), &patch).await.unwrap();
        let text = fs::read_to_string(fixture.repo().join("w.txt")).unwrap();
        assert_eq!(text.replace("\r\n", "\n"), "one\ntwo\nthree\n", "{setting}");
        assert_eq!(text.contains('\r'), setting != "input", "{setting}: {text:?}");
    }
}

#[tokio::test]
async fn a_patch_is_text_whatever_the_attributes_say() {
    let fixture = Fixture::new();
    fixture.write(".gitattributes", "*.c diff=cpp text\n");
    fixture.commit();
    let worktree = fixture.make("t1").await;
    let bytes: Vec<u8> = (1..=255).collect();
    write(&worktree.path.join("latin.c"), &bytes);
    let patch = diff(&worktree).await.unwrap();
    assert!(patch.contains("GIT binary patch"));
    apply(&fixture.repo(), &patch).await.unwrap();
    assert_eq!(fs::read(fixture.repo().join("latin.c")).unwrap(), bytes);
    // UTF-8 stays readable.
    let worktree = fixture.make("t2").await;
    write(&worktree.path.join("utf8.c"), "é\n");
    let patch = diff(&worktree).await.unwrap();
    assert!(patch.contains("\n+é\n") && !patch.contains("GIT binary patch"), "{patch}");
}

#[tokio::test]
async fn a_repository_inside_is_not_taken_along() {
    let fixture = Fixture::new();
    let worktree = fixture.make("t1").await;
    let inner = worktree.path.join("clone");
    fs::create_dir(&inner).unwrap();
    git(&inner, &["init", "-q"]);
    write(&inner.join("x"), "x");
    write(&worktree.path.join("y"), "y\n");
    let patch = diff(&worktree).await.unwrap();
    assert!(patch.contains("b/y") && !patch.contains("clone"), "{patch}");
}

#[tokio::test]
async fn users_settings_of_diff_and_apply_have_no_say() {
    let (fixture, worktree) = changed().await;
    for (key, value) in [
        ("diff.noprefix", "true"),
        ("diff.mnemonicPrefix", "true"),
        ("diff.external", "false"),
        ("diff.renames", "copies"),
        ("color.ui", "always"),
        ("apply.whitespace", "error"),
        ("core.pager", "false"),
        ("core.hooksPath", "/nowhere"),
        ("diff.context", "0"),
        ("core.splitIndex", "true"),
    ] {
        fixture.git(&["config", key, value]);
    }
    write(&worktree.path.join("space.txt"), "trailing \t \n\n\n");
    let patch = diff(&worktree).await.unwrap();
    let state = fixture.state();
    apply(&fixture.repo(), &patch).await.unwrap();
    assert_eq!(fs::read(fixture.repo().join("space.txt")).unwrap(), b"trailing \t \n\n\n");
    assert_eq!(fixture.state()[..6], state[..6]);
}
