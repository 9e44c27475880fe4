//! The server pool with a server that can be made to fail: starts, ends, records, and what a dead owner leaves.
#![cfg(all(feature = "cli", target_os = "linux"))]
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "support/proc.rs"]
mod proc;
#[path = "support/servers.rs"]
mod servers;

use std::{
    collections::BTreeSet,
    env, fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use proc::guard_of;
use serde_json::Value;
use servers::{LONG, clock, found, group, home, kill, listens, lives, only, pool, until};
use sortie::{
    fault::Code,
    server_pool::{Pool, Settings, Source, Start},
};
use tempfile::TempDir;
use tokio::time::timeout;

/// Where the worker's pool is.
const HOME: &str = "SORTIE_TEST_POOL_HOME";

const FAKE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/opencode.mjs");

fn start(home: &Path) -> Start {
    let env = vec![("FAKE_DIR".to_owned(), home.to_str().unwrap().to_owned())];
    Start { env, ..Start::new(PathBuf::from(FAKE)) }
}

fn settings(home: &Path) -> Settings {
    Settings::new(Source::Start(start(home)))
}

fn mode(home: &Path, mode: &str) {
    fs::write(home.join("mode"), mode).unwrap();
}

/// The starts so far, as the servers tell of them.
fn starts(home: &Path) -> Vec<Value> {
    let text = fs::read_to_string(home.join("starts")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn pid(home: &Path) -> u32 {
    only(home).process.unwrap().pid
}

#[tokio::test]
async fn a_server_is_started_when_it_is_needed_and_nothing_is_left_of_it() {
    let dir = TempDir::new().unwrap();
    let pool = pool(dir.path(), settings(dir.path())).await;
    assert_eq!(found(dir.path()), []);
    let lease = pool.server("/p").await.unwrap();
    assert_eq!(lease.client().health().await.unwrap(), "0.0.0");
    let record = only(dir.path());
    let process = record.process.unwrap();
    assert_eq!((record.directory.as_str(), lease.url()), ("/p", format!("http://127.0.0.1:{}", record.port).as_str()));
    assert!(found(dir.path())[0].runs && found(dir.path())[0].owned);

    // The password is in the server's environment and nowhere else.
    let environment = fs::read_to_string(format!("/proc/{}/environ", process.pid)).unwrap();
    let password = environment.split('\0').find_map(|entry| entry.strip_prefix("OPENCODE_SERVER_PASSWORD=")).unwrap();
    let path = dir.path().join("servers").join(format!("{}.json", record.id));
    assert!(password.len() == 32 && !fs::read_to_string(&path).unwrap().contains(password));
    assert!(!fs::read_to_string(format!("/proc/{}/cmdline", process.pid)).unwrap().contains(password));
    assert!(!format!("{pool:?} {lease:?}").contains(password));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    let started = &starts(dir.path())[0];
    let args: Vec<_> = started["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
    assert_eq!(args, ["serve", "--hostname", "127.0.0.1", "--port", &record.port.to_string()]);
    assert_eq!((&started["server"], &started["database"]), (&Value::from(record.id), &Value::Null));

    pool.close().await;
    timeout(LONG, lease.ended()).await.unwrap();
    assert!(
        !lives(process.pid) && group(process.pid).is_empty() && !listens(record.port) && found(dir.path()).is_empty()
    );
    assert_eq!(pool.server("/p").await.unwrap_err().code, Code::PoolClosed);
}

#[tokio::test]
async fn projects_keep_to_their_server_and_no_more_are_started_than_may_be() {
    let dir = TempDir::new().unwrap();
    let isolated = Start { isolate: true, ..start(dir.path()) };
    let pool = pool(dir.path(), Settings { source: Source::Start(isolated), max_servers: 2 }).await;
    let (one, two) = tokio::join!(pool.server("/one"), pool.server("/two"));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_ne!(one.url(), two.url());
    // The one with less to do is given to whoever is new.
    let again = pool.server("/one").await.unwrap();
    assert_eq!(again.url(), one.url());
    assert_eq!(pool.server("/three").await.unwrap().url(), two.url());
    drop((one, again));
    assert_eq!(pool.server("/three").await.unwrap().url(), two.url());
    assert_eq!(found(dir.path()).len(), 2);
    let databases: BTreeSet<_> =
        starts(dir.path()).iter().map(|start| start["database"].as_str().unwrap().to_owned()).collect();
    assert!(databases.len() == 2 && databases.iter().all(|path| path.starts_with(dir.path().to_str().unwrap())));
    pool.close().await;
    assert_eq!(found(dir.path()), []);
}

#[tokio::test]
async fn many_at_once_share_one_server() {
    let dir = TempDir::new().unwrap();
    let pool = pool(dir.path(), settings(dir.path())).await;
    let mut leases = Vec::new();
    for lease in ["/a", "/b", "/c", "/d", "/e"].map(|project| {
        let pool = pool.clone();
        tokio::spawn(async move { pool.server(project).await })
    }) {
        leases.push(lease.await.unwrap().unwrap());
    }
    assert!(leases.iter().all(|lease| lease.url() == leases[0].url()));
    assert_eq!(starts(dir.path()).len(), 1);
    pool.close().await;
}

#[tokio::test]
async fn a_server_that_dies_is_started_again() {
    let dir = TempDir::new().unwrap();
    let pool = pool(dir.path(), settings(dir.path())).await;
    let lease = pool.server("/p").await.unwrap();
    let died = pid(dir.path());
    kill(died);
    timeout(LONG, lease.ended()).await.unwrap();
    let next = timeout(LONG, pool.server("/p")).await.unwrap().unwrap();
    next.client().health().await.unwrap();
    assert!(pid(dir.path()) != died && !lives(died) && lease.client().health().await.is_err());
    pool.close().await;
}

#[tokio::test]
async fn a_server_that_cannot_be_started_says_why_and_is_tried_again_when_it_is_wanted() {
    let dir = TempDir::new().unwrap();
    mode(dir.path(), "fail");
    let pool = pool(dir.path(), settings(dir.path())).await;
    let fault = pool.server("/p").await.unwrap_err();
    assert_eq!(fault.code, Code::ServerNotStarted);
    assert!(
        fault.message.ends_with("it ended before it listened; its last words: no such thing as a server here"),
        "{fault}"
    );
    assert_eq!(found(dir.path()), []);
    mode(dir.path(), "serve");
    pool.server("/p").await.unwrap();
    pool.close().await;

    let missing = Settings::new(Source::Start(Start::new(dir.path().join("nowhere"))));
    let pool = servers::pool(dir.path(), missing).await;
    let fault = pool.server("/p").await.unwrap_err();
    assert!(fault.code == Code::ServerNotStarted && fault.message.contains("No such file"), "{fault}");
    assert_eq!(found(dir.path()), []);
    pool.close().await;
}

#[tokio::test]
async fn a_server_that_never_listens_is_ended() {
    let dir = TempDir::new().unwrap();
    mode(dir.path(), "deaf");
    // Longer than its start takes on a busy machine, so that there is a process to be ended.
    let start = Start { start_timeout: Duration::from_secs(4), ..start(dir.path()) };
    let pool = pool(dir.path(), Settings::new(Source::Start(start))).await;
    let fault = pool.server("/p").await.unwrap_err();
    assert!(fault.code == Code::ServerNotStarted && fault.message.contains("within 4 s"), "{fault}");
    for started in starts(dir.path()) {
        assert!(!lives(u32::try_from(started["pid"].as_u64().unwrap()).unwrap()));
    }
    assert_eq!(found(dir.path()), []);
    pool.close().await;
}

#[tokio::test]
async fn what_a_server_started_ends_with_it_also_if_it_does_not_want_to() {
    let dir = TempDir::new().unwrap();
    mode(dir.path(), "stubborn");
    let pool = pool(dir.path(), settings(dir.path())).await;
    drop(pool.server("/p").await.unwrap());
    let leader = pid(dir.path());
    assert_eq!(group(leader).len(), 2);
    // Dropped, it ends as well; only nobody waits for it.
    drop(pool);
    until("the end of the group", || group(leader).is_empty()).await;
    until("the end of the record", || found(dir.path()).is_empty()).await;
}

#[tokio::test]
async fn a_range_of_ports_is_kept_to() {
    let dir = TempDir::new().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    let start = Start { ports: Some(port..=port), ..start(dir.path()) };
    let pool = pool(dir.path(), Settings::new(Source::Start(start))).await;
    assert_eq!(pool.server("/p").await.unwrap_err().code, Code::NoPort);
    drop(free);
    assert_eq!(pool.server("/p").await.unwrap().url(), format!("http://127.0.0.1:{port}"));
    pool.close().await;
}

#[tokio::test]
async fn settings_that_do_not_fit_open_no_pool() {
    let dir = TempDir::new().unwrap();
    let settings = Settings { max_servers: 6, ..settings(dir.path()) };
    assert_eq!(Pool::open(home(dir.path()), clock(), settings).await.unwrap_err().code, Code::BadPool);
    let elsewhere = Source::Reuse { url: "http://example.com:80".to_owned(), password: None };
    let pool = pool(dir.path(), Settings::new(elsewhere)).await;
    let fault = pool.server("/p").await.unwrap_err();
    assert!(fault.code == Code::BadPool && fault.message.contains("only this machine"), "{fault}");
}

/// The owner is killed at once: the next one ends its server, with what that started, and its port.
#[tokio::test]
async fn what_a_killed_owner_leaves_is_ended_by_the_next() {
    // A record that was written before its process was known is as good: the server's environment names it.
    for knows_process in [true, false] {
        let dir = TempDir::new().unwrap();
        mode(dir.path(), "stubborn");
        let mut worker = Command::new(env::current_exe().unwrap())
            .args(["--exact", "worker", "--nocapture", "--test-threads=1"])
            .env(HOME, dir.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        until("a server", || starts(dir.path()).len() == 1).await;
        let record = only(dir.path());
        let leader = record.process.unwrap().pid;
        // Who watches over it is killed as well, as when all of a user's processes are.
        kill(guard_of(leader).unwrap());
        worker.kill().unwrap();
        worker.wait().unwrap();
        assert!(group(leader).len() == 2 && listens(record.port));
        let left = found(dir.path());
        assert!(left[0].runs && !left[0].owned, "{left:?}");
        if !knows_process {
            let path = dir.path().join("servers").join(format!("{}.json", record.id));
            let mut text: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            text["process"] = Value::Null;
            fs::write(&path, text.to_string()).unwrap();
        }
        let next = pool(dir.path(), settings(dir.path())).await;
        assert!(group(leader).is_empty() && !listens(record.port));
        assert_eq!(found(dir.path()), []);
        next.close().await;
    }
}

/// Not a test of its own: the owner that the test above kills.
#[tokio::test]
async fn worker() {
    let Some(home) = env::var_os(HOME) else { return };
    let home = Path::new(&home);
    let pool = pool(home, settings(home)).await;
    let _lease = pool.server("/p").await.unwrap();
    std::future::pending::<()>().await;
}
