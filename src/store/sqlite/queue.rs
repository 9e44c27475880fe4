//! What waits and what runs, and the claim of what starts.
//!
//! What a look costs grows with the number of lanes, not with that of waiting tasks.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, ToSql, Transaction};

use super::{
    read::setting,
    row::{json, load, priority, project_id},
    write::apply,
};
use crate::{
    store::{Candidate, Elsewhere, Head, Lane, Queue, Scheduler, StoreError, Wanted, limits_setting},
    task::{Change, Guard, InstanceId, ProjectKey, Task, TaskId, Timestamp},
};

macro_rules! next_lane {
    ($after:literal) => {
        concat!(
            "SELECT project, home, agent, model, place FROM tasks WHERE state = 'pending' AND blocked = 0 AND ",
            $after,
            " ORDER BY project, home, agent, model, place LIMIT 1"
        )
    };
}

const RUNNING: &str = "SELECT project, agent, model, home, count(*) FROM tasks WHERE state = 'running' \
    GROUP BY project, agent, model, home";
/// The lane after one, by one seek at each level of the index, from the innermost. (Compared as one row of four values,
/// `SQLite` begins at the lane itself, and reads all that waits in it.)
const NEXT_LANES: [&str; 4] = [
    next_lane!("project = ?1 AND home = ?2 AND agent = ?3 AND model > ?4"),
    next_lane!("project = ?1 AND home = ?2 AND agent > ?3"),
    next_lane!("project = ?1 AND home > ?2"),
    next_lane!("project > ?1"),
];
const CANDIDATES: &str = "SELECT id, priority, place, seq, parent_session FROM tasks \
    WHERE state = 'pending' AND blocked = 0 AND project = ?1 AND home = ?2 AND agent = ?3 AND model = ?4 \
    AND (not_before IS NULL OR not_before <= ?5) AND (attempt > 0 OR ?7) \
    AND (mission IS NULL OR (mission NOT IN (SELECT value FROM json_each(?8)) \
        AND (attempt > 0 OR mission NOT IN (SELECT value FROM json_each(?9))))) \
    ORDER BY place, seq LIMIT ?6";
const ONE: &str = "SELECT id, priority, place, seq, parent_session, agent, model FROM tasks \
    WHERE id = ?1 AND +state = 'pending' AND +blocked = 0 AND +project = ?2 AND +home IN (?3, ?4) \
    AND (not_before IS NULL OR not_before <= ?5)";
const NEXT_DUE: &str = "SELECT min(not_before) FROM tasks \
    WHERE project = (SELECT id FROM projects WHERE key = ?1) AND home = ?2 AND state = 'pending' AND not_before > ?3";
const PROVIDERS: &str = "SELECT name, body FROM providers ORDER BY name";
const PROVIDER: &str = "SELECT body FROM providers WHERE name = ?1";
const SET_PROVIDER: &str = "INSERT OR REPLACE INTO providers (name, body) VALUES (?1, ?2)";

const UNBLOCK: &str = "UPDATE tasks SET blocked = blocked - 1 \
    WHERE seq IN (SELECT task FROM dependencies WHERE dependency = ?1) AND ended_at IS NULL";

#[cfg(test)]
pub(super) const SQL: [&str; 12] = {
    let [model, agent, home, project] = NEXT_LANES;
    [RUNNING, model, agent, home, project, CANDIDATES, ONE, NEXT_DUE, PROVIDERS, PROVIDER, SET_PROVIDER, UNBLOCK]
};

pub(super) fn queue(
    conn: &Connection,
    project: &ProjectKey,
    home: InstanceId,
    now: Timestamp,
    wanted: &Wanted,
) -> Result<Queue, StoreError> {
    let Some(id) = project_id(conn, project)? else { return Ok(Queue::default()) };
    let (mut candidates, heads) = match wanted.only {
        Some(task) => (one(conn, id, home, now, task)?, Vec::new()),
        None => waiting(conn, id, home, now, wanted)?,
    };
    candidates.sort_by_key(|candidate| (candidate.place, candidate.seq));
    let limits = [setting(conn, &limits_setting(Some(project)))?, setting(conn, &limits_setting(None))?];
    Ok(Queue { candidates, heads, running: running(conn, id, home)?, providers: providers(conn)?, limits })
}

fn waiting(
    conn: &Connection,
    project: i64,
    me: InstanceId,
    now: Timestamp,
    wanted: &Wanted,
) -> Result<(Vec<Candidate>, Vec<Head>), StoreError> {
    let own = me.to_string();
    let (without, without_fresh) = (json(&wanted.without)?, json(&wanted.without_fresh)?);
    let (mut candidates, mut heads) = (Vec::new(), Vec::new());
    let mut last = (i64::MIN, String::new(), String::new(), String::new());
    while let Some((lane, place)) = next_lane(conn, &last)? {
        last = lane;
        let (of, home, agent, model) = &last;
        let lane = Lane { agent: agent.as_str().into(), model: model.as_str().into() };
        if *home != own {
            heads.push(Head { same_project: *of == project, lane, home: instance(home)?, place });
        } else if *of == project {
            let lane = Arc::new(lane);
            let mut statement = conn.prepare_cached(CANDIDATES)?;
            let (depth, fresh) = (wanted.depth, wanted.fresh);
            let mut rows = statement.query((of, home, agent, model, now.0, depth, fresh, &without, &without_fresh))?;
            while let Some(row) = rows.next()? {
                candidates.push(candidate(row, Arc::clone(&lane))?);
            }
        }
    }
    Ok((candidates, heads))
}

fn one(
    conn: &Connection,
    project: i64,
    home: InstanceId,
    now: Timestamp,
    task: TaskId,
) -> Result<Vec<Candidate>, StoreError> {
    let mut statement = conn.prepare_cached(ONE)?;
    let mut rows =
        statement.query((task.to_string(), project, home.to_string(), InstanceId::QUEUE.to_string(), now.0))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(candidate(row, Arc::new(Lane { agent: row.get(5)?, model: row.get(6)? }))?);
    }
    Ok(found)
}

fn candidate(row: &Row<'_>, lane: Arc<Lane>) -> Result<Candidate, StoreError> {
    let id: String = row.get(0)?;
    let corrupt = |reason| StoreError::CorruptTask { task: id.clone(), reason };
    Ok(Candidate {
        id: id.parse().map_err(|error| corrupt(format!("its id: {error}")))?,
        lane,
        priority: priority(row.get(1)?).ok_or_else(|| corrupt("its priority is none".to_owned()))?,
        place: Timestamp(row.get(2)?),
        seq: row.get(3)?,
        parent: row.get(4)?,
    })
}

/// A lane of the index: project, home, agent, model.
type LaneRow = (i64, String, String, String);

/// The first lane after `last` in which something waits, with the place of its first task.
fn next_lane(conn: &Connection, last: &LaneRow) -> Result<Option<(LaneRow, Timestamp)>, StoreError> {
    let after: [&dyn ToSql; 4] = [&last.0, &last.1, &last.2, &last.3];
    for (level, sql) in NEXT_LANES.into_iter().enumerate() {
        let found = conn
            .prepare_cached(sql)?
            .query_row(&after[..after.len() - level], |row| {
                Ok(((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?), Timestamp(row.get(4)?)))
            })
            .optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn running(conn: &Connection, project: i64, me: InstanceId) -> Result<Vec<Elsewhere>, StoreError> {
    let own = me.to_string();
    let mut statement = conn.prepare_cached(RUNNING)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let home: String = row.get(3)?;
        if home != own {
            found.push(Elsewhere {
                same_project: row.get::<_, i64>(0)? == project,
                lane: Lane { agent: row.get(1)?, model: row.get(2)? },
                home: instance(&home)?,
                count: row.get(4)?,
            });
        }
    }
    Ok(found)
}

fn instance(text: &str) -> Result<InstanceId, StoreError> {
    text.parse().map_err(|error| StoreError::CorruptTask {
        task: format!("of home {text}"),
        reason: format!("its home: {error}"),
    })
}

fn providers(conn: &Connection) -> Result<Vec<(String, String)>, StoreError> {
    let mut statement = conn.prepare_cached(PROVIDERS)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn claim(
    tx: &Transaction<'_>,
    project: &ProjectKey,
    owner: InstanceId,
    now: Timestamp,
    scheduler: &mut dyn Scheduler,
) -> Result<Vec<Task>, StoreError> {
    let queue = queue(tx, project, owner, now, &scheduler.wanted())?;
    let mut claimed = Vec::new();
    for id in scheduler.choose(queue) {
        let stored = load(tx, id)?;
        if let Some(run) = scheduler.run(&stored.task) {
            claimed.push(apply(tx, &stored, Guard::Anyone, &Change::Claim { owner, run }, now)?.task);
        }
    }
    for (name, body) in scheduler.providers() {
        tx.prepare_cached(SET_PROVIDER)?.execute((name, body))?;
    }
    Ok(claimed)
}

/// What is known of a provider.
pub(super) fn provider(conn: &Connection, name: &str) -> Result<Option<String>, StoreError> {
    Ok(conn.prepare_cached(PROVIDER)?.query_row([name], |row| row.get(0)).optional()?)
}

pub(super) fn edit_provider(
    tx: &Transaction<'_>,
    name: &str,
    edit: &mut dyn FnMut(Option<&str>) -> Option<String>,
) -> Result<bool, StoreError> {
    let Some(body) = edit(provider(tx, name)?.as_deref()) else { return Ok(false) };
    tx.prepare_cached(SET_PROVIDER)?.execute((name, body))?;
    Ok(true)
}

pub(super) fn next_due(
    conn: &Connection,
    project: &ProjectKey,
    home: InstanceId,
    now: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    let parameters = (project.as_str(), home.to_string(), now.0);
    let due: Option<i64> = conn.prepare_cached(NEXT_DUE)?.query_row(parameters, |row| row.get(0))?;
    Ok(due.map(Timestamp))
}

/// Whoever waits for a task that is complete now waits for one less.
pub(super) fn unblock(conn: &Connection, completed: i64) -> Result<(), StoreError> {
    conn.prepare_cached(UNBLOCK)?.execute([completed])?;
    Ok(())
}
