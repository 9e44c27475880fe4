//! The files of the orchestrator that kept its tasks as JSON (`.gemini/agents`): what a task is there, and here. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{place::Said, start};
use crate::{
    clock::Ids,
    config::Config,
    fault::{Code, Fault},
    task::{
        CancelReason, ErrorClass, Failure, FailureKind, MAX_TIMEOUT, Priority, ProjectKey, StateName, Task, TaskId,
        TaskState, Timestamp,
    },
};

/// A task's file. What it holds beyond this is not ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Older {
    /// Its id there.
    pub task_id: String,
    /// `pending`, `running`, `complete`, `failed` or `cancelled`.
    pub status: String,
    /// Its agent.
    pub agent: String,
    /// What it was asked.
    pub prompt: String,
    /// When it was made, as RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// When its run began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// How often it was tried again.
    #[serde(default)]
    pub retry_count: u32,
    /// How often it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_retries: Option<u32>,
    /// Whether it is by itself.
    #[serde(default)]
    pub auto_retry: bool,
    /// 5 is the usual, more is more urgent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// The time limit in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// The task that it repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_task_id: Option<String>,
}

/// What is found beside a task's file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beside {
    /// What its agent has said by files.
    pub said: Option<Said>,
    /// The exit code that its wrapper has noted.
    pub exit_code: Option<i32>,
    /// When its file was last written.
    pub written: Option<Timestamp>,
}

impl Older {
    /// The task as it is here: what ran there has ended by what is found beside it, or is gone. It keeps its id as its key.
    ///
    /// # Errors
    /// [`Code::BadImport`] names the field.
    pub fn task(
        &self,
        ids: &Ids,
        config: &Config,
        project: &ProjectKey,
        beside: &Beside,
        now: Timestamp,
    ) -> Result<Task, Fault> {
        let fail = |why: String| Fault::new(Code::BadImport, format!("{}: {why}", self.task_id));
        if self.task_id.is_empty() || self.task_id.len() > 200 || self.task_id.contains(['/', '\\', '\0']) {
            return Err(Fault::new(Code::BadImport, format!("`{}` is no id of a task", self.task_id)));
        }
        let created = match &self.created_at {
            Some(text) => instant(text).ok_or_else(|| fail(format!("`createdAt` is no time: {text}")))?,
            None => beside.written.unwrap_or(now),
        };
        let wish = start::Wish {
            agent: self.agent.clone(),
            prompt: self.prompt.clone(),
            key: Some(self.task_id.clone()),
            priority: match self.priority {
                Some(0..=4) => Priority::Low,
                None | Some(5) => Priority::Normal,
                Some(_) => Priority::High,
            },
            timeout: self.timeout.map(|seconds| Duration::from_secs(seconds.max(1)).min(MAX_TIMEOUT)),
            max_retries: self.max_retries,
            auto_retry: Some(self.auto_retry),
            ..start::Wish::default()
        };
        let mut task = start::task(ids, config, project, wish, created).map_err(|fault| fail(fault.message.clone()))?;
        if let Some(state) = self.state(beside, now).map_err(fail)? {
            task.state = state;
        }
        // Ids sort by the time of their making.
        task.id = ids.task_of(created);
        if task.state.is_terminal() {
            task.attempt = 1;
        }
        Ok(task)
    }

    /// The state here; none for one that is still to be done.
    fn state(&self, beside: &Beside, now: Timestamp) -> Result<Option<TaskState>, String> {
        let ended_at = beside.written.unwrap_or(now);
        let failed = |kind, message: String| TaskState::Failed {
            ended_at,
            failure: Failure { kind, class: ErrorClass::Unknown, message },
        };
        let reason = || self.error_message.clone().unwrap_or_else(|| "it gave no reason".to_owned());
        Ok(Some(match self.status.as_str() {
            "pending" => return Ok(None),
            "complete" | "completed" => TaskState::Complete { ended_at },
            "cancelled" => TaskState::Cancelled { ended_at, reason: CancelReason::Request },
            "failed" if reason().contains("timed out") => failed(FailureKind::Timeout, reason()),
            "failed" => failed(FailureKind::Error, reason()),
            // Nobody has looked at it there since it ended.
            "running" => match (&beside.said, beside.exit_code) {
                (Some(Said::Done(_)), _) | (None, Some(0)) => TaskState::Complete { ended_at },
                (Some(Said::Error(words)), _) => failed(FailureKind::Error, words.clone()),
                (Some(Said::Cancelled), _) => TaskState::Cancelled { ended_at, reason: CancelReason::Request },
                (Some(Said::Timeout), _) | (None, Some(124)) => {
                    failed(FailureKind::Timeout, "it took too long".to_owned())
                }
                (None, Some(code)) => failed(FailureKind::Error, format!("exit code {code}")),
                (None, None) => failed(FailureKind::Died, "its process is gone without a word".to_owned()),
            },
            other => return Err(format!("`status` is `{other}`")),
        }))
    }

    /// A task of the queue as it is there.
    #[must_use]
    pub fn of(task: &Task) -> Self {
        let text = |at: Timestamp| jiff::Timestamp::from_millisecond(at.0).map(|at| at.to_string()).ok();
        let state = task.state.name();
        Self {
            task_id: task.spec.key.clone().unwrap_or_else(|| format!("task_{}", digits(task.id))),
            // What stands still there waits, and what runs here is not known there.
            status: match state {
                StateName::Paused | StateName::Running => StateName::Pending,
                state => state,
            }
            .as_str()
            .to_owned(),
            agent: task.spec.agent.to_string(),
            prompt: task.spec.prompt.clone(),
            created_at: text(task.created_at),
            started_at: task.process().and_then(|process| text(process.at)),
            error_message: match &task.state {
                TaskState::Failed { failure, .. } => Some(failure.message.clone()),
                _ => None,
            },
            retry_count: task.attempt.saturating_sub(1),
            max_retries: task.spec.queued.map(|queued| queued.max_retries),
            auto_retry: task.spec.max_attempts > 1,
            priority: Some(match task.priority() {
                Priority::Low => 1,
                Priority::Normal => 5,
                Priority::High => 9,
            }),
            timeout: Some(task.limit().as_secs()),
            parent_task_id: task.spec.retry_of.map(|of| format!("task_{}", digits(of))),
        }
    }
}

/// The digits of an id, which are a name of their own.
fn digits(id: TaskId) -> String {
    id.to_string()[TaskId::PREFIX.len()..].to_owned()
}

fn instant(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>().ok().map(|at| Timestamp(at.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::sys::SystemClock;

    /// As the document of that orchestrator shows one.
    const SHOWN: &str = r#"{
        "taskId": "task_1234567890", "status": "failed", "agent": "coder", "prompt": "Create a web server",
        "planFile": ".gemini/agents/plans/task_1234567890_plan.md", "logFile": "x.log",
        "createdAt": "2025-12-01T10:00:00Z", "pid": "12345", "errorMessage": "Task timed out after 3600 seconds",
        "retryCount": 1, "maxRetries": 3, "autoRetry": true, "priority": 5, "timeout": 3600,
        "startedAt": "2025-12-01T10:00:00Z", "timedOutAt": "2025-12-01T11:00:00Z", "parentTaskId": "task_1234567000",
        "retryHistory": [{"attempt": 1, "timestamp": "2025-12-01T10:00:00Z", "error": "Network timeout"}]}"#;

    fn task(older: &Older, beside: &Beside) -> Result<Task, Fault> {
        let ids = Ids::new(Arc::new(SystemClock));
        older.task(&ids, &Config::default(), &ProjectKey::new("/p"), beside, Timestamp(9))
    }

    #[test]
    fn a_file_is_read_as_it_is_shown_there() {
        let older: Older = serde_json::from_str(SHOWN).unwrap();
        let task = task(&older, &Beside { written: Some(Timestamp(7)), ..Beside::default() }).unwrap();
        assert_eq!(task.spec.key.as_deref(), Some("task_1234567890"));
        assert_eq!((&*task.spec.agent, &*task.spec.prompt), ("coder", "Create a web server"));
        assert_eq!((task.spec.max_attempts, task.spec.timeout.as_secs()), (4, 3_600));
        assert_eq!(task.created_at, Timestamp(1_764_583_200_000));
        let TaskState::Failed { ended_at, failure } = &task.state else { panic!("{:?}", task.state) };
        assert_eq!(
            (*ended_at, failure.to_string().as_str()),
            (Timestamp(7), "timeout: Task timed out after 3600 seconds")
        );
        let back = Older::of(&task);
        assert_eq!((back.status.as_str(), back.task_id), ("failed", older.task_id));
        assert_eq!((back.created_at, back.priority, back.timeout), (older.created_at, older.priority, older.timeout));
    }

    #[test]
    fn what_ran_there_has_ended_by_what_is_found_beside_it() {
        let older = |status: &str| Older { status: status.to_owned(), ..serde_json::from_str(SHOWN).unwrap() };
        let state = |status, said, exit_code| {
            let beside = Beside { said, exit_code, written: None };
            task(&older(status), &beside).map(|task| match task.state {
                TaskState::Failed { failure, .. } => failure.to_string(),
                state => state.name().as_str().to_owned(),
            })
        };
        for (status, said, code, expected) in [
            ("pending", None, None, "pending"),
            ("complete", None, None, "complete"),
            ("cancelled", None, None, "cancelled"),
            ("running", Some(Said::Done(None)), Some(1), "complete"),
            ("running", Some(Said::Error("no disk".to_owned())), None, "error: no disk"),
            ("running", Some(Said::Cancelled), None, "cancelled"),
            ("running", None, Some(0), "complete"),
            ("running", None, Some(124), "timeout: it took too long"),
            ("running", None, Some(2), "error: exit code 2"),
            ("running", None, None, "died: its process is gone without a word"),
        ] {
            assert_eq!(state(status, said, code).unwrap(), expected, "{status}");
        }
        assert!(state("lost", None, None).unwrap_err().message.contains("`status` is `lost`"));
    }
}
