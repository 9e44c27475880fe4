//! What the host makes of a refusal: it refuses all other requests of the session with it, and those without words,
//! which ends the session's turn. An agent that was to be told and to go on is then asked to go on.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{sync::Mutex, time::Instant};

use super::Entry;
use crate::opencode::SessionId;

/// How long a refusal explains others in its session. The host makes them in the same instant; what is heard of them
/// late was missed, and is found by a look.
const EXPLAINS: Duration = Duration::from_secs(30);

/// The refusals with words of late.
#[derive(Debug, Default)]
pub struct Refusals {
    sessions: HashMap<SessionId, Refused>,
}

#[derive(Debug)]
struct Refused {
    /// Refused by us, with words.
    requests: Vec<String>,
    at: Instant,
    /// Whether another one was refused with one of them.
    broken: bool,
    /// One at a time: which one the others follow from must be known.
    gate: Arc<Mutex<()>>,
}

impl Refusals {
    /// A request is to be refused with words: once the gate is passed, and as long as it is held.
    pub fn refuse(&mut self, entry: &Entry) -> Arc<Mutex<()>> {
        self.sessions.retain(|_, refused| refused.at.elapsed() < EXPLAINS);
        let new = || Refused { requests: Vec::new(), at: Instant::now(), broken: false, gate: Arc::default() };
        let refused = self.sessions.entry(entry.request.session().clone()).or_insert_with(new);
        Arc::clone(&refused.gate)
    }

    /// The refusal is on its way.
    pub fn refused(&mut self, entry: &Entry) {
        if let Some(refused) = self.sessions.get_mut(entry.request.session()) {
            refused.requests.push(entry.request.id().to_owned());
            refused.at = Instant::now();
        }
    }

    /// Whether a refusal that was not ours follows from one that was; then the session's turn ends.
    pub fn breaks(&mut self, entry: &Entry) -> bool {
        let Some(refused) = self.sessions.get_mut(entry.request.session()) else { return false };
        let follows = refused.at.elapsed() < EXPLAINS && refused.requests.iter().any(|id| id != entry.request.id());
        refused.broken |= follows;
        follows
    }

    /// Whether a session's turn has ended so. Says so once.
    pub fn take_broken(&mut self, session: &SessionId) -> bool {
        let recent = |refused: &Refused| refused.broken && refused.at.elapsed() < EXPLAINS;
        self.sessions.get(session).is_some_and(recent) && self.sessions.remove(session).is_some()
    }
}
