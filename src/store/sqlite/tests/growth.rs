//! What the dispatcher's look costs, counted in steps of `SQLite`'s machine: it must not grow with what waits.

use rusqlite::StatementStatus;

use super::store;
use crate::{
    store::{
        Store, Wanted,
        fixture::{each, instance, project, run, task},
        sqlite::{SqliteStore, queue, read},
    },
    task::{Task, Timestamp},
};

const NOW: Timestamp = Timestamp(10);

/// The steps of all statements of the look since this was last asked.
fn steps(store: &SqliteStore) -> i32 {
    let of = |sql: &&str| store.conn.prepare_cached(sql).unwrap().reset_status(StatementStatus::VmStep);
    queue::SQL.iter().chain(&read::SQL).map(of).sum()
}

/// What a look costs over a queue of so many tasks in two lanes, and over another project's, with a few that run.
fn look(waiting: u64) -> (usize, i32) {
    let (_dir, mut store) = store();
    let tasks: Vec<Task> = (0..waiting)
        .map(|n| task(n, instance(n / 2 % 2), |spec| spec.agent = if n % 2 == 0 { "build" } else { "plan" }.to_owned()))
        .collect();
    store.launch(&tasks).unwrap();
    let mut free = 4;
    let mut few = each(|_| {
        free -= 1;
        (free >= 0).then(|| run(None))
    });
    assert_eq!(store.claim(&project(), instance(0), NOW, &mut few).unwrap().len(), 4);
    steps(&store);
    let queue = store.queue(&project(), instance(0), NOW, &Wanted::first(20)).unwrap();
    assert_eq!(queue.heads.len(), 2, "a lane each of the other process");
    store.next_due(&project(), instance(0), NOW).unwrap();
    assert!(store.has_open(&project(), "ses_parent").unwrap());
    (queue.candidates.len(), steps(&store))
}

#[test]
fn a_look_reads_the_same_of_a_short_queue_and_of_a_long_one() {
    let (few, many) = (look(200), look(4_000));
    assert_eq!(few.0, 40, "as many of each lane as were wanted");
    assert_eq!(few, many);
}
