//! The work of the dead.

use std::collections::BTreeSet;

use rusqlite::{Connection, Transaction};

use super::{
    row::{load, load_seq},
    write::{apply, cascade},
};
use crate::{
    store::StoreError,
    task::{Change, Guard, InstanceId, ProjectKey, StateName, Task, Timestamp},
};

macro_rules! project {
    () => {
        "project = (SELECT id FROM projects WHERE key = ?1)"
    };
}

// A running task's owner is its home (the table checks it), so homes are all there is to ask for.
const OTHER_HOMES: &str = concat!(
    "SELECT home FROM tasks WHERE ",
    project!(),
    " AND report IS NULL AND (mission IS NULL OR ended_at IS NULL) AND home NOT IN (?2, ?3) UNION SELECT home FROM reports WHERE ",
    project!(),
    " AND settled_at IS NULL AND home <> ?2 UNION SELECT home FROM missions WHERE ",
    project!(),
    " AND over = 0 AND home <> ?2 ORDER BY home"
);
const OPEN: &str = concat!(
    "SELECT seq FROM tasks WHERE ",
    project!(),
    " AND home = ?2 AND report IS NULL AND (mission IS NULL OR ended_at IS NULL) AND ended_at IS NULL ORDER BY +seq"
);
const QUEUED_OWNERS: &str =
    concat!("SELECT DISTINCT home FROM tasks WHERE ", project!(), " AND state = 'running' AND +mission = 'queue'");
const QUEUED_OF: &str =
    concat!("SELECT seq FROM tasks WHERE ", project!(), " AND state = 'running' AND +mission = 'queue' AND +home = ?2");
const MOVE_UNTOLD: &str = concat!(
    "UPDATE tasks SET home = ?3 WHERE ",
    project!(),
    " AND home = ?2 AND report IS NULL AND (mission IS NULL OR ended_at IS NULL)"
);
const MOVE_REPORTED: &str = concat!(
    "UPDATE tasks SET home = ?3 WHERE home = ?2 AND report IN (SELECT id FROM reports WHERE ",
    project!(),
    " AND home = ?2 AND settled_at IS NULL)"
);
const MOVE_MISSIONS: &str = concat!("UPDATE missions SET home = ?3 WHERE ", project!(), " AND home = ?2 AND over = 0");
const MOVE_REPORTS: &str =
    concat!("UPDATE reports SET home = ?3 WHERE ", project!(), " AND home = ?2 AND settled_at IS NULL");

#[cfg(test)]
pub(super) const SQL: [&str; 8] =
    [OTHER_HOMES, OPEN, QUEUED_OWNERS, QUEUED_OF, MOVE_UNTOLD, MOVE_REPORTED, MOVE_MISSIONS, MOVE_REPORTS];

pub(super) fn other_homes(
    conn: &Connection,
    project: &ProjectKey,
    me: InstanceId,
) -> Result<Vec<InstanceId>, StoreError> {
    let mut statement = conn.prepare_cached(OTHER_HOMES)?;
    let mut rows = statement.query((project.as_str(), me.to_string(), InstanceId::QUEUE.to_string()))?;
    let mut homes = Vec::new();
    while let Some(row) = rows.next()? {
        homes.push(home(&row.get::<_, String>(0)?)?);
    }
    Ok(homes)
}

pub(super) fn take_over(
    tx: &Transaction<'_>,
    project: &ProjectKey,
    dead: &[InstanceId],
    me: InstanceId,
    now: Timestamp,
) -> Result<Vec<Task>, StoreError> {
    let mut changed = BTreeSet::new();
    for home in dead.iter().filter(|&&home| home != me) {
        let home = home.to_string();
        let open: Vec<i64> = {
            let mut statement = tx.prepare_cached(OPEN)?;
            let rows = statement.query_map((project.as_str(), &home), |row| row.get(0))?;
            rows.collect::<Result<_, _>>()?
        };
        for seq in open {
            adopt(tx, seq, me, now, &mut changed)?;
        }
        let me = me.to_string();
        for sql in [MOVE_UNTOLD, MOVE_REPORTED, MOVE_MISSIONS, MOVE_REPORTS] {
            tx.prepare_cached(sql)?.execute((project.as_str(), &home, &me))?;
        }
    }
    changed.into_iter().map(|seq| Ok(load_seq(tx, seq)?.task)).collect()
}

/// The owners of running tasks of the queue that do not live.
pub(super) fn dead_owners(
    conn: &Connection,
    project: &ProjectKey,
    is_alive: &dyn Fn(InstanceId) -> bool,
) -> Result<Vec<InstanceId>, StoreError> {
    let mut statement = conn.prepare_cached(QUEUED_OWNERS)?;
    let mut rows = statement.query([project.as_str()])?;
    let mut dead = Vec::new();
    while let Some(row) = rows.next()? {
        let home = home(&row.get::<_, String>(0)?)?;
        if !is_alive(home) {
            dead.push(home);
        }
    }
    Ok(dead)
}

pub(super) fn requeue(
    tx: &Transaction<'_>,
    project: &ProjectKey,
    dead: &[InstanceId],
    now: Timestamp,
) -> Result<Vec<Task>, StoreError> {
    let mut changed = BTreeSet::new();
    for home in dead {
        let left: Vec<i64> = {
            let mut statement = tx.prepare_cached(QUEUED_OF)?;
            let rows = statement.query_map((project.as_str(), home.to_string()), |row| row.get(0))?;
            rows.collect::<Result<_, _>>()?
        };
        for seq in left {
            adopt(tx, seq, InstanceId::QUEUE, now, &mut changed)?;
        }
    }
    changed.into_iter().map(|seq| Ok(load_seq(tx, seq)?.task)).collect()
}

fn home(text: &str) -> Result<InstanceId, StoreError> {
    text.parse().map_err(|error| StoreError::CorruptTask {
        task: format!("of home {text}"),
        reason: format!("its home: {error}"),
    })
}

fn adopt(
    conn: &Connection,
    seq: i64,
    me: InstanceId,
    now: Timestamp,
    changed: &mut BTreeSet<i64>,
) -> Result<(), StoreError> {
    // Read again for each: the end of one before may have cancelled it.
    let mut stored = load_seq(conn, seq)?;
    if stored.task.state.name() == StateName::Running {
        stored.task = apply(conn, &stored, Guard::Anyone, &Change::Interrupt, now)?.task;
        changed.insert(seq);
        for cascaded in cascade(conn, &stored, now)? {
            changed.insert(load(conn, cascaded.task.id)?.seq);
        }
    }
    if !stored.task.state.is_terminal() && !stored.task.is_queued() {
        apply(conn, &stored, Guard::Anyone, &Change::Adopt { home: me }, now)?;
        changed.insert(seq);
    }
    Ok(())
}
