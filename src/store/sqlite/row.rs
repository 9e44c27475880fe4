//! A task as a row and back.

use std::time::Duration;

use rusqlite::{
    Connection, OptionalExtension, Row, ToSql, named_params,
    types::{FromSql, FromSqlResult, ToSqlOutput, ValueRef},
};
use serde::{Deserialize, Serialize};

use crate::{
    store::StoreError,
    task::{Fence, Name, Priority, ProjectKey, Recovery, Rev, Run, Task, TaskId, TaskState, Timestamp},
};

impl FromSql for Name {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str().map(Self::from)
    }
}

impl ToSql for Name {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

/// A task and the place of its row.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub seq: i64,
    pub task: Task,
}

/// What [`decode`] reads, in its order.
macro_rules! columns {
    () => {
        "tasks.seq, tasks.id, tasks.state, tasks.home, tasks.fence, tasks.rev, tasks.attempt, tasks.created_at, \
         (SELECT spec FROM specs WHERE task = tasks.seq), tasks.body"
    };
}
pub(super) use columns;

const LOAD: &str = concat!("SELECT ", columns!(), " FROM tasks WHERE id = ?1");
const LOAD_SEQ: &str = concat!("SELECT ", columns!(), " FROM tasks WHERE seq = ?1");
const PROJECT: &str = "SELECT id FROM projects WHERE key = ?1";
const UPDATE: &str = "UPDATE tasks SET state = :state, not_before = :not_before, home = :home, \
    owner = :owner, fence = :fence, rev = :rev, attempt = :attempt, ended_at = :ended_at, body = :body, \
    model = :model, priority = :priority, place = :place \
    WHERE seq = :seq AND rev = :rev - 1";
const INSERT: &str = "INSERT INTO tasks (id, project, parent_session, parent_directory, key, agent, priority, state, \
    not_before, home, owner, fence, rev, attempt, created_at, ended_at, body, mission, model, place) \
    VALUES (:id, :project, :parent_session, :parent_directory, :key, :agent, :priority, :state, \
    :not_before, :home, :owner, :fence, :rev, :attempt, :created_at, :ended_at, :body, :mission, :model, :place)";
/// Stands for the mission of a task of the queue: like a mission's, no report tells of its end.
const QUEUE: &str = "queue";
const SPEC: &str = "INSERT INTO specs (task, spec) VALUES (?1, ?2)";
const SESSION: &str = "INSERT OR IGNORE INTO task_sessions (task, session) VALUES (?1, ?2)";

#[cfg(test)]
pub(super) const SQL: [&str; 7] = [LOAD, LOAD_SEQ, PROJECT, UPDATE, INSERT, SPEC, SESSION];

/// The changing part of a task that no query asks for.
#[derive(Deserialize)]
struct Body {
    state: TaskState,
    interruptions: u32,
    run: Option<Run>,
    #[serde(default)]
    recovery: Recovery,
    #[serde(default)]
    extended: Duration,
    #[serde(default)]
    priority: Option<Priority>,
}

#[derive(Serialize)]
struct BodyRef<'a> {
    state: &'a TaskState,
    interruptions: u32,
    run: Option<&'a Run>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery: Option<&'a Recovery>,
    #[serde(skip_serializing_if = "Duration::is_zero")]
    extended: Duration,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<Priority>,
}

/// The id of a project's row, if the project is known.
pub(super) fn project_id(conn: &Connection, project: &ProjectKey) -> Result<Option<i64>, StoreError> {
    Ok(conn.prepare_cached(PROJECT)?.query_row([project.as_str()], |row| row.get(0)).optional()?)
}

/// A task by its id.
pub(super) fn load(conn: &Connection, id: TaskId) -> Result<Stored, StoreError> {
    let mut statement = conn.prepare_cached(LOAD)?;
    let mut rows = statement.query([id.to_string()])?;
    rows.next()?.map_or(Err(StoreError::NoSuchTask(id)), decode)
}

/// A task by its row.
pub(super) fn load_seq(conn: &Connection, seq: i64) -> Result<Stored, StoreError> {
    let mut statement = conn.prepare_cached(LOAD_SEQ)?;
    let mut rows = statement.query([seq])?;
    rows.next()?.map_or_else(|| Err(StoreError::Internal(format!("row {seq} is gone"))), decode)
}

/// Reads a row of [`columns`].
pub(super) fn decode(row: &Row<'_>) -> Result<Stored, StoreError> {
    let id_text: String = row.get(1)?;
    let corrupt = |reason: String| StoreError::CorruptTask { task: id_text.clone(), reason };
    let number = |column: usize, name: &str| -> Result<u64, StoreError> {
        let value: i64 = row.get(column)?;
        u64::try_from(value).map_err(|_| corrupt(format!("its {name} is {value}")))
    };
    let spec = row.get_ref(8)?.as_str().map_err(|_| corrupt("its spec is gone".to_owned()))?;
    let spec = serde_json::from_str(spec).map_err(|error| corrupt(format!("its spec: {error}")))?;
    let body = row.get_ref(9)?.as_str().map_err(rusqlite::Error::from)?;
    let body: Body = serde_json::from_str(body).map_err(|error| corrupt(format!("its body: {error}")))?;
    if row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)? != body.state.name().as_str() {
        return Err(corrupt("its state is not that of its body".to_owned()));
    }
    let home = row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?;
    let task = Task {
        id: id_text.parse().map_err(|error| corrupt(format!("its id: {error}")))?,
        spec,
        state: body.state,
        attempt: u32::try_from(number(6, "attempt")?).map_err(|_| corrupt("its attempt is too large".to_owned()))?,
        interruptions: body.interruptions,
        home: home.parse().map_err(|error| corrupt(format!("its home: {error}")))?,
        fence: Fence(number(4, "fence")?),
        rev: Rev(number(5, "rev")?),
        run: body.run,
        recovery: body.recovery,
        extended: body.extended,
        priority: body.priority,
        created_at: Timestamp(row.get(7)?),
    };
    Ok(Stored { seq: row.get(0)?, task })
}

/// Adds a row for a new task.
pub(super) fn insert(conn: &Connection, project: i64, task: &Task) -> Result<i64, StoreError> {
    let spec = &task.spec;
    conn.prepare_cached(INSERT)?.execute(named_params! {
        ":id": task.id.to_string(),
        ":project": project,
        ":parent_session": spec.parent.session,
        ":parent_directory": spec.parent.directory,
        ":key": spec.key,
        ":agent": spec.agent,
        ":priority": rank(task.priority()),
        ":state": task.state.name().as_str(),
        ":not_before": task.state.not_before().map(|at| at.0),
        ":home": task.home.to_string(),
        ":owner": task.state.owner().map(|owner| owner.to_string()),
        ":fence": integer(task.fence.0),
        ":rev": integer(task.rev.0),
        ":attempt": task.attempt,
        ":created_at": task.created_at.0,
        ":ended_at": task.state.ended_at().map(|at| at.0),
        ":body": body(task)?,
        ":mission": spec.mission.map(|mission| mission.to_string()).or_else(|| spec.queued.map(|_| QUEUE.to_owned())),
        ":model": task.expected_model(),
        ":place": task.place().0,
    })?;
    let seq = conn.last_insert_rowid();
    conn.prepare_cached(SPEC)?.execute((seq, json(spec)?))?;
    add_session(conn, seq, task)?;
    Ok(seq)
}

/// Writes a task over its row of the revision before.
pub(super) fn update(conn: &Connection, seq: i64, before: &Task, task: &Task) -> Result<(), StoreError> {
    let changed = conn.prepare_cached(UPDATE)?.execute(named_params! {
        ":seq": seq,
        ":state": task.state.name().as_str(),
        ":not_before": task.state.not_before().map(|at| at.0),
        ":home": task.home.to_string(),
        ":owner": task.state.owner().map(|owner| owner.to_string()),
        ":fence": integer(task.fence.0),
        ":rev": integer(task.rev.0),
        ":attempt": task.attempt,
        ":ended_at": task.state.ended_at().map(|at| at.0),
        ":body": body(task)?,
        ":model": task.expected_model(),
        ":priority": rank(task.priority()),
        ":place": task.place().0,
    })?;
    if changed != 1 {
        return Err(StoreError::Internal(format!("task {} changed inside a transaction", task.id)));
    }
    if task.session() != before.session() {
        add_session(conn, seq, task)?;
    }
    Ok(())
}

fn add_session(conn: &Connection, seq: i64, task: &Task) -> Result<(), StoreError> {
    if let Some(session) = task.session() {
        conn.prepare_cached(SESSION)?.execute((seq, session))?;
    }
    Ok(())
}

fn body(task: &Task) -> Result<String, StoreError> {
    // Most tasks never fail, and their rows say nothing of it.
    let recovery = Some(&task.recovery).filter(|recovery| !recovery.is_empty());
    let (state, run) = (&task.state, task.run.as_ref());
    let Task { interruptions, extended, priority, .. } = *task;
    json(&BodyRef { state, interruptions, run, recovery, extended, priority })
}

/// A value of ours as JSON.
pub(super) fn json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Internal(error.to_string()))
}

/// A list for `json_each`.
pub(super) fn json_list<T: Serialize>(items: impl IntoIterator<Item = T>) -> Result<String, StoreError> {
    json(&items.into_iter().collect::<Vec<_>>())
}

/// A counter as `SQLite` keeps it. Ours never come near its bound.
pub(super) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The priority as a number: higher goes first. Stored: never renumber.
fn rank(priority: Priority) -> i64 {
    match priority {
        Priority::Low => 0,
        Priority::Normal => 1,
        Priority::High => 2,
    }
}

/// The priority of a stored number.
pub(super) fn priority(rank_of: i64) -> Option<Priority> {
    [Priority::Low, Priority::Normal, Priority::High].into_iter().find(|priority| rank(*priority) == rank_of)
}
