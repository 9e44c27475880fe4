//! Many processes at once on one queue.

use std::{
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{check, configure, number, processes, rig::Rig, rng, tasks};

#[test]
fn many_processes_share_a_queue_and_every_task_is_accounted_for() {
    let seconds = number("SORTIE_QUEUE_SECONDS", 4);
    let mut seeds = rng();
    let rig = Rig::new();
    configure(&rig);
    let launched = AtomicUsize::new(0);
    let commands = AtomicUsize::new(0);
    let end = Instant::now() + Duration::from_secs(seconds);
    thread::scope(|scope| {
        for _ in 0..8 {
            let (rig, launched, commands) = (&rig, &launched, &commands);
            let mut rng = seeds.fork();
            scope.spawn(move || {
                while Instant::now() < end {
                    let (what, which) = (rng.u32(0..10), rng.usize(0..40));
                    let some = || {
                        let all = rig.json(&["status", "--limit", "40"])["tasks"].as_array().unwrap().clone();
                        all.get(which % all.len().max(1)).map(|task| task["id"].as_str().unwrap().to_owned())
                    };
                    let did = match what {
                        0..=3 => {
                            let agent = if rng.u32(0..4) == 0 { "fails" } else { "work" };
                            let did = rig.sortie(&["start", agent, "0.05", "--auto-retry", "--max-retries", "1"]);
                            launched.fetch_add(usize::from(did.code == 0), Ordering::SeqCst);
                            did
                        }
                        4..=6 => rig.sortie(&["run", "--parallel", "2", "--limit", "3"]),
                        7 => match some() {
                            Some(id) => rig.sortie(&["cancel", &id]),
                            None => continue,
                        },
                        8 => match some() {
                            Some(id) => {
                                let did = rig.sortie(&["retry", &id]);
                                launched.fetch_add(usize::from(did.code == 0), Ordering::SeqCst);
                                did
                            }
                            None => continue,
                        },
                        _ => rig.sortie(&["clean", "all", "--yes"]),
                    };
                    assert!([0, 1, 3, 4].contains(&did.code), "{} {}{}", did.code, did.out, did.err);
                    commands.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    let last = rig.command(&["run", "--parallel", "4"]).stdout(Stdio::null()).status().unwrap();
    assert!(last.code().is_some_and(|code| code < 2));
    let waited = rig.sortie(&["wait", "--timeout", "120"]);
    assert!(waited.code < 2, "{}{}", waited.out, waited.err);
    let deadline = Instant::now() + Duration::from_secs(30);
    while !processes(&rig).is_empty() {
        assert!(Instant::now() < deadline, "left behind: {:?}", processes(&rig));
        rig.sortie(&["doctor"]);
    }
    let all = launched.load(Ordering::SeqCst);
    check(&rig, all);
    let complete = tasks(&rig).iter().filter(|task| task["state"] == "complete").count();
    println!("{} commands in {seconds} s: {all} tasks, {complete} of them complete", commands.load(Ordering::SeqCst));
}
