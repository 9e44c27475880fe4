//! What works.

use std::{io::Write, process::Stdio};

use crate::rig::{Rig, kept, transcript};

#[test]
fn each_command_answers_people() {
    let rig = Rig::new();
    let text = transcript(
        &rig,
        "
        status
        run
        agents
        servers
        start good hello world
        start bad break it --priority high --title 'A title'
        start reports write --timeout 5m
        start mute say nothing
        start errs say why
        start gives-up leave
        start good -f prompt.txt --after @1 --dir below
        start good never --after @2
        status
        status --state pending --agent good
        status --limit 2
        priority @3 9
        priority @3 low
        status @3
        run
        status
        status @2
        status @7
        logs @1
        logs @2 -n 1
        result @1
        result @2
        result @3
        result @5
        wait
        wait @1 @7
        wait @1 @2
        retry @2
        retry @9 --max-retries 0
        pause @9
        run
        resume @9
        run @9 --parallel
        retry @9 --max-retries 2 --auto
        retry @1
        cancel @10
        send @1 and now more
        run --limit 1
        clean --dry-run
        clean @4
        clean all
        status
        status --archived --limit 3
        timeout list
        ",
    );
    kept("good.txt", &text);
}

#[test]
fn what_runs_is_shown_extended_and_ended() {
    let rig = Rig::new();
    let text = transcript(
        &rig,
        "
        start slow first
        start slow second --auto-retry --max-retries 1
        start slow third
        run --parallel 3 --detach
        until @1 running
        until @2 running
        until @3 running
        timeout list
        timeout extend @1 10m
        timeout @1
        status @1
        cancel @2 @3
        idle
        status
        run
        start slow fourth
        run --detach
        until @4 running
        pause @4
        idle
        status
        resume @4
        run --detach
        until @4 running
        cancel @4
        idle
        status
        ",
    );
    kept("running.txt", &text);
}

#[test]
fn what_fails_is_tried_again_by_itself() {
    let rig = Rig::new();
    let text = transcript(
        &rig,
        "
        start bad hopeless --auto-retry --max-retries 1
        run
        status
        retry @1
        retry @1 --max-retries 5
        ",
    );
    kept("retried.txt", &text);
}

#[test]
fn a_prompt_comes_from_the_standard_input_and_whole() {
    let rig = Rig::new();
    let mut command = rig.command(&["start", "good", "-", "-q"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all("two\nlines; $(rm -rf /) `x`".as_bytes()).unwrap();
    let id = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(rig.sortie(&["run"]).code, 0);
    let result = rig.sortie(&["result", id.trim()]);
    assert_eq!(result.out, "working on two\nlines; $(rm -rf /) `x`\ndid two\nlines; $(rm -rf /) `x`\n");
}

#[test]
fn an_agent_that_is_not_configured_is_opencodes() {
    let rig = Rig::new();
    let bin = rig.root().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let opencode = bin.join("opencode");
    std::fs::write(&opencode, "#!/bin/sh\nprintf '%s|' \"$@\"\n").unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&opencode, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let id = rig.sortie(&["start", "-q", "coder", "a prompt"]).out;
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    assert!(rig.command(&["run"]).env("PATH", path).output().unwrap().status.success());
    assert_eq!(rig.sortie(&["result", id.trim()]).out, "run|a prompt|--agent|coder|\n");
    // It may have another name elsewhere.
    let other = rig.root().join("opencode-1.18");
    std::fs::rename(opencode, &other).unwrap();
    let id = rig.sortie(&["start", "-q", "coder", "another"]).out;
    assert!(rig.command(&["run"]).env("OPENCODE_PATH", other).output().unwrap().status.success());
    assert_eq!(rig.sortie(&["result", id.trim()]).out, "run|another|--agent|coder|\n");
}

#[test]
fn each_command_answers_programs() {
    let rig = Rig::new();
    rig.sortie(&["start", "good", "one"]);
    rig.sortie(&["start", "bad", "two"]);
    let ids = rig.ids();
    for (arguments, command, field) in [
        (&["start", "good", "x"][..], "start", "tasks"),
        (&["status"], "status", "totals"),
        (&["pause", &ids[0]], "change", "tasks"),
        (&["resume", &ids[0]], "change", "tasks"),
        (&["priority", &ids[0], "high"], "change", "tasks"),
        (&["run"], "run", "stuck"),
        (&["wait", &ids[0]], "wait", "tasks"),
        (&["logs", &ids[0]], "logs", "text"),
        (&["result", &ids[0]], "result", "text"),
        (&["retry", &ids[1]], "retry", "tasks"),
        (&["send", &ids[0], "x"], "send", "tasks"),
        (&["cancel", "X"], "cancel", "error"),
        (&["timeout", "list"], "timeout", "tasks"),
        (&["clean", "--dry-run"], "clean", "dryRun"),
        (&["agents"], "agents", "agents"),
        (&["servers"], "servers", "servers"),
        (&["checklist", "missing.md"], "checklist", "error"),
        (&["doctor"], "doctor", "checks"),
        (&["result", "0"], "result", "error"),
    ] {
        let answer = rig.json(arguments);
        assert_eq!((&answer["version"], &answer["command"]), (&1.into(), &command.into()), "{arguments:?}");
        assert!(!answer[field].is_null(), "{arguments:?}: {answer:#}");
    }
}

#[test]
fn completions_and_the_manual_name_every_command() {
    let rig = Rig::new();
    let texts: Vec<_> = [&["completions", "bash"][..], &["completions", "zsh"], &["completions", "fish"], &["man"]]
        .iter()
        .map(|arguments| rig.sortie(arguments))
        .collect();
    for command in [
        "start",
        "run",
        "status",
        "wait",
        "logs",
        "result",
        "cancel",
        "retry",
        "timeout",
        "clean",
        "send",
        "doctor",
        "checklist",
        "servers",
    ] {
        assert!(texts.iter().all(|did| did.code == 0 && did.out.contains(command)), "{command}");
    }
    assert!(texts.iter().all(|did| !did.out.contains("__gate")));
}

#[test]
fn the_watch_ends_with_the_last_task() {
    let rig = Rig::new();
    rig.sortie(&["start", "good", "one"]);
    let watch = rig.command(&["status", "--watch"]).stdout(Stdio::piped()).spawn().unwrap();
    assert_eq!(rig.sortie(&["run"]).code, 0);
    let seen = String::from_utf8(watch.wait_with_output().unwrap().stdout).unwrap();
    assert!(seen.trim_end().ends_with("1 complete"), "{seen}");
}

#[test]
fn a_log_is_followed_to_its_end() {
    let rig = Rig::new();
    rig.sortie(&["start", "good", "one"]);
    let follow = rig.command(&["logs", "-f", &rig.ids()[0]]).stdout(Stdio::piped()).spawn().unwrap();
    assert_eq!(rig.sortie(&["run"]).code, 0);
    let seen = String::from_utf8(follow.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(seen, "working on one\ndid one\n");
}

#[test]
fn many_are_cleared_away_only_when_somebody_agrees() {
    let rig = Rig::new();
    for number in 0..11 {
        rig.sortie(&["start", "good", &number.to_string()]);
    }
    assert_eq!(rig.sortie(&["run", "--parallel", "8"]).code, 0);
    let refused = rig.sortie(&["clean"]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.starts_with("sortie error not-confirmed: 11 tasks"), "{}", refused.err);
    assert_eq!(rig.sortie(&["clean", "--yes"]).out, "11 cleared away\n");
    assert_eq!(std::fs::read_dir(rig.home().join("tasks")).unwrap().count(), 0);
}

#[test]
fn the_files_of_an_older_orchestrator_are_taken_in_once_and_written_again() {
    let rig = Rig::new();
    let older = rig.root().join("older");
    for name in ["tasks", "logs"] {
        std::fs::create_dir_all(older.join(name)).unwrap();
    }
    let task = |id: &str, status: &str, agent: &str, more: serde_json::Value| {
        let mut file = serde_json::json!({
            "taskId": id, "status": status, "agent": agent, "prompt": format!("the work of {id}"),
            "createdAt": "2025-12-01T10:00:00Z", "retryCount": 0, "maxRetries": 3, "priority": 5, "timeout": 3600,
            "planFile": "x", "logFile": "y", "parentTaskId": null });
        for (name, value) in more.as_object().unwrap() {
            file[name] = value.clone();
        }
        std::fs::write(older.join("tasks").join(format!("{id}.json")), file.to_string()).unwrap();
    };
    task("task_1", "failed", "good", serde_json::json!({ "errorMessage": "Network timeout" }));
    task(
        "task_2",
        "pending",
        "good",
        serde_json::json!({ "parentTaskId": "task_1", "createdAt": "2025-12-01T11:00:00Z" }),
    );
    task("task_3", "running", "bad", serde_json::json!({ "pid": "12345", "createdAt": "2025-12-01T10:00:01Z" }));
    task("task_4", "running", "bad", serde_json::json!({ "pid": "12345", "createdAt": "2025-12-01T10:00:02Z" }));
    std::fs::write(older.join("tasks/task_3.done"), "").unwrap();
    std::fs::write(older.join("logs/task_1.log"), "it said this\n").unwrap();
    let text = transcript(
        &rig,
        "import ../older\n import ../older\n status\n run\n logs @1\n status @4\n export ../written\n export ../written\n import ../written\n import ..",
    );
    kept("exchange.txt", &text);
    let written = std::fs::read_to_string(rig.root().join("written/tasks/task_2.json")).unwrap();
    let written: serde_json::Value = serde_json::from_str(&written).unwrap();
    assert_eq!((&written["status"], &written["prompt"]), (&"complete".into(), &"the work of task_2".into()));
    std::fs::write(older.join("tasks/task_5.json"), "{\"taskId\": 5}").unwrap();
    let did = rig.sortie(&["import", "../older"]);
    assert!(did.code == 2 && did.err.starts_with("sortie error bad-import: "), "{}", did.err);
    assert_eq!(rig.ids().len(), 4);
}
