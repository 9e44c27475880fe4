//! Other systems: what `sysinfo` tells, in whole seconds.

use sysinfo::{Pid, ProcessStatus, ProcessesToUpdate, System};

pub(super) fn birth(pid: u32) -> Option<u64> {
    let (mut system, id) = (System::new(), Pid::from_u32(pid));
    system.refresh_processes(ProcessesToUpdate::Some(&[id]), true);
    let process = system.process(id)?;
    (process.status() != ProcessStatus::Zombie).then(|| process.start_time())
}

pub(super) fn is_marked(_group: u32, _name: &str, _value: &str) -> bool {
    true
}
