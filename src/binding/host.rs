//! The host's own in-process fetch as a transport.

use std::{fmt, time::Duration};

use napi::{
    Status,
    bindgen_prelude::Promise,
    threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode},
};
use napi_derive::napi;

use crate::opencode::{BoxFuture, Request, Response, Transport, TransportError};

/// A request to the host.
#[napi(object)]
pub struct HostRequest {
    /// `GET`, `POST`, `PATCH` or `DELETE`.
    pub method: String,
    /// Path and query, escaped.
    pub target: String,
    /// JSON.
    pub body: Option<String>,
}

/// The host's answer.
#[napi(object)]
pub struct HostResponse {
    /// The HTTP status; 0 when the host was not reached, and then `body` says why.
    pub status: u16,
    /// The body as text.
    pub body: String,
}

/// The callback that asks the host. It never rejects. Weak: it does not keep the host's process alive.
pub type AskHost = ThreadsafeFunction<HostRequest, Promise<HostResponse>, HostRequest, Status, false, true>;

/// The callback that opens (`true`) or closes the stream of events.
pub type Listen = ThreadsafeFunction<bool, (), bool, Status, false, true>;

/// How long the host may take: far longer than any request of ours does.
const PATIENCE: Duration = Duration::from_secs(60);

/// Requests through the plugin host.
pub struct HostTransport {
    ask: AskHost,
}

impl HostTransport {
    /// Over this callback.
    pub fn new(ask: AskHost) -> Self {
        Self { ask }
    }

    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let request = HostRequest {
            method: request.method.as_str().to_owned(),
            target: request.target(),
            body: request.body.map(|body| body.to_string()),
        };
        let unreachable = |error: napi::Error| TransportError::Unreachable(error.reason.clone());
        let asked = async {
            let answer = self.ask.call_async_catch(request).await.map_err(unreachable)?;
            answer.await.map_err(unreachable)
        };
        let HostResponse { status, body } = match tokio::time::timeout(PATIENCE, asked).await {
            Ok(answer) => answer?,
            Err(_) => return Err(TransportError::Timeout(PATIENCE)),
        };
        if status == 0 { Err(TransportError::Unreachable(body)) } else { Ok(Response { status, body }) }
    }
}

impl Transport for HostTransport {
    fn request(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(self.send(request))
    }
}

impl fmt::Debug for HostTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostTransport")
    }
}

/// Calls the listen callback; a host that is leaving does not matter.
pub fn listen(callback: &Listen, on: bool) {
    let status = callback.call(on, ThreadsafeFunctionCallMode::NonBlocking);
    if status != Status::Ok {
        tracing::debug!(?status, "the event stream was not switched");
    }
}
