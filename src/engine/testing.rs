//! Tasks for the engine's own tests.

use std::time::Duration;

use crate::task::{InstanceId, Parent, Priority, ProjectKey, ResumePolicy, Task, TaskId, TaskSpec, Timestamp};

/// A pending task with this key, the same each time.
pub fn task(key: &str) -> Task {
    let mut random = [0; 10];
    for (byte, letter) in random.iter_mut().zip(key.bytes()) {
        *byte = letter;
    }
    let spec = TaskSpec {
        project: ProjectKey::new("/p"),
        key: Some(key.to_owned()),
        title: format!("title of {key}"),
        agent: "build".into(),
        prompt: format!("do {key}"),
        model: None,
        expected_model: None,
        directory: "/p".into(),
        parent: Parent { session: "ses_parent".into(), directory: "/p".into() },
        depth: 1,
        priority: Priority::Normal,
        timeout: Duration::from_secs(600),
        max_attempts: 5,
        resume: ResumePolicy::Auto,
        depends_on: Vec::new(),
        continues: None,
        retry_of: None,
        mission: None,
        queued: None,
    };
    Task::new(TaskId::new(Timestamp(0), &random), spec, InstanceId::new(Timestamp(0), &[1; 10]), Timestamp(0))
}
