//! What all projects of one process share.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::listening::Listening;
use crate::{
    admission::Slots,
    clock::{Clock, Ids},
    opencode::{AscendingIds, MessageId, PartId},
    store::{StoreHandle, home::Home},
    sys::memory::MemoryGauge,
    task::{InstanceId, Run},
};

/// The process's engine as its projects see it.
#[derive(Debug)]
pub struct Core {
    /// This process in the database.
    pub instance: InstanceId,
    /// Where Sortie's files are.
    pub home: Home,
    /// The database.
    pub store: StoreHandle,
    /// The slots that tasks of this process hold.
    pub slots: Slots,
    /// One for each command that may run in the background.
    pub commands: Arc<Semaphore>,
    /// How full the memory is.
    pub memory: MemoryGauge,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Names for new things.
    pub ids: Ids,
    /// Who needs the event stream.
    pub listening: Listening,
    /// Names for new messages.
    pub messages: AscendingIds,
}

impl Core {
    /// Ids for a prompt or report: of its message and of its text.
    pub fn prompt_ids(&self) -> (MessageId, PartId) {
        let now = self.clock.now().millis();
        (self.messages.message(now, &random()), self.messages.part(now, &random()))
    }

    /// A run whose prompt was not sent yet, in this session or in one that is still to be made.
    pub fn new_run(&self, session: Option<String>) -> Run {
        let (message, part) = self.prompt_ids();
        Run { session, message: message.to_string(), part: part.to_string(), process: None }
    }
}

fn random() -> [u8; 14] {
    let mut bytes = [0; 14];
    fastrand::fill(&mut bytes);
    bytes
}
