//! What runs on this machine for the queue, as files: an agent's group beside its supervisor, and who works the queue.
//!
//! An agent is noted before it is let go, and forgotten when nothing of its group is left. A note whose supervisor is dead
//! and whose task nobody will take up again names what has to be ended.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::invocation::TASK_MARK;
use crate::{
    store::{Filter, Home, Store, StoreError, instance, private},
    sys::process::{Adopted, Identity},
    task::{InstanceId, ProjectKey, StateName, Task, TaskId},
};

/// An agent's group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentNote {
    /// Its task.
    pub task: TaskId,
    /// The task's project.
    pub project: ProjectKey,
    /// The group's first process.
    pub process: Identity,
    /// Who supervises it.
    pub supervisor: InstanceId,
}

/// Somebody who works the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerNote {
    /// Its instance: it lives as long as that one's lock.
    pub instance: InstanceId,
    /// Whose queue it works.
    pub project: ProjectKey,
    /// Its process.
    pub pid: u32,
    /// How many tasks it runs at once.
    pub parallel: u32,
}

impl AgentNote {
    /// The group.
    #[must_use]
    pub fn group(&self) -> Adopted {
        adopted(self.process, self.task)
    }

    fn path(home: &Home, task: TaskId) -> PathBuf {
        home.processes().join(format!("{task}.json"))
    }

    /// Notes it.
    ///
    /// # Errors
    /// Those of file operations.
    pub fn write(&self, home: &Home) -> Result<(), StoreError> {
        private::write(&Self::path(home, self.task), self)
    }

    /// Forgets the agent of a task.
    pub fn forget(home: &Home, task: TaskId) {
        // One that stays is looked at by the next sweep, and names nothing that lives.
        let _ = fs::remove_file(Self::path(home, task));
    }

    /// The agent of a task, if one is noted.
    #[must_use]
    pub fn of(home: &Home, task: TaskId) -> Option<Self> {
        read(&Self::path(home, task))
    }
}

impl WorkerNote {
    fn path(home: &Home, instance: InstanceId) -> PathBuf {
        home.processes().join(format!("{instance}.json"))
    }

    /// Notes it.
    ///
    /// # Errors
    /// Those of file operations.
    pub fn write(&self, home: &Home) -> Result<(), StoreError> {
        private::write(&Self::path(home, self.instance), self)
    }

    /// Forgets a worker.
    pub fn forget(home: &Home, instance: InstanceId) {
        let _ = fs::remove_file(Self::path(home, instance));
    }

    /// The living workers of a project.
    #[must_use]
    pub fn living(home: &Home, project: &ProjectKey) -> Vec<Self> {
        let notes = notes::<Self>(home, InstanceId::PREFIX).into_iter();
        notes.filter(|note| note.project == *project && instance::is_alive(home, note.instance)).collect()
    }
}

/// The first process of a task's agent, if one was started that has not ended.
#[must_use]
pub fn agent_of(task: &Task) -> Option<Identity> {
    let process = task.process()?;
    Some(Identity { pid: process.pid, birth: process.birth })
}

/// The agent of a task, which somebody else has started.
#[must_use]
pub fn adopted(process: Identity, task: TaskId) -> Adopted {
    Adopted::new(process, Some((TASK_MARK, &task.to_string())))
}

/// Whether somebody supervises the agent of a task.
#[must_use]
pub fn is_supervised(home: &Home, task: TaskId) -> bool {
    AgentNote::of(home, task).is_some_and(|note| instance::is_alive(home, note.supervisor))
}

/// Ends what nobody supervises and nobody will take up again; returns how many groups that were. Notes of what is gone
/// are removed.
///
/// # Errors
/// The store's.
pub async fn sweep(home: &Home, store: &mut dyn Store) -> Result<usize, StoreError> {
    for note in notes::<WorkerNote>(home, InstanceId::PREFIX) {
        if !instance::is_alive(home, note.instance) {
            WorkerNote::forget(home, note.instance);
        }
    }
    let mut ended = 0;
    for note in notes::<AgentNote>(home, TaskId::PREFIX) {
        if instance::is_alive(home, note.supervisor) {
            continue;
        }
        let group = note.group();
        if group.has_group() {
            let filter = Filter { ids: Some(vec![note.task]), ..Filter::default() };
            let task = store.tasks(&note.project, &filter)?.pop();
            let is_taken_up = task.is_some_and(|task| {
                matches!(task.state.name(), StateName::Pending | StateName::Running)
                    && agent_of(&task) == Some(note.process)
            });
            if is_taken_up {
                continue;
            }
            group.end().await;
            ended += 1;
        }
        AgentNote::forget(home, note.task);
    }
    Ok(ended)
}

fn notes<T: DeserializeOwned>(home: &Home, prefix: &str) -> Vec<T> {
    let Ok(entries) = fs::read_dir(home.processes()) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    let of_kind = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| {
            name.starts_with(prefix) && Path::new(name).extension().is_some_and(|end| end == "json")
        })
    };
    paths.filter(of_kind).filter_map(|path| read(&path)).collect()
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}
