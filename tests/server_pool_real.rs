//! The server pool with the real OpenCode: five prompts at once, the death of a server and of its owner, checklists.
//! The model is played from a script.
#![cfg(all(feature = "cli", target_os = "linux"))]
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "support/sandbox.rs"]
mod sandbox;
#[path = "support/servers.rs"]
mod servers;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use sandbox::Sandbox;
use servers::{LONG, found, group, kill, listens, lives, only, pool, until};
use sortie::{
    fault::Code,
    server_pool::{
        Ask, Pool, Ran, Run, Settings, Source, Start,
        checklist::{Checklist, How, Overall},
    },
};
use tokio::time::timeout;

/// Where the worker's pool is, its OpenCode, and its environment as JSON.
const HOME: &str = "SORTIE_TEST_POOL_REAL_HOME";
const OPENCODE: &str = "SORTIE_TEST_POOL_REAL_OPENCODE";
const ENV: &str = "SORTIE_TEST_POOL_REAL_ENV";

fn start(sandbox: &Sandbox) -> Start {
    Start { env: sandbox.env(), ..Start::new(sandbox.said.opencode.clone()) }
}

fn home(sandbox: &Sandbox) -> PathBuf {
    sandbox.said.root.join("pool")
}

async fn open(sandbox: &Sandbox) -> Pool {
    pool(&home(sandbox), Settings::new(Source::Start(start(sandbox)))).await
}

fn ask(sandbox: &Sandbox, script: &str) -> Ask {
    Ask::new(&sandbox.said.projects[0], format!("Do it.\nSCRIPT: {script}"))
}

async fn end(run: Run) -> Ran {
    timeout(LONG, run.into_future()).await.unwrap()
}

fn say(text: &str) -> String {
    format!(r#"[{{"say": "{text}"}}]"#)
}

#[tokio::test]
async fn five_prompts_at_once_succeed_on_one_server_and_a_session_is_gone_on_in() {
    let sandbox = Sandbox::new(5);
    let pool = open(&sandbox).await;
    // Each in a project of its own, and then all in the same one.
    let mut runs = Vec::new();
    for (n, project) in sandbox.said.projects.iter().enumerate() {
        let prompt = format!("Do it.\nSCRIPT: {}", say(&format!("answer {n}")));
        runs.push(pool.run_command(Ask::new(project, prompt)));
    }
    for n in 5..10 {
        runs.push(pool.run_command(ask(&sandbox, &say(&format!("answer {n}")))));
    }
    let mut first = None;
    for (n, run) in runs.into_iter().enumerate() {
        let ran = end(run).await;
        assert_eq!((ran.text, ran.error), (format!("answer {n}"), None));
        assert!(ran.usage.tokens.total() > 0);
        first = first.or(ran.session);
    }
    assert_eq!(found(&home(&sandbox)).len(), 1);
    let again = end(pool.run_command(Ask { session: first.clone(), ..ask(&sandbox, &say("once more")) })).await;
    assert_eq!((again.text.as_str(), again.session), ("once more", first));

    // The server waits to be told 0 or a port; the one that it was given is the one that it has.
    let record = only(&home(&sandbox));
    assert!(listens(record.port));
    pool.close().await;
    assert!(!listens(record.port) && group(record.process.unwrap().pid).is_empty());
}

#[tokio::test]
async fn what_nobody_can_allow_is_denied_and_the_run_ends() {
    let sandbox = Sandbox::new(1);
    let config = PathBuf::from(&sandbox.said.projects[0]).join("opencode.json");
    let mut settings: serde_json::Value = serde_json::from_str(&fs::read_to_string(&config).unwrap()).unwrap();
    settings["permission"] = serde_json::json!({ "bash": "ask" });
    fs::write(&config, settings.to_string()).unwrap();
    let pool = open(&sandbox).await;
    let call = |command: &str| format!(r#"{{"name": "bash", "args": {{"command": "{command}", "description": "x"}}}}"#);
    let one = format!(r#"[{{"tools": [{}]}}, {{"say": "went on"}}]"#, call("echo one"));
    let two = format!(r#"[{{"tools": [{}, {}]}}, {{"say": "went on"}}]"#, call("echo one"), call("echo two"));
    let question = r#"[{"tool": "question", "args": {"questions": [{"question": "Really?", "header": "Q",
        "options": [{"label": "yes", "description": "y"}]}]}}, {"say": "went on"}]"#;
    for script in [one.as_str(), &two, question] {
        let ran = end(pool.run_command(ask(&sandbox, script))).await;
        assert_eq!(ran.error, None, "{script}: {ran:?}");
        assert!(!ran.denied.is_empty(), "{script}: {ran:?}");
    }
    // A time limit stops the turn in the host.
    let slow = r#"[{"delay": 600000, "say": "late"}]"#;
    let ran = end(pool.run_command(Ask { timeout: Duration::from_secs(2), ..ask(&sandbox, slow) })).await;
    assert_eq!(ran.error.unwrap().code, Code::RunTimeout);
    let lease = pool.server(&sandbox.said.projects[0]).await.unwrap();
    assert!(lease.client().session_status(&sandbox.said.projects[0]).await.unwrap().is_empty());
    pool.close().await;
}

#[tokio::test]
async fn a_server_killed_at_work_is_replaced_and_the_prompt_fails_clearly_or_is_taken_up_again() {
    let sandbox = Sandbox::new(1);
    let pool = open(&sandbox).await;
    let slow = r#"[{"delay": 3000, "say": "slow"}]"#;
    let (fails, resumes) = (ask(&sandbox, slow), Ask { resume: 1, ..ask(&sandbox, slow) });
    let lease = pool.server(&sandbox.said.projects[0]).await.unwrap();
    let (fails, resumes) = (pool.run_command(fails), pool.run_command(resumes));
    // Both are at work.
    let client = lease.client();
    let begun = Instant::now();
    while client.session_status(&sandbox.said.projects[0]).await.unwrap().len() < 2 {
        assert!(begun.elapsed() < LONG);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let died = only(&home(&sandbox)).process.unwrap().pid;
    kill(died);
    let failed = end(fails).await;
    let fault = failed.error.unwrap();
    assert_eq!(fault.code, Code::ServerDied);
    assert!(fault.message.contains(failed.session.as_ref().unwrap().as_str()), "{fault}");
    let again = end(resumes).await;
    assert_eq!((again.text.as_str(), again.error), ("slow", None));
    let next = end(pool.run_command(Ask { session: failed.session, ..ask(&sandbox, &say("next")) })).await;
    assert_eq!((next.text.as_str(), next.error), ("next", None));
    assert!(!lives(died) && only(&home(&sandbox)).process.unwrap().pid != died);
    pool.close().await;
}

#[tokio::test]
async fn a_checklist_is_run_against_the_project() {
    let sandbox = Sandbox::new(1);
    let pool = open(&sandbox).await;
    let item = |name: &str, answer: &str| format!("- [ ] {name}\n  SCRIPT: [{{\"say\": \"{answer}\"}}]\n");
    let text: String = (0..5)
        .map(|n| item(&format!("check {n}"), "Looked.\\nVERDICT: pass"))
        .chain([item("bad", "VERDICT: fail: README.md is empty"), item("vague", "Hard to say.")])
        .collect();
    let report = Checklist::parse(&text).unwrap().run(&pool, &How::new(&sandbox.said.projects[0]), |_| ()).await;
    let verdicts: Vec<_> = report.rows.iter().map(|row| row.verdict.as_str()).collect();
    assert_eq!(verdicts, ["pass", "pass", "pass", "pass", "pass", "fail", "unclear"]);
    assert_eq!((report.overall(), report.rows[5].verdict.reason()), (Overall::Fail, "README.md is empty"));
    pool.close().await;
}

#[tokio::test]
async fn the_server_of_a_killed_owner_ends_with_it() {
    let sandbox = Sandbox::new(1);
    let mut worker = Command::new(env::current_exe().unwrap())
        .args(["--exact", "worker", "--nocapture", "--test-threads=1"])
        .env(HOME, home(&sandbox))
        .env(OPENCODE, &sandbox.said.opencode)
        .env(ENV, serde_json::to_string(&sandbox.said.env).unwrap())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let at = home(&sandbox);
    until("a server", || at.join("ready").exists()).await;
    let record = only(&at);
    let leader = record.process.unwrap().pid;
    worker.kill().unwrap();
    worker.wait().unwrap();
    // It does not outlive its owner: nobody has to come and end it.
    until("the end of the server", || group(leader).is_empty() && !listens(record.port)).await;
    let next = open(&sandbox).await;
    assert!(found(&at).is_empty());
    let ran = end(next.run_command(ask(&sandbox, &say("next")))).await;
    assert_eq!((ran.text.as_str(), ran.error), ("next", None));
    next.close().await;
}

/// Not a test of its own: the owner that the test above kills.
#[tokio::test]
async fn worker() {
    let (Some(home), Some(program), Ok(env)) = (env::var_os(HOME), env::var_os(OPENCODE), env::var(ENV)) else {
        return;
    };
    let env: std::collections::BTreeMap<String, String> = serde_json::from_str(&env).unwrap();
    let start = Start { env: env.into_iter().collect(), ..Start::new(program.into()) };
    let pool = pool(Path::new(&home), Settings::new(Source::Start(start))).await;
    let _lease = pool.server("/").await.unwrap();
    fs::write(Path::new(&home).join("ready"), "").unwrap();
    std::future::pending::<()>().await;
}

/// Resident memory of the processes of a group, in megabytes.
fn resident(leader: u32) -> f64 {
    let of = |pid: u32| -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?.parse().ok()
    };
    #[expect(clippy::cast_precision_loss, reason = "a figure to be read")]
    let kilobytes = group(leader).into_iter().filter_map(of).sum::<u64>() as f64;
    kilobytes / 1024.0
}

/// Prints, as JSON: how long a server takes to start, how long a first prompt takes with and without a server that
/// runs, and what memory one server for five directories has against five servers.
#[tokio::test]
#[ignore = "prints figures"]
async fn figures() {
    const ROUNDS: usize = 5;
    let sandbox = Sandbox::new(5);
    let at = home(&sandbox);
    let millis = |since: Instant| since.elapsed().as_millis();
    let (mut starts, mut cold, mut warm, mut without) = (vec![], vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        let pool = open(&sandbox).await;
        let begun = Instant::now();
        let lease = pool.server(&sandbox.said.projects[0]).await.unwrap();
        starts.push(millis(begun));
        for times in [&mut cold, &mut warm] {
            let begun = Instant::now();
            assert_eq!(end(pool.run_command(ask(&sandbox, &say("a")))).await.error, None);
            times.push(millis(begun));
        }
        drop(lease);
        pool.close().await;
        let begun = Instant::now();
        let done = Command::new(&sandbox.said.opencode)
            .args(["run", "Do it.\nSCRIPT: [{\"say\": \"a\"}]"])
            .current_dir(&sandbox.said.projects[0])
            .envs(sandbox.env())
            .env("PWD", &sandbox.said.projects[0])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(done.success());
        without.push(millis(begun));
    }
    let mut memory = Vec::new();
    for max_servers in [1, 5] {
        let settings = Settings { max_servers, source: Source::Start(start(&sandbox)) };
        let pool = pool(&at, settings).await;
        let mut after = Vec::new();
        for project in &sandbox.said.projects {
            let ran = end(pool.run_command(Ask::new(project, format!("Do it.\nSCRIPT: {}", say("a"))))).await;
            assert_eq!(ran.error, None);
            let all: f64 = found(&at).iter().map(|found| resident(found.record.process.as_ref().unwrap().pid)).sum();
            after.push(all.round());
        }
        memory.push(serde_json::json!({ "servers": found(&at).len(), "megabytesAfterEachDirectory": after }));
        pool.close().await;
    }
    let median = |mut times: Vec<u128>| {
        times.sort_unstable();
        u64::try_from(times[times.len() / 2]).unwrap()
    };
    let figures = serde_json::json!({
        "rounds": ROUNDS,
        "startMs": median(starts),
        "firstPromptOfNewServerMs": median(cold),
        "promptOfRunningServerMs": median(warm),
        "opencodeRunMs": median(without),
        "memory": memory,
    });
    println!("{figures:#}");
}
