//! What is known of the sessions that launch tasks: whether they are in a turn, and as whom they speak.
//!
//! Filled from events; asked of the host only for what no event has told yet.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    opencode::{Client, ClientError, MessageInfo, ModelRef, Rule, Session, SessionId, SessionStatus, UserModel},
    task::Parent,
};

/// As whom a session speaks: a report to it carries these, so that it does not change agent or model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Voice {
    /// The agent of its latest prompt.
    pub agent: Option<String>,
    /// The model of its latest prompt.
    pub model: Option<ModelRef>,
    /// The model's variant.
    pub variant: Option<String>,
}

/// How many sessions may be above one. The bound is against a circle in the host's answers.
pub const HIGHEST: usize = 64;

/// What never changes of a session.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Origin {
    /// The session that it is a child of.
    pub parent: Option<SessionId>,
    /// Its own permission rules.
    pub rules: Vec<Rule>,
}

#[derive(Debug, Default, Clone)]
struct Entry {
    /// Whether its end of a turn must be told.
    followed: bool,
    /// Whether it is in a turn, and when that was learnt.
    busy: Option<(bool, Instant)>,
    voice: Option<Voice>,
    origin: Option<Origin>,
}

/// The sessions of one project that matter.
#[derive(Debug, Default)]
pub struct Sessions {
    known: Mutex<HashMap<SessionId, Entry>>,
    /// Held while the host is asked: fifty runners of one parent ask once.
    asking: tokio::sync::Mutex<()>,
}

/// How long what was heard of a session's turn is believed.
pub const BELIEVED: Duration = Duration::from_secs(5);

/// More sessions than this are not remembered: the longest unused are as good as any to forget, since everything can
/// be asked again.
const REMEMBERED: usize = 4_096;

/// The book, with room for one more.
fn room_for_one<'a>(known: &'a mut MutexGuard<'_, HashMap<SessionId, Entry>>) -> &'a mut HashMap<SessionId, Entry> {
    if known.len() >= REMEMBERED {
        known.retain(|_, entry| entry.followed);
    }
    if known.len() >= REMEMBERED {
        known.clear();
    }
    known
}

impl Sessions {
    fn known(&self) -> MutexGuard<'_, HashMap<SessionId, Entry>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As whom a session speaks, if that is known already.
    pub fn known_voice(&self, session: &SessionId) -> Option<Voice> {
        self.known().get(session)?.voice.clone()
    }

    fn known_origin(&self, session: &SessionId) -> Option<Origin> {
        self.known().get(session)?.origin.clone()
    }

    /// Begins to follow a session.
    pub fn follow(&self, session: &SessionId) {
        room_for_one(&mut self.known()).entry(session.clone()).or_default().followed = true;
    }

    /// A session's record: where it comes from need not be asked any more.
    pub fn learn(&self, info: &Session) {
        let origin = Origin { parent: info.parent_id.clone(), rules: info.permission.clone() };
        room_for_one(&mut self.known()).entry(info.id.clone()).or_default().origin = Some(origin);
    }

    /// A status event. Returns whether it says that a followed session is idle.
    pub fn status(&self, session: &SessionId, status: &SessionStatus) -> bool {
        let busy = !matches!(status, SessionStatus::Idle);
        let mut known = self.known();
        let Some(entry) = known.get_mut(session) else { return false };
        entry.busy = Some((busy, Instant::now()));
        !busy && entry.followed
    }

    /// A followed session was given a prompt: it is about to be in a turn.
    pub fn prompted(&self, session: &SessionId) {
        if let Some(entry) = self.known().get_mut(session) {
            entry.busy = Some((true, Instant::now()));
        }
    }

    /// A message event: a prompt says as whom the session speaks from now on.
    pub fn message(&self, session: &SessionId, info: &MessageInfo) {
        let MessageInfo::User(user) = info else { return };
        if let Some(entry) = self.known().get_mut(session) {
            entry.voice = Some(Voice {
                agent: user.agent.clone(),
                model: user.model.as_ref().map(UserModel::reference),
                variant: user.model.as_ref().and_then(|model| model.variant.clone()),
            });
        }
    }

    /// Forgets what was heard: after events were missed, the old word is worth nothing.
    pub fn forget(&self) {
        for entry in self.known().values_mut() {
            entry.busy = None;
            entry.voice = None;
        }
    }

    /// Whether a session is in a turn.
    ///
    /// # Errors
    /// The host's answer, if it had to be asked: what was learnt more than [`BELIEVED`] ago is asked again, in case
    /// an event was missed. Where the host hands events over itself (`heard`) a session that was idle is idle still.
    pub async fn busy(
        &self,
        client: &Client,
        of: &Parent,
        session: &SessionId,
        heard: bool,
    ) -> Result<bool, ClientError> {
        let asked_at = Instant::now();
        if let Some((busy, learnt)) = self.known().get(session).and_then(|entry| entry.busy)
            && (asked_at - learnt < BELIEVED || (heard && !busy))
        {
            return Ok(busy);
        }
        let statuses = client.session_status(&of.directory).await?;
        let busy = statuses.get(session).is_some_and(|status| !matches!(status, SessionStatus::Idle));
        let mut known = self.known();
        let entry = known.entry(session.clone()).or_default();
        // An event that came meanwhile is newer than the answer.
        match entry.busy {
            Some((heard, learnt)) if learnt > asked_at => Ok(heard),
            _ => {
                entry.busy = Some((busy, Instant::now()));
                Ok(busy)
            }
        }
    }

    /// As whom a session speaks.
    ///
    /// # Errors
    /// The host's answer, if it had to be asked.
    pub async fn voice(&self, client: &Client, directory: &str, session: &SessionId) -> Result<Voice, ClientError> {
        if let Some(voice) = self.known_voice(session) {
            return Ok(voice);
        }
        let _asking = self.asking.lock().await;
        if let Some(voice) = self.known_voice(session) {
            return Ok(voice);
        }
        // The latest prompt is among the newest messages unless its turn has been very long.
        for limit in [20, 500] {
            let messages = client.messages(directory, session, Some(limit)).await?;
            let complete = messages.len() < limit as usize;
            let prompt = messages.into_iter().rev().find(|message| matches!(message.info, MessageInfo::User(_)));
            if let Some(prompt) = prompt {
                self.follow(session);
                self.message(session, &prompt.info);
                break;
            }
            if complete {
                break;
            }
        }
        Ok(self.known_voice(session).unwrap_or_default())
    }

    /// Where a session comes from.
    ///
    /// # Errors
    /// The host's answer, if it had to be asked.
    pub async fn origin(&self, client: &Client, directory: &str, session: &SessionId) -> Result<Origin, ClientError> {
        if let Some(origin) = self.known_origin(session) {
            return Ok(origin);
        }
        let _asking = self.asking.lock().await;
        if let Some(origin) = self.known_origin(session) {
            return Ok(origin);
        }
        let found = client.session(directory, session).await?;
        let origin = Origin { parent: found.parent_id, rules: found.permission };
        self.known().entry(session.clone()).or_default().origin = Some(origin.clone());
        Ok(origin)
    }

    /// The session right above one; none above a person's, and above one that the host no longer knows.
    ///
    /// # Errors
    /// The host's answer, if it had to be asked.
    pub async fn parent(
        &self,
        client: &Client,
        directory: &str,
        session: &SessionId,
    ) -> Result<Option<SessionId>, ClientError> {
        match self.origin(client, directory, session).await {
            Ok(origin) => Ok(origin.parent),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}
