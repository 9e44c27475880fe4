//! What the host answers with: only the fields that are used, tolerant of all others.

mod agent;
mod fingerprint;
mod finish;
mod message;
mod number;
mod part;
mod permission;
mod provider_error;
mod question;
mod session;
mod status;

pub(in crate::opencode) use agent::Providers;
pub use agent::{Agent, AgentMode};
pub use fingerprint::Fingerprint;
pub use finish::Finish;
pub use message::{AssistantInfo, Message, MessageInfo, ModelRef, UserInfo, UserModel};
pub use number::TokenCounts;
pub use part::{Part, TextPart, ToolPart, ToolState, ToolStatus};
pub use permission::{PermissionRequest, Rule, ToolSource};
pub use provider_error::ProviderError;
pub use question::{Question, QuestionOption, QuestionRequest};
pub use session::{ChangeSummary, Session, SessionTime};
pub use status::SessionStatus;
