//! How full the memory is: the container's where there is a limit on it, else the machine's.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use sysinfo::System;

/// How long a reading is good for.
const GOOD: Duration = Duration::from_secs(1);

/// The latest reading, in percent.
#[derive(Debug, Default)]
pub struct MemoryGauge(Mutex<Option<(Instant, u8)>>);

impl MemoryGauge {
    /// How much of the memory is used, in percent; what the system can take back at once counts as free.
    #[must_use]
    pub fn used(&self) -> u8 {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *latest {
            Some((read, used)) if read.elapsed() < GOOD => used,
            _ => {
                let used = read();
                *latest = Some((Instant::now(), used));
                used
            }
        }
    }
}

fn read() -> u8 {
    let mut system = System::new();
    system.refresh_memory();
    let machine = percent(system.total_memory(), system.available_memory());
    // Its `free_memory` takes the files that are cached for used, which they are almost wholly in any container.
    let container = system
        .cgroup_limits()
        .map_or(0, |limits| percent(limits.total_memory, limits.total_memory.saturating_sub(limits.rss)));
    machine.max(container)
}

/// The used part, in percent.
fn percent(total: u64, free: u64) -> u8 {
    let used = total.saturating_sub(free).saturating_mul(100).checked_div(total).unwrap_or(0);
    u8::try_from(used).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_neither_empty_nor_overfull() {
        assert!((1..=100).contains(&MemoryGauge::default().used()));
        assert_eq!((percent(0, 0), percent(100, 20), percent(100, 200)), (0, 80, 0));
    }
}
