//! The nine examples of the orchestrator that people come from, each as they typed it there, with what comes of it here.

use crate::rig::{Rig, kept, transcript};

/// `coder` does what the prompt's first word says: it works, waits for a file `go`, or fails so many times at first.
const CODER: &str = r#"
case "$1" in
  Hang*) echo waiting; until [ -e ../go ]; do sleep 0.05; done;;
  Deploy*) echo x >> ../tries; [ "$(wc -l < ../tries)" -gt "$(cat ../failures)" ] || { echo "Connection failed"; exit 1; };;
  Task*) [ -e "$SORTIE_TASK_DIR/tried" ] || { : > "$SORTIE_TASK_DIR/tried"; echo "Error X"; exit 1; };;
esac
echo "done: $1"
"#;

fn rig(failures: u32) -> Rig {
    let rig = Rig::new();
    let coder = serde_json::json!({ "command": "sh", "args": ["-c", CODER, "coder", "{prompt}"] });
    rig.configure(&serde_json::json!({ "agents": { "coder": coder } }).to_string());
    std::fs::write(rig.root().join("failures"), failures.to_string()).unwrap();
    rig
}

#[test]
fn simple_multiple_and_cleanup() {
    let text = transcript(
        &rig(0),
        "
        # 1: a simple task
        start coder 'Write a Hello World function in Python'
        run
        status
        # 2: several tasks
        start coder Create a REST API server
        start coder Write unit tests for the API
        status --state pending
        run --limit 1
        run --limit 1
        status
        # 4: clean-up
        clean completed
        clean failed
        clean all
        status
        ",
    );
    kept("seed-simple.txt", &text);
}

#[test]
fn cancel_and_start_again() {
    let text = transcript(
        &rig(0),
        "
        # 3: cancel and start again
        start coder Hang over a large dataset
        run --detach
        until @1 running
        cancel @1
        idle
        status
        start coder Generate a large dataset with correct parameters
        run
        ",
    );
    kept("seed-cancel.txt", &text);
}

#[test]
fn several_at_once() {
    let rig = rig(0);
    let begin = transcript(
        &rig,
        "
        # 5: several at once
        start coder Hang: create user authentication module
        start coder Hang: write API documentation
        start coder Hang: implement logging system
        start coder Hang: add unit tests
        start coder Hang: create integration tests
        status
        run --parallel --detach
        until @1 running
        until @2 running
        until @3 running
        status --state pending
        ",
    );
    std::fs::write(rig.root().join("go"), "").unwrap();
    let end = transcript(&rig, "idle\n wait\n status");
    kept("seed-parallel.txt", &(begin + &end));
}

#[test]
fn by_hand_and_by_itself_again() {
    let text = transcript(
        &rig(1),
        "
        # 6: again by hand
        start coder Deploy to prod
        run
        status
        retry @1
        run
        status
        ",
    );
    kept("seed-retry.txt", &text);
    let text = transcript(
        &rig(2),
        "
        # 7: again by itself
        start coder 'Deploy microservice to production' --max-retries 5 --auto-retry
        run
        status
        ",
    );
    kept("seed-auto-retry.txt", &text);
}

#[test]
fn at_once_and_by_itself_again() {
    let rig = rig(0);
    let text = transcript(
        &rig,
        "
        # 8: at once, and again by itself
        start coder 'Task 1' --auto-retry
        start coder 'Write 2' --auto-retry
        start coder 'Task 3' --auto-retry
        start coder 'Write 4' --auto-retry
        ",
    );
    // The order in which they end is theirs; what they come to is not.
    assert_eq!(rig.sortie(&["run", "--parallel", "4"]).code, 0);
    kept("seed-both.txt", &(text + &transcript(&rig, "status")));
}

#[test]
fn time_is_given_and_taken() {
    let text = transcript(
        &rig(0),
        "
        # 9: time
        start coder 'Hang: run infinite loop' --timeout 300
        run --detach
        until @1 running
        timeout extend @1 300
        timeout @1
        idle
        status
        ",
    );
    kept("seed-timeout.txt", &text);
}
