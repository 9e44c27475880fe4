//! What a runner shows of itself while it runs: for tables and time limits, never for decisions.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    opencode::SessionStatus,
    task::{Outcome, Usage},
};

/// A look at a running task.
#[derive(Debug, Clone)]
pub struct Glance {
    /// What it has used so far.
    pub usage: Usage,
    /// Tool calls seen.
    pub tool_calls: usize,
    /// What the host says of the session.
    pub status: SessionStatus,
    /// What it waits for: a permission or an answer of the user.
    pub asking: Option<String>,
    /// What there is of a result.
    pub partial: Option<Outcome>,
    heard: Instant,
    moved: Instant,
}

/// The latest look.
#[derive(Debug)]
pub struct Live(Mutex<Glance>);

impl Default for Live {
    fn default() -> Self {
        Self(Mutex::new(Glance {
            usage: Usage::default(),
            tool_calls: 0,
            status: SessionStatus::Idle,
            asking: None,
            partial: None,
            heard: Instant::now(),
            moved: Instant::now(),
        }))
    }
}

impl Live {
    /// The latest look.
    #[must_use]
    pub fn glance(&self) -> Glance {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what is shown.
    pub fn show(&self, change: impl FnOnce(&mut Glance)) {
        let mut glance = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = glance.waits();
        change(&mut glance);
        if waited && !glance.waits() {
            // Whoever has just been answered begins to move now.
            glance.moved = Instant::now();
        }
    }

    /// Notes that the agent moves.
    pub fn moves(&self) {
        self.show(|glance| glance.moved = Instant::now());
    }

    /// Notes that an event was heard.
    pub fn touch(&self) {
        self.show(|glance| glance.heard = Instant::now());
    }

    /// How long no event was heard.
    #[must_use]
    pub fn silent_for(&self) -> Duration {
        self.glance().heard.elapsed()
    }
}

impl Glance {
    /// How long the agent has not moved.
    #[must_use]
    pub fn still_for(&self) -> Duration {
        self.moved.elapsed()
    }

    /// Whether it waits for a person, or for the host to try again.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.asking.is_some() || matches!(self.status, SessionStatus::Retry { .. })
    }

    /// What the task waits for, in words, if the host said so.
    #[must_use]
    pub fn waiting(&self) -> Option<String> {
        if let Some(asking) = &self.asking {
            return Some(asking.clone());
        }
        match &self.status {
            SessionStatus::Retry { attempt, message, .. } => {
                Some(format!("OpenCode retries ({attempt}): {}", super::handoff::cut(message, 200)))
            }
            _ => None,
        }
    }
}
