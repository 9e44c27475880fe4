//! The command line as a user types it: every command and bad use with its whole output and exit code.

#![cfg(feature = "cli")]
#![expect(
    clippy::unwrap_used,
    clippy::format_push_string,
    reason = "in a test a panic is the report, and speed is nothing"
)]

mod bad;
mod good;
mod rig;
