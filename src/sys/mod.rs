//! The real clock, other programs, and word of changes in directories. What else differs between platforms lives
//! beside its use, in `unix.rs` and `windows.rs`.

pub mod git;
pub mod home;
pub mod memory;
pub mod process;
pub mod watch;

use std::time::{SystemTime, UNIX_EPOCH};

use crate::{clock::Clock, task::Timestamp};

/// The machine's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}
