//! A place in the pool: its server is started, watched, and started again when it dies.

use std::sync::Arc;

use tokio::time::{Instant, sleep};

use super::{
    backoff::Backoff,
    lease::{Slot, State},
    pool::Shared,
    server::{self, End, Endpoint, Trouble},
    settings::{Source, Start},
};

/// How often a server that never listened is tried.
const STARTS: u32 = 3;

/// Sees a place to its end.
pub(super) async fn supervise(shared: Arc<Shared>, slot: Arc<Slot>) {
    let end = match &shared.settings.source {
        Source::Start(how) => keep(&shared, &slot, how).await,
        Source::Reuse { url, password } => reuse(&shared, &slot, url, password.as_deref()).await,
    };
    slot.state.send_replace(end);
}

async fn keep(shared: &Shared, slot: &Slot, how: &Start) -> State {
    let (mut backoff, mut starts) = (Backoff::default(), 0);
    loop {
        let (begun, mut listened) = (Instant::now(), false);
        let fault = match server::start(shared, slot, how).await {
            Ok(server) => {
                listened = true;
                slot.state.send_replace(State::Ready(server.endpoint()));
                match server.watch(shared, slot).await {
                    End::Stopped => return State::Stopped,
                    End::Died(fault) => fault,
                }
            }
            Err(Trouble::Stopped) => return State::Stopped,
            Err(Trouble::ForGood(fault)) => return State::Failed(fault),
            Err(Trouble::Once(fault)) => fault,
        };
        tracing::warn!(server = slot.number, %fault, "a server is gone");
        slot.state.send_replace(State::Starting);
        starts = if listened { 0 } else { starts + 1 };
        match backoff.died(begun.elapsed()).filter(|_| starts < STARTS) {
            Some(pause) => tokio::select! {
                () = sleep(pause) => {}
                () = shared.stop.cancelled() => return State::Stopped,
            },
            None => return State::Failed(fault),
        }
    }
}

/// A server of somebody else's is looked at once.
async fn reuse(shared: &Shared, slot: &Slot, url: &str, password: Option<&str>) -> State {
    let endpoint = match Endpoint::new(url, password) {
        Ok(endpoint) => Arc::new(endpoint),
        Err(fault) => return State::Failed(fault),
    };
    let checked = tokio::select! {
        checked = endpoint.check() => checked,
        () = shared.stop.cancelled() => return State::Stopped,
    };
    if let Err(error) = checked {
        return State::Failed(error.into());
    }
    slot.state.send_replace(State::Ready(endpoint));
    shared.stop.cancelled().await;
    State::Stopped
}
