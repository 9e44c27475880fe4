//! What is done about the prompts of a run's agents.

use std::collections::{HashMap, HashSet};

use tokio::time::Instant;

use crate::{
    inbox::{self, Decision, one_line},
    opencode::{Client, ClientError, Event, PermissionRequest, QuestionRequest, Reply, SessionId},
};

/// How deep sessions may lie below one another: against a circle in the host's answers.
const DEEPEST: usize = 16;

/// How much of a prompt is told, in bytes.
const TOLD: usize = 200;

/// The prompts of one run.
#[derive(Debug)]
pub(super) struct Prompts {
    settings: inbox::Settings,
    attended: bool,
    /// The run's session and those below it.
    family: HashSet<SessionId>,
    /// Those known to belong to others.
    strangers: HashSet<SessionId>,
    waiting: HashMap<String, (Instant, Asked)>,
    /// What was denied, in words.
    pub denied: Vec<String>,
}

#[derive(Debug, Clone)]
enum Asked {
    Permission(Box<PermissionRequest>),
    Question(Box<QuestionRequest>),
}

impl Asked {
    fn id(&self) -> &str {
        match self {
            Self::Permission(request) => request.id.as_str(),
            Self::Question(request) => request.id.as_str(),
        }
    }

    fn session(&self) -> &SessionId {
        match self {
            Self::Permission(request) => &request.session_id,
            Self::Question(request) => &request.session_id,
        }
    }

    /// As it is decided about. What lies in the run's own directory is not asked for.
    fn ask(&self) -> inbox::Ask<'_> {
        match self {
            Self::Permission(request) => {
                inbox::Ask::Permission { permission: &request.permission, patterns: &request.patterns, own: false }
            }
            Self::Question(_) => inbox::Ask::Question,
        }
    }

    fn in_words(&self) -> String {
        let text = match self {
            Self::Permission(request) => format!("{}: {}", request.permission, request.patterns.join(", ")),
            Self::Question(request) => {
                let asked: Vec<_> = request.questions.iter().map(|question| question.question.as_str()).collect();
                format!("question: {}", asked.join(" "))
            }
        };
        one_line(&text, TOLD)
    }
}

impl Prompts {
    /// Of a run that has asked for nothing yet.
    pub(super) fn new(settings: inbox::Settings, attended: bool) -> Self {
        Self {
            settings,
            attended,
            family: HashSet::new(),
            strangers: HashSet::new(),
            waiting: HashMap::new(),
            denied: Vec::new(),
        }
    }

    /// The run has this session.
    pub(super) fn adopt(&mut self, session: &SessionId) {
        self.strangers.remove(session);
        self.family.insert(session.clone());
    }

    /// The sessions of the run.
    pub(super) fn family(&self) -> impl Iterator<Item = &SessionId> {
        self.family.iter()
    }

    /// Takes an event in: who belongs to whom, and what is asked.
    pub(super) fn hear(&mut self, event: Event) {
        match event {
            Event::SessionCreated(session) if session.parent_id.as_ref().is_some_and(|id| self.family.contains(id)) => {
                self.adopt(&session.id);
            }
            Event::PermissionAsked(request) => self.asked(Asked::Permission(request)),
            Event::QuestionAsked(request) => self.asked(Asked::Question(request)),
            Event::PermissionReplied { request, .. } => drop(self.waiting.remove(request.as_str())),
            Event::QuestionClosed { request, .. } => drop(self.waiting.remove(request.as_str())),
            _ => {}
        }
    }

    fn asked(&mut self, asked: Asked) {
        if !self.strangers.contains(asked.session()) {
            self.waiting.entry(asked.id().to_owned()).or_insert_with(|| (Instant::now(), asked));
        }
    }

    /// Asks the host what waits: events may have been missed.
    pub(super) async fn look(&mut self, client: &Client, directory: &str) -> Result<(), ClientError> {
        let permissions = match client.permissions(directory).await {
            Ok(all) => all,
            // The host refuses to list what JSON cannot say; the events told of it.
            Err(ClientError::Refused { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let questions = client.questions(directory).await?;
        let permissions = permissions.into_iter().map(|request| Asked::Permission(Box::new(request)));
        let questions = questions.into_iter().map(|request| Asked::Question(Box::new(request)));
        let all: Vec<_> = permissions.chain(questions).collect();
        self.waiting.retain(|id, _| all.iter().any(|asked| asked.id() == id));
        for asked in all {
            self.asked(asked);
        }
        Ok(())
    }

    /// Answers what is due. When the next one is, if any waits for a person.
    pub(super) async fn attend(&mut self, client: &Client, directory: &str) -> Result<Option<Instant>, ClientError> {
        let mut next: Option<Instant> = None;
        let waiting: Vec<_> = self.waiting.values().cloned().collect();
        for (since, asked) in waiting {
            if !self.is_ours(client, directory, asked.session()).await? {
                self.strangers.insert(asked.session().clone());
                self.waiting.remove(asked.id());
                continue;
            }
            match inbox::decide(&self.settings, asked.ask(), self.attended, since.elapsed()) {
                Decision::Wait(left) => {
                    let at = Instant::now() + left;
                    next = Some(next.map_or(at, |next| next.min(at)));
                }
                decision => {
                    let words = match decision {
                        Decision::Deny(why) => Some(inbox::for_agent(asked.ask(), why, self.settings.patience())),
                        Decision::Allow(_) | Decision::Wait(_) => None,
                    };
                    match answer(client, directory, &asked, words.as_deref()).await {
                        Ok(()) if words.is_some() => self.denied.push(asked.in_words()),
                        Ok(()) => {}
                        // Somebody was faster.
                        Err(error) if error.is_not_found() => {}
                        Err(error) => return Err(error),
                    }
                    self.waiting.remove(asked.id());
                }
            }
        }
        Ok(next)
    }

    /// Whether a session is the run's or below it.
    async fn is_ours(&mut self, client: &Client, directory: &str, session: &SessionId) -> Result<bool, ClientError> {
        let mut line = vec![session.clone()];
        while line.len() <= DEEPEST {
            let Some(last) = line.last() else { break };
            if self.family.contains(last) {
                self.family.extend(line);
                return Ok(true);
            }
            match client.session(directory, last).await {
                Ok(session) => match session.parent_id {
                    Some(parent) => line.push(parent),
                    None => break,
                },
                Err(error) if error.is_not_found() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}

/// Allows, or denies with words: without them the host would end the agent's turn. To a question there is no such
/// answer but one in words.
async fn answer(client: &Client, directory: &str, asked: &Asked, denial: Option<&str>) -> Result<(), ClientError> {
    match asked {
        Asked::Permission(request) => {
            let reply = if denial.is_some() { Reply::Reject } else { Reply::Once };
            client.reply_permission(directory, &request.id, reply, denial).await
        }
        Asked::Question(request) => {
            let words = denial.unwrap_or_default().to_owned();
            client.reply_question(directory, &request.id, &vec![vec![words]; request.questions.len()]).await
        }
    }
}
