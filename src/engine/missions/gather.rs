//! What a mission sees: gathered from the store, from the commander's session, and from what the process remembers.

use std::{collections::HashMap, sync::Arc};

use super::{
    book::{Driven, Known, Read},
    turn,
};
use crate::{
    engine::{project::Project, report_text},
    mission::{Commander, Mission, Own, TaskView},
    opencode::{ClientError, SessionId},
    store::{Filter, MissionRow, Store, StoreError},
    task::{Parent, StateName, Task, TaskId, Tokens},
    todo::Document,
};

/// How many of the newest messages of the commander's session are read: a turn of many steps has as many.
const NEWEST: u32 = 30;

/// A mission's row as the mission it is.
///
/// # Errors
/// [`StoreError::CorruptMission`].
pub fn decode(row: &MissionRow) -> Result<Mission, StoreError> {
    serde_json::from_str(&row.body)
        .map_err(|error| StoreError::CorruptMission { mission: row.id.to_string(), reason: error.to_string() })
}

/// Begins to drive a mission: all its tasks are read once.
///
/// # Errors
/// The store's.
pub async fn adopt(project: &Project, row: MissionRow) -> Result<Driven, StoreError> {
    let mission = decode(&row)?;
    let (key, id, session) = (project.key.clone(), row.id, row.session.clone());
    let tasks = project
        .store(move |store| {
            let filter = Filter { parent_session: Some(session), ..Filter::default() };
            let ours = store.tasks(&key, &filter)?.into_iter().filter(|task| task.spec.mission == Some(id));
            ours.map(|task| known(store, &task)).collect::<Result<_, _>>()
        })
        .await?;
    Ok(Driven { mission: Arc::new(mission), rev: row.rev, tasks })
}

/// Brings what is known of a mission's tasks up to date: those that had ended need not be read again.
///
/// # Errors
/// The store's.
pub async fn tasks(project: &Project, driven: &mut Driven) -> Result<(), StoreError> {
    let open: Vec<TaskId> =
        driven.tasks.iter().filter(|(_, known)| known.view == TaskView::Open).map(|(id, _)| *id).collect();
    if open.is_empty() {
        return Ok(());
    }
    let key = project.key.clone();
    let now: HashMap<TaskId, Known> = project
        .store(move |store| {
            let filter = Filter { ids: Some(open), ..Filter::default() };
            store.tasks(&key, &filter)?.iter().map(|task| known(store, task)).collect()
        })
        .await?;
    driven.tasks.extend(now);
    let running = project.running();
    for (id, known) in driven.tasks.iter_mut().filter(|(_, known)| known.view == TaskView::Open) {
        if let Some(running) = running.get(id) {
            known.tokens = running.live.glance().usage.tokens;
        }
    }
    Ok(())
}

fn known(store: &mut dyn Store, task: &Task) -> Result<(TaskId, Known), StoreError> {
    let outcome = if task.state.is_terminal() { store.outcome(task.id)? } else { None };
    let tokens = outcome.as_ref().map_or_else(Tokens::default, |outcome| outcome.usage.tokens);
    let why = || report_text::reason(task).unwrap_or_else(|| report_text::state(task));
    let view = match task.state.name() {
        StateName::Complete => TaskView::Complete(outcome.map(|outcome| outcome.text).unwrap_or_default()),
        StateName::Failed => TaskView::Failed(why()),
        StateName::Cancelled => TaskView::Cancelled(why()),
        StateName::Pending | StateName::Running | StateName::Paused => TaskView::Open,
    };
    Ok((task.id, Known { view, tokens }))
}

/// TODO.md as it stands; parsed only when it has changed.
///
/// # Errors
/// The store's.
pub async fn todo(project: &Project) -> Result<Read, StoreError> {
    let key = project.key.clone();
    let seen = project.missions.todo();
    let rev = seen.as_ref().map(|read| read.rev);
    let head = project
        .store(move |store| {
            let head = store.todo_history(&key, None, 1)?.first().map_or(0, |revision| revision.rev);
            if rev == Some(head) { Ok(None) } else { store.todo(&key, None).map(Some) }
        })
        .await?;
    match (head, seen) {
        (None, Some(read)) => Ok(read),
        (snapshot, _) => {
            let (rev, text) = snapshot.map(|snapshot| (snapshot.rev, snapshot.text)).unwrap_or_default();
            let read = Read { rev, document: Document::of(text) };
            project.missions.read(read.clone());
            Ok(read)
        }
    }
}

/// The tasks that the commander launched by itself.
///
/// # Errors
/// The store's.
pub async fn own(project: &Project, mission: &Mission) -> Result<Own, StoreError> {
    let (key, session, since) = (project.key.clone(), mission.session.clone(), mission.created_at);
    let (all, open) = project.store(move |store| store.own_tasks(&key, &session, since)).await?;
    Ok(Own { all, open })
}

/// The commander's session. A turn that is held at its end counts as ended.
///
/// # Errors
/// The host's answer.
pub async fn commander(project: &Project, mission: &Mission) -> Result<Commander, ClientError> {
    let Ok(session) = mission.session.parse::<SessionId>() else { return Ok(Commander::Busy) };
    project.sessions.follow(&session);
    let client = project.client();
    let held = project.missions.is_held(&session);
    if !held {
        let of = Parent::new(&mission.session, &mission.directory);
        if project.sessions.busy(&client, &of, &session, project.hears(&of.directory)).await? {
            project.missions.begun(&session);
            return Ok(Commander::Busy);
        }
        if project.missions.is_expecting(&session) {
            return Ok(Commander::Busy);
        }
    }
    let mut turn = turn::read(&client.messages(&mission.directory, &session, Some(NEWEST)).await?);
    turn.answered |= held;
    Ok(Commander::Idle(turn))
}
