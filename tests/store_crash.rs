//! `kill -9` of a writing process at random moments: what it was told is done stays done, and all of it agrees.
//!
//! `SORTIE_ROUNDS` sets how often (40 when it is not set), `SORTIE_SEED` repeats a run.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use sortie::{
    store::{Durability, Filter, Home, InstanceLock, SqliteStore, Store, Via, fixture::*, instance as locks},
    task::{Change, ErrorClass, Failure, FailureKind, Guard, Retry, StateName, Task, TaskId, Timestamp},
};

const NOW: Timestamp = Timestamp(10);
const HOME: &str = "SORTIE_TEST_CRASH_HOME";
const ROUND: &str = "SORTIE_TEST_CRASH_ROUND";

#[test]
fn what_was_done_before_a_kill_stays_done() {
    let rounds = env::var("SORTIE_ROUNDS").map_or(40, |rounds| rounds.parse().unwrap());
    let seed = env::var("SORTIE_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("SORTIE_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let dir = tempfile::tempdir().unwrap();
    let home = Home::open(dir.path()).unwrap();
    let mut known: BTreeMap<TaskId, u64> = BTreeMap::new();
    for round in 1..=rounds {
        let mut victim = victim(dir.path(), round);
        // From its very start, before anything is done, to some hundred commits later.
        let lines = if random.u8(..4) == 0 { random.usize(..3) } else { random.usize(..150) };
        let mut output = BufReader::new(victim.stdout.take().unwrap()).lines();
        let mut done: Vec<String> = output.by_ref().take(lines).collect::<Result<_, _>>().unwrap();
        (0..random.u32(..200_000)).for_each(|_| std::hint::spin_loop());
        victim.kill().unwrap();
        victim.wait().unwrap();
        // What it said before it died counts too; only the last line may be cut.
        done.extend(output.map_while(Result::ok).filter(|line| line.ends_with('.')));
        for line in done.iter().filter_map(|line| line.strip_prefix("did ")?.strip_suffix(" .")) {
            let (id, rev) = line.split_once(' ').unwrap();
            known.insert(id.parse().unwrap(), rev.parse().unwrap());
        }
        inspect(&home, round, &known);
    }
    assert!(rounds < 20 || known.len() > 20, "the victims did too little: {}", known.len());
}

fn victim(home: &Path, round: u64) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "writer", "--nocapture"])
        .env(HOME, home)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// After the kill of round `round`: sound, complete, dead, and there for the next one to take over.
fn inspect(home: &Home, round: u64, known: &BTreeMap<TaskId, u64>) {
    assert!(!locks::is_alive(home, instance(round)), "round {round}");
    locks::sweep(home).unwrap();
    let mut store = SqliteStore::open(home, Durability::Full).unwrap();
    assert_eq!(store.check().unwrap(), [""; 0], "round {round}");
    let tasks: BTreeMap<TaskId, Task> =
        store.tasks(&project(), &Filter::default()).unwrap().into_iter().map(|task| (task.id, task)).collect();
    for (id, rev) in known {
        let task = tasks.get(id).unwrap_or_else(|| panic!("round {round}: {id} is lost"));
        assert!(task.rev.0 >= *rev, "round {round}: {id} was at {rev}, is at {}", task.rev.0);
    }
    // Launches come in pairs, each pair in one transaction.
    assert_eq!(tasks.len() % 2, 0, "round {round}");
    let dead = store.other_homes(&project(), instance(0)).unwrap();
    store.take_over(&project(), &dead, instance(0), NOW).unwrap();
    assert_eq!(store.other_homes(&project(), instance(0)).unwrap(), []);
    let running = Filter { states: vec![StateName::Running], ..Filter::default() };
    assert!(store.tasks(&project(), &running).unwrap().is_empty());
    // Few stay open, so that the rounds stay short.
    let pending = Filter { states: vec![StateName::Pending], ..Filter::default() };
    for task in store.tasks(&project(), &pending).unwrap() {
        let cancel = Change::Cancel { reason: sortie::task::CancelReason::Request };
        // A task before it may have taken it along.
        let _ = store.change(task.id, Guard::Anyone, &cancel, None, NOW);
    }
    assert_eq!(store.check().unwrap(), [""; 0], "round {round}");
}

/// Writes until it is killed. Each line is printed after its commit.
#[test]
fn writer() {
    let (Some(home), Ok(round)) = (env::var_os(HOME), env::var(ROUND)) else { return };
    let round: u64 = round.parse().unwrap();
    let (home, me) = (Home::open(Path::new(&home)).unwrap(), instance(round));
    let _lock = InstanceLock::acquire(&home, me).unwrap();
    let mut store = SqliteStore::open(&home, Durability::Full).unwrap();
    let say = |task: &Task| println!("did {} {} .", task.id, task.rev.0);
    for n in (round * 1_000_000..).step_by(2) {
        let first = task(n, me, |_| ());
        let second = task(n + 1, me, |spec| spec.depends_on = vec![id(n)]);
        store.launch(&[first, second]).unwrap();
        println!("did {} 0 .", id(n + 1));
        let claim = |store: &mut SqliteStore| {
            store.claim(&project(), me, NOW, &mut each(|_| Some(run(None)))).unwrap().iter().for_each(say);
        };
        let change = |store: &mut SqliteStore, n, change: &Change| {
            let changed = store.change(id(n), Guard::Anyone, change, None, NOW).unwrap();
            say(&changed.step.task);
            changed.cascaded.iter().for_each(|cascaded| say(&cascaded.task));
        };
        claim(&mut store);
        change(&mut store, n, &Change::BindSession { session: format!("ses_{n}") });
        let failure = Failure { kind: FailureKind::Error, class: ErrorClass::Network, message: "cut".into() };
        if n % 4 == 0 {
            let retry = Some(Retry::plain(NOW, true));
            change(&mut store, n, &Change::Fail { failure: failure.clone(), retry });
            claim(&mut store);
        }
        if n % 3 == 0 {
            change(&mut store, n, &Change::Fail { failure, retry: None });
        } else {
            change(&mut store, n, &Change::Complete);
            claim(&mut store);
            change(&mut store, n + 1, &Change::Complete);
        }
        let via = Via::Message { message: format!("msg_{n}"), part: "prt".into() };
        let report = store.open_report(&project(), me, "ses_parent", None, &via, 9, NOW).unwrap().unwrap();
        store.settle_report(report.id, n % 5 != 0, NOW).unwrap();
    }
}
