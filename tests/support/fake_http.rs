//! A `FakeHost` behind HTTP and server-sent events, as `opencode serve` is: a small HTTP/1.1 loop, one request a
//! connection, enough for our own client and for a test in another process.

use std::{net::SocketAddr, sync::Arc};

use sortie::opencode::{Method, Request, TransportError, fake::FakeHost};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// A fake host that listens. It is gone when dropped, with every connection to it.
pub struct FakeServer {
    address: SocketAddr,
    stop: CancellationToken,
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl FakeServer {
    /// Listens on a free port of this machine. With `authorization`, only requests with this header are answered.
    pub async fn start(host: Arc<FakeHost>, authorization: Option<&str>) -> Self {
        Self::start_at(host, authorization, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// The same at this address: to come back after it was gone.
    pub async fn start_at(host: Arc<FakeHost>, authorization: Option<&str>, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let stop = CancellationToken::new();
        let authorization = authorization.map(str::to_owned);
        tokio::spawn(stop.clone().run_until_cancelled_owned(accept(listener, host, authorization)));
        Self { address, stop }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn accept(listener: TcpListener, host: Arc<FakeHost>, authorization: Option<String>) {
    // Connections end with the set.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let (host, authorization) = (Arc::clone(&host), authorization.clone());
        connections.spawn(async move {
            // A client that goes away is no fault of the server.
            let _ = serve(stream, &host, authorization.as_deref()).await;
        });
    }
}

struct Received {
    method: String,
    target: String,
    authorization: Option<String>,
    body: Vec<u8>,
}

async fn serve(stream: TcpStream, host: &FakeHost, authorization: Option<&str>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let received = receive(&mut stream).await?;
    if authorization.is_some() && received.authorization.as_deref() != authorization {
        return send(&mut stream, 401, "text/plain", "").await;
    }
    if received.target.starts_with("/global/event") {
        return events(&mut stream, host).await;
    }
    match host.transport().request(request(&received)).await {
        Ok(response) => {
            let kind = if response.body.starts_with('<') { "text/html" } else { "application/json" };
            send(&mut stream, response.status, kind, &response.body).await
        }
        Err(TransportError::Timeout(_)) => std::future::pending().await,
        // The connection is closed without an answer.
        Err(_) => Ok(()),
    }
}

async fn receive(stream: &mut BufReader<TcpStream>) -> std::io::Result<Received> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (mut authorization, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => authorization = Some(value.to_owned()),
            "content-length" => length = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Received { method, target, authorization, body })
}

fn request(received: &Received) -> Request {
    let (path, query) = received.target.split_once('?').unwrap_or((&received.target, ""));
    let method = match received.method.as_str() {
        "POST" => Method::Post,
        "PATCH" => Method::Patch,
        "DELETE" => Method::Delete,
        _ => Method::Get,
    };
    let known = |name: &str| ["directory", "limit"].into_iter().find(|known| *known == name);
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let query = pairs.filter_map(|(name, value)| Some((known(name)?, unescape(value)))).collect();
    Request { method, path: path.to_owned(), query, body: serde_json::from_slice(&received.body).ok() }
}

fn unescape(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        if let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            bytes.push(byte);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn send(stream: &mut BufReader<TcpStream>, status: u16, kind: &str, body: &str) -> std::io::Result<()> {
    let length = if status == 204 { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let head = format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\n{length}connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

async fn events(stream: &mut BufReader<TcpStream>, host: &FakeHost) -> std::io::Result<()> {
    let mut events = host.subscribe();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    // Whatever the client might send is no matter; that it closes is.
    let mut byte = [0];
    loop {
        tokio::select! {
            event = events.recv() => {
                let Some(event) = event else { return stream.write_all(b"0\r\n\r\n").await };
                let text = format!("data: {event}\n\n");
                stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).await?;
            }
            read = stream.read(&mut byte) => if read? == 0 { return Ok(()) },
        }
    }
}
