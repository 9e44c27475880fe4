//! `kill -9` at random moments.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use crate::{check, configure, number, processes, ran, rig::Rig, rng, signal};

/// How long a round may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Whom a round kills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Worker,
    Supervisor,
    Agent,
    All,
}

fn kind(words: &[String]) -> Option<Victim> {
    match words {
        [_, run, ..] if run == "run" => Some(Victim::Worker),
        [_, one, ..] if one == "__supervise" => Some(Victim::Supervisor),
        // An agent, or the gate before it.
        [program, ..] if program == "sh" || program == "sleep" || words.get(1).is_some_and(|one| one == "__gate") => {
            Some(Victim::Agent)
        }
        _ => None,
    }
}

fn kill(rig: &Rig, victim: Victim, rng: &mut fastrand::Rng) -> usize {
    let mut found: Vec<u32> = processes(rig)
        .into_iter()
        .filter(|(_, words)| kind(words).is_some_and(|kind| victim == Victim::All || kind == victim))
        .map(|(pid, _)| pid)
        .collect();
    rng.shuffle(&mut found);
    if victim != Victim::All {
        found.truncate(1);
    }
    signal("-KILL", &found);
    found.len()
}

#[test]
fn whoever_is_killed_nothing_is_lost_nothing_runs_twice_and_nothing_is_left() {
    let rounds = number("SORTIE_QUEUE_KILLS", 8);
    let mut rng = rng();
    let rig = Rig::new();
    configure(&rig);
    let (mut launched, mut killed, mut hurt) = (0, 0, 0);
    for round in 0..rounds {
        let victim = [Victim::Worker, Victim::Supervisor, Victim::Agent, Victim::All][rng.usize(0..4)];
        for _ in 0..4 {
            let sleep = format!("0.{}", rng.u32(1..4));
            let retries = if rng.bool() { &["--auto-retry", "--max-retries", "1"][..] } else { &[] };
            assert_eq!(rig.sortie(&[&["start", "work", &sleep], retries].concat()).code, 0);
            launched += 1;
        }
        let mut worker =
            rig.command(&["run", "--parallel", "4"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // The moment is one of the work's, not of the clock's: after so many of this round's agents have begun or ended.
        let steps = rng.u32(0..9);
        let before: u32 = ran(&rig).values().map(|(begun, ended)| begun + ended).sum();
        let deadline = Instant::now() + LIMIT;
        loop {
            let now: u32 = ran(&rig).values().map(|(begun, ended)| begun + ended).sum();
            if now - before >= steps || worker.try_wait().unwrap().is_some() {
                break;
            }
            assert!(Instant::now() < deadline, "round {round}: the queue stands still");
            std::thread::yield_now();
        }
        killed += kill(&rig, victim, &mut rng);
        // Whatever is left goes on by itself or with the next worker.
        let next = rig.sortie(&["run", "--parallel", "4"]);
        assert!([0, 1].contains(&next.code), "round {round} ({victim:?}): {}{}", next.out, next.err);
        worker.wait().unwrap();
        let waited = rig.sortie(&["wait", "--timeout", "60"]);
        assert!([0, 1].contains(&waited.code), "round {round} ({victim:?}): {}{}", waited.out, waited.err);
        // What somebody else still ran has ended as well; nothing is left to be worked.
        assert!([0, 1].contains(&rig.sortie(&["run"]).code));
        while !processes(&rig).is_empty() {
            assert!(Instant::now() < deadline, "round {round} ({victim:?}): left behind: {:?}", processes(&rig));
            rig.sortie(&["doctor"]);
        }
        check(&rig, launched);
        hurt += usize::from(next.code != 0);
    }
    println!("{rounds} rounds, {launched} tasks, {killed} processes killed, {hurt} rounds with tasks that failed");
}
