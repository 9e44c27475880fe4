//! What tasks weigh: in the engine's memory while they run, and in the database.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use sortie::opencode::{
    BoxFuture, Method, Request, Response, Transport, TransportError,
    fake::{FakeHost, Script},
};

use crate::{
    AGENTS,
    place::{self, Place},
    print,
};

/// The system's allocator, with a count of the bytes that are taken. `SQLite` has its own.
pub struct Counting;

static TAKEN: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on as it is; the count beside it touches no memory of theirs.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        TAKEN.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        TAKEN.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn taken() -> usize {
    TAKEN.load(Ordering::SeqCst)
}

/// Resident bytes of this process; none where the system does not say.
fn resident() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<usize>().ok()? * 1_024)
}

/// A host that takes every prompt and never answers one; it remembers nothing, so that all memory is the engine's.
#[derive(Default)]
struct Mute {
    made: AtomicUsize,
    prompted: AtomicUsize,
}

struct Way(Arc<Mute>);

impl Transport for Way {
    fn request(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        let ok = |body: &str| Response { status: 200, body: body.to_owned() };
        let response = match (request.method, request.path.as_str()) {
            (Method::Get, "/agent") => {
                let agents = AGENTS.map(|name| json!({ "name": name, "mode": "all", "permission": [] }));
                ok(&json!(agents).to_string())
            }
            (Method::Post, "/session") => {
                let n = self.0.made.fetch_add(1, Ordering::SeqCst);
                ok(&json!({ "id": format!("ses_{n:026}") }).to_string())
            }
            (Method::Post, path) if path.ends_with("/prompt_async") => {
                self.0.prompted.fetch_add(1, Ordering::SeqCst);
                Response { status: 204, body: String::new() }
            }
            (Method::Get, path) if path.ends_with("/message") => ok("[]"),
            (Method::Get, "/session/status") => ok("{}"),
            (Method::Get, "/permission" | "/question") => ok("[]"),
            (Method::Get, _) => ok(r#"{"id": "ses_parent"}"#),
            _ => ok("true"),
        };
        Box::pin(std::future::ready(Ok(response)))
    }
}

/// Bytes of each of so many running tasks that work in this directory.
async fn running(tasks: usize, directory: &str) -> usize {
    let mute = Arc::new(Mute::default());
    let host = Arc::new(FakeHost::new(|_| Script::say("never")));
    let limits = format!(r#"{{"default": {tasks}, "total": {tasks}}}"#);
    let place = Place::over(host, Arc::new(Way(Arc::clone(&mute))), &limits).await;
    place.open();
    let before = taken();
    place.launch_in(tasks, &AGENTS, directory).await;
    let deadline = Instant::now() + Duration::from_secs(120);
    while mute.prompted.load(Ordering::SeqCst) < tasks {
        assert!(Instant::now() < deadline, "not all were sent");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let after = taken();
    place.close().await;
    after.saturating_sub(before) / tasks
}

/// What a running task takes, and how much of it are copies of names that all have in common.
#[expect(clippy::cast_precision_loss, reason = "these bytes are few")]
pub fn live(tasks: usize) {
    /// Far more than the figure of a task varies by.
    const LONGER: usize = 20_000;
    let (mut all, mut copies) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        place::run(async {
            let each = running(tasks, "/project").await;
            let longer = running(tasks, &format!("/project/{}", "x".repeat(LONGER - 1))).await;
            all.push(each as f64);
            copies.push(longer.saturating_sub(each) as f64 / LONGER as f64);
        });
    }
    print(
        "memory of a running task",
        "bytes",
        &all,
        &json!({ "note": format!("{tasks} run, a directory of 8 bytes") }),
    );
    let note = "bytes more for each byte that the directory is longer";
    print("the same: copies of its directory", "copies", &copies, &json!({ "note": note }));
}

/// What tasks take that wait: in the database, and in memory.
#[expect(clippy::cast_precision_loss, reason = "these bytes are few")]
pub fn stored(tasks: usize) {
    place::run(async {
        let place = Place::new(r#"{"default": 1, "total": 1}"#).await;
        // The first ones make what is made once.
        place.launch(100, &AGENTS).await;
        let (heap, pages) = (taken(), resident());
        place.launch(tasks, &AGENTS).await;
        let heap = taken().saturating_sub(heap);
        let pages = resident().zip(pages).map(|(after, before)| after.saturating_sub(before));
        place.close().await;
        let file = fs::metadata(place.home().join("sortie.db")).unwrap().len();
        let kib = |bytes: f64| [bytes / 1_024.0];
        let note = "one row with its prompt, and its journal";
        print("the database of 10,000 waiting tasks", "KiB", &kib(file as f64), &json!({ "note": note }));
        print("memory of the engine for them", "KiB", &kib(heap as f64), &json!({}));
        if let Some(pages) = pages {
            let note = "with what the database keeps in memory, and what the allocator keeps of the launch";
            print("resident memory for them", "KiB", &kib(pages as f64), &json!({ "note": note }));
        }
    });
}
