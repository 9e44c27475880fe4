//! The session of a run, and what is heard of it.

use std::{future::pending, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        lease::Lease,
        pool::Shared,
        turn::{self, Reading},
        unattended::Prompts,
    },
    Ask,
};
use crate::{
    fault::{Code, Fault},
    opencode::{
        Client, ClientError, Envelope, Event, Message, MessageId, MessageInfo, NewSession, PartId, Prompt, SessionId,
        SessionStatus,
        http::{EventStream, Feed},
    },
    task::Usage,
};

/// How long the stream of events may take to begin, before the run goes on without.
const STREAM: Duration = Duration::from_secs(3);

/// How often the session is looked at while its events come.
const NET: Duration = Duration::from_secs(5);

/// How often while they do not, or while what they told needs to be looked into.
const POLL: Duration = Duration::from_millis(500);

/// How many looks in a row at an idle session without an end are the end.
const STABLE: u32 = 4;

/// How many looks in a row may fail.
const FAILED: u32 = 8;

/// How many of the newest messages a look reads: enough for most turns.
const NEWEST: u32 = 60;

/// How far the ids of new words are put after the messages before them, in milliseconds.
const AHEAD: u64 = 5;

/// How often an agent is told to go on after its turn was ended in the middle.
const NUDGES: u32 = 3;

/// What it is told where it was denied something.
const DENIED: &str = "What you asked for was not allowed: this run is unattended, and nobody can allow it. Go on \
                      without it, and say in your result what you could not do.";

/// What it is told otherwise.
const BROKE: &str = "A tool of your last step failed and ended your turn. Go on without it or in another way, and end \
                     with the complete result.";

/// A run's session, over all servers that it is at.
pub(super) struct Turns {
    shared: Arc<Shared>,
    ask: Ask,
    session: Option<SessionId>,
    /// The prompt, under ids that stay the same when it is sent again.
    first: Sent,
    /// What the agent was told last: the prompt, or words to go on.
    last: Sent,
    /// Whether `last` was sent, as far as is known.
    sent: bool,
    nudges: u32,
    messages: Vec<Message>,
    prompts: Prompts,
    /// What the host said went wrong.
    trouble: Option<String>,
}

#[derive(Clone)]
struct Sent {
    message: MessageId,
    part: PartId,
    text: String,
}

impl Sent {
    /// Words under ids that come after those of all these messages: the host takes words of an earlier id for answered.
    fn new(shared: &Shared, after: &[Message], text: String) -> Self {
        let (mut one, mut other) = ([0; 14], [0; 14]);
        fastrand::fill(&mut one);
        fastrand::fill(&mut other);
        let made = |message: &Message| match &message.info {
            MessageInfo::User(info) => info.created,
            MessageInfo::Assistant(info) => info.created,
        };
        // The host's clock may be ahead by the moment in which it made the last of them.
        let latest = after.iter().map(made).max().map_or(0, |latest| latest.saturating_add(AHEAD));
        let now = shared.clock.now().millis().max(latest);
        Self { message: shared.ids.message(now, &one), part: shared.ids.part(now, &other), text }
    }
}

/// How a look went.
enum Look {
    Over(Result<String, Fault>),
    /// Nothing has ended; whether a turn goes on.
    Open {
        busy: bool,
    },
}

impl Turns {
    pub(super) fn new(shared: &Arc<Shared>, ask: &Ask) -> Self {
        let first = Sent::new(shared, &[], ask.prompt.clone());
        Self {
            shared: Arc::clone(shared),
            ask: ask.clone(),
            session: None,
            last: first.clone(),
            first,
            sent: false,
            nudges: 0,
            messages: Vec::new(),
            prompts: Prompts::new(ask.permissions.clone(), ask.attended),
            trouble: None,
        }
    }

    pub(super) fn session(&self) -> Option<&SessionId> {
        self.session.as_ref()
    }

    /// The last words, for a run without an answer.
    pub(super) fn last_words(&self) -> String {
        turn::last_words(&self.messages, &self.first.message)
    }

    /// What is told of the run besides its answer.
    pub(super) fn summary(self) -> (Option<SessionId>, Usage, Vec<String>) {
        (self.session, turn::usage(&self.messages, &self.first.message), self.prompts.denied)
    }

    /// Stops what was begun, and reads what there is.
    pub(super) async fn part(&mut self, lease: &Lease) {
        let (client, directory) = (lease.client(), self.ask.directory.clone());
        for session in self.prompts.family() {
            if let Err(error) = client.abort(&directory, session).await {
                tracing::debug!(%session, %error, "a turn was not stopped");
            }
        }
        if let Err(error) = self.fetch(&client).await {
            tracing::debug!(%error, "what there is of an answer was not read");
        }
    }

    /// Sends the prompt, unless that was done, and waits for its end.
    pub(super) async fn converse(&mut self, lease: &Lease) -> Result<String, Fault> {
        let client = lease.client();
        let mut events = lease.events(CancellationToken::new());
        // Events that come before anybody listens are lost. Without them the session is looked at often.
        let mut hears = matches!(timeout(STREAM, events.next()).await, Ok(Some(Feed::Connected)));
        self.open(&client).await?;
        if self.sent
            && let Look::Over(end) = self.look(&client).await?
        {
            return end;
        }
        self.send(&client).await?;
        let (mut idle, mut failed) = (0, 0);
        let (mut look_at, mut answer_at) = (Instant::now() + if hears { NET } else { POLL }, None::<Instant>);
        loop {
            // Whether the session is to be read, whether that because something may have been missed, and whether
            // something may be to answer.
            let (mut look, mut missed, mut attend) = (false, false, false);
            tokio::select! {
                feed = next(&mut events) => match feed {
                    Feed::Connected => (hears, look, missed) = (true, true, true),
                    Feed::Disconnected(_) => (hears, look_at) = (false, Instant::now() + POLL),
                    Feed::Event(event) => (look, attend) = self.hear(event),
                },
                () = sleep_until(look_at) => (look, missed) = (true, true),
                () = at(answer_at) => attend = true,
            }
            if look {
                let looked = self.look_around(&client, missed).await;
                attend |= missed;
                (idle, failed) = match looked {
                    Ok(Look::Over(end)) => return end,
                    Ok(Look::Open { busy: true }) => (0, 0),
                    Ok(Look::Open { busy: false }) => (idle + 1, 0),
                    Err(error) if failed + 1 < FAILED && error.is_transient() => (idle, failed + 1),
                    Err(error) => return Err(error.into()),
                };
                if idle >= STABLE {
                    let why =
                        self.trouble.clone().unwrap_or_else(|| "the session is idle, and no answer came".to_owned());
                    return Err(Fault::new(Code::RunFailed, why));
                }
                let soon = !hears || idle > 0 || failed > 0 || self.trouble.is_some();
                look_at = Instant::now() + if soon { POLL } else { NET };
            }
            if attend {
                answer_at = match self.prompts.attend(&client, &self.ask.directory).await {
                    Ok(next) => next,
                    Err(error) => {
                        tracing::warn!(%error, "a prompt of an agent was not answered; trying again");
                        Some(Instant::now() + POLL)
                    }
                };
            }
            if self.trouble.is_some() {
                look_at = look_at.min(Instant::now() + POLL);
            }
        }
    }

    /// Makes the session, or goes on in the one that was named.
    async fn open(&mut self, client: &Client) -> Result<(), Fault> {
        if self.session.is_none() {
            let directory = &self.ask.directory;
            let session = if let Some(session) = &self.ask.session {
                let newest = client.messages(directory, session, Some(NEWEST)).await?;
                self.first = Sent::new(&self.shared, &newest, self.ask.prompt.clone());
                self.last = self.first.clone();
                session.clone()
            } else {
                let new = NewSession { title: self.ask.title.clone(), ..NewSession::default() };
                client.create_session(directory, new).await?.id
            };
            self.prompts.adopt(&session);
            self.session = Some(session);
        }
        Ok(())
    }

    async fn send(&mut self, client: &Client) -> Result<(), Fault> {
        let Some(session) = &self.session else { return Ok(()) };
        let Sent { message, part, text } = self.last.clone();
        let mut prompt = Prompt::new(message, part, text);
        prompt.agent.clone_from(&self.ask.agent);
        prompt.model.clone_from(&self.ask.model);
        self.sent = true;
        Ok(client.prompt_async(&self.ask.directory, session, prompt).await?)
    }

    /// Takes an event in. Whether the session is to be looked at, and whether something may be to answer.
    fn hear(&mut self, Envelope { event, .. }: Envelope) -> (bool, bool) {
        let own = event.session().is_some() && event.session() == self.session.as_ref();
        match &event {
            Event::SessionIdle { .. } if own => (true, false),
            Event::SessionError { error, .. } if own && !error.is_abort() => {
                self.trouble = Some(error.words().to_owned());
                (false, false)
            }
            Event::SessionDeleted(_) if own => {
                self.trouble = Some("its session was deleted".to_owned());
                (true, false)
            }
            Event::SessionStatus { status: SessionStatus::Busy, .. } if own => {
                // The host goes on after an error, as it does when it has summarised too long a session.
                self.trouble = None;
                (false, false)
            }
            Event::PermissionAsked(_) | Event::QuestionAsked(_) => {
                self.prompts.hear(event);
                (false, true)
            }
            _ => {
                self.prompts.hear(event);
                (false, false)
            }
        }
    }

    async fn look_around(&mut self, client: &Client, missed: bool) -> Result<Look, ClientError> {
        if missed {
            self.prompts.look(client, &self.ask.directory).await?;
        }
        self.look(client).await
    }

    /// Reads the session.
    async fn look(&mut self, client: &Client) -> Result<Look, ClientError> {
        let Some(session) = self.session.clone() else { return Ok(Look::Open { busy: false }) };
        // Before the messages: what is idle now has an end in them.
        let statuses = client.session_status(&self.ask.directory).await?;
        let busy = statuses.get(&session).is_some_and(|status| !matches!(status, SessionStatus::Idle));
        self.fetch(client).await?;
        Ok(match turn::read(&self.messages, &self.last.message, !busy) {
            Reading::Complete(text) => Look::Over(Ok(text)),
            Reading::Failed(why) if !busy => Look::Over(Err(Fault::new(Code::RunFailed, why))),
            Reading::Halted if self.nudges < NUDGES => {
                self.nudges += 1;
                let words = if self.prompts.denied.is_empty() { BROKE } else { DENIED };
                self.last = Sent::new(&self.shared, &self.messages, words.to_owned());
                match self.send(client).await {
                    Ok(()) => Look::Open { busy: true },
                    Err(fault) => Look::Over(Err(fault)),
                }
            }
            Reading::Halted => {
                let why = match self.prompts.denied.last() {
                    Some(denied) => format!("the agent asked again and again for what is not allowed: {denied}"),
                    None => "tools of the agent failed and ended its turn again and again".to_owned(),
                };
                Look::Over(Err(Fault::new(Code::RunFailed, why)))
            }
            Reading::Open | Reading::Failed(_) => Look::Open { busy },
        })
    }

    async fn fetch(&mut self, client: &Client) -> Result<(), ClientError> {
        let Some(session) = &self.session else { return Ok(()) };
        let directory = &self.ask.directory;
        let newest = client.messages(directory, session, Some(NEWEST)).await?;
        let all = newest.len() < NEWEST as usize || turn::holds(&newest, &self.first.message);
        self.messages = if all { newest } else { client.messages(directory, session, None).await? };
        Ok(())
    }
}

/// What comes next over the stream; it ends only with whoever listens.
async fn next(events: &mut EventStream) -> Feed {
    match events.next().await {
        Some(feed) => feed,
        None => pending().await,
    }
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => pending().await,
    }
}
