//! The net under the events: asks the host how sessions stand, but only those of which nothing was heard for a while.
//!
//! With a sound event stream that is one request in five seconds for all running tasks together; without one it
//! begins at half a second. With nothing running it sleeps.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{
    monitor::Signal,
    project::{Order, Project},
};
use crate::{
    opencode::SessionStatus,
    task::{Name, TaskId},
};

/// The shortest and the longest time between polls: the seed's figures.
const SHORTEST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(5);

/// Polls until the project is let go.
pub async fn run(project: Arc<Project>) {
    let mut interval = SHORTEST;
    loop {
        tokio::select! {
            () = project.stop.cancelled() => return,
            () = idle_until_running(&project) => {}
        }
        tokio::select! {
            () = project.stop.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
        }
        let stopped = tokio::select! {
            () = project.stop.cancelled() => return,
            stopped = poll(&project, interval) => stopped,
        };
        interval = if stopped { SHORTEST } else { (interval * 2).min(LONGEST) };
    }
}

/// Sleeps while nothing runs.
async fn idle_until_running(project: &Project) {
    while project.routes().is_empty() {
        project.routed.notified().await;
    }
}

/// Asks about every quiet session; true if one of them has stopped, so that the next look should come soon.
async fn poll(project: &Project, interval: Duration) -> bool {
    let running = project.running();
    let quiet = |task: &TaskId| running.get(task).is_some_and(|task| task.live.silent_for() >= interval);
    let waiting: Vec<_> = project.routes().into_iter().filter(|(_, task)| quiet(task)).collect();
    if waiting.is_empty() {
        return false;
    }
    let tasks: Vec<_> = waiting.iter().map(|(_, task)| *task).collect();
    let filter = crate::store::Filter { ids: Some(tasks), ..crate::store::Filter::default() };
    let directories: BTreeSet<Name> = match project.tasks(filter).await {
        Ok(tasks) => tasks.into_iter().map(|task| task.spec.directory).collect(),
        Err(_) => return false,
    };
    let mut busy = BTreeSet::new();
    for directory in directories {
        match project.client().session_status(&directory).await {
            Ok(statuses) => {
                busy.extend(
                    statuses
                        .into_iter()
                        .filter(|(_, status)| !matches!(status, SessionStatus::Idle))
                        .map(|(session, _)| session),
                );
            }
            Err(error) => {
                tracing::debug!(%error, "sessions could not be polled");
                return false;
            }
        }
    }
    let mut stopped = false;
    for (session, task) in waiting {
        let busy = busy.contains(&session);
        stopped |= !busy;
        project.order(task, Order::Signal(Signal::Polled { busy }));
    }
    stopped
}
