//! An engine in a process of its own, over HTTP, killed at any moment and started again until all has ended: nothing
//! is lost, nothing is done twice, nobody is told twice.
#![cfg(feature = "http")]
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[expect(dead_code, reason = "another test uses more of it")]
#[path = "support/fake_http.rs"]
mod fake_http;

use std::{
    env,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use fake_http::FakeServer;
use sortie::{
    clock::{Clock, Ids},
    engine::{
        options::Options,
        service::{Attach, Engine},
    },
    opencode::{
        NewSession, SessionId,
        fake::{FakeHost, PromptSeen, Script},
        http::{Feed, HttpTransport},
    },
    store::{Durability, Filter, Home, SqliteStore, Store, fixture},
    task::{Parent, ProjectKey, StateName, TaskId, TaskSpec, Timestamp},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const HOME: &str = "SORTIE_TEST_KILL_HOME";
const URL: &str = "SORTIE_TEST_KILL_URL";
const PARENT: &str = "SORTIE_TEST_KILL_PARENT";

/// How often a process is killed in all; `SORTIE_ROUNDS` says otherwise.
const ROUNDS: u32 = 500;

/// Missions at a time.
const LANES: u64 = 4;

/// How often one mission is interrupted: a task that loses its process too often counts as one that kills it.
const KILLS: u32 = 8;

const DIR: &str = "/project";
const TASKS: usize = 6;

#[derive(Debug)]
struct System;

impl Clock for System {
    fn now(&self) -> Timestamp {
        Timestamp(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap())
    }
}

#[test]
fn a_process_that_is_killed_at_any_moment_loses_nothing_and_does_nothing_twice() {
    let rounds = env::var("SORTIE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    let seed = env::var("SORTIE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("SORTIE_SEED={seed}");
    let (left, missions, began) = (Arc::new(AtomicU32::new(rounds)), Arc::new(AtomicU32::new(0)), Instant::now());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let lanes: Vec<_> = (0..LANES)
            .map(|lane| {
                let (left, missions) = (Arc::clone(&left), Arc::clone(&missions));
                let mut random = fastrand::Rng::with_seed(seed.wrapping_add(lane));
                tokio::spawn(async move {
                    while left.load(Ordering::SeqCst) > 0 {
                        mission(&left, &mut random).await;
                        missions.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        for lane in lanes {
            lane.await.unwrap();
        }
    });
    println!("{rounds} kills in {} missions, {:?}", missions.load(Ordering::SeqCst), began.elapsed());
}

/// One mission from its launch to its end, over as many lives as it takes.
async fn mission(left: &AtomicU32, random: &mut fastrand::Rng) {
    let pace = random.u64(..);
    let host = Arc::new(FakeHost::new(move |seen| model(seen, pace)));
    let home = tempfile::tempdir().unwrap();
    let parent = host.client().create_session(DIR, NewSession::default()).await.unwrap().id;
    for life in 0.. {
        let server = FakeServer::start(Arc::clone(&host), None).await;
        let mut process = start(home.path(), &server.url(), &parent);
        let may_die =
            life < KILLS && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        let time = if may_die { Duration::from_millis(random.u64(10..600)) } else { Duration::from_secs(100) };
        let ended = ends_within(&mut process, time).await;
        if !ended {
            process.kill().unwrap();
            process.wait().unwrap();
        }
        // What the dead one asked for and what its host was at is over with it.
        drop(server);
        if ended {
            break;
        }
        host.crash();
        assert!(may_die, "the mission did not end: {}", state(home.path()));
    }
    check(home.path(), &host, &parent);
}

/// Whether a process ends by itself in this time.
async fn ends_within(process: &mut Child, time: Duration) -> bool {
    let deadline = Instant::now() + time;
    while Instant::now() < deadline {
        if let Some(status) = process.try_wait().unwrap() {
            assert!(status.success(), "the process failed");
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    false
}

fn model(seen: &PromptSeen, pace: u64) -> Script {
    if seen.text.starts_with("<sortie-report>") {
        return Script::say("noted");
    }
    if seen.text == "e" && seen.asked_before == 0 {
        return Script::fail("APIError", "overloaded", Some(503));
    }
    let wait = pace.rotate_left(u32::from(seen.text.as_bytes()[0]) * 7) % 120;
    Script::say_after(Duration::from_millis(wait), &format!("did {}", seen.text))
}

fn start(home: &Path, url: &str, parent: &SessionId) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "host_process", "--nocapture", "--test-threads=1"])
        .envs([(HOME, home.to_str().unwrap()), (URL, url), (PARENT, parent.as_str())])
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn open(home: &Path) -> SqliteStore {
    SqliteStore::open(&Home::open(home).unwrap(), Durability::Normal).unwrap()
}

fn project() -> ProjectKey {
    ProjectKey::new(DIR)
}

fn state(home: &Path) -> String {
    let tasks = open(home).tasks(&project(), &Filter::default()).unwrap();
    let lines: Vec<_> = tasks.iter().map(|task| format!("{}: {:?}", task.spec.prompt, task.state)).collect();
    lines.join("\n")
}

fn check(home: &Path, host: &FakeHost, parent: &SessionId) {
    let mut store = open(home);
    assert_eq!(store.check().unwrap(), [""; 0]);
    let tasks = store.tasks(&project(), &Filter::default()).unwrap();
    assert_eq!(tasks.len(), TASKS);
    let rows = store.journal(&project(), 0, u32::MAX).unwrap();
    let texts: Vec<String> = prompts(host, parent);
    for task in &tasks {
        assert_eq!(task.state.name(), StateName::Complete, "{task:?}");
        let own: Vec<_> = rows.iter().filter(|row| row.task == task.id).collect();
        assert_eq!(own.iter().filter(|row| row.to.is_terminal()).count(), 1, "{own:?}");
        assert!(own.iter().zip(0..).all(|(row, rev)| row.rev.0 == rev), "{own:?}");
        let heading = format!("] {}\n", task.id);
        let told = texts.iter().filter(|text| text.contains(&heading)).count();
        assert_eq!(told, 1, "{} was told {told} times", task.spec.prompt);
        let outcome = store.outcome(task.id).unwrap().unwrap();
        assert!(outcome.text.starts_with("did "), "{outcome:?}");
    }
    let sessions: Vec<_> = host.sessions().into_iter().filter(|session| session != parent).collect();
    assert_eq!(sessions.len(), TASKS, "a session was made twice");
    for session in sessions {
        assert_eq!(host.prompts(&session).len(), 1);
        let finished = host.messages(&session).iter().filter(|message| message["info"]["finish"] == "stop").count();
        assert_eq!(finished, 1, "a finished prompt was answered again");
    }
}

fn prompts(host: &FakeHost, session: &SessionId) -> Vec<String> {
    let messages = host.messages(session);
    let prompts = messages.iter().filter(|message| message["info"]["role"] == "user");
    prompts.filter_map(|message| Some(message["parts"][0]["text"].as_str()?.to_owned())).collect()
}

/// Not a test of its own: what the test above starts, kills and starts again.
#[test]
fn host_process() {
    let (Ok(home), Ok(url), Ok(parent)) = (env::var(HOME), env::var(URL), env::var(PARENT)) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(live(Path::new(&home), &url, &parent));
}

async fn live(home: &Path, url: &str, parent: &str) {
    let transport = HttpTransport::new(url, None).unwrap();
    let (wanted, mut listens) = watch::channel(false);
    let switch = Arc::new(move |on| {
        wanted.send_replace(on);
    });
    let engine = Engine::open(Home::open(home).unwrap(), Arc::new(System), Durability::Normal, switch).await.unwrap();
    let (listener, events) = (Arc::downgrade(&engine), transport.clone());
    let listening = tokio::spawn(async move {
        while listens.wait_for(|on| *on).await.is_ok() {
            let mut events = events.events(CancellationToken::new());
            loop {
                let feed = tokio::select! {
                    feed = events.next() => feed,
                    _ = listens.wait_for(|on| !*on) => break,
                };
                let (Some(feed), Some(engine)) = (feed, listener.upgrade()) else { return };
                match feed {
                    Feed::Connected => engine.stream_changed(true),
                    Feed::Event(envelope) => engine.deliver(&[envelope]),
                    Feed::Disconnected(_) => engine.stream_changed(false),
                }
            }
        }
    });
    let attach = Attach {
        project: project(),
        directory: DIR.to_owned(),
        transport: Arc::new(transport),
        options: Options { toasts: false, ..Options::default() },
        headless: false,
        program: None,
    };
    let at = engine.attach(attach);
    at.start();
    if at.find(Filter::default()).await.unwrap().is_empty() {
        // All of them or none.
        at.launch(tasks(parent).into_iter().map(|(id, spec)| (id, spec, None)).collect()).await.unwrap();
    }
    let mut store = open(home);
    // Nobody but us is the home of anything that is open or not told of: for a stranger that is nobody.
    while !store.other_homes(&project(), fixture::instance(99)).unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    at.detach().await;
    listening.abort();
}

fn tasks(parent: &str) -> Vec<(TaskId, TaskSpec)> {
    let ids = Ids::new(Arc::new(System));
    let names = ["a", "b", "c", "d", "e", "f"].map(|name| (name, ids.task()));
    let id = |name: &str| names.iter().find(|(known, _)| *known == name).unwrap().1;
    let spec = |name: &str| {
        let awaited = match name {
            "c" => Some(id("a")),
            "f" => Some(id("e")),
            _ => None,
        };
        let result = awaited.map(|awaited| format!(" {{{{result:{awaited}}}}}")).unwrap_or_default();
        TaskSpec {
            project: project(),
            prompt: format!("{name}{result}"),
            title: name.to_owned(),
            directory: DIR.into(),
            parent: Parent { session: parent.into(), directory: DIR.into() },
            timeout: Duration::from_secs(60),
            max_attempts: 5,
            depends_on: awaited.into_iter().collect(),
            ..fixture::spec()
        }
    };
    names.iter().map(|(name, id)| (*id, spec(name))).collect()
}
