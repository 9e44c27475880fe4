//! What processes that were killed have left running, and its end.

use crate::{
    store::{
        Home,
        strays::{self, Stray},
    },
    sys::process::end_stray,
};

/// Ends what dead processes have left behind. Blocks while a program ends.
pub fn sweep(home: &Home) {
    let found = match strays::of_the_dead(home) {
        Ok(found) => found,
        Err(error) => return tracing::warn!(%error, "commands of dead processes are not known"),
    };
    for Stray { note, leader } in found {
        if end_stray(leader) {
            tracing::info!(pid = leader.pid, "ended a command that a dead process had left behind");
        }
        note.remove();
    }
}
