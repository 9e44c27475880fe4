//! Real programs: their ends, their output, and that nothing is left of them.

#![cfg(unix)]

use std::{fs, path::Path, time::Instant};

use rustix::process::{Pid, test_kill_process};
use tempfile::TempDir;

use super::*;
use crate::sys::git::git;

/// A command that would run for ever in its own right is bounded by this.
const LONG: Duration = Duration::from_secs(600);

fn command(argv: &[&str], dir: &Path) -> Command {
    Command {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        dir: dir.to_owned(),
        set: Vec::new(),
        unset: Vec::new(),
        timeout: LONG,
        keep: 64 * 1024,
    }
}

fn script(text: &str, dir: &Path) -> Command {
    command(&["sh", "-c", text], dir)
}

fn dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Looks until it holds; a fault of ours must not hang the tests.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}: not within 30 s");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The process that wrote its number to a file, once it has.
fn pid_in(file: &Path) -> Pid {
    let mut pid = None;
    until("a number in the file", || {
        pid = fs::read_to_string(file).ok().and_then(|text| text.strip_suffix('\n')?.parse().ok());
        pid.is_some()
    });
    Pid::from_raw(pid.unwrap()).unwrap()
}

/// Neither running nor a zombie, as far as it is ours to reap; a dead grandchild is its new parent's to reap.
fn gone(pid: Pid) -> bool {
    let zombie = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))
        .is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')));
    zombie || test_kill_process(pid).is_err()
}

#[tokio::test]
async fn an_end_is_told_as_it_was() {
    let dir = dir();
    for (text, status) in [
        ("exit 0", Status::Exited(0)),
        ("exit 7", Status::Exited(7)),
        ("kill -9 $$", Status::Signalled(9)),
        ("kill -15 $$", Status::Signalled(15)),
    ] {
        let finished = run(&script(text, dir.path()), &CancellationToken::new()).await;
        assert_eq!(finished.status, status, "{text}");
        assert_eq!(finished.status.is_success(), text == "exit 0");
        assert_eq!(finished.output, "");
    }
}

#[tokio::test]
async fn output_comes_in_the_order_it_was_written() {
    let dir = dir();
    let finished = run(
        &script("for i in 1 2 3; do echo out $i; echo err $i >&2; done; cat", dir.path()),
        &CancellationToken::new(),
    )
    .await;
    assert_eq!(finished.output, "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n");
    let split = run_split(&script("echo out; echo err >&2", dir.path()), &CancellationToken::new()).await;
    assert_eq!((split.stdout.text().as_str(), split.stderr.text().as_str()), ("out\n", "err\n"));
}

#[tokio::test]
async fn much_output_keeps_both_ends() {
    let dir = dir();
    let mut command = script("echo first; head -c 5000000 /dev/zero | tr '\\0' x; echo; echo last", dir.path());
    command.keep = 100;
    let finished = run(&command, &CancellationToken::new()).await;
    assert_eq!(finished.status, Status::Exited(0));
    assert!(finished.output.starts_with("first\nxxx") && finished.output.ends_with("xxx\nlast\n"), "{finished:?}");
    assert!(finished.output.contains("\n[… 4999912 bytes left out …]\n"), "{finished:?}");
}

#[tokio::test]
async fn the_environment_is_added_to_and_taken_from() {
    let dir = dir();
    // Cargo gives this one to every test.
    let inherited = "CARGO_MANIFEST_DIR";
    assert!(std::env::var_os(inherited).is_some());
    let mut command = script("echo \"$ADDED|${CARGO_MANIFEST_DIR-none}\"; pwd", dir.path());
    command.set = vec![("ADDED".to_owned(), "a b$(c)".to_owned())];
    command.unset = vec![inherited.to_owned()];
    let finished = run(&command, &CancellationToken::new()).await;
    let here = dir.path().canonicalize().unwrap();
    assert_eq!(finished.output, format!("a b$(c)|none\n{}\n", here.display()));
    // No shell reads the arguments.
    let finished = run(&self::command(&["echo", "$HOME; `id` *"], dir.path()), &CancellationToken::new()).await;
    assert_eq!(finished.output, "$HOME; `id` *\n");
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let dir = dir();
    fs::write(dir.path().join("plain"), "x").unwrap();
    let plain = dir.path().join("plain");
    for (argv, at, why) in [
        (vec!["no-such-program-here"], dir.path().to_owned(), "No such file"),
        (vec![plain.to_str().unwrap()], dir.path().to_owned(), "ermission denied"),
        (vec!["sh"], dir.path().join("nowhere"), "the directory is not there"),
        (vec!["sh"], plain.clone(), "the directory is not there"),
        (vec!["sh", "a\0b"], dir.path().to_owned(), "nul byte"),
        (vec![], dir.path().to_owned(), "no program is named"),
    ] {
        let finished = run(&command(&argv, &at), &CancellationToken::new()).await;
        let Status::NotStarted(fault) = finished.status else { panic!("{argv:?}: {finished:?}") };
        assert_eq!(fault.code, Code::CheckNotStarted);
        assert!(fault.message.contains(why), "{fault}");
    }
}

/// Starts a child of its own that ignores being asked, tells its number, and waits for it.
const STUBBORN: &str = "sh -c 'trap \"\" TERM; echo $$ > child; while :; do sleep 600; done' & wait";

/// The clock stands still until the grandchild runs, then leaps over the time limit and the grace.
#[tokio::test(start_paused = true)]
async fn a_time_limit_kills_grandchildren_too() {
    let dir = dir();
    let file = dir.path().join("child");
    let started = tokio::task::spawn_blocking(move || pid_in(&file));
    let finished = run(&script(STUBBORN, dir.path()), &CancellationToken::new()).await;
    assert_eq!(finished.status, Status::TimedOut);
    assert!(finished.took >= LONG);
    let child = started.await.unwrap();
    until("the end of the grandchild", || gone(child));
}

#[tokio::test]
async fn cancelling_asks_first_and_lets_the_group_finish_its_words() {
    let dir = dir();
    let file = dir.path().join("child");
    let text = "sh -c 'trap \"echo cleaned; exit\" TERM; echo $$ > child; while :; do sleep 0.1; done' & wait";
    let cancel = CancellationToken::new();
    let when = cancel.clone();
    let child = tokio::task::spawn_blocking(move || {
        let child = pid_in(&file);
        when.cancel();
        child
    });
    let finished = run(&script(text, dir.path()), &cancel).await;
    assert_eq!(finished.status, Status::Cancelled);
    // The shell may tell of its `sleep` as well.
    assert!(finished.output.ends_with("cleaned\n"), "{finished:?}");
    let child = child.await.unwrap();
    until("the end of the grandchild", || gone(child));
    let finished = run(&script("echo never", dir.path()), &cancel).await;
    assert_eq!((finished.status, finished.output.as_str()), (Status::Cancelled, ""));
}

#[tokio::test]
async fn what_is_left_running_after_the_end_is_ended() {
    let dir = dir();
    let finished = run(&script("sleep 600 & echo $! > child; echo done", dir.path()), &CancellationToken::new()).await;
    assert_eq!((finished.status, finished.output.as_str()), (Status::Exited(0), "done\n"));
    let child = pid_in(&dir.path().join("child"));
    until("the end of the background process", || gone(child));
}

#[tokio::test]
async fn a_dropped_run_leaves_nothing() {
    let dir = dir();
    let (leader, child) = (dir.path().join("leader"), dir.path().join("child"));
    let command = script(&format!("echo $$ > leader; {STUBBORN}"), dir.path());
    let running = tokio::spawn(async move { run(&command, &CancellationToken::new()).await });
    let pids = tokio::task::spawn_blocking(move || [pid_in(&leader), pid_in(&child)]).await.unwrap();
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    for pid in pids {
        tokio::task::spawn_blocking(move || until("the end of the dropped", || gone(pid))).await.unwrap();
    }
}

#[test]
fn a_runtime_that_goes_takes_its_programs_along() {
    let dir = dir();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let command = script(STUBBORN, dir.path());
    let file = dir.path().join("child");
    let child = runtime.block_on(async {
        tokio::spawn(async move { run(&command, &CancellationToken::new()).await });
        tokio::task::spawn_blocking(move || pid_in(&file)).await.unwrap()
    });
    drop(runtime);
    until("the end of the grandchild", || gone(child));
}

#[tokio::test]
async fn what_runs_on_tells_its_lines_and_ends_when_it_is_stopped() {
    let dir = dir();
    let mut running = Running::start(&script(&format!("echo out; echo err >&2; {STUBBORN}"), dir.path())).unwrap();
    assert_eq!(running.line().await.as_deref(), Some("out"));
    assert_eq!(running.line().await.as_deref(), Some("err"));
    let file = dir.path().join("child");
    let child = tokio::task::spawn_blocking(move || pid_in(&file)).await.unwrap();
    let leader = running.process().unwrap();
    assert!(leader.is_alive());
    let finished = running.stop().await;
    assert_eq!((finished.status, finished.output.as_str()), (Status::Cancelled, "out\nerr\n"));
    assert!(!leader.is_alive());
    until("the end of the grandchild", || gone(child));

    let mut running = Running::start(&script("echo last; exit 4", dir.path())).unwrap();
    assert_eq!(running.ended().await.status, Status::Exited(4));
    assert_eq!(running.line().await.as_deref(), Some("last"));
    assert_eq!(running.line().await, None);
    let fault = Running::start(&command(&["no-such-program-here"], dir.path())).unwrap_err();
    assert_eq!(fault.code, Code::CheckNotStarted);
}

#[tokio::test]
async fn a_dropped_one_ends_as_well() {
    let dir = dir();
    let running = Running::start(&script(STUBBORN, dir.path())).unwrap();
    let file = dir.path().join("child");
    let child = tokio::task::spawn_blocking(move || pid_in(&file)).await.unwrap();
    drop(running);
    tokio::task::spawn_blocking(move || until("the end of the dropped", || gone(child))).await.unwrap();
}

/// A group that nobody of this process drives is what a dead owner leaves.
#[tokio::test]
async fn what_was_left_behind_is_ended_and_nothing_else() {
    use std::os::unix::process::CommandExt as _;
    let dir = dir();
    let value = dir.path().display().to_string();
    let (mark, other) = (("SORTIE_TEST_MARK", value.as_str()), ("SORTIE_TEST_MARK", "other"));
    let left = |file: &str| {
        let text = format!("sh -c 'trap \"\" TERM; echo $$ > {file}; while :; do sleep 600; done' & wait");
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &text]).current_dir(dir.path()).env(mark.0, mark.1).process_group(0).spawn().unwrap()
    };
    let (mut one, mut two, mut three) = (left("one"), left("two"), left("three"));
    let children = ["one", "two", "three"].map(|file| pid_in(&dir.path().join(file)));
    let of = |child: &std::process::Child| Identity::of(child.id()).unwrap();

    // Another process than the one that was meant, and another's mark.
    let later = Identity { birth: of(&one).birth + 1, ..of(&one) };
    assert!(!Adopted::new(later, Some(other)).end().await && !Adopted::new(later, None).end().await);
    // The leader's number and birth are enough; and so is the mark, where the leader is dead.
    assert!(Adopted::new(of(&one), Some(other)).end().await);
    until("the end of the first group", || gone(children[0]));
    assert!(!gone(children[1]));
    let dead = of(&two);
    two.kill().unwrap();
    two.wait().unwrap();
    assert!(!dead.is_alive() && !Adopted::new(dead, Some(other)).end().await && !Adopted::new(dead, None).end().await);
    assert!(Adopted::new(dead, Some(mark)).end().await);
    until("the end of the second group", || gone(children[1]));
    // Where nobody has noted a leader, the mark finds it.
    let found = Adopted::marked(mark);
    assert_eq!(found.len(), 1);
    assert!(found[0].end().await);
    until("the end of the third group", || gone(children[2]));
    for child in [&mut one, &mut three] {
        child.wait().unwrap();
    }
    assert!(Adopted::marked(mark).is_empty());
}

#[tokio::test]
async fn git_ignores_what_surrounds_it() {
    let dir = dir();
    let quiet = |arguments: &[&str]| {
        let mut command = git(arguments.iter().copied(), dir.path());
        command.set.push(("GIT_CEILING_DIRECTORIES".to_owned(), dir.path().to_string_lossy().into_owned()));
        command
    };
    let cancel = CancellationToken::new();
    assert_eq!(run(&quiet(&["init", "-q"]), &cancel).await.status, Status::Exited(0));
    let finished = run(&quiet(&["rev-parse", "--git-dir"]), &cancel).await;
    assert_eq!(finished.output, ".git\n");
    let asked = quiet(&["config", "--get", "core.hooksPath"]);
    assert!(
        asked.unset.iter().any(|name| name == "GIT_DIR") && asked.unset.iter().any(|name| name == "GIT_INDEX_FILE")
    );
    assert_eq!(run(&asked, &cancel).await.output, "/dev/null\n");
    let finished = run(&quiet(&["nonsense"]), &cancel).await;
    assert_eq!(finished.status, Status::Exited(1));
    assert!(finished.output.contains("'nonsense' is not a git command"), "{finished:?}");
}
