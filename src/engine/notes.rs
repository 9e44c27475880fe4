//! Showing people something in a session without asking its model.

use super::{service::Attachment, sessions::Voice};
use crate::{
    fault::Fault,
    opencode::{MessageInfo, Prompt, SessionId},
    task::Parent,
};

/// How many of the newest messages are searched for the prompt that is being answered.
const NEWEST: u32 = 30;

impl Attachment {
    /// Shows a text in a session. Its model does not see it, and the session stays whose it was.
    ///
    /// In the middle of a turn a message of our own would be the newest, and the host would answer it: there the text
    /// becomes a part of the prompt that is being answered.
    ///
    /// # Errors
    /// The host's.
    pub async fn show(&self, session: &SessionId, directory: &str, text: &str) -> Result<(), Fault> {
        let project = &self.project;
        let client = project.client();
        let (message, part) = project.core.prompt_ids();
        let of = Parent::new(session.as_str(), directory);
        if project.sessions.busy(&client, &of, session, project.hears(directory)).await? {
            let messages = client.messages(directory, session, Some(NEWEST)).await?;
            let prompt = messages.iter().rev().find(|message| matches!(message.info, MessageInfo::User(_)));
            if let Some(prompt) = prompt {
                return Ok(client.add_note(directory, session, prompt.info.id(), &part, text).await?);
            }
        }
        let Voice { agent, model, variant } = project.sessions.voice(&client, directory, session).await?;
        let note = Prompt {
            agent,
            model,
            variant,
            no_reply: true,
            ignored: true,
            ..Prompt::new(message, part, text.to_owned())
        };
        Ok(client.prompt_async(directory, session, note).await?)
    }
}
