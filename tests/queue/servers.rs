//! `kill -9` of servers and of those that use them.

use std::{
    collections::BTreeSet,
    fs,
    net::TcpStream,
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{number, proc::guard_of, processes, rig::Rig, rng, signal};

/// How long a round may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Whom a round ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    /// OpenCode's server.
    Server,
    /// The command that has started it.
    Command,
    /// The command, and what watches over the server.
    CommandAndGuard,
    /// Everything at once.
    All,
    /// Nobody: the command is asked to end.
    Asked,
}

const VICTIMS: [Victim; 5] = [Victim::Server, Victim::Command, Victim::CommandAndGuard, Victim::All, Victim::Asked];

/// The guards of servers.
fn guards(servers: &BTreeSet<u32>) -> Vec<u32> {
    servers.iter().filter_map(|server| guard_of(*server)).collect()
}

/// The servers that are written down: their processes and ports.
fn noted(rig: &Rig) -> Vec<(Option<u32>, u16)> {
    let Ok(entries) = fs::read_dir(rig.home().join("servers")) else { return Vec::new() };
    let read = |path| serde_json::from_slice::<Value>(&fs::read(path).ok()?).ok();
    let records = entries.flatten().filter_map(|entry| read(entry.path()));
    let number = |value: &Value| u32::try_from(value.as_u64()?).ok();
    records
        .filter_map(|record| Some((number(&record["process"]["pid"]), u16::try_from(number(&record["port"])?).ok()?)))
        .collect()
}

#[test]
fn whoever_is_killed_no_server_and_no_port_is_left() {
    let rounds = number("SORTIE_SERVER_KILLS", 6);
    let mut rng = rng();
    let rig = Rig::new();
    let fake = rig.root().join("fake");
    fs::create_dir(&fake).unwrap();
    fs::write(rig.project().join("list.md"), "- [ ] one\n- [ ] two\n- [ ] three\n").unwrap();
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/opencode.mjs");
    let requests = || fs::read_to_string(fake.join("requests")).unwrap_or_default().lines().count();
    let (mut killed, mut swept) = (0, 0);
    for round in 0..rounds {
        let victim = VICTIMS[rng.usize(0..VICTIMS.len())];
        let mut command = rig.command(&["checklist", "list.md", "--json"]);
        command.env("OPENCODE_PATH", program).env("FAKE_DIR", &fake).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut command = command.spawn().unwrap();
        // The moment is one of the work's: from the note of the server to long after the last prompt was sent.
        let (steps, before) = (rng.usize(0..24), requests());
        let deadline = Instant::now() + LIMIT;
        let (mut servers, mut ports) = (BTreeSet::new(), BTreeSet::new());
        while ports.is_empty() || (requests() - before) < steps || (victim == Victim::Server && servers.is_empty()) {
            for (pid, port) in noted(&rig) {
                servers.extend(pid);
                ports.insert(port);
            }
            assert!(Instant::now() < deadline, "round {round} ({victim:?}): nothing goes on");
            std::thread::yield_now();
        }
        for (pid, port) in noted(&rig) {
            servers.extend(pid);
            ports.insert(port);
        }
        let leaders: Vec<u32> = servers.iter().copied().collect();
        let victims = match victim {
            Victim::Server => leaders,
            Victim::Command | Victim::Asked => vec![command.id()],
            Victim::CommandAndGuard => [guards(&servers), vec![command.id()]].concat(),
            Victim::All => [guards(&servers), leaders, vec![command.id()]].concat(),
        };
        killed += victims.len();
        signal(if victim == Victim::Asked { "-TERM" } else { "-KILL" }, &victims);
        // A prompt that was not sent yet waits for the next server, which is killed as well.
        while victim == Victim::Server && command.try_wait().unwrap().is_none() {
            for (pid, port) in noted(&rig) {
                ports.insert(port);
                if let Some(pid) = pid.filter(|pid| servers.insert(*pid)) {
                    killed += 1;
                    signal("-KILL", &[pid]);
                }
            }
            assert!(Instant::now() < deadline, "round {round}: the command does not end");
            std::thread::yield_now();
        }
        let did = command.wait_with_output().unwrap();
        let answer: Option<Value> = serde_json::from_slice(&did.stdout).ok();
        match victim {
            // What was asked of it has no answer, and the command says so.
            Victim::Server => {
                let answer = answer.unwrap();
                let fault = answer["error"]["code"].as_str().unwrap_or_default();
                let no_answer =
                    ["server-died", "server-not-started"].contains(&fault) || answer["overall"] == "incomplete";
                assert!(no_answer && [7, 8].contains(&did.status.code().unwrap()), "{answer:#}");
            }
            Victim::Asked => assert_eq!(did.status.code(), Some(130)),
            Victim::Command | Victim::CommandAndGuard | Victim::All => assert_eq!(did.status.code(), None),
        }
        if victim == Victim::Command && !servers.is_empty() {
            // Nobody has to come and end it: what is noted with its process is watched over. In the moment before that
            // there is the note, by which the next command ends it.
            while !processes(&rig).is_empty() {
                assert!(Instant::now() < deadline, "round {round}: left behind: {:?}", processes(&rig));
                std::thread::yield_now();
            }
        }
        let listed = rig.json(&["servers"]);
        assert_eq!(listed["servers"], Value::Array(Vec::new()), "round {round} ({victim:?})");
        swept += listed["ended"].as_u64().unwrap();
        while !processes(&rig).is_empty() || !guards(&servers).is_empty() {
            assert!(Instant::now() < deadline, "round {round} ({victim:?}): left behind: {:?}", processes(&rig));
            std::thread::yield_now();
        }
        for port in &ports {
            assert!(TcpStream::connect(("127.0.0.1", *port)).is_err(), "round {round} ({victim:?}): port {port}");
        }
        assert!(noted(&rig).is_empty(), "round {round} ({victim:?})");
    }
    println!("{rounds} rounds, {killed} processes ended, {swept} servers ended by the next command");
}
