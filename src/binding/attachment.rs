//! A directory's hold on the engine, as an object of JavaScript's.
#![allow(clippy::needless_pass_by_value, reason = "what JavaScript hands over is owned")]
#![allow(clippy::unused_async, reason = "what starts loops must be asynchronous: only then is there a runtime")]

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use napi_derive::napi;
use tokio_util::sync::CancellationToken;

use super::{
    host::{AskHost, HostTransport, Listen},
    process, thrown,
};
use crate::{
    engine::{
        self,
        ops::Caller,
        options::Options,
        service::{Attach, Attachment},
    },
    fault::{Code, Fault},
    task::ProjectKey,
    tools,
};

/// What a directory brings with it.
#[napi(object)]
pub struct AttachSpec {
    /// The directory, as the host spells it.
    pub directory: String,
    /// The root of the checkout it belongs to.
    pub project: String,
    /// The user's options as JSON.
    pub options: String,
    /// Whether the host leaves when its main session is idle.
    pub headless: bool,
    /// The command line's program, where there is one.
    pub program: Option<String>,
}

/// Who calls a tool.
#[napi(object)]
pub struct ToolCaller {
    /// The session.
    pub session: String,
    /// The message that holds the call.
    pub message: Option<String>,
    /// The call.
    pub call: Option<String>,
    /// The session's directory.
    pub directory: String,
}

/// A permission that a tool call needs, by the host's rules.
#[napi(object)]
pub struct PermissionAsk {
    /// Which one.
    pub permission: String,
    /// For what.
    pub patterns: Vec<String>,
    /// What is allowed as well when the user says "always".
    pub always: Vec<String>,
    /// What people are shown beside it.
    pub metadata: HashMap<String, String>,
}

/// What becomes of a command. With neither field a model answers the command's own prompt.
#[napi(object)]
pub struct CommandAnswer {
    /// Shown instead of asking a model.
    pub shown: Option<String>,
    /// Asked instead of the command's own prompt.
    pub prompt: Option<String>,
}

/// A directory's hold on the engine.
#[napi]
pub struct SortieAttachment {
    held: Mutex<Option<Attachment>>,
    calls: Mutex<HashMap<u32, CancellationToken>>,
}

/// Holds a directory's project. Nothing is asked of the host before `start`.
///
/// # Errors
/// A message that says what is wrong with the options or with Sortie's home.
#[napi(ts_args_type = "spec: AttachSpec, ask: (request: HostRequest) => Promise<HostResponse>, listen: (on: boolean) \
                       => void")]
pub async fn attach(spec: AttachSpec, ask: AskHost, listen: Listen) -> napi::Result<SortieAttachment> {
    let options = Options::parse(&spec.options).map_err(thrown)?;
    let engine = process::engine(&options, listen).await.map_err(thrown)?;
    let root = engine::root::of(Path::new(&spec.project));
    let root = root.to_str().unwrap_or(&spec.project);
    let held = engine.attach(Attach {
        project: ProjectKey::new(root),
        directory: spec.directory,
        transport: Arc::new(HostTransport::new(ask)),
        options,
        headless: spec.headless,
        program: spec.program.map(Into::into),
    });
    Ok(SortieAttachment { held: Mutex::new(Some(held)), calls: Mutex::default() })
}

#[napi]
impl SortieAttachment {
    /// Begins to work; the host may be asked from now on.
    ///
    /// # Errors
    /// When it was detached.
    #[napi]
    pub async fn start(&self) -> napi::Result<()> {
        self.held().map_err(thrown)?.start();
        Ok(())
    }

    /// What a tool call needs the user's permission for, in order: to be asked before the call.
    ///
    /// # Errors
    /// When it was detached.
    #[napi(catch_unwind)]
    pub fn asks(&self, tool: String, arguments: String, directory: String) -> napi::Result<Vec<PermissionAsk>> {
        let held = self.held().map_err(thrown)?;
        let asks = tools::asks(&tool, &arguments, held.root(), &directory).into_iter();
        Ok(asks
            .map(|tools::Ask { permission, patterns, always, metadata }| PermissionAsk {
                permission,
                patterns,
                always,
                metadata: metadata.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            })
            .collect())
    }

    /// Answers a tool call. `id` names the call for `abort`.
    ///
    /// # Errors
    /// The message for the model.
    #[napi]
    pub async fn call(&self, id: u32, tool: String, arguments: String, caller: ToolCaller) -> napi::Result<String> {
        let held = self.held().map_err(thrown)?;
        let caller = caller_of(caller).map_err(thrown)?;
        let abort = CancellationToken::new();
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).insert(id, abort.clone());
        let answer = tools::call(&held, &tool, &arguments, &caller, &abort).await;
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        answer.map_err(thrown)
    }

    /// From now on the directory's events come by `event`, sooner than by the stream.
    ///
    /// # Errors
    /// When it was detached.
    #[napi(catch_unwind)]
    pub fn hear_directly(&self) -> napi::Result<()> {
        self.held().map_err(thrown)?.hear_directly();
        Ok(())
    }

    /// Takes an event of the directory as JSON: `{type, properties}`.
    #[napi(catch_unwind)]
    pub fn event(&self, event: String) {
        if let Ok(held) = self.held() {
            held.hear(&event);
        }
    }

    /// Aborts a call that is still waiting.
    #[napi(catch_unwind)]
    pub fn abort(&self, id: u32) {
        if let Some(abort) = self.calls.lock().unwrap_or_else(PoisonError::into_inner).get(&id) {
            abort.cancel();
        }
    }

    /// A command of ours in a session.
    ///
    /// # Errors
    /// The message for the user.
    #[napi]
    pub async fn command(
        &self,
        name: String,
        session: String,
        directory: String,
        arguments: String,
    ) -> napi::Result<CommandAnswer> {
        let held = self.held().map_err(thrown)?;
        let answer = tools::command(&held, &name, &session, &directory, &arguments).await.map_err(thrown)?;
        Ok(match answer {
            tools::CommandAnswer::Shown(text) => CommandAnswer { shown: Some(text), prompt: None },
            tools::CommandAnswer::Asked => CommandAnswer { shown: None, prompt: None },
            tools::CommandAnswer::AskedThis(prompt) => CommandAnswer { shown: None, prompt: Some(prompt) },
        })
    }

    /// What goes into the system prompt of a session's requests.
    #[napi(catch_unwind)]
    pub fn system(&self, session: String) -> Vec<String> {
        self.held().map(|held| held.system(&session)).unwrap_or_default()
    }

    /// What a compaction of a session must keep.
    #[napi(catch_unwind)]
    pub fn compaction(&self, session: String) -> Option<String> {
        self.held().ok()?.compaction(&session)
    }

    /// Waits for the open tasks of a session, tells it of their ends, and says whether there were any: before a
    /// headless host leaves.
    ///
    /// # Errors
    /// What is wrong with the store or the host.
    #[napi]
    pub async fn settle(&self, session: String) -> napi::Result<bool> {
        let held = self.held().map_err(thrown)?;
        held.settle(&session).await.map_err(thrown)
    }

    /// Lets go, and reports what was closed.
    ///
    /// # Errors
    /// A second call: nothing is held any more.
    #[napi]
    pub async fn detach(&self) -> napi::Result<String> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        let held = held.ok_or_else(|| thrown(not_attached()))?;
        let report = held.detach().await;
        process::forget().await;
        Ok(report.to_string())
    }

    fn held(&self) -> Result<Attachment, Fault> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(not_attached)
    }
}

fn not_attached() -> Fault {
    Fault::new(Code::NotAttached, "the engine was closed for this directory")
}

fn caller_of(caller: ToolCaller) -> Result<Caller, Fault> {
    let session =
        caller.session.parse().map_err(|_| Fault::new(Code::BadArguments, "the calling session has no valid id"))?;
    Ok(Caller { session, message: caller.message, call: caller.call, directory: caller.directory })
}
