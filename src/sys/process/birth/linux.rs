//! Linux: `/proc`.

use std::fs;

pub(super) fn birth(pid: u32) -> Option<u64> {
    let stat = Stat::read(&pid.to_string())?;
    (!matches!(stat.state, 'Z' | 'X')).then_some(stat.birth)
}

pub(super) fn is_marked(group: u32, name: &str, value: &str) -> bool {
    let wanted = format!("{name}={value}");
    let Ok(processes) = fs::read_dir("/proc") else { return false };
    let names = processes.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).any(|pid| {
        Stat::read(&pid).is_some_and(|stat| stat.group == group)
            && fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|one| one == wanted.as_bytes()))
    })
}

struct Stat {
    state: char,
    group: u32,
    /// In ticks since the machine's start.
    birth: u64,
}

impl Stat {
    fn read(pid: &str) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The program's name stands in brackets and may hold anything, brackets as well.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let state = fields.next()?.chars().next()?;
        let group = fields.nth(1)?.parse().ok()?;
        Some(Self { state, group, birth: fields.nth(16)?.parse().ok()? })
    }
}
