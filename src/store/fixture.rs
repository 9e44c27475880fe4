//! Tasks for tests, here and in the engine's.

use std::time::Duration;

use super::{Queue, Scheduler, Wanted};
use crate::task::{InstanceId, Parent, Priority, ProjectKey, ResumePolicy, Run, Task, TaskId, TaskSpec, Timestamp};

/// The project of these tasks.
#[must_use]
pub fn project() -> ProjectKey {
    ProjectKey::new("/project")
}

/// Ten bytes of a number.
fn bytes(n: u64) -> [u8; 10] {
    let mut bytes = [0; 10];
    bytes[2..].copy_from_slice(&n.to_be_bytes());
    bytes
}

/// The task id number `n`.
#[must_use]
pub fn id(n: u64) -> TaskId {
    TaskId::new(Timestamp(1_700_000_000_000), &bytes(n))
}

/// The instance id number `n`.
#[must_use]
pub fn instance(n: u64) -> InstanceId {
    InstanceId::new(Timestamp(1_700_000_000_000), &bytes(n))
}

/// Ids for a run, without a session at first.
#[must_use]
pub fn run(session: Option<&str>) -> Run {
    Run { session: session.map(str::to_owned), message: "msg_1".into(), part: "prt_1".into(), process: None }
}

/// What a plain task of the session `ses_parent` asks for.
#[must_use]
pub fn spec() -> TaskSpec {
    TaskSpec {
        project: project(),
        key: None,
        title: "title".into(),
        agent: "build".into(),
        prompt: "do it".into(),
        model: None,
        expected_model: None,
        directory: "/project".into(),
        parent: Parent { session: "ses_parent".into(), directory: "/project".into() },
        depth: 1,
        priority: Priority::Normal,
        timeout: Duration::from_secs(600),
        max_attempts: 3,
        resume: ResumePolicy::Auto,
        depends_on: Vec::new(),
        continues: None,
        retry_of: None,
        mission: None,
        queued: None,
    }
}

/// A task as it is launched at instant 1, with a change to its spec.
#[must_use]
pub fn task(n: u64, home: InstanceId, adjust: impl FnOnce(&mut TaskSpec)) -> Task {
    let mut spec = spec();
    adjust(&mut spec);
    Task::new(id(n), spec, home, Timestamp(1))
}

/// Lets each candidate start for which `admit` gives a run.
pub fn each<F: FnMut(&Task) -> Option<Run>>(admit: F) -> Each<F> {
    Each(admit)
}

/// See [`each`].
pub struct Each<F>(F);

impl<F: FnMut(&Task) -> Option<Run>> Scheduler for Each<F> {
    fn wanted(&self) -> Wanted {
        Wanted::first(u32::MAX)
    }

    fn wants(&mut self, queue: Queue) -> bool {
        !queue.candidates.is_empty()
    }

    fn choose(&mut self, queue: Queue) -> Vec<TaskId> {
        queue.candidates.iter().map(|candidate| candidate.id).collect()
    }

    fn run(&mut self, task: &Task) -> Option<Run> {
        (self.0)(task)
    }

    fn providers(&mut self) -> Vec<(String, String)> {
        Vec::new()
    }
}
