//! Changes of one task, with what follows from them.

use std::collections::VecDeque;

use rusqlite::{Connection, Transaction};

use super::{
    queue::unblock,
    row::{Stored, columns, decode, integer, json, load, update},
};
use crate::{
    fault::floor,
    store::{Cascaded, Changed, StoreError},
    task::{CancelReason, Change, Guard, Outcome, StateName, Step, Task, TaskId, Timestamp, Usage, transition},
};

/// The longest result text that is kept, in bytes. A whole answer of today's models is far below it.
pub const MAX_TEXT: usize = 1 << 20;

const JOURNAL: &str = "INSERT INTO journal (task, rev, project, at, change, from_state, to_state, fence, detail) \
    SELECT ?1, ?2, project, ?3, ?4, ?5, ?6, ?7, ?8 FROM tasks WHERE seq = ?1";
const RESULT: &str = "INSERT OR REPLACE INTO results (task, text, usage) VALUES (?1, ?2, ?3)";
const DEPENDANTS: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM dependencies CROSS JOIN tasks ON tasks.seq = dependencies.task \
     WHERE dependencies.dependency = ?1 AND tasks.ended_at IS NULL ORDER BY tasks.seq"
);
const CHILDREN: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM task_sessions CROSS JOIN tasks ON tasks.parent_session = task_sessions.session \
     WHERE task_sessions.task = ?1 AND tasks.ended_at IS NULL ORDER BY tasks.seq"
);

#[cfg(test)]
pub(super) const SQL: [&str; 6] = [JOURNAL, RESULT, DEPENDANTS, CHILDREN, SET_SETTING, UNSET_SETTING];

const SET_SETTING: &str = "INSERT OR REPLACE INTO settings (name, value) VALUES (?1, ?2)";
const UNSET_SETTING: &str = "DELETE FROM settings WHERE name = ?1";

pub(super) fn change(
    tx: &Transaction<'_>,
    id: TaskId,
    guard: Guard,
    change: &Change,
    outcome: Option<&Outcome>,
    now: Timestamp,
) -> Result<Changed, StoreError> {
    let stored = load(tx, id)?;
    let step = apply(tx, &stored, guard, change, now)?;
    if let Some(outcome) = outcome {
        keep(tx, stored.seq, outcome)?;
    }
    let cascaded = cascade(tx, &Stored { seq: stored.seq, task: step.task.clone() }, now)?;
    Ok(Changed { step, cascaded })
}

/// Makes one change on a row and writes its journal row.
pub(super) fn apply(
    conn: &Connection,
    stored: &Stored,
    guard: Guard,
    change: &Change,
    now: Timestamp,
) -> Result<Step, StoreError> {
    let step = transition(&stored.task, guard, change, now)?;
    update(conn, stored.seq, &stored.task, &step.task)?;
    journal(conn, stored.seq, Some(step.from), &step.task, step.change, &json(change)?, now)?;
    if *change == Change::Complete {
        unblock(conn, stored.seq)?;
    }
    Ok(step)
}

/// Adds a journal row for a task as it is now.
pub(super) fn journal(
    conn: &Connection,
    seq: i64,
    from: Option<StateName>,
    task: &Task,
    verb: &str,
    detail: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (from, to) = (from.map(StateName::as_str), task.state.name().as_str());
    let (rev, fence) = (integer(task.rev.0), integer(task.fence.0));
    conn.prepare_cached(JOURNAL)?.execute((seq, rev, now.0, verb, from, to, fence, detail))?;
    Ok(())
}

/// Cancels what can no longer run after `root` ended: dependants of a failed or cancelled task, children of a
/// cancelled one, and so on, each with the task that directly caused it.
pub(super) fn cascade(conn: &Connection, root: &Stored, now: Timestamp) -> Result<Vec<Cascaded>, StoreError> {
    let mut cascaded = Vec::new();
    let mut ended = VecDeque::from([(root.seq, root.task.id, root.task.state.name())]);
    while let Some((seq, id, state)) = ended.pop_front() {
        let mut doomed = Vec::new();
        if matches!(state, StateName::Failed | StateName::Cancelled) {
            let reason = CancelReason::Dependency { on: id };
            doomed.extend(rows(conn, DEPENDANTS, seq)?.into_iter().map(|stored| (stored, reason.clone())));
        }
        if state == StateName::Cancelled {
            let reason = CancelReason::Parent { task: id };
            for stored in rows(conn, CHILDREN, seq)? {
                // A child that also depends on it is cancelled once.
                if doomed.iter().all(|(other, _)| other.seq != stored.seq) {
                    doomed.push((stored, reason.clone()));
                }
            }
        }
        for (stored, reason) in doomed {
            let step = apply(conn, &stored, Guard::Anyone, &Change::Cancel { reason }, now)?;
            ended.push_back((stored.seq, step.task.id, StateName::Cancelled));
            cascaded.push(Cascaded { task: step.task, from: step.from });
        }
    }
    Ok(cascaded)
}

fn rows(conn: &Connection, sql: &str, seq: i64) -> Result<Vec<Stored>, StoreError> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([seq])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(decode(row)?);
    }
    Ok(found)
}

fn keep(conn: &Connection, seq: i64, outcome: &Outcome) -> Result<(), StoreError> {
    // JSON has no word for them, and a cost that is none must not make the row unreadable.
    let cost = if outcome.usage.cost.is_finite() { outcome.usage.cost } else { 0.0 };
    let usage = json(&Usage { cost, ..outcome.usage })?;
    conn.prepare_cached(RESULT)?.execute((seq, bounded(&outcome.text), usage))?;
    Ok(())
}

/// The text, cut to [`MAX_TEXT`] bytes with a closing note if it is longer.
fn bounded(text: &str) -> std::borrow::Cow<'_, str> {
    /// Room for the note with any two lengths.
    const NOTE: usize = 96;
    if text.len() <= MAX_TEXT {
        return text.into();
    }
    let end = floor(text, MAX_TEXT - NOTE);
    format!("{}\n\n[Cut by Sortie: the first {end} of {} bytes were kept.]", &text[..end], text.len()).into()
}

pub(super) fn set_setting(conn: &Connection, name: &str, value: Option<&str>) -> Result<(), StoreError> {
    match value {
        Some(value) => conn.prepare_cached(SET_SETTING)?.execute((name, value))?,
        None => conn.prepare_cached(UNSET_SETTING)?.execute([name])?,
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters_and_says_so() {
        assert_eq!(bounded(&"é".repeat(MAX_TEXT / 2)).len(), MAX_TEXT);
        for width in 0..4 {
            let text = format!("{}{}", "x".repeat(width), "𝄞".repeat(MAX_TEXT / 4));
            let text = if text.len() > MAX_TEXT { text } else { format!("{text}!") };
            let cut = bounded(&text);
            assert!(cut.len() <= MAX_TEXT && cut.len() > MAX_TEXT - 200);
            assert!(cut.ends_with(&format!("of {} bytes were kept.]", text.len())), "{}", &cut[cut.len() - 80..]);
        }
    }
}
