//! Missions and their steps.

use rusqlite::{Connection, ErrorCode, Row, Transaction};

use super::{
    launch::{self, project_row},
    row::integer,
    todo,
    todo_recent::Recent,
};
use crate::{
    store::{MissionFilter, MissionRow, MissionStep, StoreError},
    task::{ProjectKey, Timestamp},
};

macro_rules! select {
    ($where:literal) => {
        concat!(
            "SELECT id, tag, session, home, over, rev, created_at, body FROM missions \
             WHERE +project = (SELECT id FROM projects WHERE key = ?1) AND ",
            $where,
            " ORDER BY +seq"
        )
    };
}

const OF_SESSION: &str = select!("session = ?2");
const OPEN: &str = "SELECT id, tag, session, home, over, rev, created_at, body FROM missions \
    WHERE project = (SELECT id FROM projects WHERE key = ?1) AND over = 0 ORDER BY +seq";
const ALL: &str = "SELECT id, tag, session, home, over, rev, created_at, body FROM missions \
    WHERE project = (SELECT id FROM projects WHERE key = ?1) ORDER BY +seq";
const OWN: &str = "SELECT count(*), coalesce(sum(report IS NULL OR EXISTS ( \
        SELECT 1 FROM reports WHERE reports.id = tasks.report AND settled_at IS NULL AND via = 'message')), 0) FROM tasks \
    WHERE +project = (SELECT id FROM projects WHERE key = ?1) AND parent_session = ?2 AND mission IS NULL \
    AND created_at >= ?3";
const COUNT: &str = "SELECT count(*) FROM missions WHERE project = (SELECT id FROM projects WHERE key = ?1)";
const INSERT: &str = "INSERT INTO missions (id, project, tag, session, home, over, rev, created_at, body) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?8)";
const UPDATE: &str =
    "UPDATE missions SET home = ?2, over = ?3, rev = ?4, body = ?5 WHERE id = ?1 AND rev = ?4 - 1 AND over = 0";
const JOURNAL: &str =
    "INSERT INTO mission_journal (mission, rev, at, step) SELECT seq, ?2, ?3, ?4 FROM missions WHERE id = ?1";

#[cfg(test)]
pub(super) const SQL: [&str; 7] = [OF_SESSION, OPEN, OWN, COUNT, INSERT, UPDATE, JOURNAL];

pub(super) fn missions(
    conn: &Connection,
    project: &ProjectKey,
    filter: &MissionFilter,
) -> Result<Vec<MissionRow>, StoreError> {
    let mut statement = match (&filter.session, filter.open) {
        (Some(_), _) => conn.prepare_cached(OF_SESSION)?,
        (None, true) => conn.prepare_cached(OPEN)?,
        (None, false) => conn.prepare_cached(ALL)?,
    };
    let mut rows = match &filter.session {
        Some(session) => statement.query((project.as_str(), session))?,
        None => statement.query([project.as_str()])?,
    };
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let row = decode(project, row)?;
        if !(filter.open && row.over) {
            found.push(row);
        }
    }
    Ok(found)
}

fn decode(project: &ProjectKey, row: &Row<'_>) -> Result<MissionRow, StoreError> {
    let id: String = row.get(0)?;
    let corrupt = |reason: String| StoreError::CorruptMission { mission: id.clone(), reason };
    let home: String = row.get(3)?;
    Ok(MissionRow {
        id: id.parse().map_err(|error| corrupt(format!("its id: {error}")))?,
        project: project.clone(),
        tag: row.get(1)?,
        session: row.get(2)?,
        home: home.parse().map_err(|error| corrupt(format!("its home: {error}")))?,
        over: row.get(4)?,
        rev: row.get::<_, i64>(5)?.unsigned_abs(),
        created_at: Timestamp(row.get(6)?),
        body: row.get(7)?,
    })
}

pub(super) fn tag(conn: &Connection, project: &ProjectKey) -> Result<String, StoreError> {
    // Missions are never deleted.
    let count: i64 = conn.prepare_cached(COUNT)?.query_row([project.as_str()], |row| row.get(0))?;
    Ok(format!("m{}", count + 1))
}

pub(super) fn own_tasks(
    conn: &Connection,
    project: &ProjectKey,
    session: &str,
    since: Timestamp,
) -> Result<(usize, usize), StoreError> {
    let counted = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
    let (all, open) = conn.prepare_cached(OWN)?.query_row((project.as_str(), session, since.0), counted)?;
    let size = |count: i64| usize::try_from(count).unwrap_or(0);
    Ok((size(all), size(open)))
}

pub(super) fn step(
    tx: &Transaction<'_>,
    step: &MissionStep,
    now: Timestamp,
    recent: &Recent,
) -> Result<(), StoreError> {
    let MissionRow { id, project, tag, session, home, over, rev, created_at, body } = &step.mission;
    let (id, home) = (id.to_string(), home.to_string());
    if *rev == 0 {
        let project = project_row(tx, project)?;
        let row = (&id, project, tag, session, home, over, created_at.0, body);
        match tx.prepare_cached(INSERT)?.execute(row) {
            Ok(_) => {}
            // Somebody else has taken the tag.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                return Err(StoreError::Moved);
            }
            Err(error) => return Err(error.into()),
        }
    } else if tx.prepare_cached(UPDATE)?.execute((&id, home, over, integer(*rev), body))? != 1 {
        return Err(StoreError::Moved);
    }
    tx.prepare_cached(JOURNAL)?.execute((&id, integer(*rev), now.0, &step.step))?;
    if let Some(commit) = &step.todo {
        todo::commit(tx, commit, now, recent)?;
    }
    launch::launch(tx, &step.launch)
}
