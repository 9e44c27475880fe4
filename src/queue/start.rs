//! New tasks of the queue, and repetitions of ended ones.

use std::time::Duration;

use crate::{
    clock::Ids,
    config::Config,
    fault::{Code, Fault, floor},
    task::{
        InstanceId, MAX_TIMEOUT, Parent, Priority, ProjectKey, Queued, ResumePolicy, StateName, Task, TaskId, TaskSpec,
        Timestamp,
    },
};

/// The longest prompt, in bytes: it is handed to a program as one argument, of which Linux takes 128 KiB.
pub const LONGEST_PROMPT: usize = 120_000;

/// The longest pause before a failed task is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// How often a failed task may be tried again unless set otherwise.
pub const MAX_RETRIES: u32 = 3;

/// The time limit unless set otherwise.
const TIMEOUT: Duration = Duration::from_secs(3_600);

/// What somebody wants done.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// By which agent.
    pub agent: String,
    /// What.
    pub prompt: String,
    /// A short text for people; the prompt's first line if not given.
    pub title: Option<String>,
    /// A name of the user's own for it.
    pub key: Option<String>,
    /// Where the agent works; the project if not given.
    pub directory: Option<String>,
    /// Its place in the queue.
    pub priority: Priority,
    /// The longest time one run may take.
    pub timeout: Option<Duration>,
    /// How often it may be tried again.
    pub max_retries: Option<u32>,
    /// Whether it is tried again by itself.
    pub auto_retry: Option<bool>,
    /// Tasks that must be complete before it starts.
    pub after: Vec<TaskId>,
}

/// A task for a wish.
///
/// # Errors
/// [`Code::EmptyField`], [`Code::TextTooLong`], [`Code::BadCharacters`] and [`Code::BadTimeout`].
pub fn task(ids: &Ids, config: &Config, project: &ProjectKey, wish: Wish, now: Timestamp) -> Result<Task, Fault> {
    for (field, text) in [("the agent", &wish.agent), ("the prompt", &wish.prompt)] {
        if text.trim().is_empty() {
            return Err(Fault::new(Code::EmptyField, format!("{field} is empty")));
        }
        if text.contains('\0') {
            return Err(Fault::new(Code::BadCharacters, format!("{field} contains a NUL character")));
        }
    }
    if wish.agent.chars().any(char::is_control) || wish.agent.len() > 200 || wish.agent.starts_with('-') {
        let message = "the agent's name is not one short line, or begins with `-`";
        return Err(Fault::new(Code::BadCharacters, message));
    }
    if wish.prompt.len() > LONGEST_PROMPT {
        let message = format!("the prompt has {} bytes, {LONGEST_PROMPT} are taken", wish.prompt.len());
        return Err(Fault::new(Code::TextTooLong, message));
    }
    let set = config.queue.timeout.map(|seconds| Duration::from_secs(u64::from(seconds.get())));
    let timeout = wish.timeout.or(set).unwrap_or(TIMEOUT);
    if timeout.is_zero() || timeout > MAX_TIMEOUT {
        let message =
            format!("a time limit of {} s; from 1 s to {} s is taken", timeout.as_secs(), MAX_TIMEOUT.as_secs());
        return Err(Fault::new(Code::BadTimeout, message));
    }
    let max_retries = wish.max_retries.or(config.queue.max_retries).unwrap_or(MAX_RETRIES);
    let auto_retry = wish.auto_retry.or(config.queue.auto_retry).unwrap_or(false);
    let spec = TaskSpec {
        project: project.clone(),
        key: wish.key,
        title: wish.title.unwrap_or_else(|| title(&wish.prompt)),
        agent: wish.agent.into(),
        prompt: wish.prompt,
        model: None,
        expected_model: None,
        directory: wish.directory.as_deref().unwrap_or(project.as_str()).into(),
        parent: Parent::new("", project.as_str()),
        depth: 1,
        priority: wish.priority,
        timeout,
        max_attempts: attempts(auto_retry, max_retries),
        resume: ResumePolicy::Auto,
        depends_on: wish.after,
        continues: None,
        retry_of: None,
        mission: None,
        queued: Some(Queued { max_retries }),
    };
    Ok(Task::new(ids.task(), spec, InstanceId::QUEUE, now))
}

/// How many attempts a task has in all.
fn attempts(auto_retry: bool, max_retries: u32) -> u32 {
    if auto_retry { max_retries.saturating_add(1) } else { 1 }
}

/// The first line of a prompt as a title.
fn title(prompt: &str) -> String {
    const LONGEST: usize = 120;
    let line = prompt.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let line: String = line.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
    if line.len() <= LONGEST { line } else { format!("{}…", &line[..floor(&line, LONGEST)]) }
}

/// A new task that repeats an ended one. `before` is how many repetitions led to that one.
///
/// # Errors
/// [`Code::NotFailed`], [`Code::RetriesUsedUp`], and [`Code::NotQueued`] for a task of OpenCode's.
pub fn retry(
    ids: &Ids,
    of: &Task,
    before: u32,
    max_retries: Option<u32>,
    auto_retry: bool,
    now: Timestamp,
) -> Result<Task, Fault> {
    let Some(queued) = of.spec.queued else {
        return Err(Fault::new(Code::NotQueued, format!("task {} was launched in OpenCode", of.id)));
    };
    if !matches!(of.state.name(), StateName::Failed | StateName::Cancelled) {
        return Err(Fault::new(Code::NotFailed, format!("task {} is {}", of.id, of.state.name().as_str())));
    }
    let max_retries = max_retries.unwrap_or(queued.max_retries);
    if before >= max_retries {
        return Err(Fault::new(
            Code::RetriesUsedUp,
            format!("task {} is attempt {} of {}", of.id, before + 1, max_retries + 1),
        ));
    }
    let spec = TaskSpec {
        retry_of: Some(of.id),
        max_attempts: attempts(auto_retry, max_retries - before - 1),
        queued: Some(Queued { max_retries }),
        ..of.spec.clone()
    };
    let task = Task::new(ids.task(), spec, InstanceId::QUEUE, now);
    Ok(Task { priority: of.priority, ..task })
}

/// How long a task rests after its attempt of this number: 2 s, 4 s, 8 s and so on.
#[must_use]
pub fn backoff(attempt: u32) -> Duration {
    Duration::from_secs(1_u64 << attempt.min(16)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        sys::SystemClock,
        task::{CancelReason, ErrorClass, Failure, FailureKind, TaskState},
    };

    fn ids() -> Ids {
        Ids::new(Arc::new(SystemClock))
    }

    fn made(wish: Wish) -> Result<Task, Code> {
        task(&ids(), &Config::default(), &ProjectKey::new("/p"), wish, Timestamp(1)).map_err(|fault| fault.code)
    }

    fn wish(prompt: &str) -> Wish {
        Wish { agent: "coder".to_owned(), prompt: prompt.to_owned(), ..Wish::default() }
    }

    #[test]
    fn a_task_has_what_was_asked_for_or_the_usual() {
        let task = made(wish("\n  Write it.\nAll of it.")).unwrap();
        assert_eq!((&*task.spec.title, task.home), ("Write it.", InstanceId::QUEUE));
        assert_eq!((task.spec.timeout, task.spec.max_attempts), (TIMEOUT, 1));
        let task = made(Wish { auto_retry: Some(true), ..wish("w") }).unwrap();
        assert_eq!(task.spec.max_attempts, 4);
        assert_eq!(made(wish(&"é".repeat(200))).unwrap().spec.title.chars().count(), 61);
    }

    #[test]
    fn what_cannot_be_run_is_refused() {
        for (wish, code) in [
            (wish(" "), Code::EmptyField),
            (Wish { agent: String::new(), ..wish("w") }, Code::EmptyField),
            (wish("a\0b"), Code::BadCharacters),
            (Wish { agent: "a\nb".to_owned(), ..wish("w") }, Code::BadCharacters),
            (Wish { agent: "--help".to_owned(), ..wish("w") }, Code::BadCharacters),
            (wish(&"x".repeat(LONGEST_PROMPT + 1)), Code::TextTooLong),
            (Wish { timeout: Some(Duration::ZERO), ..wish("w") }, Code::BadTimeout),
            (Wish { timeout: Some(MAX_TIMEOUT + Duration::from_secs(1)), ..wish("w") }, Code::BadTimeout),
        ] {
            assert_eq!(made(wish).unwrap_err(), code);
        }
    }

    #[test]
    fn a_repetition_is_counted_and_bounded() {
        let mut of = made(wish("w")).unwrap();
        let again = |of: &Task, before, most, auto| {
            retry(&ids(), of, before, most, auto, Timestamp(2)).map_err(|fault| fault.code)
        };
        assert_eq!(again(&of, 0, None, false).unwrap_err(), Code::NotFailed);
        of.state = TaskState::Cancelled { ended_at: Timestamp(1), reason: CancelReason::Request };
        assert!(again(&of, 0, None, false).is_ok());
        let failure = Failure { kind: FailureKind::Error, class: ErrorClass::Unknown, message: String::new() };
        of.state = TaskState::Failed { ended_at: Timestamp(1), failure };
        let task = again(&of, 2, None, true).unwrap();
        assert_eq!((task.spec.retry_of, task.spec.max_attempts), (Some(of.id), 1));
        assert_eq!(again(&of, 1, None, true).unwrap().spec.max_attempts, 2);
        assert_eq!(again(&of, 3, None, false).unwrap_err(), Code::RetriesUsedUp);
        assert!(again(&of, 3, Some(5), false).is_ok());
        of.spec.queued = None;
        assert_eq!(again(&of, 0, None, false).unwrap_err(), Code::NotQueued);
    }

    #[test]
    fn pauses_double_up_to_a_bound() {
        let pauses: Vec<_> = [1, 2, 3, 4, 8, 9, 40].map(|attempt| backoff(attempt).as_secs()).to_vec();
        assert_eq!(pauses, [2, 4, 8, 16, 256, 300, 300]);
    }
}
