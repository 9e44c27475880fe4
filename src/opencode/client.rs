//! The calls, one method each. All but one are made for a directory: the host keeps one instance of itself for each.

use std::{collections::HashMap, fmt, sync::Arc};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    Agent, ClientError, Message, MessageId, Method, ModelRef, NewSession, PartId, PermissionId, PermissionRequest,
    Prompt, QuestionId, QuestionRequest, Reply, Request, Session, SessionId, SessionStatus, Toast, Transport,
    error::bounded, types::Providers,
};

/// OpenCode, over some transport. A clone is another handle to the same.
#[derive(Clone)]
pub struct Client {
    transport: Arc<dyn Transport>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// An answer that says nothing we need (`true`).
#[derive(Deserialize)]
struct Done(#[expect(dead_code, reason = "that it is JSON is all that counts")] Value);

/// What a server says of itself.
#[derive(Deserialize)]
struct Health {
    version: String,
}

impl Client {
    /// A client over this transport.
    #[must_use]
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport }
    }

    /// The version of a server that is well. The one call that is made for no directory.
    ///
    /// # Errors
    /// [`ClientError`], as from every call.
    pub async fn health(&self) -> Result<String, ClientError> {
        let mut call = Call::new(Method::Get, "GET /global/health", "/global/health".to_owned(), "");
        call.request.query.clear();
        Ok(self.json::<Health>(call).await?.version)
    }

    /// Makes a session.
    pub async fn create_session(&self, directory: &str, session: NewSession) -> Result<Session, ClientError> {
        let call = Call::new(Method::Post, "POST /session", "/session".to_owned(), directory);
        self.json(call.body(session.body())).await
    }

    /// A session.
    pub async fn session(&self, directory: &str, id: &SessionId) -> Result<Session, ClientError> {
        self.json(Call::new(Method::Get, "GET /session/{id}", format!("/session/{id}"), directory)).await
    }

    /// Gives a session a title and what is kept with it.
    pub async fn rename_session(
        &self,
        directory: &str,
        id: &SessionId,
        title: &str,
        metadata: &Value,
    ) -> Result<(), ClientError> {
        let call = Call::new(Method::Patch, "PATCH /session/{id}", format!("/session/{id}"), directory);
        self.done(call.body(json!({ "title": title, "metadata": metadata }))).await
    }

    /// Deletes a session and its children. A turn of theirs goes on unseen: abort them first.
    pub async fn delete_session(&self, directory: &str, id: &SessionId) -> Result<(), ClientError> {
        self.done(Call::new(Method::Delete, "DELETE /session/{id}", format!("/session/{id}"), directory)).await
    }

    /// Stops a session's turn and drops the prompts that wait in it; its children go on. An unknown session is no
    /// error.
    pub async fn abort(&self, directory: &str, id: &SessionId) -> Result<(), ClientError> {
        let call = Call::new(Method::Post, "POST /session/{id}/abort", format!("/session/{id}/abort"), directory);
        self.done(call).await
    }

    /// The children of a session.
    pub async fn children(&self, directory: &str, id: &SessionId) -> Result<Vec<Session>, ClientError> {
        let path = format!("/session/{id}/children");
        self.json(Call::new(Method::Get, "GET /session/{id}/children", path, directory)).await
    }

    /// The sessions of this directory's instance that are in a turn; all others are idle.
    pub async fn session_status(&self, directory: &str) -> Result<HashMap<SessionId, SessionStatus>, ClientError> {
        self.json(Call::new(Method::Get, "GET /session/status", "/session/status".to_owned(), directory)).await
    }

    /// The messages of a session in ascending order: the newest `limit`, or all.
    pub async fn messages(
        &self,
        directory: &str,
        id: &SessionId,
        limit: Option<u32>,
    ) -> Result<Vec<Message>, ClientError> {
        let path = format!("/session/{id}/message");
        let mut call = Call::new(Method::Get, "GET /session/{id}/message", path, directory);
        call.request.query.extend(limit.map(|limit| ("limit", limit.to_string())));
        self.json(call).await
    }

    /// A message.
    pub async fn message(&self, directory: &str, id: &SessionId, message: &MessageId) -> Result<Message, ClientError> {
        let path = format!("/session/{id}/message/{message}");
        self.json(Call::new(Method::Get, "GET /session/{id}/message/{message}", path, directory)).await
    }

    /// Sends a prompt and does not wait for its answer. An unknown agent is no error here: it comes as an event.
    pub async fn prompt_async(&self, directory: &str, id: &SessionId, prompt: Prompt) -> Result<(), ClientError> {
        let path = format!("/session/{id}/prompt_async");
        let call = Call::new(Method::Post, "POST /session/{id}/prompt_async", path, directory);
        self.done(call.body(prompt.body())).await
    }

    /// Has a model summarise a session, which goes on from the summary. The answer comes when that is done.
    pub async fn summarize(&self, directory: &str, id: &SessionId, model: &ModelRef) -> Result<(), ClientError> {
        let path = format!("/session/{id}/summarize");
        let call = Call::new(Method::Post, "POST /session/{id}/summarize", path, directory);
        self.done(call.body(json!(model))).await
    }

    /// Adds a text to a message of the user's that the model does not see.
    pub async fn add_note(
        &self,
        directory: &str,
        id: &SessionId,
        message: &MessageId,
        part: &PartId,
        text: &str,
    ) -> Result<(), ClientError> {
        let path = format!("/session/{id}/message/{message}/part/{part}");
        let endpoint = "PATCH /session/{id}/message/{message}/part/{part}";
        let body =
            json!({ "id": part, "sessionID": id, "messageID": message, "type": "text", "text": text, "ignored": true });
        self.done(Call::new(Method::Patch, endpoint, path, directory).body(body)).await
    }

    /// The agents.
    pub async fn agents(&self, directory: &str) -> Result<Vec<Agent>, ClientError> {
        self.json(Call::new(Method::Get, "GET /agent", "/agent".to_owned(), directory)).await
    }

    /// The models that can be used. The host's answer holds keys in clear: only names are taken from it.
    pub async fn models(&self, directory: &str) -> Result<Vec<ModelRef>, ClientError> {
        let call = Call::new(Method::Get, "GET /config/providers", "/config/providers".to_owned(), directory);
        Ok(self.json::<Providers>(call).await?.models())
    }

    /// The questions for permission that wait. The host refuses (400) while one of them holds what JSON cannot say:
    /// keep what the events told.
    pub async fn permissions(&self, directory: &str) -> Result<Vec<PermissionRequest>, ClientError> {
        self.json(Call::new(Method::Get, "GET /permission", "/permission".to_owned(), directory)).await
    }

    /// Answers a question for permission. A rejection with a message is told to the model; one without ends the turn.
    pub async fn reply_permission(
        &self,
        directory: &str,
        id: &PermissionId,
        reply: Reply,
        message: Option<&str>,
    ) -> Result<(), ClientError> {
        let mut body = json!({ "reply": reply.as_str() });
        if let Some(message) = message {
            body["message"] = json!(message);
        }
        let path = format!("/permission/{id}/reply");
        self.done(Call::new(Method::Post, "POST /permission/{id}/reply", path, directory).body(body)).await
    }

    /// The questions to the user that wait.
    pub async fn questions(&self, directory: &str) -> Result<Vec<QuestionRequest>, ClientError> {
        self.json(Call::new(Method::Get, "GET /question", "/question".to_owned(), directory)).await
    }

    /// Answers questions: for each, in their order, the labels chosen.
    pub async fn reply_question(
        &self,
        directory: &str,
        id: &QuestionId,
        answers: &[Vec<String>],
    ) -> Result<(), ClientError> {
        let call = Call::new(Method::Post, "POST /question/{id}/reply", format!("/question/{id}/reply"), directory);
        self.done(call.body(json!({ "answers": answers }))).await
    }

    /// Refuses to answer, which ends the turn.
    pub async fn reject_question(&self, directory: &str, id: &QuestionId) -> Result<(), ClientError> {
        let call = Call::new(Method::Post, "POST /question/{id}/reject", format!("/question/{id}/reject"), directory);
        self.done(call).await
    }

    /// Shows a toast. Without a TUI the host takes it and shows nothing.
    pub async fn show_toast(&self, directory: &str, toast: Toast) -> Result<(), ClientError> {
        let call = Call::new(Method::Post, "POST /tui/show-toast", "/tui/show-toast".to_owned(), directory);
        self.done(call.body(toast.body())).await
    }

    /// Makes a call whose answer is wanted.
    async fn json<T: DeserializeOwned>(&self, call: Call) -> Result<T, ClientError> {
        let endpoint = call.endpoint;
        let body = self.send(call).await?;
        decode(endpoint, &body)
    }

    /// Makes a call whose answer only has to be one: nothing, or JSON.
    async fn done(&self, call: Call) -> Result<(), ClientError> {
        let endpoint = call.endpoint;
        let body = self.send(call).await?;
        if !body.is_empty() {
            decode::<Done>(endpoint, &body)?;
        }
        Ok(())
    }

    async fn send(&self, call: Call) -> Result<String, ClientError> {
        let Call { endpoint, request } = call;
        let answer = self.transport.request(request).await;
        let response = answer.map_err(|source| ClientError::of_transport(endpoint, source))?;
        match response.status {
            200..=299 => Ok(response.body),
            _ => Err(ClientError::of_status(endpoint, &response)),
        }
    }
}

/// A request, and its pattern for error messages.
struct Call {
    endpoint: &'static str,
    request: Request,
}

impl Call {
    fn new(method: Method, endpoint: &'static str, path: String, directory: &str) -> Self {
        let query = vec![("directory", directory.to_owned())];
        Self { endpoint, request: Request { method, path, query, body: None } }
    }

    fn body(mut self, body: Value) -> Self {
        self.request.body = Some(body);
        self
    }
}

fn decode<T: DeserializeOwned>(endpoint: &'static str, body: &str) -> Result<T, ClientError> {
    let mut reader = serde_json::Deserializer::from_str(body);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        // A path that the host does not know is answered with its web page.
        let reason = if body.trim_start().starts_with('<') {
            "a web page instead of JSON: this OpenCode does not know the call, or another server answers".to_owned()
        } else {
            let (path, inner) = (error.path().to_string(), error.inner().to_string());
            bounded(&format!("`{path}`: {inner}"))
        };
        ClientError::Decode { endpoint, reason }
    })
}
