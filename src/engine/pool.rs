//! Sessions that are made before they are needed, where the option `pool` asks for them.
//!
//! On OpenCode 1.18.33 to take one takes longer than to make one, because it has to be seen to be empty and to be given
//! its task's title (`npm run bench -- --only sessions`): so there are none unless they are asked for. Invariants:
//! - A session that is taken is empty, as the host says at that moment, and bears the ids of its run from then on.
//! - No more are ready than tasks wait that could take them, and none for longer than [`IDLE`].
//! - What a close leaves is deleted then, and what a crash leaves by the next that makes some for the same parent.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::json;
use tokio::time::{Instant, timeout};

use super::project::Project;
use crate::{
    agent::SessionExecutor,
    opencode::{ClientError, MessageId, NewSession, Rule, SessionId},
    store::{Filter, instance},
    task::{Name, StateName, Task},
};

/// More than so many of a kind are never ready: the seed's figure.
pub const MOST: u32 = 5;

/// How long one is kept: the seed's figure.
pub const IDLE: Duration = Duration::from_secs(300);

/// How long the host may take to delete one.
const DELETE_LIMIT: Duration = Duration::from_secs(2);

/// What a session is made for; only the same can use it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Kind {
    agent: Name,
    parent: SessionId,
    directory: Name,
    rules: Vec<Rule>,
}

impl Kind {
    /// That of a task whose session gets these rules.
    #[must_use]
    pub fn new(task: &Task, parent: SessionId, rules: Vec<Rule>) -> Self {
        Self { agent: task.spec.agent.clone(), parent, directory: task.spec.directory.clone(), rules }
    }
}

/// The sessions that are ready in one project.
#[derive(Debug, Default)]
pub struct Pool {
    ready: Mutex<HashMap<Kind, VecDeque<(SessionId, Instant)>>>,
    /// Held while some are made, and the parents at which a crash has left none.
    clean: tokio::sync::Mutex<HashSet<SessionId>>,
}

impl Pool {
    fn ready(&self) -> MutexGuard<'_, HashMap<Kind, VecDeque<(SessionId, Instant)>>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pop(&self, kind: &Kind) -> Option<(SessionId, Instant)> {
        self.ready().get_mut(kind)?.pop_front()
    }

    fn count(&self, kind: &Kind) -> usize {
        self.ready().get(kind).map_or(0, VecDeque::len)
    }

    fn put(&self, kind: &Kind, session: SessionId) {
        self.ready().entry(kind.clone()).or_default().push_back((session, Instant::now()));
    }

    /// Takes one out; says whether it was there.
    fn remove(&self, kind: &Kind, session: &SessionId) -> bool {
        let mut ready = self.ready();
        let Some(of_kind) = ready.get_mut(kind) else { return false };
        let before = of_kind.len();
        of_kind.retain(|(one, _)| one != session);
        let was_there = of_kind.len() < before;
        if of_kind.is_empty() {
            ready.remove(kind);
        }
        was_there
    }
}

impl Project {
    /// A ready session for a run, if there is one of its kind. One that is not empty any more is somebody else's.
    pub async fn take_ready(&self, kind: &Kind, task: &Task, prompt: &MessageId) -> Option<SessionId> {
        let sessions = SessionExecutor::new(self.client(), task);
        while let Some((session, since)) = self.pool.pop(kind) {
            if since.elapsed() >= IDLE {
                delete(self, kind, &session).await;
                continue;
            }
            match sessions.adopt(&session, task, prompt).await {
                Ok(true) => return Some(session),
                Ok(false) => {}
                Err(error) => tracing::warn!(%session, %error, "a session that was ready is not taken"),
            }
        }
        None
    }

    /// Makes as many ready as tasks of the kind wait, up to what the options say.
    pub fn make_ready(self: &Arc<Self>, kind: Kind) {
        if self.options.pool == 0 || self.stop.is_cancelled() {
            return;
        }
        let project = Arc::clone(self);
        self.tracker.spawn(async move {
            if let Err(error) = fill(&project, &kind).await {
                tracing::warn!(%error, "no session was made ready");
            }
        });
    }
}

async fn fill(project: &Arc<Project>, kind: &Kind) -> Result<(), ClientError> {
    let mut clean = project.pool.clean.lock().await;
    if !clean.contains(&kind.parent) {
        remove_left(project, kind).await?;
        clean.insert(kind.parent.clone());
    }
    let wanted = waiting(project, kind).await.min(project.options.pool as usize);
    while project.pool.count(kind) < wanted && !project.stop.is_cancelled() {
        let new = NewSession {
            parent: Some(kind.parent.clone()),
            title: "ready".to_owned(),
            permission: kind.rules.clone(),
            metadata: Some(json!({ "sortie": { "pool": project.core.instance.to_string() } })),
        };
        let session = project.client().create_session(&kind.directory, new).await?.id;
        project.pool.put(kind, session.clone());
        let (keeper, kind) = (Arc::clone(project), kind.clone());
        project.tracker.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(IDLE) => {}
                () = keeper.stop.cancelled() => {}
            }
            if keeper.pool.remove(&kind, &session) {
                delete(&keeper, &kind, &session).await;
            }
        });
    }
    Ok(())
}

/// How many tasks wait that could take one.
async fn waiting(project: &Project, kind: &Kind) -> usize {
    let parent_session = Some(kind.parent.to_string());
    let found = project.tasks(Filter { parent_session, states: vec![StateName::Pending], ..Filter::default() }).await;
    let could = |task: &&Task| {
        task.spec.agent == kind.agent && task.spec.directory == kind.directory && task.session().is_none()
    };
    found.map_or(0, |found| found.iter().filter(could).count())
}

/// Deletes what processes that have died had made ready.
async fn remove_left(project: &Project, kind: &Kind) -> Result<(), ClientError> {
    for child in project.client().children(&kind.directory, &kind.parent).await? {
        let maker = child.metadata.as_ref().and_then(|metadata| metadata["sortie"]["pool"].as_str()?.parse().ok());
        if maker.is_some_and(|maker| !instance::is_alive(&project.core.home, maker)) {
            delete(project, kind, &child.id).await;
        }
    }
    Ok(())
}

async fn delete(project: &Project, kind: &Kind, session: &SessionId) {
    let deleted = timeout(DELETE_LIMIT, project.client().delete_session(&kind.directory, session)).await;
    if !matches!(deleted, Ok(Ok(()))) {
        tracing::warn!(%session, "an unused session was not deleted");
    }
}
