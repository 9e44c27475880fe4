//! What a fake host knows.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::Fault;
use crate::opencode::{AscendingIds, SessionId};

/// A session with its messages, in the host's own form.
pub struct Stored {
    pub info: Value,
    pub messages: Vec<Value>,
    pub turn: Option<Turn>,
    /// The prompt that was sent last, first or again: the one that is to be answered.
    pub latest: Option<String>,
}

/// A turn that runs.
pub struct Turn {
    /// Whoever writes for a turn compares: it may be over.
    pub number: u64,
    pub stop: CancellationToken,
    /// The status, as in `GET /session/status`.
    pub status: Value,
}

/// A question that waits: for permission, or to the user.
pub struct Asked {
    pub info: Value,
    /// Whether the turn goes on.
    pub answer: oneshot::Sender<bool>,
}

/// All of it. The default is a fresh host.
pub struct State {
    /// The host's clock: it moves by a millisecond whenever it is read, so that everything has its place in time.
    pub now: u64,
    pub ids: AscendingIds,
    pub sessions: BTreeMap<SessionId, Stored>,
    /// Deleted while in a turn: the host's hazard.
    pub orphans: BTreeMap<SessionId, Turn>,
    pub permissions: BTreeMap<String, Asked>,
    pub questions: BTreeMap<String, Asked>,
    pub agents: Vec<Value>,
    pub toasts: Vec<Value>,
    /// The bodies of the answers to requests for permission.
    pub replies: Vec<Value>,
    pub faults: HashMap<String, VecDeque<Fault>>,
    pub requests: HashMap<&'static str, usize>,
    pub subscribers: Vec<mpsc::UnboundedSender<String>>,
    pub silent: bool,
    pub model_runs: usize,
    pub turns: u64,
    pub asked_for: HashMap<String, u32>,
}

impl Default for State {
    fn default() -> Self {
        let agent = |name: &str, mode: &str| {
            let rule = json!({ "permission": "*", "pattern": "*", "action": "allow" });
            json!({ "name": name, "mode": mode, "native": true, "permission": [rule], "options": {} })
        };
        Self {
            // November 2026.
            now: 1_795_000_000_000,
            ids: AscendingIds::new(),
            sessions: BTreeMap::new(),
            orphans: BTreeMap::new(),
            permissions: BTreeMap::new(),
            questions: BTreeMap::new(),
            agents: vec![agent("build", "primary"), agent("plan", "primary"), agent("general", "subagent")],
            toasts: Vec::new(),
            replies: Vec::new(),
            faults: HashMap::new(),
            requests: HashMap::new(),
            subscribers: Vec::new(),
            silent: false,
            model_runs: 0,
            turns: 0,
            asked_for: HashMap::new(),
        }
    }
}

impl State {
    /// Counts a request and tells what goes wrong with it.
    pub fn arrive(&mut self, endpoint: &'static str) -> Option<Fault> {
        *self.requests.entry(endpoint).or_default() += 1;
        self.faults.get_mut(endpoint)?.pop_front()
    }

    pub fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    /// A new id with this prefix.
    pub fn id(&mut self, prefix: &str) -> String {
        let mut random = [0; 14];
        fastrand::fill(&mut random);
        let now = self.tick();
        let id = self.ids.message(now, &random);
        format!("{prefix}{}", id.as_str().trim_start_matches("msg_"))
    }

    pub fn crash(&mut self) {
        for session in self.sessions.values_mut() {
            if let Some(turn) = session.turn.take() {
                turn.stop.cancel();
            }
        }
        for turn in std::mem::take(&mut self.orphans).into_values() {
            turn.stop.cancel();
        }
        self.permissions.clear();
        self.questions.clear();
        self.subscribers.clear();
    }

    pub fn busy(&self) -> Vec<SessionId> {
        let busy = self.sessions.iter().filter(|(_, session)| session.turn.is_some()).map(|(id, _)| id);
        busy.chain(self.orphans.keys()).cloned().collect()
    }

    pub fn children(&self, parent: &SessionId) -> BTreeSet<SessionId> {
        let children = self.sessions.iter().filter(|(_, session)| session.info["parentID"] == parent.as_str());
        children.map(|(id, _)| id.clone()).collect()
    }

    /// Removes a session and all below it, children first, and leaves their turns to themselves.
    pub fn delete(&mut self, id: &SessionId) {
        for child in self.children(id) {
            self.delete(&child);
        }
        let Some(mut session) = self.sessions.remove(id) else { return };
        if let Some(turn) = session.turn.take() {
            self.orphans.insert(id.clone(), turn);
        }
        let directory = session.info["directory"].clone();
        self.emit(&directory, "session.deleted", json!({ "sessionID": id, "info": session.info }));
    }

    /// The session's turn, if it is still this one.
    pub fn in_turn(&mut self, id: &SessionId, number: u64) -> Option<&mut Stored> {
        self.sessions.get_mut(id).filter(|session| session.turn.as_ref().is_some_and(|turn| turn.number == number))
    }
}
