//! The time limit of a run, which may be extended while it runs.

use std::{sync::Arc, time::Duration};

use super::project::Project;
use crate::{
    store::Filter,
    task::{TaskId, TaskState},
};

/// Lasts until the time of a run is up, and gives the limit that it had at last. `left` is the limit that it begins with.
///
/// The row knows the deadline, whoever moved it and in whichever process: it is read when the time seems up. A deadline
/// only ever moves later.
pub async fn over(project: Arc<Project>, task: TaskId, mut left: Duration) -> Duration {
    let mut limit = left;
    loop {
        tokio::time::sleep(left).await;
        let found = project.tasks(Filter { ids: Some(vec![task]), ..Filter::default() }).await;
        let Some(now) = found.ok().and_then(|mut found| found.pop()) else { return limit };
        limit = now.limit();
        match now.state {
            TaskState::Running { deadline, .. } if deadline > project.core.clock.now() => {
                left = deadline.since(project.core.clock.now());
            }
            _ => return limit,
        }
    }
}
