//! The command line as a user types it: every command and bad use with its whole output and exit code.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod bad;
mod good;
mod rig;
mod seed;
