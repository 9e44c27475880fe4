//! A prompt that waits, and what is known of it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use crate::{
    inbox::{Ask, one_line},
    opencode::{PermissionRequest, Question, QuestionRequest, SessionId},
    task::TaskId,
};

/// How much of a prompt is kept and shown, in bytes: who allows something must see it.
const SHOWN: usize = 2_000;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// To do something.
    Permission(Box<PermissionRequest>),
    /// Something of the user.
    Question(Box<QuestionRequest>),
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Do it this once.
    Once,
    /// Do it, and whatever else the tool named as being like it, as long as the host lives.
    Always,
    /// Do not. The agent is told why and goes on; without words its turn ends.
    Reject(Option<String>),
    /// What was chosen or said, for each question.
    Choose(Vec<Vec<String>>),
    /// No answer, which ends the agent's turn.
    Dismiss,
}

/// An answer, and who gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The answer.
    pub answer: Answer,
    /// Who gave it: `you`, or the rule that decided.
    pub by: &'static str,
}

/// What was learnt of a prompt from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// The host has an answer.
    Closed {
        /// Which.
        answer: String,
        /// Whether it follows from our answer to another.
        consequence: bool,
    },
    /// Its task has ended.
    Ended,
    /// The host does not list it any more.
    Vanished,
    /// Its session was idle.
    Idle,
}

/// What whoever answered is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It has an end: the answer, and who gave it.
    Over {
        /// The answer.
        answer: String,
        /// Who gave it.
        by: String,
    },
    /// The host did not take the answer; the prompt waits still.
    NotTaken(String),
}

/// A prompt that waits.
#[derive(Debug)]
pub struct Entry {
    /// What is asked.
    pub request: Request,
    /// The directory in whose instance of the host it waits.
    pub directory: String,
    /// When we learnt of it.
    pub asked: Instant,
    /// Whether it was seen in a list and not heard of: then its turn may be over.
    pub found: bool,
    /// What has changed.
    pub changed: Notify,
    /// What whoever answered is told.
    pub told: watch::Sender<Option<Told>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    task: Option<TaskId>,
    /// The row of its record.
    number: Option<i64>,
    word: Option<Word>,
    given: Option<Given>,
    /// The answer that the host was sent.
    sent: Option<Given>,
}

impl Entry {
    /// A prompt that was just learnt of.
    pub fn new(request: Request, directory: &str, found: bool) -> Self {
        Self {
            request,
            directory: directory.to_owned(),
            asked: Instant::now(),
            found,
            changed: Notify::new(),
            told: watch::channel(None).0,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The task that it was asked below, once that is known.
    pub fn task(&self) -> Option<TaskId> {
        self.state().task
    }

    /// Notes the task that it was asked below.
    pub fn belongs_to(&self, task: TaskId) {
        self.state().task = Some(task);
    }

    /// Its number for people, once it is recorded.
    pub fn number(&self) -> Option<i64> {
        self.state().number
    }

    /// Notes the number of its record.
    pub fn recorded(&self, number: i64) {
        self.state().number = Some(number);
    }

    /// Notes a word from outside. That the host has an answer stays.
    pub fn hear(&self, word: Word) {
        let mut state = self.state();
        if !matches!(state.word, Some(Word::Closed { .. })) {
            state.word = Some(word);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// The latest word; each is taken once.
    pub fn take_word(&self) -> Option<Word> {
        self.state().word.take()
    }

    /// A person answers; false when one has answered already.
    pub fn give(&self, answer: Answer) -> bool {
        let mut state = self.state();
        if state.given.is_some() || state.sent.is_some() {
            return false;
        }
        state.given = Some(Given { answer, by: "you" });
        drop(state);
        self.told.send_replace(None);
        self.changed.notify_one();
        true
    }

    /// The answer of a person.
    pub fn given(&self) -> Option<Given> {
        self.state().given.clone()
    }

    /// The host did not take a person's answer.
    pub fn give_back(&self, reason: String) {
        self.state().given = None;
        self.told.send_replace(Some(Told::NotTaken(reason)));
    }

    /// Notes what the host is sent, or that it did not take it.
    pub fn sending(&self, sent: Option<Given>) {
        self.state().sent = sent;
    }

    /// What the host was sent.
    pub fn sent(&self) -> Option<Given> {
        self.state().sent.clone()
    }

    /// Whether the host was sent an answer.
    pub fn is_sent(&self) -> bool {
        self.state().sent.is_some()
    }
}

impl Request {
    /// The host's id.
    pub fn id(&self) -> &str {
        match self {
            Self::Permission(request) => request.id.as_str(),
            Self::Question(request) => request.id.as_str(),
        }
    }

    /// The session that asks.
    pub fn session(&self) -> &SessionId {
        match self {
            Self::Permission(request) => &request.session_id,
            Self::Question(request) => &request.session_id,
        }
    }

    /// Whether it is for permission.
    pub fn is_permission(&self) -> bool {
        matches!(self, Self::Permission(_))
    }

    /// As the rules see it.
    pub fn ask(&self, own: bool) -> Ask<'_> {
        match self {
            Self::Permission(request) => {
                Ask::Permission { permission: &request.permission, patterns: &request.patterns, own }
            }
            Self::Question(_) => Ask::Question,
        }
    }

    /// The questions, if it asks some.
    pub fn questions(&self) -> &[Question] {
        match self {
            Self::Permission(_) => &[],
            Self::Question(request) => &request.questions,
        }
    }

    /// What it asks, in a line.
    pub fn what(&self) -> String {
        let text = match self {
            Self::Permission(request) => {
                let file = request.metadata.file.as_deref().map(|file| format!(" ({file})")).unwrap_or_default();
                format!("permission: {} {}{file}", request.permission, request.patterns.join(" · "))
            }
            Self::Question(request) => {
                let questions: Vec<_> = request.questions.iter().map(question).collect();
                format!("an answer: {}", questions.join(" · "))
            }
        };
        one_line(&text, SHOWN)
    }
}

fn question(question: &Question) -> String {
    let choices = question.options.iter().zip(1..).map(|(option, at)| format!("{at} {}", option.label));
    let choices: Vec<_> = choices.collect();
    if choices.is_empty() {
        return question.question.clone();
    }
    format!("{} [{}]", question.question, choices.join(", "))
}

impl Answer {
    /// It in a line, for the record.
    pub fn in_words(&self) -> String {
        match self {
            Self::Once => "once".to_owned(),
            Self::Always => "always".to_owned(),
            Self::Reject(None) => "reject".to_owned(),
            Self::Reject(Some(words)) => one_line(&format!("reject: {words}"), SHOWN),
            Self::Choose(answers) => {
                let answers: Vec<_> = answers.iter().map(|chosen| chosen.join(", ")).collect();
                one_line(&answers.join(" · "), SHOWN)
            }
            Self::Dismiss => "dismiss".to_owned(),
        }
    }
}
