//! Lists of tasks for people.

use rusqlite::{Connection, OptionalExtension, ToSql, Transaction};

use super::row::{columns, decode, load};
use crate::{
    store::{StoreError, Totals, Wish},
    task::{ProjectKey, StateName, Task, TaskId, Timestamp},
};

macro_rules! list {
    ($archived:literal, $agent:literal, $order:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM tasks WHERE project = (SELECT id FROM projects WHERE key = ?1) AND state = ?2 AND archived_at IS ",
            $archived,
            " AND ",
            $agent,
            " ORDER BY seq ",
            $order,
            " LIMIT ?4"
        )
    };
}

// The index gives each state's rows in the order of their launch: none is read that is not shown.
const OLDEST: &str = list!("NULL", "?3 IS NULL", "");
const NEWEST: &str = list!("NULL", "?3 IS NULL", "DESC");
const OLDEST_OF: &str = list!("NULL", "agent = ?3", "");
const NEWEST_OF: &str = list!("NULL", "agent = ?3", "DESC");
const ARCHIVED: &str = list!("NOT NULL", "(?3 IS NULL OR agent = ?3)", "DESC");
const TOTALS: &str = "SELECT state, count FROM totals WHERE project = (SELECT id FROM projects WHERE key = ?1)";
const PREFIX: &str = "SELECT id FROM tasks WHERE id >= ?2 AND id < ?3 \
    AND +project = (SELECT id FROM projects WHERE key = ?1) ORDER BY id LIMIT ?4";
const BEFORE: &str = "SELECT id FROM tasks WHERE id < ?1 ORDER BY id DESC LIMIT 1";
const AFTER: &str = "SELECT id FROM tasks WHERE id > ?1 ORDER BY id LIMIT 1";
const ARCHIVE: &str =
    "UPDATE tasks SET archived_at = ?2 WHERE id = ?1 AND ended_at IS NOT NULL AND archived_at IS NULL";

#[cfg(test)]
pub(super) const SQL: [&str; 10] =
    [OLDEST, NEWEST, OLDEST_OF, NEWEST_OF, ARCHIVED, TOTALS, PREFIX, BEFORE, AFTER, ARCHIVE];

/// The states in the order in which they are shown.
const ORDER: [StateName; 6] = [
    StateName::Running,
    StateName::Paused,
    StateName::Pending,
    StateName::Failed,
    StateName::Cancelled,
    StateName::Complete,
];

/// The fewest digits of an id that are shown.
const SHORTEST: usize = 4;

pub(super) fn list(conn: &Connection, project: &ProjectKey, wish: &Wish, limit: u32) -> Result<Vec<Task>, StoreError> {
    let is_wanted = |state: &StateName| wish.states.is_empty() || wish.states.contains(state);
    let limit = limit as usize;
    let (mut found, mut ended) = (Vec::new(), Vec::new());
    for state in ORDER.into_iter().filter(is_wanted) {
        let sql = match (wish.archived, &wish.agent, state.is_terminal()) {
            (true, ..) => ARCHIVED,
            (false, None, false) => OLDEST,
            (false, None, true) => NEWEST,
            (false, Some(_), false) => OLDEST_OF,
            (false, Some(_), true) => NEWEST_OF,
        };
        let left = i64::try_from(limit.saturating_sub(found.len())).unwrap_or(i64::MAX);
        let parameters: [&dyn ToSql; 4] = [&project.as_str(), &state.as_str(), &wish.agent, &left];
        let mut statement = conn.prepare_cached(sql)?;
        let mut rows = statement.query(parameters)?;
        while let Some(row) = rows.next()? {
            let stored = decode(row)?;
            if state.is_terminal() { &mut ended } else { &mut found }.push(stored);
        }
    }
    ended.sort_by_key(|stored| std::cmp::Reverse(stored.seq));
    found.extend(ended);
    found.truncate(limit);
    Ok(found.into_iter().map(|stored| stored.task).collect())
}

pub(super) fn totals(conn: &Connection, project: &ProjectKey) -> Result<Totals, StoreError> {
    let mut statement = conn.prepare_cached(TOTALS)?;
    let mut rows = statement.query([project.as_str()])?;
    let mut totals = Totals::default();
    while let Some(row) = rows.next()? {
        let (state, count) = (row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?, row.get::<_, i64>(1)?);
        match StateName::ALL.iter().position(|name| name.as_str() == state) {
            Some(at) => totals.states[at] = count.unsigned_abs(),
            None => totals.archived = count.unsigned_abs(),
        }
    }
    Ok(totals)
}

pub(super) fn with_prefix(
    conn: &Connection,
    project: &ProjectKey,
    prefix: &str,
    limit: u32,
) -> Result<Vec<TaskId>, StoreError> {
    // Behind every character that an id can have.
    let end = format!("{prefix}~");
    let mut statement = conn.prepare_cached(PREFIX)?;
    let rows = statement.query_map((project.as_str(), prefix, end, limit), |row| row.get::<_, String>(0))?;
    rows.map(|id| parse(&id?)).collect()
}

pub(super) fn short_ids(conn: &Connection, ids: &[TaskId]) -> Result<Vec<String>, StoreError> {
    let neighbour = |sql: &str, id: &str| -> Result<Option<String>, StoreError> {
        Ok(conn.prepare_cached(sql)?.query_row([id], |row| row.get(0)).optional()?)
    };
    let prefix = TaskId::PREFIX.len();
    let mut short = Vec::with_capacity(ids.len());
    for id in ids {
        let id = id.to_string();
        let (before, after) = (neighbour(BEFORE, &id)?, neighbour(AFTER, &id)?);
        let shared = |other: Option<String>| {
            let other = other.unwrap_or_default();
            id.bytes().zip(other.bytes()).take_while(|(one, two)| one == two).count()
        };
        let length = shared(before).max(shared(after)).max(prefix + SHORTEST - 1) + 1;
        short.push(id[prefix..length.min(id.len())].to_owned());
    }
    Ok(short)
}

pub(super) fn archive(tx: &Transaction<'_>, ids: &[TaskId], now: Timestamp) -> Result<Vec<TaskId>, StoreError> {
    let mut archived = Vec::new();
    for id in ids {
        load(tx, *id)?;
        if tx.prepare_cached(ARCHIVE)?.execute((id.to_string(), now.0))? == 1 {
            archived.push(*id);
        }
    }
    Ok(archived)
}

fn parse(id: &str) -> Result<TaskId, StoreError> {
    id.parse().map_err(|error| StoreError::CorruptTask { task: id.to_owned(), reason: format!("its id: {error}") })
}
