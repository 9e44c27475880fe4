//! Other systems: what `sysinfo` tells, births in whole seconds.

use std::collections::BTreeSet;

use sysinfo::{Pid, Process, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System, UpdateKind};

use crate::sys::process::platform::group_of;

pub(super) fn birth(pid: u32) -> Option<u64> {
    let (mut system, id) = (System::new(), Pid::from_u32(pid));
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[id]), true, ProcessRefreshKind::nothing());
    let process = system.process(id)?;
    (!matches!(process.status(), ProcessStatus::Zombie | ProcessStatus::Dead)).then(|| process.start_time())
}

pub(super) fn marked(variable: &str, only: Option<u32>) -> BTreeSet<u32> {
    let mut system = System::new();
    let what = ProcessRefreshKind::nothing().with_environ(UpdateKind::Always).without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, what);
    let has = |process: &Process| process.environ().iter().any(|one| one.as_encoded_bytes() == variable.as_bytes());
    let marked = system.processes().iter().filter(|(_, process)| has(process));
    let groups = marked.filter_map(|(pid, _)| group_of(pid.as_u32()));
    groups.filter(|group| only.is_none_or(|only| only == *group)).collect()
}
