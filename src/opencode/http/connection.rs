//! One connection, driven by whoever waits for what comes over it.

use std::{
    error::Error as _,
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
};

use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    client::conn::http1,
    header,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Server;
use crate::opencode::TransportError;

type Body = Full<Bytes>;
type Driver = http1::Connection<TokioIo<TcpStream>, Body>;

/// An open connection. Nothing moves on it but inside of [`Self::drive`].
pub struct Connection {
    /// None once it has ended.
    driver: Option<Pin<Box<Driver>>>,
    /// Held because the connection ends without it.
    sender: http1::SendRequest<Body>,
}

impl Connection {
    /// Connects, sends a request, and waits for the head of its answer.
    pub(super) async fn open(
        server: &Server,
        method: &str,
        target: &str,
        body: Option<String>,
    ) -> Result<(Self, hyper::Response<Incoming>), TransportError> {
        let mut request = hyper::Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, &server.base.authority)
            .header(header::ACCEPT, "application/json, text/event-stream");
        if let Some(authorization) = &server.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(Body::from(body.unwrap_or_default()))
            .map_err(|error| TransportError::Unreachable(format!("not a request: {error}")))?;

        let stream = TcpStream::connect(&server.base.addresses[..])
            .await
            .map_err(|error| TransportError::Unreachable(format!("{:?}: {error}", server.base)))?;
        let unreachable = |error: hyper::Error| TransportError::Unreachable(text(&error));
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(unreachable)?;
        let mut connection = Self { driver: Some(Box::pin(driver)), sender };
        let sending = connection.sender.send_request(request);
        let answer = connection.drive(sending).await.map_err(|error| broken(&error))?;
        Ok((connection, answer))
    }

    /// Waits for `work`, which waits for this connection.
    pub(super) async fn drive<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|context| {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(done);
            }
            let ended = self.driver.as_mut().is_some_and(|driver| driver.as_mut().poll(context).is_ready());
            if ended {
                // How it ended is told to `work`.
                self.driver = None;
                return work.as_mut().poll(context);
            }
            Poll::Pending
        })
        .await
    }
}

/// A connection that broke while an answer was awaited.
pub(super) fn broken(error: &hyper::Error) -> TransportError {
    TransportError::Broken(text(error))
}

/// An error with its cause: hyper's own words alone say little.
fn text(error: &hyper::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
