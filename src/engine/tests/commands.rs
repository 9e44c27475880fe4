//! Commands in the background: whose they are, what ends them, and that nothing of them is left. The programs are real.

use std::{
    fs,
    path::Path,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::{Pid, test_kill_process};

use super::{
    flow::secs,
    rig::{DIR, Life, Rig, runtime},
};
use crate::{
    engine::{
        commands::{Command, End, MOST_OF_SESSION, Start, State, Why, strays},
        ops::Caller,
    },
    fault::{Code, Fault},
    opencode::{NewSession, SessionId, fake::Script},
    store::strays::note,
    sys::process::{self, Identity, Live},
    task::{InstanceId, StateName, Timestamp},
};

/// Tells its number, then lives on.
const LIVES: &str = "echo $$ > pid; echo ready; while :; do sleep 600; done";

/// The same with a child that is deaf to being asked.
const STUBBORN: &str = "sh -c 'trap \"\" TERM; echo $$ > pid; echo ready; while :; do sleep 600; done' & wait";

fn caller(session: &SessionId) -> Caller {
    Caller { session: session.clone(), message: None, call: None, directory: DIR.to_owned() }
}

async fn start(life: &Life, session: &SessionId, dir: &Path, script: &str) -> Result<Arc<Command>, Fault> {
    let words: Vec<_> = ["sh", "-c", script].map(str::to_owned).to_vec();
    let start = Start {
        words,
        line: script.to_owned(),
        directory: dir.to_owned(),
        limit: Duration::from_secs(80_000),
        keep: script.starts_with(":;"),
    };
    life.at.start_command(&caller(session), start).await
}

/// Starts a program that lives on, and gives its number.
async fn lives(life: &Life, session: &SessionId, dir: &Path, script: &str) -> (Arc<Command>, Pid) {
    let command = start(life, session, dir, script).await.unwrap();
    assert!(command.until(Some("ready"), 0).await, "{:?}", command.output(0, 1_000));
    let pid = fs::read_to_string(dir.join("pid")).unwrap().trim().parse().unwrap();
    fs::remove_file(dir.join("pid")).unwrap();
    (command, Pid::from_raw(pid).unwrap())
}

/// Lets time go on while something is done.
async fn going<T>(rig: &Rig, life: &Life, work: impl Future<Output = T>) -> T {
    let (mut work, lives) = (pin!(work), [life]);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = rig.step(&lives, Duration::from_millis(20)) => {}
        }
    }
}

/// Not even a zombie of a parent of ours; a dead grandchild is its new parent's to reap.
fn gone(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    test_kill_process(pid).is_err() || stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'))
}

/// The kernel may need a moment for the dead.
fn until_gone(pid: Pid) {
    let begun = Instant::now();
    while !gone(pid) {
        assert!(begun.elapsed() < Duration::from_secs(30), "{pid:?} is still there");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn end_of(command: &Command) -> Option<End> {
    match command.state() {
        State::Running { .. } => None,
        State::Ended { end, .. } => Some(end),
    }
}

#[tokio::test(start_paused = true)]
async fn each_session_is_shown_what_it_has_not_seen() {
    let (rig, dir) = (Rig::new(|_| Script::say("done")).await, tempfile::tempdir().unwrap());
    let life = rig.start().await;
    let other: SessionId = "ses_other".parse().unwrap();
    let command =
        start(&life, &rig.parent, dir.path(), "echo one; until [ -e go ]; do sleep 0.01; done; echo two").await;
    let command = command.unwrap();
    assert!(command.until(Some("one\n"), 0).await);
    assert_eq!(command.news(&rig.parent, 100).1.text, "one\n");
    let (since, none) = command.news(&rig.parent, 100);
    assert_eq!((since, none.text.as_str()), (4, ""));
    fs::write(dir.path().join("go"), "").unwrap();
    going(&rig, &life, command.ended()).await;
    assert_eq!(end_of(&command), Some(End::Exited(0)));
    // What was there already is found as well, and what never comes is not waited for.
    assert!(command.until(Some("two"), 0).await && !command.until(Some("three"), 0).await);
    assert!(!command.until(Some("one"), 4).await);
    assert_eq!(command.news(&rig.parent, 100).1.text, "two\n");
    assert_eq!(command.news(&other, 100).1.text, "one\ntwo\n");
    assert_eq!((command.output(2, 3).text.as_str(), command.written()), ("e\nt", 8));
    life.close_cleanly(&rig).await;
}

#[tokio::test(start_paused = true)]
async fn a_command_is_seen_by_its_session_by_those_below_and_by_the_one_above() {
    let (rig, dir) = (Rig::new(|_| Script::say("done")).await, tempfile::tempdir().unwrap());
    let life = rig.start().await;
    let below = async |parent: &SessionId| {
        let session = NewSession { parent: Some(parent.clone()), ..NewSession::default() };
        rig.host.client().create_session(DIR, session).await.unwrap().id
    };
    let parent = below(&rig.parent).await;
    let (own, sibling) = (below(&parent).await, below(&parent).await);
    let child = below(&below(&own).await).await;
    let (command, pid) = lives(&life, &own, dir.path(), STUBBORN).await;
    for (session, sees) in [(&own, true), (&child, true), (&parent, true), (&sibling, false), (&rig.parent, false)] {
        let found = life.at.command_of(&caller(session), &command.id).await;
        assert_eq!(found.as_ref().map(|found| found.id.clone()).ok(), sees.then(|| command.id.clone()));
        assert!(found.is_ok() || found.is_err_and(|fault| fault.code == Code::NoSuchCommand));
        assert_eq!(life.at.commands_of(&caller(session)).await.unwrap().len(), usize::from(sees));
    }
    command.stop(Why::Killed);
    going(&rig, &life, command.ended()).await;
    assert_eq!(end_of(&command), Some(End::Stopped(Why::Killed)));
    until_gone(pid);
    life.close_cleanly(&rig).await;
}

#[tokio::test(start_paused = true)]
async fn a_time_limit_ends_a_command_and_can_be_set_while_it_runs() {
    let (rig, dir) = (Rig::new(|_| Script::say("done")).await, tempfile::tempdir().unwrap());
    let life = rig.start().await;
    let (command, pid) = lives(&life, &rig.parent, dir.path(), STUBBORN).await;
    let fault = life.at.limit_command(&command, secs(86_401)).unwrap_err();
    assert_eq!(fault.code, Code::BadTimeout);
    life.at.limit_command(&command, secs(10)).unwrap();
    rig.pass(&life, secs(9)).await;
    assert_eq!(end_of(&command), None);
    life.at.limit_command(&command, secs(3)).unwrap();
    rig.pass(&life, secs(2)).await;
    assert_eq!(end_of(&command), None);
    going(&rig, &life, command.ended()).await;
    assert_eq!(end_of(&command), Some(End::TimedOut));
    until_gone(pid);
    assert_eq!(life.at.limit_command(&command, secs(10)).unwrap_err().code, Code::CommandEnded);
    life.close_cleanly(&rig).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_takes_its_commands_along_but_those_that_are_kept() {
    let (rig, dir) = (Rig::new(|_| Script::hang()).await, tempfile::tempdir().unwrap());
    let life = rig.start().await;
    let task = rig.launch(&life, &["hangs"]).await[0];
    rig.until(&[&life], secs(5), "the run", async || !rig.host.busy().is_empty()).await;
    let session = rig.sessions()[0].clone();
    let (ends, first) = lives(&life, &session, dir.path(), LIVES).await;
    let (kept, second) = lives(&life, &session, dir.path(), &format!(":; {LIVES}")).await;
    let (others, third) = lives(&life, &rig.parent, dir.path(), LIVES).await;
    assert_eq!((ends.task, kept.task, others.task), (Some(task), Some(task), None));
    life.at.cancel(task).await.unwrap();
    assert_eq!(rig.end_of(&life, task).await.state.name(), StateName::Cancelled);
    going(&rig, &life, ends.ended()).await;
    until_gone(first);
    assert_eq!(end_of(&ends), Some(End::Stopped(Why::TaskEnded)));
    assert_eq!((end_of(&kept), end_of(&others), gone(second) || gone(third)), (None, None, false));
    // No command outlives the project.
    life.close_cleanly(&rig).await;
    until_gone(second);
    until_gone(third);
    assert_eq!(end_of(&kept), Some(End::Stopped(Why::Closed)));
    assert_eq!(fs::read_dir(rig.open_home().commands()).unwrap().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_session_runs_more_commands_than_it_may_and_what_has_ended_makes_room() {
    let (rig, dir) = (Rig::new(|_| Script::say("done")).await, tempfile::tempdir().unwrap());
    let life = rig.start().await;
    let mut commands = Vec::new();
    for _ in 0..MOST_OF_SESSION {
        commands.push(lives(&life, &rig.parent, dir.path(), LIVES).await.0);
    }
    let fault = start(&life, &rig.parent, dir.path(), LIVES).await.unwrap_err();
    assert!(
        fault.code == Code::TooManyCommands && fault.message.contains("8 commands run for this session"),
        "{fault}"
    );
    commands[0].stop(Why::Killed);
    going(&rig, &life, commands[0].ended()).await;
    let fault = start(&life, &rig.parent, &dir.path().join("nowhere"), LIVES).await.unwrap_err();
    assert_eq!(fault.code, Code::CheckNotStarted);
    lives(&life, &rig.parent, dir.path(), LIVES).await;
    life.close_cleanly(&rig).await;
}

#[test]
fn a_process_that_goes_leaves_no_command() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = runtime();
    let (rig, pid) = runtime.block_on(async {
        let rig = Rig::new(|_| Script::say("done")).await;
        let life = rig.start().await;
        let (_, pid) = lives(&life, &rig.parent, dir.path(), STUBBORN).await;
        (rig, pid)
    });
    drop(runtime);
    until_gone(pid);
    drop(rig);
}

#[tokio::test]
async fn what_a_dead_process_left_is_ended_and_what_has_its_number_by_chance_is_not() {
    let (rig, dir) = (Rig::new(|_| Script::say("done")).await, tempfile::tempdir().unwrap());
    let home = rig.open_home();
    let started = |script: &str| {
        Live::start(&process::Command {
            argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
            dir: dir.path().to_owned(),
            set: Vec::new(),
            unset: Vec::new(),
            timeout: secs(600),
            keep: 0,
        })
        .unwrap()
    };
    // A living process's own is left alone by all others, and one that starts looks for those of the dead.
    let life = rig.start().await;
    let (left, other) = (started(LIVES), started("while :; do sleep 600; done"));
    let (left_as, other_as) = (left.leader().unwrap(), other.leader().unwrap());
    let dead = InstanceId::new(Timestamp(1), &[9; 10]);
    note(&home, dead, "cmd_1", left_as).unwrap();
    note(&home, dead, "cmd_2", Identity { birth: other_as.birth - 100, ..other_as }).unwrap();
    let living = life.at.project.core.instance;
    note(&home, living, "cmd_3", other_as).unwrap();
    strays::sweep(&home).await;
    until_gone(Pid::from_raw(left_as.pid.cast_signed()).unwrap());
    assert!(other_as.is_alive());
    let notes = || fs::read_dir(home.commands()).unwrap().count();
    let begun = Instant::now();
    while notes() != 1 {
        assert!(begun.elapsed() < Duration::from_secs(30), "{} notes are left", notes());
        std::thread::sleep(Duration::from_millis(5));
    }
}
