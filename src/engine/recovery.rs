//! Taking over from the dead. Starting is recovering: the first look happens when a project is attached, further ones
//! while another living process has open tasks in it, and whenever another process has written.

use std::{sync::Arc, time::Duration};

use super::{
    project::{Order, Project, is_stopped},
    toasts::Note,
};
use crate::{
    store::{Filter, Store, StoreError, instance},
    task::{StateName, Task},
};

/// How often living peers with open tasks are looked at. A peer's lock is freed by its death, so this bounds how long
/// its tasks stand still.
const PEER_INTERVAL: Duration = Duration::from_secs(1);

/// The rest between two looks that were asked for: our own writes ask too.
const REST: Duration = Duration::from_millis(250);

/// Looks out for dead peers until the project is let go.
pub async fn run(project: Arc<Project>) {
    let mut version = None;
    loop {
        let looked = async {
            heed(&project, &mut version).await?;
            take_over(&project).await
        };
        let peers_work = match looked.await {
            Ok(peers_work) => peers_work,
            Err(StoreError::Closed) => return,
            Err(error) => {
                tracing::warn!(%error, "peers could not be looked at");
                project.toaster.store_trouble(&error);
                true
            }
        };
        tokio::select! {
            () = project.stop.cancelled() => return,
            () = project.peers.notified() => {
                tokio::select! {
                    () = project.stop.cancelled() => return,
                    () = tokio::time::sleep(REST) => {}
                }
            }
            () = tokio::time::sleep(PEER_INTERVAL), if peers_work => {}
        }
    }
}

/// When another process has written: stops what it cancelled here, and wakes whatever waited for what it wrote.
async fn heed(project: &Project, version: &mut Option<i64>) -> Result<(), StoreError> {
    let now = project.store(Store::data_version).await?;
    if version.replace(now).is_none_or(|seen| seen == now) {
        return Ok(());
    }
    let running = project.running();
    if !running.is_empty() {
        let ids = running.keys().copied().collect();
        let tasks = project.tasks(Filter { ids: Some(ids), ..Filter::default() }).await?;
        for task in tasks.iter().filter(|task| is_stopped(task)) {
            project.order(task.id, Order::Stop);
        }
    }
    project.stir();
    project.todo.notify_one();
    Ok(())
}

/// Takes over everything of dead peers; says whether living ones have work in the project.
async fn take_over(project: &Arc<Project>) -> Result<bool, StoreError> {
    let (key, me) = (project.key.clone(), project.core.instance);
    let others = {
        let key = key.clone();
        project.store(move |store| store.other_homes(&key, me)).await?
    };
    let (alive, dead): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|other| instance::is_alive(&project.core.home, *other));
    if !dead.is_empty() {
        let core = Arc::clone(&project.core);
        let taken = project.store(move |store| store.take_over(&key, &dead, me, core.clock.now())).await?;
        tracing::info!(tasks = taken.len(), "took over from a dead process");
        project.missions.spoil();
        let count = |state: StateName| taken.iter().filter(|task: &&Task| task.state.name() == state).count();
        for (number, note) in [
            (count(StateName::Pending), Note::Resumed as fn(usize) -> Note),
            (count(StateName::Paused), Note::Asks as fn(usize) -> Note),
        ] {
            if number > 0 {
                project.toaster.note(note(number));
            }
        }
        for task in taken.iter().filter(|task| task.state.is_terminal()) {
            project.toaster.note(Note::ended(task));
        }
        project.stir();
    }
    Ok(!alive.is_empty())
}
