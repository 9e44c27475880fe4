//! Questions about tasks.

use rusqlite::{Connection, OptionalExtension, params_from_iter, types::Value};

use super::row::{columns, decode, json_list};
use crate::{
    store::{Filter, JournalRow, StoreError},
    task::{Outcome, ProjectKey, Rev, StateName, Task, TaskId, Timestamp},
};

// By the state, and the first one found is enough: where many wait, one of them is found at once.
const HAS_OPEN: &str = "SELECT EXISTS (SELECT 1 FROM tasks WHERE project = (SELECT id FROM projects WHERE key = ?1) \
    AND state IN ('pending', 'running', 'paused') AND +parent_session = ?2 AND mission IS NULL)";
const OUTCOME: &str =
    "SELECT results.text, results.usage FROM tasks CROSS JOIN results ON results.task = tasks.seq WHERE tasks.id = ?1";
const JOURNAL: &str = "SELECT journal.seq, tasks.id, journal.rev, at, change, from_state, to_state, journal.fence, \
    detail FROM journal CROSS JOIN tasks ON tasks.seq = journal.task \
    WHERE journal.project = (SELECT id FROM projects WHERE key = ?1) AND journal.seq > ?2 ORDER BY journal.seq LIMIT ?3";
const SETTING: &str = "SELECT value FROM settings WHERE name = ?1";

#[cfg(test)]
pub(super) const SQL: [&str; 4] = [HAS_OPEN, OUTCOME, JOURNAL, SETTING];

pub(super) fn tasks(conn: &Connection, project: &ProjectKey, filter: &Filter) -> Result<Vec<Task>, StoreError> {
    let (sql, parameters) = select(project, filter)?;
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(parameters))?;
    let mut tasks = Vec::new();
    while let Some(row) = rows.next()? {
        tasks.push(decode(row)?.task);
    }
    if filter.newest.is_some() {
        tasks.reverse();
    }
    Ok(tasks)
}

/// The query of a filter. The first condition that is given, from the most selective one, is to be searched by its
/// index; a `+` keeps the planner, which has no statistics, from choosing another.
pub(super) fn select(project: &ProjectKey, filter: &Filter) -> Result<(String, Vec<Value>), StoreError> {
    let mut given: Vec<(&str, Value)> = Vec::new();
    if let Some(ids) = &filter.ids {
        given.push(("id IN (SELECT value FROM json_each(?))", json_list(ids)?.into()));
    }
    if let Some(session) = &filter.session {
        given.push(("seq IN (SELECT task FROM task_sessions WHERE session = ?)", session.clone().into()));
    }
    if let Some(session) = &filter.parent_session {
        given.push(("parent_session = ?", session.clone().into()));
    }
    let ours = "project = (SELECT id FROM projects WHERE key = ?)";
    let by_project = given.is_empty();
    given.push((ours, project.as_str().to_owned().into()));
    if let Some(key) = &filter.key {
        given.push(("key = ?", key.clone().into()));
    }
    if !filter.states.is_empty() {
        let states = json_list(filter.states.iter().map(|state| state.as_str()))?;
        given.push(("state IN (SELECT value FROM json_each(?))", states.into()));
    }
    if let Some(home) = filter.home {
        given.push(("+home = ?", home.to_string().into()));
    }
    let mut sql = String::from(concat!("SELECT ", columns!(), " FROM tasks WHERE "));
    let mut parameters = Vec::new();
    for (place, (condition, value)) in given.into_iter().enumerate() {
        // An index of the project goes on with the key or the state: that one stays free too.
        let free = place == 0 || (by_project && place == 1) || condition.starts_with('+');
        sql.push_str(if place == 0 { "" } else { " AND " });
        sql.push_str(if free { "" } else { "+" });
        sql.push_str(condition);
        parameters.push(value);
    }
    // A `+` here too: sorting few rows is better than walking all of a project in order. Only the newest of the
    // ended ones are found sooner by walking.
    let walks = filter.states.is_empty() || (filter.newest.is_some() && filter.states.iter().any(|s| s.is_terminal()));
    sql.push_str(if walks { " ORDER BY seq" } else { " ORDER BY +seq" });
    if let Some(newest) = filter.newest {
        sql.push_str(" DESC LIMIT ?");
        parameters.push(i64::from(newest).into());
    }
    Ok((sql, parameters))
}

pub(super) fn has_open(conn: &Connection, project: &ProjectKey, parent_session: &str) -> Result<bool, StoreError> {
    Ok(conn.prepare_cached(HAS_OPEN)?.query_row((project.as_str(), parent_session), |row| row.get(0))?)
}

pub(super) fn outcome(conn: &Connection, task: TaskId) -> Result<Option<Outcome>, StoreError> {
    let mut statement = conn.prepare_cached(OUTCOME)?;
    let row = statement.query_row([task.to_string()], |row| Ok((row.get(0)?, row.get::<_, String>(1)?))).optional()?;
    let Some((text, usage)) = row else { return Ok(None) };
    let usage = serde_json::from_str(&usage)
        .map_err(|error| StoreError::CorruptTask { task: task.to_string(), reason: format!("its usage: {error}") })?;
    Ok(Some(Outcome { text, usage }))
}

pub(super) fn journal(
    conn: &Connection,
    project: &ProjectKey,
    after: i64,
    limit: u32,
) -> Result<Vec<JournalRow>, StoreError> {
    let mut statement = conn.prepare_cached(JOURNAL)?;
    let mut rows = statement.query((project.as_str(), after, limit))?;
    let mut journal = Vec::new();
    while let Some(row) = rows.next()? {
        let task: String = row.get(1)?;
        let from: Option<String> = row.get(5)?;
        journal.push(JournalRow {
            seq: row.get(0)?,
            task: task.parse().map_err(|error| StoreError::CorruptTask { task, reason: format!("{error}") })?,
            project: project.clone(),
            rev: Rev(row.get::<_, i64>(2)?.unsigned_abs()),
            at: Timestamp(row.get(3)?),
            change: row.get(4)?,
            from: from.as_deref().map(state).transpose()?,
            to: state(&row.get::<_, String>(6)?)?,
            fence: row.get::<_, i64>(7)?.unsigned_abs(),
            detail: row.get(8)?,
        });
    }
    Ok(journal)
}

fn state(text: &str) -> Result<StateName, StoreError> {
    let known = StateName::ALL.into_iter().find(|state| state.as_str() == text);
    known.ok_or_else(|| StoreError::Internal(format!("no state is called {text}")))
}

pub(super) fn setting(conn: &Connection, name: &str) -> Result<Option<String>, StoreError> {
    Ok(conn.prepare_cached(SETTING)?.query_row([name], |row| row.get(0)).optional()?)
}
