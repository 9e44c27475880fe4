//! The inbox as people meet it.

use std::{sync::Arc, time::Duration};

use super::{Answer, Entry, entry::Told, look};
use crate::{
    engine::{ops::Caller, service::Attachment},
    fault::{Code, Fault},
    opencode::SessionId,
    store::PromptRow,
};

/// How long somebody who answered waits for the host to take it.
const TAKEN: Duration = Duration::from_secs(10);

/// The prompts of a project.
#[derive(Debug)]
pub struct Listed {
    /// Those that wait in this process, with what they ask.
    pub here: Vec<(PromptRow, Arc<Entry>)>,
    /// Those that wait in another process: only there can they be answered.
    pub elsewhere: Vec<PromptRow>,
    /// The newest that do not wait any more, oldest first.
    pub answered: Vec<PromptRow>,
}

impl Attachment {
    /// The prompts that wait, and the newest `answered` others.
    ///
    /// # Errors
    /// The store's.
    pub async fn prompts(&self, answered: u32) -> Result<Listed, Fault> {
        let project = &self.project;
        look::close_those_of_the_dead(project).await;
        let key = project.key.clone();
        let (open, answered) =
            project.store(move |store| Ok((store.prompts(&key, None)?, store.prompts(&key, Some(answered))?))).await?;
        let waiting = project.inbox.waiting();
        let mut listed = Listed { here: Vec::new(), elsewhere: Vec::new(), answered };
        for row in open {
            match waiting.iter().find(|entry| entry.number() == Some(row.number)) {
                Some(entry) => listed.here.push((row, Arc::clone(entry))),
                // One of ours that is just being answered is neither here nor there.
                None if row.prompt.home == project.core.instance => {}
                None => listed.elsewhere.push(row),
            }
        }
        Ok(listed)
    }

    /// Whether a session is a person's own, and not a task's or one below: models work in those.
    ///
    /// # Errors
    /// [`Code::PeopleOnly`], the store's or the host's.
    pub async fn check_person(&self, session: &SessionId, directory: &str) -> Result<(), Fault> {
        let caller = Caller { session: session.clone(), message: None, call: None, directory: directory.to_owned() };
        if self.above(&caller).await?.depth > 1 {
            return Err(Fault::new(Code::PeopleOnly, "this session is a task's, or below another session"));
        }
        Ok(())
    }

    /// The prompt of a number, if it waits here.
    ///
    /// # Errors
    /// [`Code::NoSuchPrompt`], which says what became of it, or the store's.
    pub async fn waiting_prompt(&self, number: i64) -> Result<Arc<Entry>, Fault> {
        let project = &self.project;
        if let Some(entry) = project.inbox.waiting().into_iter().find(|entry| entry.number() == Some(number)) {
            return Ok(entry);
        }
        let key = project.key.clone();
        let row = project.store(move |store| store.prompt(&key, number)).await?;
        let why = match row {
            None => format!("p{number} names no prompt of this project"),
            Some(PromptRow { answered: Some(answered), .. }) => {
                format!("p{number} waits no more: {} ({})", answered.answer, answered.by)
            }
            Some(row) if row.prompt.home == project.core.instance => format!("p{number} is just being answered"),
            Some(_) => format!("p{number} waits in another OpenCode process, and is answered there"),
        };
        Err(Fault::new(Code::NoSuchPrompt, why))
    }

    /// Answers a prompt, and says what became of it.
    ///
    /// # Errors
    /// [`Code::HostRefused`] when the host does not take the answer.
    pub async fn answer_prompt(&self, entry: &Entry, answer: Answer) -> Result<String, Fault> {
        let name = entry.number().map(|number| format!("p{number}")).unwrap_or_default();
        let mut told = entry.told.subscribe();
        let words = answer.in_words();
        entry.give(answer);
        let over = async { told.wait_for(Option::is_some).await.ok().and_then(|told| told.clone()) };
        match tokio::time::timeout(TAKEN, over).await {
            Ok(Some(Told::Over { answer, by })) if by == "you" && answer == words => {
                Ok(format!("{name} is answered: {answer}"))
            }
            Ok(Some(Told::Over { answer, by })) => Ok(format!("{name} was answered already: {answer} ({by})")),
            Ok(Some(Told::NotTaken(reason))) => Err(Fault::new(Code::HostRefused, reason)),
            Ok(None) | Err(_) => Ok(format!("{name}: the answer is on its way to OpenCode")),
        }
    }
}
