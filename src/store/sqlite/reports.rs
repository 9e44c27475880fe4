//! Who is told of which ends.

use rusqlite::{Connection, Row, Transaction};

use super::row::json_list;
use crate::{
    store::{Report, ReportId, StoreError, Via},
    task::{InstanceId, Parent, ProjectKey, TaskId, Timestamp},
};

macro_rules! project {
    () => {
        "project = (SELECT id FROM projects WHERE key = ?1)"
    };
}

// The directory comes from the row with the greatest `seq`: where the session was seen last.
const UNTOLD: &str = concat!(
    "SELECT parent_session, parent_directory, max(seq) FROM tasks WHERE ",
    project!(),
    " AND home = ?2 AND report IS NULL AND mission IS NULL AND ended_at IS NOT NULL GROUP BY parent_session ORDER BY min(seq)"
);
const READY_ALL: &str = concat!(
    "SELECT seq, id, parent_directory FROM tasks WHERE ",
    project!(),
    " AND home = ?2 AND parent_session = ?3 AND report IS NULL AND mission IS NULL AND ended_at IS NOT NULL ORDER BY seq LIMIT ?4"
);
const READY_ONLY: &str = concat!(
    "SELECT seq, id, parent_directory FROM tasks WHERE +",
    project!(),
    " AND id IN (SELECT value FROM json_each(?2)) AND +parent_session = ?3 AND report IS NULL \
     AND ended_at IS NOT NULL ORDER BY seq LIMIT ?4"
);
const INSERT: &str = "INSERT INTO reports (project, home, parent_session, parent_directory, via, message, item, \
    opened_at) SELECT id, ?2, ?3, ?4, ?5, ?6, ?7, ?8 FROM projects WHERE key = ?1";
const TAKE: &str = "UPDATE tasks SET report = ?2 WHERE seq = ?1";
const OPEN: &str = concat!(
    "SELECT reports.id, reports.parent_session, reports.parent_directory, via, message, item, tasks.id \
     FROM reports CROSS JOIN tasks ON tasks.report = reports.id WHERE reports.",
    project!(),
    " AND reports.home = ?2 AND settled_at IS NULL ORDER BY reports.id, tasks.seq"
);
const SETTLE: &str = "UPDATE reports SET sent = ?2, settled_at = ?3 WHERE id = ?1 AND settled_at IS NULL";
const FREE: &str = "UPDATE tasks SET report = NULL WHERE report = ?1";

#[cfg(test)]
pub(super) const SQL: [&str; 8] = [UNTOLD, READY_ALL, READY_ONLY, INSERT, TAKE, OPEN, SETTLE, FREE];

/// What a report is to hold.
pub(super) struct Wanted<'a> {
    pub project: &'a ProjectKey,
    pub home: InstanceId,
    pub parent_session: &'a str,
    pub only: Option<&'a [TaskId]>,
    pub limit: u32,
}

pub(super) fn untold(conn: &Connection, project: &ProjectKey, home: InstanceId) -> Result<Vec<Parent>, StoreError> {
    let mut statement = conn.prepare_cached(UNTOLD)?;
    let parents = statement.query_map((project.as_str(), home.to_string()), |row| {
        Ok(Parent { session: row.get(0)?, directory: row.get(1)? })
    })?;
    Ok(parents.collect::<Result<_, _>>()?)
}

pub(super) fn open(
    tx: &Transaction<'_>,
    wanted: &Wanted<'_>,
    via: &Via,
    now: Timestamp,
) -> Result<Option<Report>, StoreError> {
    let ready = ready(tx, wanted)?;
    let Some((_, _, directory)) = ready.last() else { return Ok(None) };
    let (kind, message, item) = match via {
        Via::Message { message, part } => ("message", message, part),
        Via::Tool { message, call } => ("tool", message, call),
    };
    let Wanted { project, home, parent_session, .. } = *wanted;
    let row = (project.as_str(), home.to_string(), parent_session, directory, kind, message, item, now.0);
    tx.prepare_cached(INSERT)?.execute(row)?;
    let id = tx.last_insert_rowid();
    let mut tasks = Vec::with_capacity(ready.len());
    for (seq, task, _) in &ready {
        tx.prepare_cached(TAKE)?.execute((seq, id))?;
        tasks.push(task_id(task)?);
    }
    let parent = Parent::new(parent_session, directory);
    Ok(Some(Report { id: ReportId(id), parent, via: via.clone(), tasks }))
}

/// The rows for a report: place, id, and the parent's directory.
fn ready(conn: &Connection, wanted: &Wanted<'_>) -> Result<Vec<(i64, String, String)>, StoreError> {
    let (sql, whose) = match wanted.only {
        Some(ids) => (READY_ONLY, json_list(ids)?),
        None => (READY_ALL, wanted.home.to_string()),
    };
    let mut statement = conn.prepare_cached(sql)?;
    let parameters = (wanted.project.as_str(), whose, wanted.parent_session, wanted.limit);
    let rows = statement.query_map(parameters, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn open_reports(
    conn: &Connection,
    project: &ProjectKey,
    home: InstanceId,
) -> Result<Vec<Report>, StoreError> {
    let mut statement = conn.prepare_cached(OPEN)?;
    let mut rows = statement.query((project.as_str(), home.to_string()))?;
    let mut reports: Vec<Report> = Vec::new();
    while let Some(row) = rows.next()? {
        let id = ReportId(row.get(0)?);
        let task = task_id(&row.get::<_, String>(6)?)?;
        match reports.last_mut() {
            Some(last) if last.id == id => last.tasks.push(task),
            _ => {
                let parent = Parent { session: row.get(1)?, directory: row.get(2)? };
                reports.push(Report { id, parent, via: via(row)?, tasks: vec![task] });
            }
        }
    }
    Ok(reports)
}

fn via(row: &Row<'_>) -> rusqlite::Result<Via> {
    let (kind, message, item): (String, _, _) = (row.get(3)?, row.get(4)?, row.get(5)?);
    Ok(if kind == "tool" { Via::Tool { message, call: item } } else { Via::Message { message, part: item } })
}

fn task_id(text: &str) -> Result<TaskId, StoreError> {
    text.parse().map_err(|error| StoreError::CorruptTask { task: text.to_owned(), reason: format!("its id: {error}") })
}

pub(super) fn settle(tx: &Transaction<'_>, report: ReportId, sent: bool, now: Timestamp) -> Result<(), StoreError> {
    let settled = tx.prepare_cached(SETTLE)?.execute((report.0, sent, now.0))?;
    if settled == 1 && !sent {
        tx.prepare_cached(FREE)?.execute([report.0])?;
    }
    Ok(())
}
