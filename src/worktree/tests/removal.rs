//! The end of worktrees, in whatever state they are.

use super::*;
use crate::fault::Code;

fn listed(fixture: &Fixture) -> usize {
    fixture.git(&["worktree", "list"]).lines().count()
}

#[tokio::test]
async fn a_removed_worktree_leaves_nothing_and_is_removed_once_more_without_harm() {
    let fixture = Fixture::new();
    let (state, mine) = (fixture.state(), files(&fixture.repo()));
    let worktree = fixture.make("t1").await;
    write(&worktree.path.join("a.txt"), "dirty\n");
    write(&worktree.path.join("new/x"), "x\n");
    make_link(fixture.repo().to_str().unwrap(), &worktree.path.join("link"));
    for _ in 0..2 {
        remove(&fixture.repo(), &worktree.path).await.unwrap();
        assert!(!worktree.path.exists());
        assert_eq!(listed(&fixture), 1);
    }
    assert_eq!(files(&fixture.repo()), mine);
    assert_eq!(fixture.state(), state);
    // The same path serves again.
    fixture.make("t1").await;
}

#[tokio::test]
async fn damage_does_not_keep_it() {
    type Damage = fn(&Fixture, &Path);
    let damages: [Damage; 5] = [
        |_, at| fs::remove_dir_all(at).unwrap(),
        |_, at| fs::remove_file(at.join(".git")).unwrap(),
        |_, at| write(&at.join(".git"), "gitdir: /nowhere\n"),
        |fixture, at| drop(fixture.git(&["worktree", "lock", at.to_str().unwrap()])),
        |_, at| {
            fs::remove_file(at.join(".git")).unwrap();
            git(at, &["init", "-q"]);
        },
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        let fixture = Fixture::new();
        let worktree = fixture.make("t1").await;
        damage(&fixture, &worktree.path);
        remove(&fixture.repo(), &worktree.path).await.unwrap_or_else(|error| panic!("{number}: {error}"));
        assert!(!worktree.path.exists(), "{number}");
        assert_eq!(listed(&fixture), 1, "{number}");
    }
}

#[tokio::test]
async fn what_is_not_ours_stays() {
    let fixture = Fixture::new();
    let other = Fixture::new();
    let theirs = other.make("theirs").await;
    let plain = fixture.at("plain");
    write(&plain.join("x"), "x");
    for path in [fixture.repo(), theirs.path.clone(), plain.clone(), fixture.repo().join("sub"), plain.join("x")] {
        let error = remove(&fixture.repo(), &path).await.unwrap_err();
        assert_eq!(error.code(), Code::WorktreeTaken, "{}: {error}", path.display());
        assert!(path.exists());
    }
    // The user's own worktree on a disk that is not there now keeps its record.
    let own = fixture.directory.path().join("own");
    fixture.git(&["worktree", "add", "-q", own.to_str().unwrap()]);
    fs::rename(&own, fixture.directory.path().join("away")).unwrap();
    let worktree = fixture.make("t1").await;
    remove(&fixture.repo(), &worktree.path).await.unwrap();
    remove(&fixture.repo(), &worktree.path).await.unwrap();
    assert_eq!(listed(&fixture), 2);
}

/// What another process leaves that died while it wrote its record; git itself then fails for every worktree.
#[tokio::test]
async fn half_a_record_of_another_is_waited_for_but_not_for_ever() {
    let fixture = Fixture::new();
    let worktree = fixture.make("t1").await;
    let record = fixture.repo().join(".git/worktrees/other/commondir");
    write(&record, "");
    write(&record.with_file_name("gitdir"), "/nowhere/.git\n");
    let error = remove(&fixture.repo(), &worktree.path).await.unwrap_err();
    assert!(error.code() == Code::WorktreeFailed && error.to_string().contains("commondir"), "{error}");
    write(&record, "../..\n");
    remove(&fixture.repo(), &worktree.path).await.unwrap();
    assert!(!worktree.path.exists());
}

#[tokio::test]
async fn an_empty_leftover_goes_and_so_does_the_worktree_of_a_deleted_repository() {
    let fixture = Fixture::new();
    let at = fixture.at("t1");
    fs::create_dir_all(&at).unwrap();
    remove(&fixture.repo(), &at).await.unwrap();
    assert!(!at.exists());
    fs::remove_dir_all(fixture.repo()).unwrap();
    remove(&fixture.repo(), &at).await.unwrap();
    fs::create_dir_all(&at).unwrap();
    assert_eq!(remove(&fixture.repo(), &at).await.unwrap_err().code(), Code::NotARepository);
}
