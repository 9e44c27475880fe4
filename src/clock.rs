//! Time and randomness as the core sees them: handed in, so that tests own them.

use std::{fmt::Debug, sync::Arc};

use crate::task::{InstanceId, MissionId, TaskId, Timestamp};

/// Tells the time.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Makes ids from a clock and a random generator.
#[derive(Debug, Clone)]
pub struct Ids {
    clock: Arc<dyn Clock>,
}

impl Ids {
    /// Ids dated by this clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }

    /// A new task id.
    #[must_use]
    pub fn task(&self) -> TaskId {
        TaskId::new(self.clock.now(), &random())
    }

    /// A new task id for a task that was made at an earlier instant: ids sort by it.
    #[must_use]
    pub fn task_of(&self, made: Timestamp) -> TaskId {
        TaskId::new(made, &random())
    }

    /// A new mission id.
    #[must_use]
    pub fn mission(&self) -> MissionId {
        MissionId::new(self.clock.now(), &random())
    }

    /// A new instance id.
    #[must_use]
    pub fn instance(&self) -> InstanceId {
        InstanceId::new(self.clock.now(), &random())
    }
}

/// Ten random bytes. Not a secret: ids are names, not keys.
fn random() -> [u8; 10] {
    let mut bytes = [0; 10];
    fastrand::fill(&mut bytes);
    bytes
}
