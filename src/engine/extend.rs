//! More time for a task.

use std::{sync::Arc, time::Duration};

use super::{ops::Caller, service::Attachment};
use crate::{
    fault::{Code, Fault},
    task::{Change, Guard, MAX_TIMEOUT, Task},
};

impl Attachment {
    /// Lets the runs of an open task take so much longer; the one under way as well, in whichever process it is.
    ///
    /// A task gives time only to those that it launched itself, and so do its subagents: nobody lifts their own limit.
    ///
    /// # Errors
    /// [`Code::BadTimeout`], [`Code::NotOpen`], [`Code::OwnLimit`], or the store's or the host's.
    pub async fn extend(&self, caller: &Caller, task: Task, by: Duration) -> Result<Task, Fault> {
        let most = MAX_TIMEOUT.saturating_sub(task.limit());
        if by.is_zero() || by > most {
            let (by, limit) = (by.as_secs(), task.limit().as_secs());
            let message = format!("`seconds` is {by}, and task {} may run {limit} s already", task.id);
            return Err(Fault::new(Code::BadTimeout, message));
        }
        let is_own = task.spec.parent.session == caller.session.to_string();
        if !is_own && self.above(caller).await?.lineage.parent.is_some() {
            let message = format!("this session is a task's or below one, and did not launch task {}", task.id);
            return Err(Fault::new(Code::OwnLimit, message));
        }
        let (id, core) = (task.id, Arc::clone(&self.project.core));
        let change = Change::Extend { by };
        let changed =
            self.project.store(move |store| store.change(id, Guard::Anyone, &change, None, core.clock.now())).await?;
        self.project.announce(&changed);
        Ok(changed.step.task)
    }
}
