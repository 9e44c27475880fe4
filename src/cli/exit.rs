//! Exit codes: scripts rely on them.

use crate::fault::{Code, Fault};

/// All went well.
pub const OK: u8 = 0;
/// A task that was waited for failed, was cancelled, or stands still.
pub const TASKS_FAILED: u8 = 1;
/// What was typed is wrong.
pub const USAGE: u8 = 2;
/// There is no such task.
pub const NOT_FOUND: u8 = 3;
/// The task is in a state in which this cannot be done.
pub const STATE: u8 = 4;
/// Sortie's own files cannot be used.
pub const STORE: u8 = 5;
/// A configuration file is wrong.
pub const CONFIG: u8 = 6;
/// OpenCode or another program cannot be run.
pub const PROGRAM: u8 = 7;
/// No check failed, but of some it is not known whether they hold.
pub const NOT_KNOWN: u8 = 8;
/// The time to wait is over.
pub const WAITED: u8 = 124;
/// Stopped by a signal.
pub const INTERRUPTED: u8 = 130;

/// The exit code of a fault.
#[must_use]
pub fn of(fault: &Fault) -> u8 {
    match fault.code {
        Code::BadConfig | Code::BadPool => CONFIG,
        Code::UnknownId | Code::AmbiguousId => NOT_FOUND,
        Code::WrongState | Code::NotFailed | Code::RetriesUsedUp | Code::NotQueued => STATE,
        Code::WaitOver => WAITED,
        Code::NotRun
        | Code::OpencodeMissing
        | Code::NoPort
        | Code::ServerNotStarted
        | Code::ServerDied
        | Code::PoolClosed => PROGRAM,
        code if code.as_str().starts_with("store-") => STORE,
        code if code.as_str().starts_with("host-") => PROGRAM,
        _ => USAGE,
    }
}
