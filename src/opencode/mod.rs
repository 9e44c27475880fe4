//! The subset of OpenCode's HTTP API that Sortie uses, typed once, over a [`Transport`].
//!
//! No policy lives here: nothing is retried, nothing decided. Invariants:
//! - An id is one of the typed ids of this room, whose alphabet is safe in a path, or it is not sent.
//! - What the host adds is ignored; what it leaves out has a default wherever the engine can live without it.
//! - Nothing here starts a task or keeps a timer: what is dropped is over. (The fake host, for tests, is the exception.)

mod api;
mod client;
mod error;
mod event;
#[doc(hidden)]
pub mod fake;
#[cfg(feature = "http")]
pub mod http;
mod ids;
mod message_id;
pub mod sse;
mod transport;
mod types;

pub use api::{NewSession, Prompt, Reply, Toast, ToastVariant};
pub use client::Client;
pub use error::ClientError;
pub use event::{Envelope, Event, EventError, WANTED};
pub use ids::{CallId, MessageId, ParseIdError, PartId, PermissionId, QuestionId, SessionId};
pub use message_id::AscendingIds;
pub use transport::{BoxFuture, Method, Request, Response, Transport, TransportError};
pub use types::{
    Agent, AgentMode, AssistantInfo, ChangeSummary, Fingerprint, Finish, Message, MessageInfo, ModelRef, Part,
    PermissionRequest, ProviderError, Question, QuestionOption, QuestionRequest, Rule, Session, SessionStatus,
    SessionTime, TextPart, TokenCounts, ToolPart, ToolSource, ToolState, ToolStatus, UserInfo, UserModel,
};

#[cfg(test)]
mod client_test;
