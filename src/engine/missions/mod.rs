//! Drives missions: one loop a project, asleep until something of a mission's may have changed.
//!
//! The loop gathers the world, asks [`crate::mission::next`], writes the step in one transaction, and acts. What it
//! remembers ([`book`]) can all be found again: a mission goes on after a crash where its row says it stood.

mod act;
pub mod book;
pub mod commands;
mod errands;
mod gather;
mod headless;
mod memory;
mod names;
mod turn;

pub use memory::part;

use std::{sync::Arc, time::Duration};

use book::Driven;
use names::Fresh;

use super::project::Project;
use crate::{
    fault::{Code, Fault},
    mission::{self, Commander, TaskView, World},
    store::{MissionFilter, StoreError},
};

/// How long after a failure the host or the store is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// How often a mission is looked at while its commander is in a turn or a pause of the host's is waited for: the net
/// under a missed event.
const LOOK: Duration = super::sessions::BELIEVED;

/// The most steps in a row, so that a fault of ours cannot make the loop spin.
const STEPS: usize = 10_000;

/// Drives the project's missions until it is let go.
pub async fn run(project: Arc<Project>) {
    project.missions.spoil();
    loop {
        let pause = tokio::select! {
            () = project.stop.cancelled() => return,
            pause = look(&project) => pause,
        };
        // While the commander is to be heard, its events must come.
        let _need = pause.and_then(|_| project.need_stream(&project.directory()));
        tokio::select! {
            () = project.stop.cancelled() => return,
            () = project.missions.wake.notified() => {}
            () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
        }
    }
}

/// Looks at every mission; says when to look again without being woken.
async fn look(project: &Arc<Project>) -> Option<Duration> {
    if project.missions.take_stale()
        && let Err(error) = load(project).await
    {
        if matches!(error, StoreError::Closed) {
            return None;
        }
        tracing::warn!(%error, "missions could not be read");
        project.missions.spoil();
        return Some(AGAIN);
    }
    let mut again = None;
    for session in project.missions.take_aborted() {
        // Everything that ends by itself is told otherwise: this was a person.
        let paused = commands::pause(project, &session, "you stopped the commander; /resume goes on").await;
        if let Err(fault) = paused {
            tracing::warn!(%session, %fault, "a mission was not paused");
        }
    }
    for driven in project.missions.driven() {
        let id = driven.mission.id;
        match drive(project, driven).await {
            Ok(pause) => again = [again, pause].into_iter().flatten().min(),
            Err(fault) if fault.code == Code::NotAttached => return None,
            Err(fault) => {
                tracing::warn!(mission = %id, %fault, "a mission does not go on; trying again");
                again = [again, Some(AGAIN)].into_iter().flatten().min();
            }
        }
    }
    again
}

/// Reads the missions that this process is to drive.
async fn load(project: &Project) -> Result<(), StoreError> {
    let (key, me) = (project.key.clone(), project.core.instance);
    let rows = project
        .store(move |store| store.missions(&key, &MissionFilter { open: true, ..MissionFilter::default() }))
        .await?;
    for row in rows.into_iter().filter(|row| row.home == me) {
        if project.missions.get(row.id).is_none_or(|driven| driven.rev != row.rev) {
            match gather::adopt(project, row).await {
                Ok(driven) => project.missions.put(driven),
                Err(error @ StoreError::CorruptMission { .. }) => {
                    tracing::error!(%error, "a mission is left as it is");
                    project.toaster.store_trouble(&error);
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Takes a mission as far as it goes.
async fn drive(project: &Arc<Project>, mut driven: Driven) -> Result<Option<Duration>, Fault> {
    for _ in 0..STEPS {
        if driven.mission.is_over() || driven.mission.pause.is_some() {
            return Ok(None);
        }
        gather::tasks(project, &mut driven).await?;
        let id = driven.mission.id;
        project.missions.learn(id, driven.tasks.clone());
        let read = gather::todo(project).await?;
        let own = gather::own(project, &driven.mission).await?;
        let commander = gather::commander(project, &driven.mission).await?;
        if let Commander::Idle(_) = commander
            && act::send(project, &driven.mission).await?
        {
            driven = sent(project, &driven, &read).await?;
            continue;
        }
        let tasks = driven.tasks.iter().map(|(id, known)| (*id, known.view.clone())).collect();
        let errands = project.missions.errands(id);
        let world = World {
            now: project.core.clock.now(),
            todo: &read.document,
            rev: read.rev,
            tasks: &tasks,
            own,
            commander: &commander,
            tokens: driven.tasks.values().map(|known| known.tokens.total()).sum(),
            errands: &errands,
            settings: &project.options.mission,
        };
        let decision = mission::next(&driven.mission, &world, &mut Fresh(project));
        for errand in decision.errands {
            errands::begin(project, &driven.mission, errand);
        }
        let Some(step) = decision.step else {
            let waits = commander == Commander::Busy && tasks.values().all(|task: &TaskView| *task != TaskView::Open);
            return Ok(waits.then_some(LOOK));
        };
        driven = match act::step(project, &driven, &read, step).await {
            Ok(driven) => driven,
            // Somebody else was first: their word is read, and it is decided anew.
            Err(fault) if fault.code == Code::TodoMoved => driven,
            Err(fault) if fault.code == Code::StoreBusy => {
                project.missions.drop(id);
                project.missions.spoil();
                return Err(fault);
            }
            Err(fault) => return Err(fault),
        };
    }
    tracing::error!(mission = %driven.mission.id, "a mission made {STEPS} steps in a row");
    Ok(Some(AGAIN))
}

/// Notes that the latest message is with the commander.
async fn sent(project: &Arc<Project>, driven: &Driven, read: &book::Read) -> Result<Driven, Fault> {
    let mut mission = (*driven.mission).clone();
    if let Some(message) = mission.message.as_mut() {
        message.sent = true;
    }
    act::step(project, driven, read, mission::Step::of(mission, "sent")).await
}
