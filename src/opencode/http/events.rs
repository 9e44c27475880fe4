//! The stream of events, connected again whenever it breaks.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{
    Server,
    connection::{Connection, broken},
};
use crate::opencode::{Envelope, Event, TransportError, sse::SseParser};

/// The pause before connecting again: doubled from the first to the longest with each failure in a row.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The host sends a heartbeat every ten seconds: a stream without one for this long is dead.
const SILENCE: Duration = Duration::from_secs(60);

/// What comes out of the stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Feed {
    /// Events come from now on. What happened before is not known and must be asked for.
    Connected,
    /// Something happened.
    Event(Envelope),
    /// Events may be missed from now on. Told once; connecting is tried until it succeeds.
    Disconnected(TransportError),
}

/// The events of all directories of a host, one after the other.
///
/// It is driven by [`Self::next`] alone: there is no task behind it, and dropping it closes the connection.
pub struct EventStream {
    server: Arc<Server>,
    connect_timeout: Duration,
    cancel: CancellationToken,
    open: Option<Open>,
    /// Whether the last word was that events come.
    connected: bool,
    /// Whether the last word was that none come.
    disconnected: bool,
    pause: Duration,
    retry_at: Option<Instant>,
}

struct Open {
    connection: Connection,
    body: Incoming,
    parser: SseParser,
    waiting: VecDeque<String>,
    heard: Instant,
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventStream").field("connected", &self.connected).finish_non_exhaustive()
    }
}

impl EventStream {
    pub(super) fn new(server: Arc<Server>, connect_timeout: Duration, cancel: CancellationToken) -> Self {
        Self {
            server,
            connect_timeout,
            cancel,
            open: None,
            connected: false,
            disconnected: false,
            pause: FIRST_PAUSE,
            retry_at: None,
        }
    }

    /// What comes next; none once it is cancelled. A call that is dropped loses nothing.
    pub async fn next(&mut self) -> Option<Feed> {
        let cancel = self.cancel.clone();
        cancel.run_until_cancelled(self.advance()).await
    }

    async fn advance(&mut self) -> Feed {
        loop {
            let Some(open) = &mut self.open else {
                if let Some(retry_at) = self.retry_at {
                    sleep_until(retry_at).await;
                }
                match connect(&self.server, self.connect_timeout).await {
                    Ok(open) => self.open = Some(open),
                    Err(error) => {
                        if let Some(feed) = self.lost(error) {
                            return feed;
                        }
                    }
                }
                continue;
            };
            if let Some(text) = open.waiting.front() {
                // The host's first words say that it has begun to listen for us; any event says so as well.
                if !self.connected {
                    (self.connected, self.disconnected, self.pause) = (true, false, FIRST_PAUSE);
                    return Feed::Connected;
                }
                let parsed = Envelope::parse(text);
                open.waiting.pop_front();
                match parsed {
                    Ok(Some(Envelope { event: Event::ServerConnected, .. }) | None) => {}
                    Ok(Some(envelope)) => return Feed::Event(envelope),
                    Err(error) => tracing::warn!(%error, "an event was not understood"),
                }
                continue;
            }
            if let Err(error) = open.read().await
                && let Some(feed) = self.lost(error)
            {
                return feed;
            }
        }
    }

    /// Notes that the connection is gone. Says so if that is news.
    fn lost(&mut self, error: TransportError) -> Option<Feed> {
        tracing::debug!(%error, "no stream of events");
        self.open = None;
        self.connected = false;
        self.retry_at = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        (!std::mem::replace(&mut self.disconnected, true)).then_some(Feed::Disconnected(error))
    }
}

async fn connect(server: &Server, limit: Duration) -> Result<Open, TransportError> {
    let opening = Connection::open(server, "GET", "/global/event", None);
    let (connection, answer) = timeout(limit, opening).await.unwrap_or(Err(TransportError::Timeout(limit)))?;
    let kind = answer.headers().get(hyper::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if answer.status() != 200 || !kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
        let words = format!("HTTP {} of type {} instead of events", answer.status(), kind.unwrap_or("none"));
        return Err(TransportError::Broken(words));
    }
    let (parser, waiting) = (SseParser::default(), VecDeque::new());
    Ok(Open { connection, body: answer.into_body(), parser, waiting, heard: Instant::now() })
}

impl Open {
    /// Waits for the next bytes.
    async fn read(&mut self) -> Result<(), TransportError> {
        let frame = timeout_at(self.heard + SILENCE, self.connection.drive(self.body.frame())).await;
        let frame = frame.map_err(|_| TransportError::Timeout(SILENCE))?;
        let Some(frame) = frame else { return Err(TransportError::Broken("end of the stream".to_owned())) };
        let frame = frame.map_err(|error| broken(&error))?;
        self.heard = Instant::now();
        let mut events = Vec::new();
        let pushed = frame.data_ref().map_or(Ok(()), |bytes| self.parser.push(bytes, &mut events));
        self.waiting.extend(events);
        pushed.map_err(|error| TransportError::Broken(error.to_string()))
    }
}
