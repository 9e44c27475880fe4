//! What processes that were killed have left running, and its end.

use crate::{
    store::{
        Home,
        strays::{self, Stray},
    },
    sys::process::Adopted,
};

/// Ends what dead processes have left behind.
pub async fn sweep(home: &Home) {
    let found = match strays::of_the_dead(home) {
        Ok(found) => found,
        Err(error) => return tracing::warn!(%error, "commands of dead processes are not known"),
    };
    for Stray { note, leader } in found {
        if Adopted::new(leader, None).end().await {
            tracing::info!(pid = leader.pid, "ended a command that a dead process had left behind");
        }
        note.remove();
    }
}
