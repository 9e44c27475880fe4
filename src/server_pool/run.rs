//! A prompt, run to its end on a server of the pool.

mod turns;

use std::{future::IntoFuture, sync::Arc, time::Duration};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    lease::Lease,
    pool::{Pool, Shared, closed},
};
use crate::{
    fault::{Code, Fault},
    inbox,
    opencode::{BoxFuture, ModelRef, SessionId},
    task::Usage,
};
use turns::Turns;

/// How long a prompt may take unless set otherwise: half an hour.
const TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// How long is spent on stopping a turn, and on reading what there is of its answer.
const FAREWELL: Duration = Duration::from_secs(5);

/// A prompt to be run.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The project's directory.
    pub directory: String,
    /// The session to go on in; a new one if none.
    pub session: Option<SessionId>,
    /// The title of a new session; the host finds one if it is empty.
    pub title: String,
    /// The words.
    pub prompt: String,
    /// The agent; the project's if none.
    pub agent: Option<String>,
    /// The model; the agent's if none.
    pub model: Option<ModelRef>,
    /// How long it may take, the start of a server included.
    pub timeout: Duration,
    /// What is answered to what the agent asks for.
    pub permissions: inbox::Settings,
    /// Whether a person can answer, at the server. Without one, what is not allowed is denied at once.
    pub attended: bool,
    /// Whether another server than the project's may run it when that is at work. What goes on in a session is where the
    /// session is.
    pub spread: bool,
    /// How often the prompt is taken up again in its session when its server dies. The agent sees what it has done;
    /// what its last tool was at may be done twice.
    pub resume: u32,
}

impl Ask {
    /// A prompt in a new session, with nobody there to be asked.
    #[must_use]
    pub fn new(directory: impl Into<String>, prompt: impl Into<String>) -> Self {
        Self {
            directory: directory.into(),
            session: None,
            title: String::new(),
            prompt: prompt.into(),
            agent: None,
            model: None,
            timeout: TIMEOUT,
            permissions: inbox::Settings::default(),
            attended: false,
            spread: false,
            resume: 0,
        }
    }
}

/// What came of a prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Ran {
    /// The session, if there came to be one. It can be gone on in.
    pub session: Option<SessionId>,
    /// The answer; where there is an error, the last words before it.
    pub text: String,
    /// What was used.
    pub usage: Usage,
    /// Why there is no answer.
    pub error: Option<Fault>,
    /// What the agent asked for and was denied, in words.
    pub denied: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// A prompt that runs. Awaited, it gives its end; dropped, it is cancelled.
#[derive(Debug)]
pub struct Run {
    cancel: CancellationToken,
    guard: DropGuard,
    task: JoinHandle<Ran>,
}

impl Run {
    /// Stops it. What there is of its answer comes when it is awaited.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }
}

impl IntoFuture for Run {
    type Output = Ran;
    type IntoFuture = BoxFuture<'static, Ran>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self { cancel: _, guard: _guard, task } = self;
            match task.await {
                Ok(ran) => ran,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // The runtime is shutting down.
                    Err(_) => Ran {
                        session: None,
                        text: String::new(),
                        usage: Usage::default(),
                        error: Some(closed()),
                        denied: Vec::new(),
                        took: Duration::ZERO,
                    },
                },
            }
        })
    }
}

impl Pool {
    /// Runs a prompt: at once, on a task of its own. Await what is returned for its end, or keep it and go on.
    #[must_use = "a run that is dropped is cancelled"]
    pub fn run_command(&self, ask: Ask) -> Run {
        let cancel = CancellationToken::new();
        let running = drive(Arc::clone(&self.shared), ask, cancel.clone());
        let task = self.shared.runs.spawn(running);
        Run { guard: cancel.clone().drop_guard(), cancel, task }
    }
}

async fn drive(shared: Arc<Shared>, ask: Ask, cancel: CancellationToken) -> Ran {
    let begun = Instant::now();
    let deadline = begun + ask.timeout;
    let mut turns = Turns::new(&shared, &ask);
    let mut lease = None;
    let end = tokio::select! {
        end = attempts(&shared, &ask, &mut turns, &mut lease) => end,
        () = cancel.cancelled() => Err(Fault::new(Code::RunCancelled, "it was cancelled")),
        () = shared.stop_runs.cancelled() => Err(closed()),
        () = shared.stop.cancelled() => Err(closed()),
        () = sleep_until(deadline) => {
            Err(Fault::new(Code::RunTimeout, format!("no answer within {} s", ask.timeout.as_secs())))
        }
    };
    let (text, error) = match end {
        Ok(text) => (text, None),
        Err(fault) => {
            if let Some(lease) = &lease {
                // What was begun goes on by itself otherwise, unseen and paid for.
                let _ = timeout(FAREWELL, turns.part(lease)).await;
            }
            (turns.last_words(), Some(fault))
        }
    };
    let (session, usage, denied) = turns.summary();
    Ran { session, text, usage, error, denied, took: begun.elapsed() }
}

/// Runs the prompt on as many servers as may die of it.
async fn attempts(
    shared: &Arc<Shared>,
    ask: &Ask,
    turns: &mut Turns,
    leased: &mut Option<Lease>,
) -> Result<String, Fault> {
    let mut left = ask.resume;
    loop {
        // The one that died counts no longer.
        *leased = None;
        let spread = ask.spread && ask.session.is_none() && turns.session().is_none();
        let lease = leased.insert(shared.server(&ask.directory, spread).await?);
        let end = tokio::select! {
            end = turns.converse(lease) => end,
            () = lease.ended() => Err(died(turns)),
        };
        match end {
            Err(fault) if is_gone(&fault, lease).await => {
                if left == 0 {
                    return Err(died(turns));
                }
                left -= 1;
                tracing::warn!(%fault, "a prompt is taken up again");
            }
            end => return end,
        }
    }
}

/// Whether a fault is that of a server that died: its connections break a moment before its end is seen.
async fn is_gone(fault: &Fault, lease: &Lease) -> bool {
    match fault.code {
        Code::ServerDied => true,
        Code::HostUnreachable | Code::HostTimeout => timeout(FAREWELL, lease.ended()).await.is_ok(),
        _ => false,
    }
}

fn died(turns: &Turns) -> Fault {
    let session = turns.session().map_or_else(String::new, |session| format!(" (session {session} can be gone on in)"));
    Fault::new(Code::ServerDied, format!("the server died before the prompt was answered{session}"))
}
