//! Patches that would reach outside, and writing that fails in the middle.

use super::*;
use crate::fault::Code;

fn new_file(path: &str) -> String {
    format!("diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+owned\n")
}

#[tokio::test]
async fn a_patch_writes_nowhere_but_into_the_working_tree() {
    let fixture = Fixture::new();
    let outside = fixture.directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    make_link(outside.to_str().unwrap(), &fixture.repo().join("tracked"));
    fixture.commit();
    make_link(outside.to_str().unwrap(), &fixture.repo().join("untracked"));
    let link = |name: &str| {
        let target = outside.to_str().unwrap();
        format!(
            "diff --git a/{name} b/{name}\nnew file mode 120000\n--- /dev/null\n+++ b/{name}\n@@ -0,0 +1 @@\n+{target}\n\\ \
             No newline at end of file\n"
        )
    };
    let absolute = outside.join("owned").to_string_lossy().into_owned();
    let mut patches = vec![
        new_file("../outside/owned"),
        new_file("sub/../../outside/owned"),
        new_file(&absolute),
        new_file(".git/hooks/post-checkout"),
        new_file(".GIT/config"),
        new_file("sub/.git/config"),
        new_file("tracked/owned"),
        new_file("untracked/owned"),
        link("fresh") + &new_file("fresh/owned"),
        link("sub/.git"),
    ];
    // A move of a file from inside to outside, and of one from outside to inside.
    for (from, to) in [("a.txt", "../outside/owned"), ("../outside/file", "stolen")] {
        patches
            .push(format!("diff --git a/{from} b/{to}\nsimilarity index 100%\nrename from {from}\nrename to {to}\n"));
    }
    write(&outside.join("file"), "x");
    let (state, mine, theirs) = (fixture.state(), files(&fixture.repo()), files(&outside));
    let hooks = fs::read_dir(fixture.repo().join(".git/hooks")).unwrap().count();
    for patch in patches {
        let Err(error) = apply(&fixture.repo(), &patch).await else { panic!("{patch}") };
        assert!(matches!(error.code(), Code::PatchRefused | Code::PatchConflict), "{error}\n{patch}");
        assert_eq!(files(&fixture.repo()), mine, "{patch}");
        assert_eq!(fixture.state(), state, "{patch}");
        assert_eq!(files(&outside), theirs, "{patch}");
    }
    // Without git's own line at the top, the first part of a path is not part of it: this one is inside.
    let inside = format!("--- /dev/null\n+++ {absolute}\n@@ -0,0 +1 @@\n+owned\n");
    assert_eq!(apply(&fixture.repo(), &inside).await.unwrap(), [Path::new(absolute.trim_start_matches('/'))]);
    assert_eq!(files(&outside), theirs);
    assert_eq!(fs::read_dir(fixture.repo().join(".git/hooks")).unwrap().count(), hooks);
}

#[tokio::test]
async fn what_is_no_patch_is_refused() {
    let fixture = Fixture::new();
    let good = new_file("good");
    for patch in ["nonsense", "diff --git a/x b/x\n", &format!("{good}@@ -1 +1 @@ broken"), "\0\0", "--output=x"] {
        let error = apply(&fixture.repo(), patch).await.unwrap_err();
        assert_eq!(error.code(), Code::PatchRefused, "{patch:?}: {error}");
        assert!(!fixture.repo().join("good").exists());
    }
    for nothing in ["", "\n"] {
        assert_eq!(apply(&fixture.repo(), nothing).await.unwrap(), [""; 0].map(PathBuf::from));
    }
    assert_eq!(apply(&fixture.repo(), &good).await.unwrap(), [Path::new("good")]);
}

/// The patch passes every check, and then a filter fails for the last of its files.
#[tokio::test]
async fn a_failure_while_files_are_written_is_undone() {
    let fixture = Fixture::new();
    fixture.write(".gitattributes", "*.z filter=moody\n");
    fixture.write("x.z", "good\n");
    fixture.commit();
    fixture.write("a.txt", "uncommitted\n");
    let worktree = fixture.make("t1").await;
    write(&worktree.path.join("a.txt"), "changed\n");
    write(&worktree.path.join("new"), "new\n");
    fs::remove_file(worktree.path.join("sub/b.txt")).unwrap();
    write(&worktree.path.join("x.z"), "poison\n");
    let patch = diff(&worktree).await.unwrap();
    fixture.git(&["config", "filter.moody.smudge", "sh -c 'text=$(cat); test \"$text\" != poison && echo \"$text\"'"]);
    fixture.git(&["config", "filter.moody.required", "true"]);
    fixture.git(&["config", "filter.moody.clean", "cat"]);
    let (state, mine) = (fixture.state(), files(&fixture.repo()));
    let error = apply(&fixture.repo(), &patch).await.unwrap_err();
    assert_eq!(error.code(), Code::WorktreeFailed, "{error}");
    assert!(error.to_string().contains("smudge filter"), "{error}");
    assert_eq!(files(&fixture.repo()), mine);
    assert_eq!(fixture.state(), state);
}

#[tokio::test]
async fn a_worktree_that_lost_its_repository_is_not_taken_for_the_one_around_it() {
    let outer = Fixture::new();
    let fixture = Fixture::new();
    let at = outer.repo().join("sub/worktree");
    let worktree = make(&fixture.repo(), &at).await.unwrap();
    fs::remove_file(at.join(".git")).unwrap();
    let error = diff(&worktree).await.unwrap_err();
    assert_eq!(error.code(), Code::NotARepository, "{error}");
    let lost = Worktree { base: "--output=owned".to_owned(), path: outer.repo() };
    assert_eq!(diff(&lost).await.unwrap_err().code(), Code::WorktreeFailed);
    assert!(!outer.repo().join("owned").exists());
}

/// The names of configuration are known; one of them may be a link that leads out of the worktree.
#[tokio::test]
async fn configuration_is_not_copied_through_a_link() {
    let fixture = Fixture::new();
    let outside = fixture.directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    make_link(outside.to_str().unwrap(), &fixture.repo().join(".opencode"));
    fixture.write(".gitignore", "own.md\n");
    fixture.git(&["add", "-A"]);
    fixture.commit();
    // In the files a directory stands where HEAD has the link.
    fs::remove_file(fixture.repo().join(".opencode")).unwrap();
    fixture.write(".opencode/own.md", "x\n");
    let worktree = fixture.make("t1").await;
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert_eq!(fs::read(worktree.path.join(".opencode/own.md")).unwrap(), b"x\n");
}
