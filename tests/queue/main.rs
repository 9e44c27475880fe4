//! The queue under fire: processes that are killed at any moment, and many that work at once.
//!
//! `SORTIE_QUEUE_KILLS` says how many rounds, `SORTIE_SERVER_KILLS` how many with servers, `SORTIE_QUEUE_SECONDS` how long
//! the many work; `SORTIE_QUEUE_SEED` repeats a run.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "in a test a panic is the report, and figures are printed"
)]

mod kill;
mod many;
#[path = "../support/proc.rs"]
mod proc;
#[expect(dead_code, reason = "the tests of the command line use more of it")]
#[path = "../cli/rig.rs"]
mod rig;
mod servers;

use std::{
    collections::HashMap,
    env, fs,
    process::{Command, Stdio},
};

use proc::pids;
use rig::Rig;
use serde_json::Value;

/// A number from the environment.
fn number(name: &str, usual: u64) -> u64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Random numbers that a printed seed repeats.
fn rng() -> fastrand::Rng {
    let seed = number("SORTIE_QUEUE_SEED", fastrand::u64(..));
    println!("SORTIE_QUEUE_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// Agents that write down that they began and ended, each in one write.
fn configure(rig: &Rig) {
    let agent = |line: &str| serde_json::json!({ "command": "sh", "args": ["-c", line, "agent", "{prompt}"] });
    let work = "echo \"$SORTIE_TASK_ID begin\" >> ../ran; sleep $1; echo \"$SORTIE_TASK_ID end\" >> ../ran; echo fine > \"$SORTIE_TASK_DIR/.done\"";
    let fails = "echo \"$SORTIE_TASK_ID begin\" >> ../ran; exit 1";
    let agents = serde_json::json!({ "work": agent(work), "fails": agent(fails) });
    rig.configure(&serde_json::json!({ "agents": agents }).to_string());
}

/// How often each task's agent has begun, and ended.
fn ran(rig: &Rig) -> HashMap<String, (u32, u32)> {
    let text = fs::read_to_string(rig.root().join("ran")).unwrap_or_default();
    let mut counts: HashMap<String, (u32, u32)> = HashMap::new();
    for line in text.lines() {
        let (id, what) = line.split_once(' ').unwrap();
        let count = counts.entry(id.to_owned()).or_default();
        if what == "begin" { count.0 += 1 } else { count.1 += 1 }
    }
    counts
}

/// Sends a signal to processes that may have ended.
fn signal(name: &str, pids: &[u32]) {
    if !pids.is_empty() {
        let pids = pids.iter().map(ToString::to_string);
        Command::new("kill").arg(name).args(pids).stderr(Stdio::null()).status().unwrap();
    }
}

/// The living processes that were started for this home, with their command lines.
fn processes(rig: &Rig) -> Vec<(u32, Vec<String>)> {
    let mark = format!("SORTIE_HOME={}", rig.home().display());
    pids()
        .filter(|pid| {
            let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            environ.split(|byte| *byte == 0).any(|one| one == mark.as_bytes()) && !stat.contains(") Z ")
        })
        .map(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
            (pid, words.map(|word| String::from_utf8_lossy(word).into_owned()).collect())
        })
        .collect()
}

/// All tasks as the command line shows them.
fn tasks(rig: &Rig) -> Vec<Value> {
    let mut all = Vec::new();
    for more in [&[][..], &["--archived"]] {
        all.extend(rig.json(&[&["status", "--limit", "100000"], more].concat())["tasks"].as_array().unwrap().clone());
    }
    all
}

/// What holds however often anything was killed: each task has ended once, none ran more often than it had attempts, and
/// what is complete was done.
fn check(rig: &Rig, launched: usize) {
    let (tasks, ran) = (tasks(rig), ran(rig));
    assert_eq!(tasks.len(), launched, "no task is lost, and none is there twice");
    for task in &tasks {
        let id = task["id"].as_str().unwrap();
        let (begun, ended) = ran.get(id).copied().unwrap_or_default();
        let state = task["state"].as_str().unwrap();
        assert!(["complete", "failed", "cancelled"].contains(&state), "{task:#}");
        assert!(u64::from(begun) <= task["attempt"].as_u64().unwrap(), "it ran {begun} times: {task:#}");
        if state == "complete" {
            assert!(ended >= 1, "it is complete and was not done: {task:#}");
        }
    }
    let answer = rig.json(&["status"]);
    let total = |state: &str| answer["totals"][state].as_u64().unwrap();
    let shown = tasks.len() as u64;
    assert_eq!(total("complete") + total("failed") + total("cancelled") + total("archived"), shown, "{answer:#}");
    let left = processes(rig);
    assert!(left.is_empty(), "left behind: {left:?}");
    let notes: Vec<_> = fs::read_dir(rig.home().join("processes")).unwrap().flatten().map(|note| note.path()).collect();
    assert!(notes.is_empty(), "{notes:?}");
}
