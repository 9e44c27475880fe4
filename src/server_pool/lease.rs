//! The use of a server.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::server::Endpoint;
use crate::{
    fault::Fault,
    opencode::{Client, http::EventStream},
};

/// How a server stands.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// It starts, or will soon be started again.
    Starting,
    /// It can be used.
    Ready(Arc<Endpoint>),
    /// It cannot be had.
    Failed(Fault),
    /// Its pool is closed.
    Stopped,
}

/// A place for a server: when one dies, another takes its place.
#[derive(Debug)]
pub(super) struct Slot {
    /// Which place.
    pub number: usize,
    /// The project that it was opened for.
    pub directory: String,
    /// How its server stands.
    pub state: watch::Sender<State>,
    /// How many leases are held.
    pub leases: watch::Sender<usize>,
}

impl Slot {
    /// A place whose server is yet to be started.
    pub(super) fn new(number: usize, directory: &str) -> Self {
        let (state, leases) = (watch::Sender::new(State::Starting), watch::Sender::new(0));
        Self { number, directory: directory.to_owned(), state, leases }
    }

    /// Whether there will be no server here any more.
    pub(super) fn is_over(&self) -> bool {
        matches!(*self.state.borrow(), State::Failed(_) | State::Stopped)
    }
}

/// One more that uses a place, until it is dropped.
#[derive(Debug)]
pub(super) struct Held(Arc<Slot>);

impl Held {
    pub(super) fn new(slot: Arc<Slot>) -> Self {
        slot.leases.send_modify(|leases| *leases += 1);
        Self(slot)
    }

    pub(super) fn slot(&self) -> &Slot {
        &self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.leases.send_modify(|leases| *leases = leases.saturating_sub(1));
    }
}

/// The use of a server, until this is dropped. When the server dies it is of no more use: another lease is of the server
/// that takes its place.
#[derive(Debug)]
pub struct Lease {
    pub(super) held: Held,
    pub(super) endpoint: Arc<Endpoint>,
}

impl Lease {
    /// The calls to the server.
    #[must_use]
    pub fn client(&self) -> Client {
        self.endpoint.client()
    }

    /// The server's events in all its directories, from now on.
    #[must_use]
    pub fn events(&self, cancel: CancellationToken) -> EventStream {
        self.endpoint.transport.events(cancel)
    }

    /// The server's address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.endpoint.url
    }

    /// Waits until the server has died or was stopped. Of a server that was not started here that is not known.
    pub async fn ended(&self) {
        let mut state = self.held.slot().state.subscribe();
        let ended = |state: &State| !matches!(state, State::Ready(endpoint) if Arc::ptr_eq(endpoint, &self.endpoint));
        // The slot, and with it the sender, is held.
        let _ = state.wait_for(ended).await;
    }
}
