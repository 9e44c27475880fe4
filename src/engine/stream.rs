//! The host's event stream, as bytes, on its way to the engine.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::service::Engine;
use crate::{
    fault::{Code, Fault},
    opencode::{Envelope, sse::SseParser},
};

/// Reads the stream.
#[derive(Debug)]
pub struct EventStream {
    engine: Weak<Engine>,
    parser: Mutex<SseParser>,
}

impl EventStream {
    /// For this engine.
    #[must_use]
    pub fn new(engine: &Arc<Engine>) -> Self {
        Self { engine: Arc::downgrade(engine), parser: Mutex::default() }
    }

    /// The stream begins anew.
    pub fn opened(&self) {
        *self.parser.lock().unwrap_or_else(PoisonError::into_inner) = SseParser::default();
        if let Some(engine) = self.engine.upgrade() {
            engine.stream_changed(true);
        }
    }

    /// Bytes came.
    ///
    /// # Errors
    /// [`Code::HostAnswer`] when they are no stream of events.
    pub fn chunk(&self, bytes: &[u8]) -> Result<(), Fault> {
        let Some(engine) = self.engine.upgrade() else { return Ok(()) };
        let mut texts = Vec::new();
        let parsed = self.parser.lock().unwrap_or_else(PoisonError::into_inner).push(bytes, &mut texts);
        let mut events = Vec::new();
        for text in &texts {
            match Envelope::parse(text) {
                // What the host hands over itself comes here once more, and later: stale by now.
                Ok(Some(Envelope { directory: Some(directory), .. })) if engine.hears(&directory) => {}
                Ok(Some(envelope)) => events.push(envelope),
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "an event was not understood"),
            }
        }
        if !events.is_empty() {
            engine.deliver(&events);
        }
        parsed.map_err(|error| Fault::new(Code::HostAnswer, format!("the event stream: {error}")))
    }

    /// The stream broke.
    pub fn closed(&self) {
        if let Some(engine) = self.engine.upgrade() {
            engine.stream_changed(false);
        }
    }
}
