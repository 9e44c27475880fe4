//! The one function that changes a task.

use std::time::Duration;

use serde::Serialize;

use super::{
    CancelReason, ErrorClass, Failure, FailureKind, Fence, InstanceId, MAX_TIMEOUT, ModelChoice, Over, PauseReason,
    Priority, Process, ResumePolicy, Run, StateName, Task, TaskState, Timestamp, Waiting,
    recovery::{Why, Word},
};

/// How often one attempt may be interrupted before the task counts as one that kills its host.
pub const MAX_INTERRUPTIONS: u32 = 20;

/// Who wants to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// A runner: refused unless it still owns the task under this fence.
    Runner(InstanceId, Fence),
    /// A person, a tool or the recovery: refused only by the state.
    Anyone,
}

/// What is to happen to a task.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// A dispatcher takes a pending task for its runner. `run` carries the ids for the prompt; if the attempt is to
    /// go on in an existing session, it names that session.
    Claim {
        /// The dispatcher's instance.
        owner: InstanceId,
        /// Session and prompt ids of this run.
        run: Run,
    },
    /// The runner made the session.
    BindSession {
        /// The session.
        session: String,
    },
    /// The runner has started the agent's process, which waits for this to be written.
    Spawn {
        /// The process.
        process: Process,
    },
    /// The runner is about to say something in the session beside the prompt.
    Say {
        /// What, and under which ids.
        word: Word,
    },
    /// Somebody gives the task more time.
    Extend {
        /// How much more one run may take.
        by: Duration,
    },
    /// Somebody gives it another place in the queue.
    Prioritize {
        /// Its priority from now on.
        priority: Priority,
    },
    /// The run gave a result.
    Complete,
    /// The run failed; with `retry` it is tried again. One that waits fails when it can never start.
    Fail {
        /// Why.
        failure: Failure,
        /// When and where the next attempt starts, if there is one.
        retry: Option<Retry>,
    },
    /// The process of the runner stops or has died.
    Interrupt,
    /// The runner has ended the agent's process, and leaves the task to begin its attempt anew.
    Release,
    /// The runner leaves it to wait for the model's provider. It is no failure, and the same attempt goes on later.
    Yield {
        /// The provider.
        provider: String,
        /// When it may start again at the earliest.
        until: Timestamp,
        /// What the provider said.
        said: String,
    },
    /// Another instance takes over the scheduling.
    Adopt {
        /// The new home.
        home: InstanceId,
    },
    /// Somebody stops the task.
    Cancel {
        /// Why.
        reason: CancelReason,
    },
    /// Somebody lets the task stand still; it keeps its session.
    Pause,
    /// A budget that it draws on is used up: it stands still with its session until there is more.
    Exhaust {
        /// Which budget, and by how much.
        over: Over,
    },
    /// Somebody lets a paused task go on.
    Continue,
}

/// The next attempt of a failed one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Retry {
    /// The earliest start.
    pub at: Timestamp,
    /// Whether it uses the same session.
    pub same_session: bool,
    /// The model that takes over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelChoice>,
    /// What the agent is told there instead of its prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub says: Option<Why>,
}

impl Retry {
    /// One that repeats the prompt, with the same model.
    #[must_use]
    pub fn plain(at: Timestamp, same_session: bool) -> Self {
        Self { at, same_session, model: None, says: None }
    }
}

/// Why a change was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The state does not allow it.
    State,
    /// The writer lost the task to another.
    Fence,
}

/// A change that the task's state or owner does not allow. The task is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {change} a task that is {state}{}", if *.refusal == Refusal::Fence { " and runs elsewhere" } else { "" })]
pub struct TransitionError {
    /// The verb of the change.
    pub change: &'static str,
    /// The state the task is in.
    pub state: &'static str,
    /// What refused it.
    pub refusal: Refusal,
}

/// A change that was made: the task after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The state before.
    pub from: StateName,
    /// The task after.
    pub task: Task,
    /// The verb of the change, as the journal keeps it.
    pub change: &'static str,
}

impl Change {
    /// The change as a verb.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Claim { .. } => "claim",
            Self::BindSession { .. } => "bind",
            Self::Spawn { .. } => "spawn",
            Self::Say { .. } => "say",
            Self::Extend { .. } => "extend",
            Self::Prioritize { .. } => "prioritize",
            Self::Complete => "complete",
            Self::Fail { .. } => "fail",
            Self::Interrupt => "interrupt",
            Self::Release => "release",
            Self::Yield { .. } => "yield",
            Self::Adopt { .. } => "adopt",
            Self::Cancel { .. } => "cancel",
            Self::Pause => "pause",
            Self::Exhaust { .. } => "exhaust",
            Self::Continue => "continue",
        }
    }
}

/// Makes `change` on `task` at `now`, or says why not.
///
/// # Errors
/// [`TransitionError`] when the state does not allow it, or when `guard` is a runner that no longer owns the task.
pub fn transition(task: &Task, guard: Guard, change: &Change, now: Timestamp) -> Result<Step, TransitionError> {
    let refuse = |refusal| TransitionError { change: change.verb(), state: task.state.name().as_str(), refusal };
    if let Guard::Runner(owner, fence) = guard
        && (task.state.owner() != Some(owner) || task.fence != fence)
    {
        return Err(refuse(Refusal::Fence));
    }
    let from = task.state.name();
    let mut next = task.clone();
    match (&task.state, change) {
        (TaskState::Pending { waiting, .. }, Change::Claim { owner, run }) => {
            if task.home != *owner && task.home != InstanceId::QUEUE {
                return Err(refuse(Refusal::Fence));
            }
            next.home = *owner;
            // A resumed run is still the same attempt; anything else begins a new one.
            if !matches!(waiting, Waiting::Resume | Waiting::Provider { .. }) || task.attempt == 0 {
                next.attempt += 1;
                next.interruptions = 0;
            }
            next.run = Some(run.clone());
            next.fence = task.fence.next();
            next.state = TaskState::Running { owner: *owner, started_at: now, deadline: now.after(task.limit()) };
        }
        (TaskState::Running { .. }, Change::BindSession { session }) => {
            let Some(run) = next.run.as_mut().filter(|run| run.session.is_none()) else {
                return Err(refuse(Refusal::State));
            };
            run.session = Some(session.clone());
        }
        (TaskState::Running { .. }, Change::Spawn { process }) => {
            let Some(run) = next.run.as_mut().filter(|run| run.process.is_none() && task.is_queued()) else {
                return Err(refuse(Refusal::State));
            };
            run.process = Some(*process);
        }
        (TaskState::Running { .. }, Change::Say { word }) => {
            next.recovery.says = None;
            next.recovery.words.push(word.clone());
        }
        (TaskState::Pending { .. } | TaskState::Running { .. } | TaskState::Paused { .. }, Change::Extend { by }) => {
            let most = MAX_TIMEOUT.saturating_sub(task.spec.timeout);
            next.extended = task.extended.saturating_add(*by).min(most);
            if let TaskState::Running { deadline, .. } = &mut next.state {
                *deadline = deadline.after(next.extended.saturating_sub(task.extended));
            }
        }
        (TaskState::Pending { .. } | TaskState::Paused { .. }, Change::Prioritize { priority }) => {
            next.priority = Some(*priority);
        }
        (TaskState::Running { .. }, Change::Complete) => next.state = TaskState::Complete { ended_at: now },
        (TaskState::Running { .. }, Change::Fail { failure, retry }) => {
            next.state = match retry {
                Some(retry) => {
                    next.recovery.failures.push(failure.class);
                    if !retry.same_session {
                        next.run = None;
                        next.recovery.words.clear();
                    }
                    if retry.model.is_some() {
                        next.recovery.model.clone_from(&retry.model);
                    }
                    // What could not be said yet is still to be said.
                    next.recovery.says = retry.says.or(task.recovery.says).filter(|_| retry.same_session);
                    let waiting = Waiting::Backoff { until: retry.at, failure: failure.clone() };
                    TaskState::Pending { since: now, waiting }
                }
                None => TaskState::Failed { ended_at: now, failure: failure.clone() },
            };
            next.fence = task.fence.next();
        }
        (TaskState::Pending { .. }, Change::Fail { failure, retry: None }) => {
            next.state = TaskState::Failed { ended_at: now, failure: failure.clone() };
            next.fence = task.fence.next();
        }
        (TaskState::Running { .. }, Change::Interrupt) => {
            next.interruptions += 1;
            next.fence = task.fence.next();
            next.state = interrupted(task.spec.resume, next.interruptions, now);
        }
        (TaskState::Running { .. }, Change::Release) => {
            next.run = None;
            next.fence = task.fence.next();
            next.state = TaskState::Pending { since: now, waiting: Waiting::Resume };
        }
        (TaskState::Running { .. }, Change::Yield { provider, until, said }) => {
            next.fence = task.fence.next();
            let waiting = Waiting::Provider { name: provider.clone(), until: *until, said: said.clone() };
            next.state = TaskState::Pending { since: now, waiting };
        }
        (TaskState::Pending { .. } | TaskState::Paused { .. }, Change::Adopt { home }) => {
            next.home = *home;
            next.fence = task.fence.next();
        }
        (
            TaskState::Pending { .. } | TaskState::Running { .. } | TaskState::Paused { .. },
            Change::Cancel { reason },
        ) => {
            next.fence = task.fence.next();
            next.state = TaskState::Cancelled { ended_at: now, reason: reason.clone() };
        }
        (TaskState::Pending { .. } | TaskState::Running { .. }, Change::Pause) => {
            next.fence = task.fence.next();
            next.state = TaskState::Paused { since: now, reason: PauseReason::User };
        }
        (TaskState::Pending { .. } | TaskState::Running { .. }, Change::Exhaust { over }) => {
            next.fence = task.fence.next();
            next.state = TaskState::Paused { since: now, reason: PauseReason::Budget(*over) };
        }
        (TaskState::Paused { .. }, Change::Continue) => {
            // Its program was ended; a session waits where it was.
            next.run = next.run.filter(|run| run.process.is_none());
            next.state = TaskState::Pending { since: now, waiting: Waiting::Resume };
        }
        _ => return Err(refuse(Refusal::State)),
    }
    if next.is_queued() && matches!(next.state, TaskState::Pending { .. } | TaskState::Paused { .. }) {
        next.home = InstanceId::QUEUE;
    }
    next.rev = task.rev.next();
    Ok(Step { from, task: next, change: change.verb() })
}

/// The state of a task whose process died under it.
fn interrupted(policy: ResumePolicy, interruptions: u32, now: Timestamp) -> TaskState {
    let died = |message: String| TaskState::Failed {
        ended_at: now,
        failure: Failure { kind: FailureKind::Died, class: ErrorClass::Unknown, message },
    };
    match policy {
        _ if interruptions >= MAX_INTERRUPTIONS => died(format!("its process died {interruptions} times while it ran")),
        ResumePolicy::Auto => TaskState::Pending { since: now, waiting: Waiting::Resume },
        ResumePolicy::Ask => TaskState::Paused { since: now, reason: PauseReason::Interrupted },
        ResumePolicy::Never => died("its process died while it ran, and its policy is not to resume".to_owned()),
    }
}
