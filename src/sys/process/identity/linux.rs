//! Linux: `/proc`.

use std::{collections::BTreeSet, fs, sync::OnceLock};

/// The ticks from the machine's start, which the clock does not move, mixed with which start that was.
pub(super) fn birth(pid: u32) -> Option<u64> {
    let stat = Stat::read(&pid.to_string())?;
    (!matches!(stat.state, 'Z' | 'X')).then(|| stat.birth ^ this_start())
}

/// 52 random bits that the kernel has drawn when it started.
fn this_start() -> u64 {
    static START: OnceLock<u64> = OnceLock::new();
    *START.get_or_init(|| {
        let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let digits: String = id.chars().filter(char::is_ascii_hexdigit).take(13).collect();
        // Where it is not told, the ticks alone must do.
        u64::from_str_radix(&digits, 16).unwrap_or(0)
    })
}

pub(super) fn marked(variable: &str, only: Option<u32>) -> BTreeSet<u32> {
    let Ok(processes) = fs::read_dir("/proc") else { return BTreeSet::new() };
    let names = processes.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let groups = names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).filter_map(|pid| {
        let group = Stat::read(&pid)?.group;
        let is_meant = only.is_none_or(|only| only == group)
            && fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|one| one == variable.as_bytes()));
        is_meant.then_some(group)
    });
    groups.collect()
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
