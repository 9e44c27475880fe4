//! OpenCode over HTTP: requests, and the stream of events.
//!
//! Only this machine is spoken to. Each request has a connection of its own, which its future holds: dropping the
//! future closes it. Over loopback that costs less than a tenth of a millisecond, and there is no pool to outlive
//! anybody, no task, and no stale connection that leaves open whether a request was seen.

mod base;
mod base64;
mod connection;
mod events;

use std::{fmt, sync::Arc, time::Duration};

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use base::BaseUrlError;
pub use events::{EventStream, Feed};

use super::{BoxFuture, Request, Response, Transport, TransportError};
use base::Base;
use connection::{Connection, broken};

/// The largest answer that is taken, in bytes: the messages of a long session have some ten megabytes.
pub const MAX_BODY: usize = 64 * 1024 * 1024;

/// How long a request may take in all unless set otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The name that goes with the server's password.
const USER: &str = "opencode";

/// Where the server is and how to be let in.
struct Server {
    base: Base,
    authorization: Option<String>,
}

/// Requests to one `opencode serve`. A clone is another handle to the same.
#[derive(Clone)]
pub struct HttpTransport {
    server: Arc<Server>,
    timeout: Duration,
    max_body: usize,
}

impl fmt::Debug for HttpTransport {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransport").field("base", &self.server.base).finish_non_exhaustive()
    }
}

impl HttpTransport {
    /// A transport to the server at this URL, such as `http://127.0.0.1:4096`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`BaseUrlError`] when it is no HTTP URL or not on this machine.
    pub fn new(url: &str, password: Option<&str>) -> Result<Self, BaseUrlError> {
        let authorization = password.map(|password| format!("Basic {}", base64::encode(&format!("{USER}:{password}"))));
        let server = Server { base: Base::parse(url)?, authorization };
        Ok(Self { server: Arc::new(server), timeout: DEFAULT_TIMEOUT, max_body: MAX_BODY })
    }

    /// Sets how long a request may take in all.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Sets the largest answer that is taken, in bytes.
    #[must_use]
    pub fn with_max_body(self, max_body: usize) -> Self {
        Self { max_body, ..self }
    }

    /// The events of all directories, from now until `cancel`.
    #[must_use]
    pub fn events(&self, cancel: CancellationToken) -> EventStream {
        EventStream::new(Arc::clone(&self.server), self.timeout, cancel)
    }

    async fn exchange(&self, request: Request) -> Result<Response, TransportError> {
        let body = request.body.as_ref().map(ToString::to_string);
        let (mut connection, answer) =
            Connection::open(&self.server, request.method.as_str(), &request.target(), body).await?;
        let status = answer.status().as_u16();
        let body = connection.drive(Limited::new(answer.into_body(), self.max_body).collect()).await;
        let body = body.map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(error) => broken(&error),
            Err(error) if error.is::<LengthLimitError>() => TransportError::TooLarge(self.max_body),
            Err(error) => TransportError::Broken(error.to_string()),
        })?;
        // JSON is UTF-8. What is not is no JSON, and is shown as far as it can be.
        Ok(Response { status, body: String::from_utf8_lossy(&body.to_bytes()).into_owned() })
    }
}

impl Transport for HttpTransport {
    fn request(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(async move {
            timeout(self.timeout, self.exchange(request)).await.unwrap_or(Err(TransportError::Timeout(self.timeout)))
        })
    }
}
