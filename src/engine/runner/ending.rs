//! How a run ends: what is stopped, what is written, and whether there is another attempt.

use std::time::Duration;

use tokio::time::timeout;

use super::{ABORT_GRACE, End, LAST_WORDS, Runner, STOP_LIMIT, stop, write};
use crate::{
    admission::{News, said},
    engine::{failures, monitor::Heard, project::Order},
    opencode::{ModelRef, SessionId, SessionStatus},
    task::{
        CancelReason, Change, ErrorClass, Failure, FailureKind, ModelChoice, Retry,
        attempt::{self, Next},
        recovery,
    },
};

/// How long the host may wait for a provider that fails before another model takes over, if there is one. Its own short
/// pauses are over sooner. Of one that asks for patience, the next model takes over at once.
const PATIENCE: Duration = Duration::from_secs(60);

impl Runner {
    /// After an abort that was not ours: waits a moment for the host to say that it is leaving.
    pub(super) async fn who_aborted(&mut self) -> End {
        let leaving = async {
            loop {
                match self.order().await {
                    Ok(_) => {}
                    Err(end) => return end,
                }
            }
        };
        timeout(ABORT_GRACE, leaving).await.unwrap_or(End::Aborted)
    }

    /// Writes the end, and stops the session where it may still work.
    pub(super) async fn finish(mut self, end: End) {
        let (id, guard) = (self.task.id, self.guard());
        let waits = matches!(self.monitor.status(), SessionStatus::Retry { .. });
        let must_stop = match &end {
            End::Stopped | End::Interrupted | End::Yielded(_) => true,
            // One that goes on elsewhere must not go on here as well: a quiet session is not always an idle one, and
            // a deleted one may still be in its turn.
            End::Failed(failure) => {
                failure.kind != FailureKind::Error
                    || waits
                    || matches!(failure.class, ErrorClass::NoOutput | ErrorClass::SessionLost)
            }
            End::Complete(_) | End::Aborted | End::Lost => false,
        };
        if must_stop && let Some(session) = self.task.session().and_then(|session| session.parse().ok()) {
            let stopped = stop(&self.sessions, id, &session).await;
            let may_have_spoken = matches!(&end, End::Failed(failure) if matches!(failure.kind, FailureKind::Timeout | FailureKind::Stalled));
            if stopped && may_have_spoken {
                self.last_words(&session).await;
            }
        }
        let partial = self.monitor.partial();
        let (change, outcome) = match end {
            End::Complete(outcome) => (Change::Complete, Some(outcome)),
            End::Failed(failure) => {
                let retry = self.retry(&failure);
                let patience = match &self.hearing {
                    Some(hearing) => hearing.failed(&self.project, &failure).await,
                    None => None,
                };
                if let (None, Some(change)) = (&retry, patience) {
                    return write(&self.project, id, guard, &change, None).await;
                }
                let is_cut = failure.class == ErrorClass::OutputLimit;
                match (&retry, partial) {
                    (Some(_), _) => (Change::Fail { failure, retry }, None),
                    // One that stays cut off is better than none.
                    (None, Some(cut)) if is_cut && !cut.text.trim().is_empty() => (Change::Complete, Some(cut)),
                    (None, partial) => (Change::Fail { failure, retry }, partial),
                }
            }
            End::Aborted => (Change::Cancel { reason: CancelReason::Session }, partial),
            End::Interrupted => (Change::Interrupt, None),
            End::Yielded(patience) => (patience.take(&self.project).await, None),
            End::Stopped | End::Lost => return,
        };
        write(&self.project, id, guard, &change, outcome).await;
    }

    /// What the agent had said when it was stopped: the host tells of a text only when it is finished or stopped.
    async fn last_words(&mut self, session: &SessionId) {
        let stopped = async {
            while let Some(order) = self.orders.recv().await {
                if let Order::Signal(signal) = order
                    && matches!(self.hear(signal), Heard::Over(_))
                {
                    return;
                }
            }
        };
        let _ = timeout(LAST_WORDS, stopped).await;
        if let Ok(Ok(messages)) = timeout(STOP_LIMIT, self.sessions.messages(session)).await {
            self.monitor.look(messages);
        }
    }

    /// The failure of a run that the host parks for its provider while another model could go on.
    pub(super) fn parked(&self) -> Option<Failure> {
        let SessionStatus::Retry { next, message, .. } = self.monitor.status() else { return None };
        let now = self.project.core.clock.now().millis();
        let wait = Duration::from_millis(next.saturating_sub(now));
        let failure = failures::parked(wait, message);
        let is_limited = matches!(said(message, None), News::Limited { .. });
        let goes_over =
            (is_limited || wait > PATIENCE) && matches!(&self.retry(&failure), Some(Retry { model: Some(_), .. }));
        goes_over.then_some(failure)
    }

    fn retry(&self, failure: &Failure) -> Option<Retry> {
        let (task, recovery) = (&self.task, &self.task.recovery);
        let most = task.spec.max_attempts;
        match attempt::after_failure(failure, task.attempt, most, recovery, self.next_model(), fastrand::f64()) {
            Next::Retry { after, same_session, model, says } => {
                Some(Retry { at: self.project.core.clock.now().after(after), same_session, model, says })
            }
            Next::GiveUp => None,
        }
    }

    /// The model that would take over.
    fn next_model(&self) -> Option<ModelChoice> {
        let (task, recovery) = (&self.task, &self.task.recovery);
        let chain = self.project.options.fallback.of(&task.spec.agent);
        // The host's default model is known by what it answered.
        let answered = || recovery.model.is_none().then(|| self.monitor.answered_by().cloned()).flatten();
        let own = self.own.clone().or_else(answered).map(choice);
        recovery::next_model(&chain, own.as_ref(), recovery.model.as_ref())
    }
}

fn choice(model: ModelRef) -> ModelChoice {
    ModelChoice { provider: model.provider_id.into(), model: model.model_id.into(), variant: None }
}
