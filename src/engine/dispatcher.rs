//! Starts what may start. Woken by whatever could change the answer; asleep otherwise.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{budgets::Gate, project::Project, runner};
use crate::{
    admission::Slot,
    store::StoreError,
    task::{Run, Task, TaskId, Timestamp},
};

/// The pause after the database refused: it is held by another process, or the disk is full.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Claims and starts until the project is let go.
pub async fn run(project: Arc<Project>) {
    loop {
        let pause = match start_runnable(&project).await {
            Ok(due) => due.map(|due| due.since(project.core.clock.now())),
            Err(StoreError::Closed) => return,
            Err(error) => {
                tracing::warn!(%error, "tasks could not be claimed");
                tokio::select! {
                    () = tokio::time::sleep(STORE_PAUSE) => continue,
                    () = project.stop.cancelled() => return,
                }
            }
        };
        tokio::select! {
            () = project.dispatch.notified() => {}
            () = sleep(pause) => {}
            () = project.stop.cancelled() => return,
        }
    }
}

/// Sleeps for `pause`, or for ever. A millisecond is added: the store compares whole ones.
async fn sleep(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause + Duration::from_millis(1)).await,
        None => std::future::pending().await,
    }
}

/// Claims every runnable task that has a free slot, starts them, and says when the next one is due.
async fn start_runnable(project: &Arc<Project>) -> Result<Option<Timestamp>, StoreError> {
    let (key, slots, core) = (project.key.clone(), project.slots.clone(), Arc::clone(&project.core));
    let (project_of, budgets) = (Arc::clone(project), project.options.budget.clone());
    let missions = project.missions.ids();
    let (claimed, mut taken, due) = project
        .store(move |store| {
            let now = core.clock.now();
            let mut taken: HashMap<TaskId, Slot> = HashMap::new();
            let mut gate = Gate::read(store, &budgets, &key, &missions, now)?;
            let claimed = store.claim(&key, core.instance, now, &mut |task: &Task| {
                if project_of.is_leaving(&task.spec.directory) || gate.holds(task).is_some() {
                    return None;
                }
                let slot = slots.take(&task.spec.agent)?;
                gate.start(task);
                taken.insert(task.id, slot);
                Some(task.run.clone().unwrap_or_else(|| {
                    let (message, part) = core.prompt_ids();
                    Run { session: None, message: message.to_string(), part: part.to_string() }
                }))
            })?;
            gate.write(store, now)?;
            project_of.budgets.keep(gate);
            Ok((claimed, taken, store.next_due(&key, core.instance, now)?))
        })
        .await?;
    for task in claimed {
        if let Some(slot) = taken.remove(&task.id) {
            project.tracker.spawn(runner::supervise(Arc::clone(project), task, slot));
        }
    }
    Ok(due)
}
