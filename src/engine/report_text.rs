//! The words in which ends are told and tasks are listed: for models first, and people can read them too.

use std::{fmt::Write, time::Duration};

use super::handoff::{cut, reach};
use crate::task::{CancelReason, Outcome, PauseReason, StateName, Task, TaskState, Timestamp, Waiting};

/// How much of one result a report carries; `sortie_result` has the whole.
pub const RESULT_LIMIT: usize = 8 * 1024;

/// How many of its lines a report carries at most.
const RESULT_LINES: usize = 300;

/// How much all results of one report may take together. The host hides in a file what a tool answers beyond 50 KB or
/// 2000 lines (its `tool_output` setting); the headings need room as well.
pub const REPORT_LIMIT: usize = 32 * 1024;

/// How many lines all results of one report may take together.
const REPORT_LINES: usize = 1_000;

/// What one page of a result holds, for the same reason.
pub const PAGE: usize = 48 * 1024;

/// How many lines a page of a result holds.
pub const PAGE_LINES: usize = 1_900;

/// A task with what came of it.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The task.
    pub task: Task,
    /// Its result, or what there was of it.
    pub outcome: Option<Outcome>,
}

/// A task's name for people and models: its key, if it has one, and its title.
#[must_use]
pub fn label(task: &Task) -> String {
    match &task.spec.key {
        Some(key) => format!("{key} \"{}\"", task.spec.title),
        None => format!("\"{}\"", task.spec.title),
    }
}

/// The message that tells a parent of ended tasks, each with its result.
#[must_use]
pub fn report(ended: &[Ended], still_open: &[Task]) -> String {
    let mut text = String::from("<sortie-report>\n");
    // What a task says must not pass for what we say.
    text.push_str(&ends(ended).replace("</sortie-report", "<\\/sortie-report"));
    match still_open {
        [] => text.push_str("No task of this session is open any more.\n"),
        open => {
            let names: Vec<_> = open.iter().take(20).map(|task| format!("{} ({})", label(task), state(task))).collect();
            let more = open.len().saturating_sub(names.len());
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            let _ = writeln!(text, "Still open: {}{more}. You will be told.", names.join(", "));
        }
    }
    text.push_str("</sortie-report>");
    text
}

/// Ended tasks with their results, one after the other.
#[must_use]
pub fn ends(ended: &[Ended]) -> String {
    let number = ended.len().max(1);
    let (bytes, lines) = ((REPORT_LIMIT / number).min(RESULT_LIMIT), (REPORT_LINES / number).clamp(1, RESULT_LINES));
    let mut text = String::new();
    for (at, end) in ended.iter().enumerate() {
        // Many long titles alone could pass what the host shows.
        if text.len() > REPORT_LIMIT {
            let _ = writeln!(text, "and {} more: see sortie_status", ended.len() - at);
            break;
        }
        let _ = writeln!(text, "## {} [{}] {}", label(&end.task), state(&end.task), end.task.id);
        if let Some(why) = reason(&end.task) {
            let _ = writeln!(text, "{why}");
        }
        if let Some(outcome) = end.outcome.as_ref().filter(|outcome| !outcome.text.is_empty()) {
            if end.task.state.name() != StateName::Complete {
                text.push_str("Partial result:\n");
            }
            let result = outcome.text.trim_end();
            let share = reach(result, bytes, lines);
            let _ = writeln!(text, "{}", cut(result, share));
            if result.len() > share {
                let _ = writeln!(text, "[whole: sortie_result {}]", end.task.id);
            }
        }
    }
    text
}

/// The state in a word or two.
#[must_use]
pub fn state(task: &Task) -> String {
    match &task.state {
        TaskState::Failed { failure, .. } => format!("failed: {}", failure.kind.as_str()),
        TaskState::Pending { waiting: Waiting::Backoff { .. }, .. } => {
            format!("pending: attempt {} failed", task.attempt)
        }
        TaskState::Pending { waiting: Waiting::Provider { .. }, .. } => {
            "pending: its provider asks for patience".to_owned()
        }
        TaskState::Pending { waiting: Waiting::Resume, .. } => "pending: to be resumed".to_owned(),
        other => other.name().as_str().to_owned(),
    }
}

/// Why a task is where it is, if that needs saying.
#[must_use]
pub fn reason(task: &Task) -> Option<String> {
    match &task.state {
        TaskState::Failed { failure, .. } | TaskState::Pending { waiting: Waiting::Backoff { failure, .. }, .. } => {
            Some(format!("{} ({})", failure.message, failure.class.as_str()))
        }
        TaskState::Cancelled { reason, .. } => Some(match reason {
            CancelReason::Request => "cancelled on request".to_owned(),
            CancelReason::Session => "its session was stopped in OpenCode".to_owned(),
            CancelReason::Dependency { on } => format!("the task it depends on did not complete: {on}"),
            CancelReason::Parent { task } => format!("the task that launched it was cancelled: {task}"),
        }),
        TaskState::Paused { reason: PauseReason::Interrupted, .. } => {
            Some("its process died; sortie_retry lets it go on, sortie_cancel ends it".to_owned())
        }
        TaskState::Paused { reason: PauseReason::User, .. } => Some("paused by the user".to_owned()),
        TaskState::Paused { reason: PauseReason::Budget(over), .. } => {
            Some(format!("{over}; the user raises it with /budget, or lets it go on with /resume"))
        }
        _ => None,
    }
}

/// How long a task has run or ran, from its launch: what a person waits for.
#[must_use]
pub fn age(task: &Task, now: Timestamp) -> Duration {
    task.state.ended_at().unwrap_or(now).since(task.created_at)
}

/// A duration in the fewest words that still tell: `840ms`, `3.2s`, `4m05s`, `2h10m`.
#[must_use]
pub fn duration(time: Duration) -> String {
    let (millis, seconds) = (time.as_millis(), time.as_secs());
    match seconds {
        0 => format!("{millis}ms"),
        1..60 => format!("{}.{}s", seconds, millis % 1000 / 100),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::testing::task,
        task::{ErrorClass, Failure, FailureKind, Usage},
    };

    fn ended(key: &str, text: &str) -> Ended {
        let mut task = task(key);
        task.state = TaskState::Complete { ended_at: Timestamp(3_200) };
        Ended { task, outcome: Some(Outcome { text: text.to_owned(), usage: Usage::default() }) }
    }

    #[test]
    fn a_report_holds_the_results_and_what_is_open() {
        let mut failed = ended("b", "half");
        let failure =
            Failure { kind: FailureKind::Timeout, class: ErrorClass::Limit, message: "no end after 600 s".to_owned() };
        failed.task.state = TaskState::Failed { ended_at: Timestamp(9), failure };
        let text = report(&[ended("a", "all good\n"), failed], &[task("c")]);
        let id = task("a").id;
        assert_eq!(
            text,
            format!(
                "<sortie-report>\n## a \"title of a\" [complete] {id}\nall good\n## b \"title of b\" [failed: timeout] \
                 {}\nno end after 600 s (limit)\nPartial result:\nhalf\nStill open: c \"title of c\" (pending). You \
                 will be told.\n</sortie-report>",
                task("b").id
            )
        );
    }

    #[test]
    fn many_long_results_share_the_space() {
        let ends: Vec<_> = (0..50).map(|n| ended(&format!("t{n}"), &"x".repeat(100_000))).collect();
        let text = report(&ends, &[]);
        assert!(text.len() < REPORT_LIMIT + 50 * 256, "{}", text.len());
        let ends: Vec<_> = (0..100).map(|n| ended(&format!("t{n}"), &"x\n".repeat(50_000))).collect();
        let text = report(&ends, &[]);
        assert!(text.len() < 50 * 1024 && text.lines().count() < 2_000, "{} {}", text.len(), text.lines().count());
        assert!(text.contains("[whole: sortie_result tsk_"));
    }

    #[test]
    fn durations_read_well() {
        for (millis, text) in [(0, "0ms"), (840, "840ms"), (3_260, "3.2s"), (245_000, "4m05s"), (7_800_000, "2h10m")] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }
}
