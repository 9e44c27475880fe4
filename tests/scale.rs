//! Many tasks: all end, no limit is passed at any instant, and what the dispatcher does for one of them does not grow
//! with the number of those that wait. No time is asserted; the figures are printed.
//!
//! `SORTIE_SCALE_TASKS` says how many tasks run, `SORTIE_SCALE_QUEUE` how many wait at most.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "support/looks.rs"]
mod looks;
#[expect(dead_code, reason = "a benchmark uses more of it")]
#[path = "support/place.rs"]
mod place;

use std::{
    env,
    time::{Duration, Instant},
};

use looks::{Look, Looks};
use place::Place;
use sortie::{admission::DEPTH, store::Listing, task::StateName};

/// Two lanes.
const AGENTS: [&str; 2] = ["build", "plan"];

/// Looks at each length of the queue.
const SAMPLES: usize = 100;

fn number(name: &str, default: usize) -> usize {
    env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(default)
}

fn quantile(sorted: &[Duration], share: usize) -> Duration {
    sorted[(sorted.len() * share / 100).min(sorted.len() - 1)]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[test]
fn thousands_of_tasks_all_end_and_no_more_run_than_may() {
    const SLOTS: usize = 50;
    let tasks = number("SORTIE_SCALE_TASKS", 500);
    let looks = Looks::begin();
    place::run(async {
        let place = Place::new(&format!(r#"{{"default": {SLOTS}, "total": {SLOTS}}}"#)).await;
        let began = Instant::now();
        place.launch(tasks, &AGENTS).await;
        let launched = began.elapsed();
        place.open();
        place.all_ended().await;
        let wall = began.elapsed();
        let looks = looks.take();
        let mut times: Vec<_> = looks.iter().filter(|look| look.claimed > 0).map(Look::per_task).collect();
        times.sort_unstable();
        let (median, p99) = (quantile(&times, 50), quantile(&times, 99));
        println!("{tasks} tasks in {SLOTS} slots: {wall:?}, of which their launch {launched:?}");
        println!("dispatcher per task: p50 {median:?}, p99 {p99:?}, {} looks claimed", times.len());
        assert_eq!(looks.iter().map(|look| look.claimed).sum::<usize>(), tasks, "each was claimed once");
        let most = place.most_running();
        assert_eq!(most, SLOTS.min(tasks), "the first look fills every slot, and none passes the limit");
        let mut store = place.store();
        let totals = store.totals(&place::project()).unwrap();
        assert_eq!((totals.of(StateName::Complete), totals.shown()), (tasks as u64, tasks as u64));
        assert_eq!(place.sessions(), tasks, "each had a session of its own");
        place.close().await;
    });
}

#[test]
fn what_a_look_reads_does_not_grow_with_the_queue() {
    let most = number("SORTIE_SCALE_QUEUE", 5_000);
    let lengths: Vec<_> = [100, 1_000, 5_000, 10_000, 50_000, 100_000].into_iter().filter(|n| *n <= most).collect();
    let looks = Looks::begin();
    let mut rows = Vec::new();
    for length in lengths {
        place::run(async {
            let place = Place::new(r#"{"default": 1, "total": 1}"#).await;
            place.launch(length + SAMPLES, &AGENTS).await;
            looks.take();
            let began = Instant::now();
            place.open();
            looks.until(SAMPLES).await;
            let each = began.elapsed() / u32::try_from(SAMPLES).unwrap();
            let seen: Vec<_> = looks.take().into_iter().filter(|look| look.claimed > 0).collect();
            place.close().await;
            assert!(seen.iter().all(|look| look.claimed == 1), "{seen:?}");
            // As many rows of each lane as a look ever needs, however many there are.
            let candidates = seen.iter().map(|look| look.candidates).max().unwrap();
            assert_eq!(candidates, AGENTS.len() * DEPTH as usize, "with {length} waiting");
            let mut times: Vec<_> = seen.iter().map(|look| look.time).collect();
            times.sort_unstable();
            rows.push((length, candidates, quantile(&times, 50), quantile(&times, 99), each));
        });
    }
    println!("{:>8} {:>11} {:>10} {:>10} {:>14}", "queued", "candidates", "p50 us", "p99 us", "task, all us");
    for (length, candidates, median, p99, each) in &rows {
        let (median, p99, each) = (micros(*median), micros(*p99), micros(*each));
        println!("{length:>8} {candidates:>11} {median:>10.0} {p99:>10.0} {each:>14.0}");
    }
    println!(
        "slope of p50: {:.3} us per 1,000 queued tasks",
        slope(rows.iter().map(|row| (row.0, micros(row.2)))) * 1e3
    );
}

/// Of the line through the points with the least squares.
#[expect(clippy::cast_precision_loss, reason = "lengths of queues are small")]
fn slope(points: impl Iterator<Item = (usize, f64)>) -> f64 {
    let points: Vec<_> = points.map(|(x, y)| (x as f64, y)).collect();
    let n = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / n, y + point.1 / n));
    let (xy, xx) = points
        .iter()
        .fold((0.0, 0.0), |(xy, xx), point| (xy + (point.0 - x) * (point.1 - y), xx + (point.0 - x) * (point.0 - x)));
    if xx == 0.0 { 0.0 } else { xy / xx }
}
