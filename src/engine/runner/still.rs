//! What a runner does when nothing is heard of its run: it looks, nudges once, and gives up.

use std::future::Future;

use super::{End, Runner};
use crate::{
    engine::{
        failures,
        guards::{Seen, Verdict},
        monitor::Reading,
    },
    opencode::SessionId,
    task::recovery::Why,
};

/// The tool by which a task waits for those that it launched: they have bounds of their own.
const WAIT: &str = "sortie_wait";

impl Runner {
    fn seen(&self) -> Seen {
        let glance = self.live.glance();
        Seen {
            silent: glance.still_for(),
            in_tool: self.monitor.is_in_tool(),
            waits: glance.waits(),
            nudged: self.task.recovery.has_said(Why::Nudge),
        }
    }

    /// Lasts until the run may have stalled.
    pub(super) fn silence(&self) -> impl Future<Output = ()> + use<> {
        let pause = match self.stall.verdict(self.seen()) {
            Some(Verdict::Wait(time)) => Some(time),
            Some(Verdict::Nudge | Verdict::Stop) => Some(std::time::Duration::ZERO),
            None => None,
        };
        async move {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        }
    }

    /// After a silence: what is to be read of the run. The session is looked at before anything is done, because its
    /// events may have stayed away.
    pub(super) async fn stands_still(&mut self, session: &SessionId) -> Result<Reading, End> {
        let verdict = self.stall.verdict(self.seen());
        if !matches!(verdict, Some(Verdict::Nudge | Verdict::Stop)) {
            return Ok(Reading::Open);
        }
        let before = self.monitor.extent();
        let reading = self.look(session).await?;
        if reading != Reading::Open {
            return Ok(reading);
        }
        if self.monitor.extent() != before || self.monitor.is_in(WAIT) {
            self.live.moves();
            return Ok(reading);
        }
        let seen = self.seen();
        match self.stall.verdict(seen) {
            Some(Verdict::Stop) => Ok(Reading::Failed(failures::stalled(seen.silent, seen.in_tool))),
            Some(Verdict::Nudge) => {
                tracing::info!(task = %self.task.id, silent = ?seen.silent, "nothing is heard of a task; it is nudged");
                self.say(session, Why::Nudge).await?;
                self.live.moves();
                Ok(reading)
            }
            Some(Verdict::Wait(_)) | None => Ok(reading),
        }
    }
}
