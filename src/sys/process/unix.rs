//! Unix: a process group.

use std::{
    ffi::OsString,
    io::{self, PipeReader},
    os::{
        fd::OwnedFd,
        unix::{
            ffi::OsStringExt,
            process::{CommandExt, ExitStatusExt},
        },
    },
    path::PathBuf,
    process::ExitStatus,
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group},
};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// A program and what it starts. Dropping it kills all of them, unless they are known to be gone.
#[derive(Debug)]
pub(super) struct Group {
    leader: Child,
    /// The leader's pid is the group's number. None once the group is empty: the number may then be another's.
    id: Option<Pid>,
}

impl Group {
    pub(super) fn start(mut command: std::process::Command) -> io::Result<Self> {
        command.process_group(0);
        let mut command = Command::from(command);
        let leader = command.kill_on_drop(true).spawn()?;
        let id = leader.id().and_then(pid);
        Ok(Self { leader, id })
    }

    /// The leader's number, which is the group's.
    pub(super) fn pid(&self) -> Option<u32> {
        self.leader.id()
    }

    /// The writing end of its input, if that is a pipe.
    pub(super) fn input(&mut self) -> Option<ChildStdin> {
        self.leader.stdin.take()
    }

    /// Waits for the program itself. May be called again, and dropped while it waits.
    pub(super) async fn leader(&mut self) -> io::Result<ExitStatus> {
        self.leader.wait().await
    }

    /// Whether nothing is left of the group.
    pub(super) fn is_empty(&mut self) -> bool {
        // A group of which only dead processes are left is `PERM` on macOS.
        self.id = self.id.filter(|id| !matches!(test_kill_process_group(*id), Err(Errno::SRCH | Errno::PERM)));
        self.id.is_none()
    }

    /// Asks all of the group to end.
    pub(super) fn ask(&mut self) {
        self.send(Signal::TERM);
    }

    /// Kills what is left of the group.
    pub(super) fn kill(&mut self) {
        self.send(Signal::KILL);
    }

    fn send(&mut self, signal: Signal) {
        if !self.is_empty()
            && let Some(id) = self.id
        {
            // It may have ended since.
            let _ = kill_process_group(id, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether a group has members.
pub(super) fn group_exists(group: u32) -> bool {
    pid(group).is_some_and(|id| !matches!(test_kill_process_group(id), Err(Errno::SRCH | Errno::PERM)))
}

/// Asks a group to end, or kills it. It may have ended since it was looked at.
pub(super) fn end_group(group: u32, kill: bool) {
    if let Some(id) = pid(group) {
        let _ = kill_process_group(id, if kill { Signal::KILL } else { Signal::TERM });
    }
}

fn pid(number: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(number).ok()?)
}

/// Asks a child to end. It may have ended.
pub(super) fn ask_to_end(child: &mut Child) {
    if let Some(id) = child.id().and_then(pid) {
        let _ = kill_process(id, Signal::TERM);
    }
}

/// Becomes another program: the process stays the same.
pub(super) fn become_program(mut command: std::process::Command) -> io::Error {
    command.exec()
}

/// Starts a program in a group of its own: what a terminal sends to ours does not reach it.
pub(super) fn apart(command: &mut std::process::Command) {
    command.process_group(0);
}

/// The reading end of a pipe, for the runtime.
pub(super) fn reader(pipe: PipeReader) -> io::Result<ChildStdout> {
    ChildStdout::from_std(OwnedFd::from(pipe).into())
}

/// The signal that ended a program which has no exit code.
pub(super) fn signal(status: ExitStatus) -> i32 {
    status.signal().unwrap_or(0)
}

/// Any bytes are a path.
pub(super) fn path(printed: Vec<u8>) -> PathBuf {
    OsString::from_vec(printed).into()
}
