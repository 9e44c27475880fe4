//! New tasks.

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::{
    row::{Stored, insert, load_seq, project_id},
    write::{apply, cascade, journal},
};
use crate::{
    store::StoreError,
    task::{CancelReason, Change, Guard, ProjectKey, StateName, Task, TaskId},
};

const ADD_PROJECT: &str = "INSERT INTO projects (key) VALUES (?1)";
const DEPENDENCY: &str = "SELECT seq, state FROM tasks WHERE id = ?1 AND +project = ?2";
const DEPEND: &str = "INSERT OR IGNORE INTO dependencies (task, dependency) VALUES (?1, ?2)";
const BLOCK: &str = "UPDATE tasks SET blocked = blocked + 1 WHERE seq = ?1";

#[cfg(test)]
pub(super) const SQL: [&str; 4] = [ADD_PROJECT, DEPENDENCY, DEPEND, BLOCK];

pub(super) fn launch(tx: &Transaction<'_>, tasks: &[Task]) -> Result<(), StoreError> {
    let mut places = Vec::with_capacity(tasks.len());
    for task in tasks {
        let project = project_row(tx, &task.spec.project)?;
        let seq = insert(tx, project, task)?;
        journal(tx, seq, None, task, "launch", r#"{"change":"launch"}"#, task.created_at)?;
        places.push((project, seq));
    }
    // Dependencies come after all rows: a batch may name them in any order.
    let mut doomed = Vec::new();
    for (task, (project, seq)) in tasks.iter().zip(places) {
        for &id in &task.spec.depends_on {
            let (dependency, state) = dependency(tx, project, task, id)?;
            let is_new = tx.prepare_cached(DEPEND)?.execute((seq, dependency))? == 1;
            if is_new && state != StateName::Complete.as_str() {
                tx.prepare_cached(BLOCK)?.execute([seq])?;
            }
            if [StateName::Failed, StateName::Cancelled].map(StateName::as_str).contains(&state.as_str()) {
                doomed.push((seq, id));
            }
        }
    }
    // What waits for a task that has already ended badly would wait for ever.
    for (seq, on) in doomed {
        let stored = load_seq(tx, seq)?;
        if !stored.task.state.is_terminal() {
            let now = stored.task.created_at;
            let cancel = Change::Cancel { reason: CancelReason::Dependency { on } };
            let task = apply(tx, &stored, Guard::Anyone, &cancel, now)?.task;
            cascade(tx, &Stored { seq, task }, now)?;
        }
    }
    Ok(())
}

/// The row of a project, made when it is new.
pub(super) fn project_row(conn: &Connection, project: &ProjectKey) -> Result<i64, StoreError> {
    if let Some(id) = project_id(conn, project)? {
        return Ok(id);
    }
    conn.prepare_cached(ADD_PROJECT)?.execute([project.as_str()])?;
    Ok(conn.last_insert_rowid())
}

fn dependency(conn: &Connection, project: i64, task: &Task, id: TaskId) -> Result<(i64, String), StoreError> {
    let mut statement = conn.prepare_cached(DEPENDENCY)?;
    let found = statement.query_row((id.to_string(), project), |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    found.ok_or(StoreError::NoSuchDependency { task: task.id, dependency: id })
}
