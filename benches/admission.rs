//! What admission costs, and what tasks weigh: figures for `npm run bench`, one line of JSON each.
//!
//! `--quick` takes fewer samples. The allocator that counts is this program's only.

#![expect(clippy::print_stdout, reason = "the figures are what it is run for")]
#![expect(clippy::unwrap_used, reason = "in a benchmark a panic is the report")]
#![expect(unsafe_code, reason = "an allocator that counts is one by an unsafe trait")]

#[expect(dead_code, reason = "a test uses more of it")]
#[path = "../tests/support/looks.rs"]
mod looks;
#[path = "support/memory.rs"]
mod memory;
#[expect(dead_code, reason = "a test uses more of it")]
#[path = "../tests/support/place.rs"]
mod place;

use std::{
    collections::{BTreeMap, HashSet},
    env,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use looks::Looks;
use place::Place;
use serde_json::{Value, json};
use sortie::{
    admission::{Left, Limits, Own, World, choose},
    store::{Candidate, Filter, Lane, Queue, Store, fixture},
    task::{Priority, StateName, Timestamp},
};

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

const AGENTS: [&str; 2] = ["build", "plan"];
const NOW: Timestamp = Timestamp(1_795_000_000_000);

/// Calls that are timed together, where one is too short for the clock.
const TOGETHER: u32 = 1_000;

fn main() {
    let quick = env::args().any(|argument| argument == "--quick");
    let samples = if quick { 50 } else { 500 };
    decisions(samples);
    queries(samples);
    memory::live(if quick { 200 } else { 500 });
    memory::stored(10_000);
}

/// Prints a figure.
fn print(name: &str, unit: &str, values: &[f64], more: &Value) {
    let mut line = json!({ "name": name, "unit": unit, "values": values });
    for (key, value) in more.as_object().into_iter().flatten() {
        line[key] = value.clone();
    }
    println!("{line}");
}

fn nanos(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

/// How long one call takes, in nanoseconds: so many samples, each of many calls.
fn timed(samples: usize, mut call: impl FnMut()) -> Vec<f64> {
    let sample = |_| {
        let from = Instant::now();
        for _ in 0..TOGETHER {
            call();
        }
        nanos(from.elapsed()) / f64::from(TOGETHER)
    };
    (0..samples).map(sample).collect()
}

fn lane(n: usize) -> Lane {
    let agent = ["commander", "planner", "worker", "reviewer"][n % 4];
    Lane { agent: agent.into(), model: format!("provider{}/model", n % 3).into() }
}

/// Fifty tasks run in twelve lanes, and the limits are those of an ordinary configuration.
fn decisions(samples: usize) {
    let limits = r#"{"default": 10, "agents": {"commander": 1, "worker": {"share": 6, "max": 10}}, "models": {"provider1": 20}}"#;
    let limits: Limits = serde_json::from_str(limits).unwrap();
    let own: Vec<_> = (0..12).map(|n| Own { same_project: true, lane: lane(n), count: 4 }).collect();
    let world = || World::new(&limits, BTreeMap::new(), &own, &[], None, NOW);
    let (one, of) = (world(), lane(2));
    let decided = timed(samples, || {
        black_box(one.decide(black_box(&of), Priority::Normal));
    });
    print("a decision about one task", "ns", &decided, &json!({ "note": "50 run in 12 lanes" }));

    let candidates = (0..64).map(|n| Candidate {
        id: fixture::id(n),
        lane: Arc::new(lane(usize::try_from(n).unwrap())),
        priority: Priority::Normal,
        place: Timestamp(NOW.0 + i64::try_from(n).unwrap()),
        seq: i64::try_from(n).unwrap(),
        parent: "ses_parent".to_owned(),
    });
    let queue = Queue { candidates: candidates.collect(), ..Queue::default() };
    let warm = HashSet::new();
    let chosen: Vec<_> = (0..samples)
        .map(|_| {
            let (mut world, mut left) = (world(), Left::new());
            let from = Instant::now();
            black_box(choose(black_box(&queue), &mut world, &warm, &mut left));
            nanos(from.elapsed()) / 1e3
        })
        .collect();
    print("the choice from a queue of 64", "us", &chosen, &json!({ "note": "in 12 lanes" }));
}

/// What is asked of an engine with many tasks waiting, and what its dispatcher does for one of them.
fn queries(samples: usize) {
    let looks = Looks::begin();
    let mut short = Vec::new();
    for (length, name) in [(100, "100"), (50_000, "50,000")] {
        place::run(async {
            let place = Place::new(r#"{"default": 1, "total": 1}"#).await;
            place.launch(length + samples, &AGENTS).await;
            let pending = Filter { states: vec![StateName::Pending], newest: Some(1), ..Filter::default() };
            let last = place.store().tasks(&place::project(), &pending).unwrap().remove(0);
            let at = place.at();
            let deadline = Instant::now() + Duration::from_secs(60);
            while at.waits(&last).is_none() {
                assert!(Instant::now() < deadline, "nothing says why the last one waits");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let reasons = timed(samples, || {
                black_box(at.waits(black_box(&last)));
            });
            let mut store = place.store();
            let points: Vec<_> = (0..samples)
                .map(|_| {
                    let from = Instant::now();
                    black_box(store.outcome(last.id).unwrap());
                    nanos(from.elapsed()) / 1e3
                })
                .collect();
            looks.take();
            place.open();
            looks.until(samples).await;
            let seen = looks.take();
            place.close().await;
            let mut times: Vec<_> =
                seen.iter().filter(|look| look.claimed > 0).map(|look| nanos(look.time) / 1e3).collect();
            times.truncate(samples);
            if length == 100 {
                print("the reason why a task waits", "ns", &reasons, &json!({}));
                let note = "queue, choice and claim of one task; baseline: one row asked for by its key";
                short.clone_from(&times);
                print("a look of the dispatcher, 100 wait", "us", &times, &json!({ "baseline": points, "note": note }));
            } else {
                let more = json!({ "baseline": short, "note": "baseline: the look with 100 waiting" });
                print(&format!("the same, {name} wait"), "us", &times, &more);
            }
        });
    }
}
