//! An OpenCode in memory, below the [`Transport`] trait: for tests, shipped with the crate.
//!
//! It does what the real one (1.18.33) was seen to do, hazards included: a prompt sent again under the same id is
//! answered once; an id that another session has used goes to that session; idle comes twice after an error; an abort
//! during a provider's retry leaves a message without finish and without error; deleting a busy session leaves its
//! turn running. Events come as text in the real order.

mod events;
mod prompt;
mod routes;
mod script;
mod state;
mod turn;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::sync::mpsc;

use super::{BoxFuture, Client, MessageId, Request, Response, SessionId, Transport, TransportError};
use state::State;

pub use script::{PromptSeen, Script, Step};

/// What goes wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The host is not reached, and sees nothing of it.
    Unreachable,
    /// The host does it, but its answer is lost.
    AnswerLost,
    /// The host answers with this status and body, and does nothing.
    Status(u16, String),
    /// The host takes this long before it looks at it.
    Delay(Duration),
    /// The host never answers, and does nothing.
    Hang,
}

type Model = dyn Fn(&PromptSeen) -> Script + Send + Sync;

struct Shared {
    state: Mutex<State>,
    model: Box<Model>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An OpenCode in memory. Its turns end when it is dropped.
pub struct FakeHost {
    shared: Arc<Shared>,
}

impl fmt::Debug for FakeHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeHost").finish_non_exhaustive()
    }
}

impl Drop for FakeHost {
    fn drop(&mut self) {
        self.crash();
    }
}

impl FakeHost {
    /// A host whose model does what the closure says. It knows the agents `build`, `plan` and `general`.
    #[must_use]
    pub fn new(model: impl Fn(&PromptSeen) -> Script + Send + Sync + 'static) -> Self {
        Self { shared: Arc::new(Shared { state: Mutex::default(), model: Box::new(model) }) }
    }

    /// A way to it.
    #[must_use]
    pub fn transport(&self) -> Arc<dyn Transport> {
        Arc::new(Handle(Arc::clone(&self.shared)))
    }

    /// A client of it.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.transport())
    }

    /// Its events from now on, as `/global/event` sends them.
    #[must_use]
    pub fn subscribe(&self) -> mpsc::UnboundedReceiver<String> {
        self.shared.lock().subscribe()
    }

    /// Makes the next request to an endpoint fail; several wait in their order. Endpoints are named as in
    /// [`ClientError`](super::ClientError), such as `POST /session/{id}/prompt_async`.
    pub fn fail_next(&self, endpoint: &str, fault: Fault) {
        self.shared.lock().faults.entry(endpoint.to_owned()).or_default().push_back(fault);
    }

    /// How many requests an endpoint has had, failed ones included.
    #[must_use]
    pub fn requests(&self, endpoint: &str) -> usize {
        self.shared.lock().requests.get(endpoint).copied().unwrap_or(0)
    }

    /// All requests so far.
    #[must_use]
    pub fn total_requests(&self) -> usize {
        self.shared.lock().requests.values().sum()
    }

    /// How often the model was asked.
    #[must_use]
    pub fn model_runs(&self) -> usize {
        self.shared.lock().model_runs
    }

    /// Sends no events while `silent`, as a broken stream; what is not sent is lost.
    pub fn silence_events(&self, silent: bool) {
        self.shared.lock().silent = silent;
    }

    /// Adds an agent, in the host's own form.
    pub fn add_agent(&self, agent: Value) {
        self.shared.lock().agents.push(agent);
    }

    /// Dies and starts again: turns are cut where they are and nothing tells so, streams of events end, questions are
    /// forgotten; sessions and messages stay.
    pub fn crash(&self) {
        self.shared.lock().crash();
    }

    /// The sessions in a turn, those that were deleted in it included.
    #[must_use]
    pub fn busy(&self) -> Vec<SessionId> {
        self.shared.lock().busy()
    }

    /// All sessions.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionId> {
        self.shared.lock().sessions.keys().cloned().collect()
    }

    /// A session's messages in the host's own form.
    #[must_use]
    pub fn messages(&self, session: &SessionId) -> Vec<Value> {
        self.shared.lock().sessions.get(session).map(|session| session.messages.clone()).unwrap_or_default()
    }

    /// The ids of a session's prompts.
    #[must_use]
    pub fn prompts(&self, session: &SessionId) -> Vec<MessageId> {
        let prompts = self.messages(session).into_iter().filter(|message| message["info"]["role"] == "user");
        prompts.filter_map(|message| message["info"]["id"].as_str()?.parse().ok()).collect()
    }

    /// The bodies of the answers to requests for permission that were taken so far.
    #[must_use]
    pub fn replies(&self) -> Vec<Value> {
        self.shared.lock().replies.clone()
    }

    /// The bodies of the toasts so far.
    #[must_use]
    pub fn toasts(&self) -> Vec<Value> {
        self.shared.lock().toasts.clone()
    }
}

struct Handle(Arc<Shared>);

impl Transport for Handle {
    fn request(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(async move {
            let endpoint = routes::endpoint(&request);
            let fault = self.0.lock().arrive(endpoint);
            match fault {
                Some(Fault::Unreachable) => return Err(TransportError::Unreachable("as told".to_owned())),
                Some(Fault::Status(status, body)) => return Ok(Response { status, body }),
                Some(Fault::Delay(delay)) => tokio::time::sleep(delay).await,
                Some(Fault::Hang) => std::future::pending().await,
                Some(Fault::AnswerLost) => {
                    routes::answer(&self.0, &request);
                    return Err(TransportError::Broken("as told".to_owned()));
                }
                None => {}
            }
            Ok(routes::answer(&self.0, &request))
        })
    }
}

#[cfg(test)]
mod tests;
