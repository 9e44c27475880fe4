//! What people, editors and other agents changed in TODO.md is obeyed: their word about an item stands over the
//! mission's own.

use super::{
    decide::Deciding,
    state::{Stage, Work},
};
use crate::todo::{ItemId, Status};

/// The status in which the mission left an item at this stage.
fn expected(stage: &Stage) -> Status {
    match stage {
        Stage::Active { .. } | Stage::Split => Status::InProgress,
        Stage::Accepted { .. } => Status::Done,
        Stage::Failed { .. } => Status::Failed,
    }
}

/// Drops or ends the work on items whose status is no longer the mission's own.
pub(super) fn obey(deciding: &mut Deciding<'_>) {
    let changed: Vec<(ItemId, Option<Status>)> = deciding
        .mission
        .works
        .iter()
        .filter_map(|(id, work)| {
            let status = deciding.item(id).map(|item| item.status);
            // The parts of a split item decide when it is done.
            let as_left =
                status == Some(expected(&work.stage)) || (work.stage == Stage::Split && status == Some(Status::Done));
            (!as_left).then(|| (id.clone(), status))
        })
        .collect();
    for (id, status) in changed {
        deciding.word = "obey";
        let Some(work) = deciding.mission.works.remove(&id) else { continue };
        for racer in work.stage.racers() {
            deciding.cancel.extend(racer.step.task());
            deciding.mission.litter.extend(racer.tree.as_ref().map(|tree| tree.path.clone()));
        }
        // Done by hand, or failed by hand: that is kept. Open again: it begins anew. Given up or gone: no work.
        let stage = match status {
            Some(Status::Done) => Stage::Accepted { worker: None },
            Some(Status::Failed) => Stage::Failed { reason: "marked as failed in TODO.md".to_owned() },
            _ => continue,
        };
        deciding.mission.works.insert(id, Work { stage, ..work });
    }
}
