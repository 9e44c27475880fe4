//! Eight processes on one database: nobody runs a task that another one runs, and nothing is lost.

#![expect(clippy::print_stdout, reason = "a worker tells its parent what it did")]
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use sortie::{
    store::{Durability, Filter, Home, SqliteStore, Store, fixture::*},
    task::{Change, ErrorClass, Failure, FailureKind, Guard, InstanceId, Retry, StateName, Task, Timestamp},
};

const WORKERS: u64 = 8;
const TASKS: u64 = 2_000;
const NOW: Timestamp = Timestamp(10);
const HOME: &str = "SORTIE_TEST_STORE_HOME";
const NUMBER: &str = "SORTIE_TEST_STORE_WORKER";

/// Every process opens the same home; half of them share one instance's queue, half another's.
fn team(worker: u64) -> InstanceId {
    instance(1 + worker % 2)
}

/// The process that died before the workers came.
fn dead() -> InstanceId {
    instance(9)
}

#[test]
fn eight_processes_never_run_a_task_twice() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::open(dir.path()).unwrap();
    let mut store = SqliteStore::open(&home, Durability::Normal).unwrap();
    let tasks: Vec<Task> = (0..TASKS).map(|n| task(n, [team(0), team(1), dead()][(n % 3) as usize], |_| ())).collect();
    store.launch(&tasks).unwrap();
    // The dead one had some running.
    let mut left = 100;
    store
        .claim(
            &project(),
            dead(),
            NOW,
            &mut each(|_| {
                left -= 1;
                (left >= 0).then(|| run(Some("ses_dead")))
            }),
        )
        .unwrap();

    let mut workers: Vec<_> = (0..WORKERS)
        .map(|n| {
            Command::new(env::current_exe().unwrap())
                .args(["--exact", "worker", "--nocapture"])
                .env(HOME, dir.path())
                .env(NUMBER, n.to_string())
                // Files, not pipes: a process that waits for its reader would hold up all others.
                .stdout(File::create(said(dir.path(), n)).unwrap())
                .stderr(Stdio::inherit())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut runs = BTreeSet::new();
    let mut changes: BTreeMap<String, u64> = BTreeMap::new();
    for (n, worker) in (0..).zip(&mut workers) {
        assert!(worker.wait().unwrap().success());
        let text = fs::read_to_string(said(dir.path(), n)).unwrap();
        for line in text.lines().filter_map(|line| line.strip_prefix("did ")) {
            let (verb, what) = line.split_once(' ').unwrap();
            *changes.entry(verb.to_owned()).or_default() += 1;
            assert!(verb != "claim" || runs.insert(what.to_owned()), "run twice: {what}");
        }
    }

    assert_eq!(store.check().unwrap(), [""; 0]);
    assert_eq!(store.tasks(&project(), &Filter::default()).unwrap().len(), tasks.len());
    let mut ends: BTreeMap<_, u64> = BTreeMap::new();
    let mut rows: BTreeMap<String, u64> = BTreeMap::new();
    for row in store.journal(&project(), 0, u32::MAX).unwrap() {
        *rows.entry(row.change.clone()).or_default() += 1;
        *ends.entry(row.task).or_default() += u64::from(row.to.is_terminal());
    }
    assert!(ends.len() == tasks.len() && ends.values().all(|&ends| ends == 1));
    // What the processes say that they did is what the journal says.
    assert_eq!(rows.remove("launch"), Some(TASKS));
    assert_eq!(rows.remove("interrupt"), Some(100));
    assert_eq!(rows.remove("adopt"), Some(TASKS / 3));
    *rows.get_mut("claim").unwrap() -= 100;
    assert_eq!(rows, changes);
    assert!(changes.values().sum::<u64>() >= WORKERS * 1_000 * 3 / 4, "{changes:?}");
}

/// Where a worker's output goes.
fn said(home: &Path, worker: u64) -> PathBuf {
    home.join(format!("said-{worker}"))
}

#[test]
fn worker() {
    let (Some(home), Ok(number)) = (env::var_os(HOME), env::var(NUMBER)) else { return };
    let number: u64 = number.parse().unwrap();
    let me = team(number);
    let mut store = SqliteStore::open(&Home::open(Path::new(&home)).unwrap(), Durability::Normal).unwrap();
    store.take_over(&project(), &[dead()], me, NOW).unwrap();
    loop {
        let mut wanted = 6;
        let claimed = store
            .claim(
                &project(),
                me,
                NOW,
                &mut each(|task| {
                    wanted -= 1;
                    (wanted >= 0).then(|| run(task.session()))
                }),
            )
            .unwrap();
        for task in &claimed {
            println!("did claim {} {}", task.id, task.fence.0);
        }
        for task in claimed {
            work(&mut store, me, &task);
        }
        let open = Filter { states: vec![StateName::Pending, StateName::Running], ..Filter::default() };
        if store.tasks(&project(), &Filter { newest: Some(1), ..open }).unwrap().is_empty() {
            return;
        }
    }
}

/// Runs a task: the first attempt of every fifth fails and is tried again.
fn work(store: &mut SqliteStore, me: InstanceId, task: &Task) {
    let guard = Guard::Runner(me, task.fence);
    let mut change = |change: &Change| {
        store.change(task.id, guard, change, None, NOW).unwrap();
        println!("did {} {}", change.verb(), task.id);
    };
    if task.session().is_none() {
        change(&Change::BindSession { session: format!("ses_{}_{}", task.id, task.fence.0) });
    }
    let digit = task.id.to_string().bytes().last().unwrap() % 5;
    let failure = Failure { kind: FailureKind::Error, class: ErrorClass::Network, message: "cut".into() };
    let retry = (task.attempt == 1).then_some(Retry::plain(NOW, task.fence.0.is_multiple_of(2)));
    match digit {
        0 => change(&Change::Fail { failure, retry }),
        _ => change(&Change::Complete),
    }
}
