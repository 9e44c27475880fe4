//! Starts what may start. Woken by whatever could change the answer; asleep otherwise.

use std::{sync::Arc, time::Duration};

use super::{admission::Look, budgets::Gate, project::Project, runner};
use crate::{store::StoreError, task::Timestamp};

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

/// Claims what may start, starts it, and says when to look again by time alone.
pub(super) async fn start_runnable(project: &Arc<Project>) -> Result<Option<Timestamp>, StoreError> {
    let look_of = Arc::clone(project);
    let (claimed, mut slots, due) = project
        .store(move |store| {
            // What a look costs is measured here; where nobody listens, that costs nothing.
            let span = tracing::trace_span!("look", claimed = tracing::field::Empty).entered();
            let Project { key, core, options, missions, .. } = &*look_of;
            let (now, instance) = (core.clock.now(), core.instance);
            let gate = Gate::read(store, &options.budget, key, &missions.ids(), now)?;
            let mut look = Look::new(Arc::clone(&look_of), gate, now);
            let claimed = store.claim(key, instance, now, &mut look)?;
            look.gate.write(store, now)?;
            let due = store.next_due(key, instance, now)?.into_iter().chain(look.next()).min();
            span.record("claimed", claimed.len());
            let Look { gate, slots, .. } = look;
            look_of.budgets.keep(gate);
            Ok((claimed, slots, due))
        })
        .await?;
    for task in claimed {
        if let Some(slot) = slots.remove(&task.id) {
            project.tracker.spawn(runner::supervise(Arc::clone(project), task, slot));
        }
    }
    Ok(due)
}
