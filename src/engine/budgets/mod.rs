//! Budgets at work: what running tasks use is counted as it is heard, and whoever uses up a budget stands still.
//!
//! [`Ledger`] takes in the host's events and remembers what is not written yet. [`run`] writes it and looks at the sums
//! ([`round`]): at once where anything is bounded, now and then where nothing is. [`Gate`] is what the dispatcher asks
//! before it starts a task. Every process counts and stops what runs in it; the sums are everybody's.

mod commands;
mod gate;
mod ledger;
mod round;

pub use commands::grant_mission;
pub use gate::Gate;
pub use ledger::Ledger;

use std::{sync::Arc, time::Duration};

use super::project::Project;
use crate::store::StoreError;

/// The rest between two rounds where something is bounded: long enough to take several answers together.
const REST: Duration = Duration::from_millis(20);

/// The same where nothing is: then nobody waits for the sums.
const LONG_REST: Duration = Duration::from_secs(1);

/// The pause after the database refused.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Counts and looks until the project is let go; what is left is written then.
pub async fn run(project: Arc<Project>) {
    loop {
        let (rest, pause) = match round::make(&project).await {
            Ok(round) => (if round.is_bounded { REST } else { LONG_REST }, round.again),
            Err(StoreError::Closed) => return,
            Err(error) => {
                tracing::warn!(%error, "what tasks use could not be counted; trying again");
                project.toaster.store_trouble(&error);
                (STORE_PAUSE, Some(Duration::ZERO))
            }
        };
        let woken = async {
            tokio::time::sleep(rest).await;
            tokio::select! {
                () = project.budgets.wake.notified() => {}
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
            }
        };
        tokio::select! {
            () = woken => {}
            () = project.stop.cancelled() => {
                if let Err(error) = round::make(&project).await {
                    tracing::debug!(%error, "the last of what tasks used was not counted");
                }
                return;
            }
        }
    }
}
