//! What tests of the server pool share: a home, a clock, and a look at processes and ports.

use std::{
    fs,
    net::TcpStream,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use sortie::{
    clock::Clock,
    server_pool::{Pool, Settings, registry},
    store::Home,
    sys::SystemClock,
};

/// The longest that anything is waited for.
pub const LONG: Duration = Duration::from_secs(100);

/// A pool in a home.
pub async fn pool(home: &Path, settings: Settings) -> Pool {
    Pool::open(self::home(home), clock(), settings).await.unwrap()
}

/// A home.
pub fn home(path: &Path) -> Home {
    Home::open(path).unwrap()
}

/// The machine's clock.
pub fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// The servers that are written down.
pub fn found(path: &Path) -> Vec<registry::Found> {
    registry::list(&home(path)).unwrap()
}

/// The process of the only server.
pub fn only(path: &Path) -> registry::Record {
    let mut found = found(path);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0).record
}

/// Waits until it holds.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within {LONG:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Kills a process, and nothing else.
pub fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// Whether a process is there, and is not dead and waiting to be reaped.
pub fn lives(pid: u32) -> bool {
    sortie::sys::process::Identity::of(pid).is_some()
}

/// Whether somebody listens on a port of this machine.
pub fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// The living processes of a group, by a walk over all processes.
pub fn group(leader: u32) -> Vec<u32> {
    let of = |name: &str| -> Option<u32> {
        let pid: u32 = name.parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let (state, _parent, group) = (fields.next()?, fields.next()?, fields.next()?);
        (state != "Z" && group.parse() == Ok(leader)).then_some(pid)
    };
    let entries = fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| of(entry.ok()?.file_name().to_str()?)).collect()
}
