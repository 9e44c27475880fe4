//! What the dispatcher's look costs, counted in steps of `SQLite`'s machine: it must not grow with what waits.

use rusqlite::StatementStatus;

use super::store;
use crate::{
    store::{
        Store, Wanted,
        fixture::{each, instance, project, run, task},
        sqlite::{SqliteStore, queue, read, reports},
    },
    task::{Task, Timestamp},
};

const NOW: Timestamp = Timestamp(10);

/// The steps of all statements of the look since this was last asked.
fn steps(store: &SqliteStore) -> i32 {
    let of = |sql: &&str| store.conn.prepare_cached(sql).unwrap().reset_status(StatementStatus::VmStep);
    queue::SQL.iter().chain(&read::SQL).chain(&reports::SQL).map(of).sum()
}

/// A store with so many tasks, by turns of two agents, and in pairs of two processes.
fn filled(waiting: u64) -> (tempfile::TempDir, SqliteStore) {
    let (dir, mut store) = store();
    let tasks: Vec<Task> = (0..waiting)
        .map(|n| task(n, instance(n / 2 % 2), |spec| spec.agent = if n % 2 == 0 { "build" } else { "plan" }.into()))
        .collect();
    store.launch(&tasks).unwrap();
    (dir, store)
}

/// What a look costs with so many tasks that wait, and a few that run: the candidates that it sees, and its steps.
fn look(waiting: u64) -> (usize, i32) {
    let (_dir, mut store) = filled(waiting);
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
    assert!(store.untold(&project(), instance(0)).unwrap().is_empty());
    (queue.candidates.len(), steps(&store))
}

#[test]
fn a_look_reads_the_same_of_a_short_queue_and_of_a_long_one() {
    let (few, many) = (look(200), look(4_000));
    assert_eq!(few.0, 40, "as many of each lane as were wanted");
    assert_eq!(few, many);
}

#[test]
fn a_search_that_reads_what_waits_is_seen_by_its_steps() {
    // Compared as one row, the search begins at the lane itself.
    let sql = "SELECT place FROM tasks WHERE state = 'pending' AND blocked = 0 \
        AND (project, home, agent, model) > (1, ?1, 'build', '') ORDER BY project, home, agent, model, place LIMIT 1";
    let steps = |waiting| {
        let (_dir, store) = filled(waiting);
        let mut statement = store.conn.prepare(sql).unwrap();
        statement.query_row([instance(0).to_string()], |_| Ok(())).unwrap();
        statement.get_status(StatementStatus::VmStep)
    };
    assert!(steps(4_000) > 10 * steps(200));
}
