//! What does not work: each with its message and exit code.

use crate::rig::{Rig, kept, transcript};

#[test]
fn bad_uses_say_what_to_do() {
    let rig = Rig::new();
    std::fs::write(rig.root().join("project/empty.txt"), " \n").unwrap();
    let long = "x".repeat(120_001);
    std::fs::write(rig.root().join("project/long.txt"), &long).unwrap();
    std::fs::write(rig.root().join("project/binary.txt"), b"\xff\xfe").unwrap();
    std::fs::write(rig.root().join("project/nul.txt"), b"a\0b").unwrap();
    std::fs::create_dir(rig.root().join("elsewhere")).unwrap();
    let setup = transcript(
        &rig,
        "
        start good ended
        start bad failed
        start good cancelled
        cancel @3
        run
        start good waits
        start good paused
        pause @5
        ",
    );
    assert!(!setup.contains("! "), "{setup}");
    let text = transcript(&rig, BAD);
    assert!(text.matches("$ sortie").count() >= 80, "{} uses", text.matches("$ sortie").count());
    let taken: Vec<_> = text.split("\n\n").filter(|use_| use_.ends_with("-> 0")).collect();
    assert!(taken.is_empty(), "each is refused: {taken:#?}");
    kept("bad.txt", &text);
}

const BAD: &str = "
# checklist
checklist
checklist missing.md
checklist empty.txt
checklist binary.txt
checklist below
checklist prompt.txt --model gpt
checklist prompt.txt --allow bash
checklist prompt.txt --parallel 0
checklist prompt.txt --timeout 0
checklist prompt.txt --server http://example.com:80
checklist prompt.txt --server http://127.0.0.1:1
checklist prompt.txt extra
servers extra
# no command
frobnicate
--frobnicate
--json
strat good x
# start
start
start good
start good ''
start good ' '
start '' x
start -- -x y
start 'a\\nb' x
start good -f missing.txt
start good -f empty.txt
start good -f long.txt
start good -f binary.txt
start good -f nul.txt
start good x -f prompt.txt
start good -f
start good x --timeout 0
start good x --timeout 25h
start good x --timeout soon
start good x --timeout -5
start good x --timeout 1.5
start good x --timeout 500ms
start good x --timeout
start good x --priority urgent
start good x --priority 11
start good x --priority -1
start good x --max-retries many
start good x --max-retries -1
start good x --max-retries 99999999999
start good x --after 0
start good x --after nothing
start good x --after @2
start good x --after @3
start good x --after
start good x --dir missing
start good x --dir prompt.txt
start good x --dir ../elsewhere
start good x --dir /
start good x --colour red
# ids
status 0zz
status ''
status tsk_
status -5
status 0
status ffffffff
status tsk_00000000000000000000000000000000
status '\\e[2J'
status ../../etc/passwd
logs
logs ffff
logs @1 @2
logs @1 --lines some
logs @1 -f --json
result
result ffff
result @4
cancel
cancel ffff
cancel @1
cancel @2
cancel @3
cancel @4 ffff
cancel @4 @1
pause
pause @1
pause @5
resume
resume @1
resume @4
priority
priority @4
priority @4 top
priority @1 high
retry
retry ffff
retry @1
retry @4
retry @2 --max-retries 0
retry @2 --max-retries x
send
send @1
send @1 ''
send @4 x
send ffff x
# run, wait, status
run ffff
run @1
run --parallel 0
run --parallel many
run --limit 0
run --detach now
run --watch
wait ffff
wait @4 --timeout 0
wait @4 --timeout never
wait @4 --timeout 1
status --state lost
status --limit -1
status --limit many
status --watch --json
status --agent
# timeout, clean
timeout
timeout ffff
timeout @1
timeout @4
timeout extend
timeout extend @4
timeout extend @4 0
timeout extend @4 24h
timeout extend @1 5m
timeout extend @4 5m more
timeout list all
clean everything
clean ffff
clean @4
clean completed failed
# the rest
agents now
doctor now
completions
completions cmd.exe
man page
-C missing status
-C prompt.txt status
-C
";

#[test]
fn a_wrong_configuration_is_named() {
    for (text, says) in [
        ("{", "sortie error bad-config: "),
        (r#"{"agents": {"a": {"comand": "x"}}}"#, "`agents.a.comand`: unknown field `comand`"),
        (r#"{"agents": {"a": {}}}"#, "`agents.a`: missing field `command`"),
        (r#"{"queue": {"timeout": -1}}"#, "`queue.timeout`: invalid value"),
        ("[]", "expected an object"),
    ] {
        let rig = Rig::new();
        rig.configure(text);
        for arguments in [&["start", "a", "x"][..], &["run"], &["agents"]] {
            let did = rig.sortie(arguments);
            assert_eq!(did.code, 6, "{text} {arguments:?}: {}", did.err);
            assert!(did.err.contains(says), "{text}: {}", did.err);
        }
        let doctor = rig.sortie(&["doctor"]);
        assert!(doctor.code == 1 && doctor.out.contains("✗ configuration: sortie error bad-config"), "{}", doctor.out);
    }
}

#[test]
fn a_home_that_cannot_be_used_is_named() {
    let rig = Rig::new();
    std::fs::write(rig.home(), "in the way").unwrap();
    let did = rig.sortie(&["status"]);
    assert_eq!(did.code, 5);
    assert!(did.err.starts_with("sortie error store-not-a-directory: "), "{}", did.err);
}

#[test]
fn an_id_that_fits_several_names_them() {
    let rig = Rig::new();
    for _ in 0..7 {
        rig.sortie(&["start", "good", "x"]);
    }
    let did = rig.sortie(&["cancel", "0"]);
    assert_eq!(did.code, 3);
    assert!(
        did.err.starts_with("sortie error ambiguous-id: `0` may be ") && did.err.contains(" and more"),
        "{}",
        did.err
    );
    assert_eq!(rig.json(&["status"])["totals"]["pending"], 7);
}

#[test]
fn a_task_of_opencodes_is_shown_and_left_to_it() {
    use sortie::store::{Durability, Home, SqliteStore, Store, fixture};
    let rig = Rig::new();
    rig.sortie(&["status"]);
    let home = Home::open(&rig.home()).unwrap();
    let mut store = SqliteStore::open(&home, Durability::Normal).unwrap();
    let project = sortie::task::ProjectKey::new(rig.project().to_str().unwrap());
    let task = fixture::task(1, fixture::instance(1), |spec| spec.project = project.clone());
    store.launch(std::slice::from_ref(&task)).unwrap();
    let id = task.id.to_string();
    assert!(rig.sortie(&["status"]).out.contains("pending"));
    for arguments in [&["run", &id][..], &["logs", &id], &["send", &id, "x"]] {
        let did = rig.sortie(arguments);
        assert_eq!(did.code, 4, "{arguments:?}");
        assert!(did.err.starts_with("sortie error not-queued: "), "{}", did.err);
    }
    assert_eq!(rig.sortie(&["cancel", &id]).code, 0);
    assert_eq!(rig.sortie(&["retry", &id]).code, 4);
}

#[test]
fn a_log_that_cannot_be_read_is_told() {
    let rig = Rig::new();
    rig.sortie(&["start", "good", "x"]);
    let id = rig.ids().remove(0);
    std::fs::create_dir_all(rig.home().join("tasks").join(&id).join("log")).unwrap();
    let did = rig.sortie(&["logs", &id]);
    assert_eq!(did.code, 7);
    assert!(did.err.starts_with("sortie error not-run: the log of tsk_"), "{}", did.err);
    // Nor can its agent be started, which ends the task and nothing else.
    assert_eq!(rig.sortie(&["run"]).code, 1);
    assert!(rig.sortie(&["status", &id]).out.contains("it could not be started: its log"));
}
