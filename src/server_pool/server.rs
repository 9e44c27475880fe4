//! One server, from its start to its end.

use std::{fmt, future::pending, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    lease::Slot,
    listen::address,
    pool::Shared,
    ports::Port,
    registry::{MARK, Record},
    settings::Start,
};
use crate::{
    fault::{Code, Fault, floor},
    opencode::{Client, ClientError, http::HttpTransport},
    store::private,
    sys::process::{Command, Finished, Running, Status},
};

/// How much of a server's output is kept, to say what it died of.
const KEEP: usize = 16 * 1024;

/// How much of it a fault quotes, in bytes.
const QUOTED: usize = 400;

/// The pause between two looks at the health of a server that has just begun to listen.
const SOON: Duration = Duration::from_millis(100);

/// How often a server is looked at while somebody uses it.
const EVERY: Duration = Duration::from_secs(20);

/// How long it may take to answer then.
const ANSWER: Duration = Duration::from_secs(10);

/// How many looks in a row without an answer are its end.
const MISSED: u32 = 3;

/// How a server is spoken to.
pub(super) struct Endpoint {
    /// Its address.
    pub url: String,
    /// The way to it.
    pub transport: HttpTransport,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// The one at this address.
    pub(super) fn new(url: &str, password: Option<&str>) -> Result<Self, Fault> {
        let transport =
            HttpTransport::new(url, password).map_err(|error| Fault::new(Code::BadPool, error.to_string()))?;
        Ok(Self { url: url.to_owned(), transport })
    }

    /// The calls.
    pub(super) fn client(&self) -> Client {
        Client::new(Arc::new(self.transport.clone()))
    }

    /// Whether it answers, and lets us in.
    pub(super) async fn check(&self) -> Result<(), ClientError> {
        let transport = self.transport.clone().with_timeout(ANSWER);
        let version = Client::new(Arc::new(transport)).health().await?;
        tracing::trace!(url = self.url, version, "a server is well");
        Ok(())
    }
}

/// A server that is there.
pub(super) struct Server {
    running: Running,
    record: Record,
    endpoint: Arc<Endpoint>,
    _port: Port,
}

/// Why there is none.
pub(super) enum Trouble {
    /// The pool is being closed.
    Stopped,
    /// Another try may go better.
    Once(Fault),
    /// It would not.
    ForGood(Fault),
}

/// How a server ended.
pub(super) enum End {
    /// Because the pool is being closed.
    Stopped,
    /// Otherwise.
    Died(Fault),
}

fn not_started(why: impl fmt::Display) -> Fault {
    Fault::new(Code::ServerNotStarted, why.to_string())
}

/// Starts a server, and waits until it is healthy.
pub(super) async fn start(shared: &Shared, slot: &Slot, how: &Start) -> Result<Server, Trouble> {
    let port = shared.ports.take().map_err(Trouble::ForGood)?;
    let (record, command, password) = prepare(shared, slot, how, &port).map_err(Trouble::ForGood)?;
    let endpoint = Endpoint::new(&record.url(), Some(&password)).map_err(Trouble::ForGood)?;
    // Written down first: whoever is killed right after the start has left a record all the same.
    record.write(&shared.home).map_err(|error| Trouble::ForGood(error.into()))?;
    let running = match Running::start(&command) {
        Ok(running) => running,
        Err(fault) => {
            record.remove(&shared.home);
            return Err(Trouble::ForGood(not_started(fault.message)));
        }
    };
    let record = Record { process: running.process(), ..record };
    let mut server = Server { running, record, endpoint: Arc::new(endpoint), _port: port };
    let Err(trouble) = server.begin(shared, how.start_timeout).await else { return Ok(server) };
    let Finished { output, .. } = server.end(shared).await;
    Err(match trouble {
        Trouble::Stopped => Trouble::Stopped,
        Trouble::Once(fault) => Trouble::Once(with_output(fault, &output)),
        Trouble::ForGood(fault) => Trouble::ForGood(with_output(fault, &output)),
    })
}

fn prepare(shared: &Shared, slot: &Slot, how: &Start, port: &Port) -> Result<(Record, Command, String), Fault> {
    let (home, owner) = (&shared.home, shared.lock.id());
    let record = Record {
        id: format!("{owner}-{}", shared.count()),
        owner,
        process: None,
        port: port.number(),
        directory: slot.directory.clone(),
        started_at: shared.clock.now(),
    };
    private::make_dir(&home.servers())?;
    let password = password()?;
    let mut set = how.env.clone();
    // It stands in no project: it would hold its directory, and what it is asked for names the project each time.
    set.push(("PWD".to_owned(), home.servers().to_string_lossy().into_owned()));
    if how.isolate {
        let data = home.servers().join("data").join(slot.number.to_string());
        private::make_dir(&data)?;
        set.push(("OPENCODE_DB".to_owned(), data.join("opencode.db").to_string_lossy().into_owned()));
    }
    set.push(("OPENCODE_SERVER_USERNAME".to_owned(), "opencode".to_owned()));
    set.push(("OPENCODE_SERVER_PASSWORD".to_owned(), password.clone()));
    set.push((MARK.to_owned(), record.id.clone()));
    let words = ["serve", "--hostname", "127.0.0.1", "--port"].map(str::to_owned);
    let mut argv = vec![how.program.to_string_lossy().into_owned()];
    argv.extend(words);
    argv.push(port.number().to_string());
    let command = Command { argv, dir: home.servers(), set, unset: Vec::new(), timeout: how.start_timeout, keep: KEEP };
    Ok((record, command, password))
}

/// 128 bits that nobody can guess: any user of the machine can reach the port.
fn password() -> Result<String, Fault> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| not_started(format!("the system gives no random password: {error}")))?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

impl Server {
    /// How it is spoken to.
    pub(super) fn endpoint(&self) -> Arc<Endpoint> {
        Arc::clone(&self.endpoint)
    }

    /// Notes which process it is, and waits until it can be used.
    async fn begin(&mut self, shared: &Shared, limit: Duration) -> Result<(), Trouble> {
        self.record.write(&shared.home).map_err(|error| Trouble::ForGood(error.into()))?;
        tokio::select! {
            () = shared.stop.cancelled() => Err(Trouble::Stopped),
            waited = timeout(limit, self.listening()) => match waited {
                Ok(true) => Ok(()),
                Ok(false) => Err(Trouble::Once(not_started("it ended before it listened"))),
                Err(_) => {
                    let why = format!("it did not listen and answer within {} s", limit.as_secs());
                    Err(Trouble::ForGood(not_started(why)))
                }
            },
        }
    }

    /// Waits until it listens and answers; `false` when it ends before.
    async fn listening(&mut self) -> bool {
        loop {
            match self.running.line().await {
                Some(line) if address(&line, self.record.port).is_some() => break,
                Some(_) => {}
                None => return false,
            }
        }
        loop {
            match self.endpoint.check().await {
                Ok(()) => return true,
                Err(error) => tracing::debug!(%error, "a server that listens does not answer yet"),
            }
            tokio::select! {
                // It has said what it had to say: that there is no more means that it has ended.
                line = self.running.line() => if line.is_none() { return false },
                () = sleep(SOON) => {}
            }
        }
    }

    /// Waits until it is at its end, and sees to that.
    pub(super) async fn watch(mut self, shared: &Shared, slot: &Slot) -> End {
        let died = |fault| End::Died(Fault::new(Code::ServerDied, fault));
        let unwell = unwell(Arc::clone(&self.endpoint), slot.leases.subscribe());
        tokio::select! {
            finished = self.running.ended() => {
                self.record.remove(&shared.home);
                let fault = Fault::new(Code::ServerDied, format!("its process {}", in_words(&finished.status)));
                End::Died(with_output(fault, &finished.output))
            }
            () = shared.stop.cancelled() => {
                self.end(shared).await;
                End::Stopped
            }
            () = unwell => {
                self.end(shared).await;
                died("it did not answer any more and was ended")
            }
        }
    }

    /// Ends it and all that it started.
    async fn end(self, shared: &Shared) -> Finished {
        let finished = self.running.stop().await;
        self.record.remove(&shared.home);
        finished
    }
}

/// Comes back when a server that somebody uses does not answer any more.
async fn unwell(endpoint: Arc<Endpoint>, mut leases: watch::Receiver<usize>) {
    let mut missed = 0;
    while missed < MISSED {
        if leases.wait_for(|leases| *leases > 0).await.is_err() {
            pending::<()>().await;
        }
        sleep(EVERY).await;
        match endpoint.check().await {
            Ok(()) => missed = 0,
            Err(error) => {
                missed += 1;
                tracing::warn!(url = endpoint.url, missed, %error, "a server does not answer");
            }
        }
    }
}

fn in_words(status: &Status) -> String {
    match status {
        Status::Exited(code) => format!("ended with exit code {code}"),
        Status::Signalled(signal) => format!("was ended by signal {signal}"),
        Status::TimedOut | Status::Cancelled => "was ended".to_owned(),
        Status::NotStarted(fault) => fault.message.clone(),
    }
}

/// A fault with the last that the server said.
fn with_output(fault: Fault, output: &str) -> Fault {
    let output = output.trim();
    if output.is_empty() {
        return fault;
    }
    let from = output.len() - floor(output, QUOTED.min(output.len()));
    let from = (from..=output.len()).find(|at| output.is_char_boundary(*at)).unwrap_or(output.len());
    let last = output[from..].split_whitespace().collect::<Vec<_>>().join(" ");
    Fault::new(fault.code, format!("{}; its last words: {last}", fault.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_long_and_never_the_same() {
        let (one, other) = (password().unwrap(), password().unwrap());
        assert!(one.len() == 32 && one != other && one.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }

    #[test]
    fn the_last_words_are_quoted_in_part() {
        let fault = with_output(not_started("x"), &format!("{}\nthe end\n", "é".repeat(QUOTED)));
        assert!(fault.message.starts_with("x; its last words: é") && fault.message.ends_with("é the end"), "{fault}");
        assert!(fault.message.len() < QUOTED + 40);
        assert_eq!(with_output(not_started("x"), " \n").message, "x");
    }
}
