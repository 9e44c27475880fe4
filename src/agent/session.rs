//! A task as an OpenCode session.

use serde_json::{Value, json};

use super::Inherited;
use crate::{
    opencode::{Client, ClientError, Message, MessageId, NewSession, PartId, Prompt, Rule, SessionId},
    task::Task,
};

/// Sessions of one task.
#[derive(Debug, Clone)]
pub struct SessionExecutor {
    client: Client,
    directory: String,
}

/// How many of the newest messages are read to see how a run stands: more than one step writes.
const NEWEST: u32 = 10;

impl SessionExecutor {
    /// For a task, over this client.
    #[must_use]
    pub fn new(client: Client, task: &Task) -> Self {
        Self::in_directory(client, &task.spec.directory)
    }

    /// For the sessions of this directory.
    #[must_use]
    pub fn in_directory(client: Client, directory: &str) -> Self {
        Self { client, directory: directory.to_owned() }
    }

    /// A new session for a run of a task, as a child of the one that launched it. The task's id and that of the run's
    /// prompt go with it, so that a crash between its making and our noting of it leaves no stranger ([`Self::find`]).
    ///
    /// # Errors
    /// The host's answer.
    pub async fn create(
        &self,
        task: &Task,
        prompt: &MessageId,
        parent: SessionId,
        rules: Vec<Rule>,
    ) -> Result<SessionId, ClientError> {
        let session = NewSession {
            parent: Some(parent),
            title: task.spec.title.clone(),
            permission: rules,
            metadata: Some(metadata(task, prompt)),
        };
        Ok(self.client.create_session(&self.directory, session).await?.id)
    }

    /// Makes a session that was made before the one of a run, as [`Self::create`] would have; not one that was used.
    ///
    /// # Errors
    /// The host's answer.
    pub async fn adopt(&self, session: &SessionId, task: &Task, prompt: &MessageId) -> Result<bool, ClientError> {
        if !self.client.messages(&self.directory, session, Some(1)).await?.is_empty() {
            return Ok(false);
        }
        self.client.rename_session(&self.directory, session, &task.spec.title, &metadata(task, prompt)).await?;
        Ok(true)
    }

    /// A session that was made for this run but not noted, because the process died in between. One that an earlier
    /// run of the task has given up is another's: each new session comes with a new prompt.
    ///
    /// # Errors
    /// The host's answer.
    pub async fn find(&self, prompt: &MessageId, parent: &SessionId) -> Result<Option<SessionId>, ClientError> {
        let id = json!(prompt.as_str());
        let children = self.client.children(&self.directory, parent).await?;
        let ours = children
            .into_iter()
            .find(|child| child.metadata.as_ref().is_some_and(|metadata| metadata["sortie"]["prompt"] == id));
        Ok(ours.map(|child| child.id))
    }

    /// Sends the prompt. Sending it again under the same ids does no harm: a finished run stays as it is, any other
    /// goes on.
    ///
    /// # Errors
    /// The host's answer.
    pub async fn prompt(
        &self,
        session: &SessionId,
        ids: (MessageId, PartId),
        agent: &str,
        model: Inherited,
        text: String,
    ) -> Result<(), ClientError> {
        let prompt = Prompt {
            agent: Some(agent.to_owned()),
            model: model.model,
            variant: model.variant,
            ..Prompt::new(ids.0, ids.1, text)
        };
        self.client.prompt_async(&self.directory, session, prompt).await
    }

    /// The newest messages.
    ///
    /// # Errors
    /// The host's answer.
    pub async fn messages(&self, session: &SessionId) -> Result<Vec<Message>, ClientError> {
        self.client.messages(&self.directory, session, Some(NEWEST)).await
    }

    /// Stops the session and everything below it.
    ///
    /// # Errors
    /// The first of the host's answers that is an error; the others were tried all the same.
    pub async fn abort(&self, session: &SessionId) -> Result<(), ClientError> {
        let mut waiting = vec![session.clone()];
        let mut first_error = None;
        let mut seen = 0;
        while let Some(next) = waiting.pop() {
            // A session's children are known only to the host: the bound is against a circle in its answers.
            seen += 1;
            if seen > 1_000 {
                break;
            }
            if let Err(error) = self.client.abort(&self.directory, &next).await {
                first_error.get_or_insert(error);
            }
            match self.client.children(&self.directory, &next).await {
                Ok(children) => waiting.extend(children.into_iter().map(|child| child.id)),
                Err(error) if error.is_not_found() => {}
                Err(error) => {
                    first_error.get_or_insert(error);
                }
            }
        }
        first_error.map_or(Ok(()), Err)
    }
}

/// What tells whose a session is.
fn metadata(task: &Task, prompt: &MessageId) -> Value {
    json!({ "sortie": { "task": task.id.to_string(), "prompt": prompt.as_str() } })
}
