//! A program that runs until it is stopped, and says things meanwhile.

use std::future::pending;

use tokio::{sync::mpsc, task::JoinHandle, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Command, Finished, Identity, Kept, Live, Status};
use crate::fault::Fault;

/// The longest line that is told, in bytes; of longer ones the beginning.
const LINE: usize = 8 * 1024;

/// How many lines wait for whoever reads them. More are left out: nobody reads.
const LINES: usize = 64;

/// A program that was started. Dropping this ends its group like [`Self::stop`], on a task of the runtime; it does not
/// outlive this process either.
#[derive(Debug)]
pub struct Running {
    process: Option<Identity>,
    lines: mpsc::Receiver<String>,
    unwanted: DropGuard,
    driver: JoinHandle<Finished>,
}

impl Running {
    /// Starts a program. [`Command::timeout`] does not bound it.
    ///
    /// # Errors
    /// [`crate::fault::Code::CheckNotStarted`].
    pub fn start(command: &Command) -> Result<Self, Fault> {
        let live = Live::start(command)?;
        let process = live.leader();
        let (told, lines) = mpsc::channel(LINES);
        let unwanted = CancellationToken::new();
        let (stop, mut kept, begun) = (unwanted.clone(), Kept::new(command.keep), Instant::now());
        let driver = tokio::spawn(async move {
            let mut splitter = Splitter { line: Vec::new(), told };
            let into = |bytes: &[u8]| {
                kept.push(bytes);
                splitter.push(bytes);
            };
            let status = live.follow(pending(), &stop, into).await;
            Finished { status, output: kept.text(), took: begun.elapsed() }
        });
        Ok(Self { process, lines, unwanted: unwanted.drop_guard(), driver })
    }

    /// Which process it is; none if it had ended as soon as it was started.
    #[must_use]
    pub fn process(&self) -> Option<Identity> {
        self.process
    }

    /// The next line of its output, of stdout and stderr alike; none once there are no more. A call that is dropped
    /// loses nothing.
    pub async fn line(&mut self) -> Option<String> {
        self.lines.recv().await
    }

    /// Waits until it has ended, and all of its group. May be dropped and called again, until it was answered.
    pub async fn ended(&mut self) -> Finished {
        match (&mut self.driver).await {
            Ok(finished) => finished,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down.
                Err(_) => {
                    Finished { status: Status::Cancelled, output: String::new(), took: std::time::Duration::ZERO }
                }
            },
        }
    }

    /// Ends it and all of its group: asked first, killed after [`super::GRACE`].
    pub async fn stop(self) -> Finished {
        let Self { process, lines, unwanted, driver } = self;
        let stop = unwanted.disarm();
        stop.cancel();
        Self { process, lines, unwanted: stop.drop_guard(), driver }.ended().await
    }
}

/// Cuts output into lines.
struct Splitter {
    line: Vec<u8>,
    told: mpsc::Sender<String>,
}

impl Splitter {
    fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, whole) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            let room = LINE - self.line.len();
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if whole {
                let line = String::from_utf8_lossy(&self.line).trim_end_matches('\r').to_owned();
                let _ = self.told.try_send(line);
                self.line.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_however_they_come_and_bounded() {
        let text = format!("one\r\n\ntwo €\n{}\nlast", "x".repeat(LINE + 5));
        for size in [1, 3, 10_000] {
            let (told, mut lines) = mpsc::channel(LINES);
            let mut splitter = Splitter { line: Vec::new(), told };
            text.as_bytes().chunks(size).for_each(|piece| splitter.push(piece));
            drop(splitter);
            let all: Vec<_> = std::iter::from_fn(|| lines.try_recv().ok()).collect();
            assert_eq!(all, ["one", "", "two €", &"x".repeat(LINE)], "{size}");
        }
    }
}
