//! What may run next.

use rusqlite::{Connection, Transaction};

use super::{
    row::{columns, decode},
    write::apply,
};
use crate::{
    store::StoreError,
    task::{Change, Guard, InstanceId, ProjectKey, Run, Task, Timestamp},
};

macro_rules! runnable {
    () => {
        " FROM tasks WHERE project = (SELECT id FROM projects WHERE key = ?1) AND home = ?2 AND state = 'pending' \
         AND (not_before IS NULL OR not_before <= ?3) AND NOT EXISTS ( \
             SELECT 1 FROM dependencies CROSS JOIN tasks AS awaited ON awaited.seq = dependencies.dependency \
             WHERE dependencies.task = tasks.seq AND awaited.state <> 'complete')"
    };
}

const ANY: &str = concat!("SELECT EXISTS (SELECT 1", runnable!(), ")");
const CANDIDATES: &str = concat!("SELECT ", columns!(), runnable!(), " ORDER BY priority DESC, seq");
const NEXT_DUE: &str = "SELECT min(not_before) FROM tasks \
    WHERE project = (SELECT id FROM projects WHERE key = ?1) AND home = ?2 AND state = 'pending' AND not_before > ?3";

#[cfg(test)]
pub(super) const SQL: [&str; 3] = [ANY, CANDIDATES, NEXT_DUE];

pub(super) fn any(
    conn: &Connection,
    project: &ProjectKey,
    owner: InstanceId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let parameters = (project.as_str(), owner.to_string(), now.0);
    Ok(conn.prepare_cached(ANY)?.query_row(parameters, |row| row.get(0))?)
}

pub(super) fn claim(
    tx: &Transaction<'_>,
    project: &ProjectKey,
    owner: InstanceId,
    now: Timestamp,
    admit: &mut dyn FnMut(&Task) -> Option<Run>,
) -> Result<Vec<Task>, StoreError> {
    let mut admitted = Vec::new();
    {
        let mut statement = tx.prepare_cached(CANDIDATES)?;
        let mut rows = statement.query((project.as_str(), owner.to_string(), now.0))?;
        while let Some(row) = rows.next()? {
            let stored = decode(row)?;
            if let Some(run) = admit(&stored.task) {
                admitted.push((stored, run));
            }
        }
    }
    let claim = |(stored, run)| Ok(apply(tx, &stored, Guard::Anyone, &Change::Claim { owner, run }, now)?.task);
    admitted.into_iter().map(claim).collect()
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
