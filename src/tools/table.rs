//! Tasks as a table for people and models, and as JSON for machines.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::{
    engine::{
        handoff::cut,
        ops::Seen,
        report_text::{age, duration, reason, state},
        service::Attachment,
    },
    task::{StateName, TaskState, Usage, Waiting},
};

/// A line for each task, and a line of sums.
#[must_use]
pub fn table(to: &Attachment, seen: &[Seen]) -> String {
    let rows: Vec<[String; 7]> = seen.iter().map(|seen| row(to, seen)).collect();
    let head = ["task", "state", "agent", "try", "time", "tokens", "title"].map(str::to_owned);
    let mut widths = [0; 7];
    for row in std::iter::once(&head).chain(&rows) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in std::iter::once(&head).chain(&rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push_str(&sums(seen));
    text
}

fn row(to: &Attachment, seen: &Seen) -> [String; 7] {
    let task = &seen.task;
    let tokens = usage(seen).tokens.total();
    let note = waits(to, seen).or_else(|| reason(task)).map(|note| format!(": {note}")).unwrap_or_default();
    let key = task.spec.key.as_deref().map(|key| format!("{key} · ")).unwrap_or_default();
    [
        task.id.to_string(),
        state(task),
        task.spec.agent.to_string(),
        format!("{}/{}", task.attempt, task.spec.max_attempts),
        duration(age(task, to.now())),
        if tokens == 0 { "-".to_owned() } else { tokens.to_string() },
        format!("{key}{}{note}", task.spec.title),
    ]
}

fn usage(seen: &Seen) -> Usage {
    let ended = seen.outcome.as_ref().map(|outcome| outcome.usage);
    ended.or_else(|| seen.glance.as_ref().map(|glance| glance.usage)).unwrap_or_default()
}

/// What an open task waits for, in words.
fn waits(to: &Attachment, seen: &Seen) -> Option<String> {
    let task = &seen.task;
    match &task.state {
        TaskState::Running { .. } => seen.glance.as_ref()?.waiting(),
        TaskState::Pending { waiting: Waiting::Turn | Waiting::Resume | Waiting::Provider { .. }, .. } => {
            if let Some(over) = to.held_by(task) {
                return Some(format!("waits: {over}"));
            }
            if let Some(reason) = to.waits(task) {
                return Some(format!("waits: {reason}"));
            }
            let on: Vec<_> = task.spec.depends_on.iter().map(ToString::to_string).collect();
            (!on.is_empty()).then(|| format!("waits: {}", on.join(", ")))
        }
        _ => None,
    }
}

fn sums(seen: &[Seen]) -> String {
    let parts: Vec<_> = StateName::ALL
        .into_iter()
        .filter_map(|name| {
            let number = seen.iter().filter(|seen| seen.task.state.name() == name).count();
            (number > 0).then(|| format!("{number} {}", name.as_str()))
        })
        .collect();
    parts.join(", ")
}

/// How many bytes the JSON may have: the host cuts longer answers, and half a JSON is none.
const JSON_LIMIT: usize = 46 * 1024;

/// The same for machines: `{"version": 1, "total", "omitted", "tasks": […]}`. Of more tasks than fit, the newest are
/// kept, oldest first; the results share what room is left, and `resultBytes` tells how long each is.
#[must_use]
pub fn json(to: &Attachment, seen: &[Seen]) -> Value {
    let mut kept = Vec::new();
    let mut bytes = 100;
    for seen in seen.iter().rev() {
        let entry = entry(to, seen);
        bytes += entry.to_string().len() + 1;
        if bytes > JSON_LIMIT {
            break;
        }
        kept.push((entry, seen));
    }
    kept.reverse();
    // In JSON a line break takes two bytes.
    let share = JSON_LIMIT.saturating_sub(bytes) / kept.len().max(1) / 2;
    let omitted = seen.len() - kept.len();
    let tasks: Vec<_> = kept
        .into_iter()
        .map(|(mut entry, seen)| {
            if let Some(outcome) = &seen.outcome {
                entry["result"] = cut(&outcome.text, share).into();
            }
            entry
        })
        .collect();
    json!({ "version": 1, "total": seen.len(), "omitted": omitted, "tasks": tasks })
}

fn entry(to: &Attachment, seen: &Seen) -> Value {
    let (task, usage) = (&seen.task, usage(seen));
    json!({
                "id": task.id,
                "key": task.spec.key,
                "title": task.spec.title,
                "agent": task.spec.agent,
                "state": task.state.name(),
                "detail": waits(to, seen).or_else(|| reason(task)),
                "failure": match &task.state { TaskState::Failed { failure, .. } => Some(failure), _ => None },
                "attempt": task.attempt,
                "maxAttempts": task.spec.max_attempts,
                "timeout": task.limit().as_secs(),
                "fallback": task.recovery.model.as_ref().map(ToString::to_string),
                "interruptions": task.interruptions,
                "priority": task.spec.priority,
                "dependsOn": task.spec.depends_on,
                "continues": task.spec.continues,
                "retryOf": task.spec.retry_of,
                "directory": task.spec.directory,
                "parentSession": task.spec.parent.session,
                "session": task.session(),
                "createdAt": task.created_at,
                "endedAt": task.state.ended_at(),
                "ms": u64::try_from(age(task, to.now()).as_millis()).unwrap_or(u64::MAX),
                "tokens": usage.tokens,
                "cost": usage.cost,
                "diff": usage.diff,
                "toolCalls": seen.glance.as_ref().map(|glance| glance.tool_calls),
                "result": null,
                "resultBytes": seen.outcome.as_ref().map(|outcome| outcome.text.len()),
    })
}
