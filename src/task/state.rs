//! A task and the states it can be in, each with exactly the data it has.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Fence, InstanceId, Name, Over, Priority, Recovery, Rev, TaskId, TaskSpec, Timestamp};

/// One task: what was asked, where it stands, and who may write for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its name.
    pub id: TaskId,
    /// What was asked.
    pub spec: TaskSpec,
    /// Where it stands.
    pub state: TaskState,
    /// Which attempt is or was last running; 0 before the first.
    pub attempt: u32,
    /// How often its process died under it since the last attempt began.
    pub interruptions: u32,
    /// The instance that schedules it: the one that launched it, or that took it over when that one died.
    pub home: InstanceId,
    /// The right to write for it.
    pub fence: Fence,
    /// Its row's revision.
    pub rev: Rev,
    /// The session and prompt of the present attempt; kept over an interruption so that the same session goes on.
    pub run: Option<Run>,
    /// What is remembered of its failed attempts.
    pub recovery: Recovery,
    /// By how much its time limit was extended.
    pub extended: Duration,
    /// Its priority, if that was changed since its launch.
    pub priority: Option<Priority>,
    /// When it was launched.
    pub created_at: Timestamp,
}

/// The session and the prompt of one attempt. The ids are chosen and stored before anything is sent, which makes
/// sending again harmless.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The session, once it exists.
    pub session: Option<String>,
    /// The id under which the prompt is sent.
    pub message: String,
    /// The id of the prompt's text part.
    pub part: String,
    /// The agent's process, if the agent is a program that was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
}

impl Run {
    /// That of a program, which needs no session.
    #[must_use]
    pub fn of_program() -> Self {
        Self { session: None, message: String::new(), part: String::new(), process: None }
    }
}

/// A process that cannot be mistaken for a later one of the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number, which is that of its group as well.
    pub pid: u32,
    /// When it began, as the system tells it: only to be compared.
    pub birth: u64,
    /// When it began.
    pub at: Timestamp,
}

/// Where a task stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum TaskState {
    /// Waits for its turn.
    Pending {
        /// Since when.
        since: Timestamp,
        /// What for.
        waiting: Waiting,
    },
    /// A runner works on it.
    Running {
        /// The instance whose runner it is.
        owner: InstanceId,
        /// When this run began.
        started_at: Timestamp,
        /// When it is stopped as `timeout`.
        deadline: Timestamp,
    },
    /// Stands still until somebody decides.
    Paused {
        /// Since when.
        since: Timestamp,
        /// Why.
        reason: PauseReason,
    },
    /// Ended well.
    Complete {
        /// When.
        ended_at: Timestamp,
    },
    /// Ended badly.
    Failed {
        /// When.
        ended_at: Timestamp,
        /// Why.
        failure: Failure,
    },
    /// Was stopped.
    Cancelled {
        /// When.
        ended_at: Timestamp,
        /// Why.
        reason: CancelReason,
    },
}

/// What a pending task waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "for", rename_all = "snake_case")]
pub enum Waiting {
    /// Its dependencies and a free slot.
    Turn,
    /// The end of the pause after a failed attempt.
    Backoff {
        /// When it may start again.
        until: Timestamp,
        /// What went wrong.
        failure: Failure,
    },
    /// A process to go on where the dead one stopped.
    Resume,
    /// The model's provider, which asks for patience; then it goes on in the same session.
    Provider {
        /// The provider.
        name: String,
        /// When it may start again at the earliest.
        until: Timestamp,
        /// What the provider said.
        said: String,
    },
}

/// Why a task is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseReason {
    /// Its process died and its policy is to ask.
    Interrupted,
    /// Somebody paused it.
    User,
    /// A budget that it draws on is used up.
    Budget(Over),
}

/// Why a task was cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum CancelReason {
    /// Somebody asked for it.
    Request,
    /// Somebody stopped its session in the host.
    Session,
    /// A task it depends on did not complete.
    Dependency {
        /// That task.
        on: TaskId,
    },
    /// The task that launched it was cancelled.
    Parent {
        /// That task.
        task: TaskId,
    },
}

/// How a run failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailureKind {
    /// An error of the model, its provider or the host.
    Error,
    /// The run took longer than it may.
    Timeout,
    /// The run made no progress.
    Stalled,
    /// Its process died and it may not be resumed.
    Died,
    /// It used more than it may.
    Budget,
    /// It needed a permission that it was not given.
    Denied,
}

/// What sort of error it was: decides whether and how the task is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The provider asks for patience.
    RateLimit,
    /// The connection to the provider or host broke.
    Network,
    /// The provider failed on its side.
    Provider,
    /// The session is gone.
    SessionLost,
    /// The run ended without any output.
    NoOutput,
    /// The provider refused the request as wrong.
    Invalid,
    /// The provider refused the credentials.
    Auth,
    /// The account has nothing left.
    Quota,
    /// The session is too long for the model.
    #[serde(alias = "too_large")]
    ContextOverflow,
    /// The answer was cut off by the model's output limit.
    OutputLimit,
    /// The provider's filter blocked the answer.
    Refused,
    /// The provider's answer could not be read.
    Parse,
    /// A tool failed and took the turn with it.
    ToolCrash,
    /// The run stood still.
    Stall,
    /// The run went round in a circle.
    Loop,
    /// Somebody else stopped the session.
    Aborted,
    /// The task ran into a limit of ours.
    Limit,
    /// Anything else.
    Unknown,
}

/// Why a run failed, for people and for the retry rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// How.
    pub kind: FailureKind,
    /// What sort.
    pub class: ErrorClass,
    /// In words: a lowercase fragment.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.message)
    }
}

macro_rules! names {
    ($type:ty { $($variant:ident => $name:literal),+ $(,)? }) => {
        impl $type {
            /// The name as it is shown and stored.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

names!(FailureKind {
    Error => "error", Timeout => "timeout", Stalled => "stalled", Died => "died", Budget => "budget",
    Denied => "denied",
});
names!(ErrorClass {
    RateLimit => "rate_limit", Network => "network", Provider => "provider", SessionLost => "session_lost",
    NoOutput => "no_output", Invalid => "invalid", Auth => "auth", Quota => "quota",
    ContextOverflow => "context_overflow", OutputLimit => "output_limit", Refused => "refused", Parse => "parse",
    ToolCrash => "tool_crash", Stall => "stall", Loop => "loop", Aborted => "aborted", Limit => "limit",
    Unknown => "unknown",
});

impl ErrorClass {
    /// Every class.
    pub const ALL: &'static [Self] = &[
        Self::RateLimit,
        Self::Network,
        Self::Provider,
        Self::SessionLost,
        Self::NoOutput,
        Self::Invalid,
        Self::Auth,
        Self::Quota,
        Self::ContextOverflow,
        Self::OutputLimit,
        Self::Refused,
        Self::Parse,
        Self::ToolCrash,
        Self::Stall,
        Self::Loop,
        Self::Aborted,
        Self::Limit,
        Self::Unknown,
    ];
}

/// A state without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StateName {
    /// Waits for its turn.
    Pending,
    /// A runner works on it.
    Running,
    /// Stands still until somebody decides.
    Paused,
    /// Ended well.
    Complete,
    /// Ended badly.
    Failed,
    /// Was stopped.
    Cancelled,
}

names!(StateName {
    Pending => "pending", Running => "running", Paused => "paused", Complete => "complete", Failed => "failed",
    Cancelled => "cancelled",
});

impl StateName {
    /// Every state, in the order of a task's life.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Running, Self::Paused, Self::Complete, Self::Failed, Self::Cancelled];

    /// The states of tasks that have not ended.
    pub const OPEN: [Self; 3] = [Self::Pending, Self::Running, Self::Paused];

    /// Whether a task in it has ended.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Complete | Self::Failed | Self::Cancelled)
    }
}

impl TaskState {
    /// The state without its data.
    #[must_use]
    pub fn name(&self) -> StateName {
        match self {
            Self::Pending { .. } => StateName::Pending,
            Self::Running { .. } => StateName::Running,
            Self::Paused { .. } => StateName::Paused,
            Self::Complete { .. } => StateName::Complete,
            Self::Failed { .. } => StateName::Failed,
            Self::Cancelled { .. } => StateName::Cancelled,
        }
    }

    /// Whether the task has ended.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.name().is_terminal()
    }

    /// The instance whose runner works on it.
    #[must_use]
    pub fn owner(&self) -> Option<InstanceId> {
        match self {
            Self::Running { owner, .. } => Some(*owner),
            _ => None,
        }
    }

    /// The earliest instant at which a pending task may start.
    #[must_use]
    pub fn not_before(&self) -> Option<Timestamp> {
        match self {
            Self::Pending { waiting: Waiting::Backoff { until, .. } | Waiting::Provider { until, .. }, .. } => {
                Some(*until)
            }
            _ => None,
        }
    }

    /// When the task ended.
    #[must_use]
    pub fn ended_at(&self) -> Option<Timestamp> {
        match self {
            Self::Complete { ended_at } | Self::Failed { ended_at, .. } | Self::Cancelled { ended_at, .. } => {
                Some(*ended_at)
            }
            _ => None,
        }
    }
}

impl Task {
    /// Which of several it goes before.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.priority.unwrap_or(self.spec.priority)
    }

    /// The process of its agent, if it has one of its own.
    #[must_use]
    pub fn process(&self) -> Option<Process> {
        self.run.as_ref()?.process
    }

    /// Whether it is one of the queue.
    #[must_use]
    pub fn is_queued(&self) -> bool {
        self.spec.queued.is_some()
    }

    /// A task as it is launched: pending, with nothing tried yet.
    #[must_use]
    pub fn new(id: TaskId, spec: TaskSpec, home: InstanceId, now: Timestamp) -> Self {
        let home = if spec.queued.is_some() { InstanceId::QUEUE } else { home };
        Self {
            id,
            spec,
            state: TaskState::Pending { since: now, waiting: Waiting::Turn },
            attempt: 0,
            interruptions: 0,
            home,
            fence: Fence(0),
            rev: Rev(0),
            run: None,
            recovery: Recovery::default(),
            extended: Duration::ZERO,
            priority: None,
            created_at: now,
        }
    }

    /// The longest time one run may take: what was asked for, and what it was extended by.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.spec.timeout.saturating_add(self.extended)
    }

    /// The model that it is expected to use next, as `provider/model`: the one of the chain that it has gone over to, or
    /// its own; empty when that is not known before it runs.
    #[must_use]
    pub fn expected_model(&self) -> Name {
        let taken_over = self.recovery.model.as_ref().map(|model| Name::from(model.to_string()));
        taken_over.or_else(|| self.spec.expected_model.clone()).unwrap_or_default()
    }

    /// Its place in the queue: when it was launched, less its priority's head start.
    #[must_use]
    pub fn place(&self) -> Timestamp {
        self.created_at.before(self.priority().head_start())
    }

    /// The session of the present attempt.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.run.as_ref()?.session.as_deref()
    }
}
