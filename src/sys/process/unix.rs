//! Unix: a process group.

use std::{
    ffi::OsString,
    io::{self, PipeReader, PipeWriter, Write},
    os::{
        fd::OwnedFd,
        unix::{
            ffi::OsStringExt,
            process::{CommandExt, ExitStatusExt},
        },
    },
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use rustix::{
    fs::{Access, access},
    io::Errno,
    process::{Pid, Signal, getpgid, kill_process, kill_process_group, test_kill_process_group},
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

    /// The program's number, unless it has ended.
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

/// The group that a process is in.
pub(super) fn group_of(number: u32) -> Option<u32> {
    u32::try_from(getpgid(Some(pid(number)?)).ok()?.as_raw_nonzero().get()).ok()
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

/// What [`Guard`]'s program does: once nobody holds the other end of its input and no word has come, it ends the group.
/// Asked first, as by [`super::end`]. A constant: no command and no name is a part of it.
const WATCH: &str = "read -r _ && exit 0; kill -TERM -$1 || exit 0; n=0; \
     while [ $n -lt 20 ] && kill -0 -$1; do n=$((n+1)); sleep 0.1 || sleep 1; done; kill -KILL -$1";

/// Ends a group as soon as this process is gone, however it went: a small program that waits for the end of a pipe
/// which the kernel closes with this process.
#[derive(Debug)]
pub(super) struct Guard {
    watch: Child,
    alive: PipeWriter,
}

impl Guard {
    /// Watches over a group from now on.
    pub(super) fn over(group: u32) -> io::Result<Self> {
        let (input, alive) = io::pipe()?;
        let mut watch = std::process::Command::new("/bin/sh");
        // In a group of its own, so that what ends this process by its group does not end it first.
        watch.args(["-c", WATCH, "sortie-guard", &group.to_string()]).process_group(0).current_dir("/");
        watch.env_clear().env("PATH", "/usr/bin:/bin").stdin(input).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { watch: Command::from(watch).spawn()?, alive })
    }

    /// The group is gone: nothing is to be watched any more.
    pub(super) async fn release(mut self) {
        let _ = self.alive.write_all(b"\n");
        drop(self.alive);
        let _ = self.watch.wait().await;
    }
}

/// Whether this user may run a file.
pub(super) fn may_run(path: &Path) -> bool {
    access(path, Access::EXEC_OK).is_ok()
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, BufReader};

    use super::*;

    /// Deaf to being asked, with a child; says so when it is ready.
    const STUBBORN: &str = "trap '' TERM; sleep 600 & echo ready; while :; do wait; sleep 600; done";

    async fn group() -> (Group, BufReader<ChildStdout>) {
        let (out, writer) = io::pipe().unwrap();
        let mut start = std::process::Command::new("sh");
        start.args(["-c", STUBBORN]).stdin(Stdio::null()).stdout(writer);
        let group = Group::start(start).unwrap();
        let mut out = BufReader::new(reader(out).unwrap());
        let mut line = String::new();
        out.read_line(&mut line).await.unwrap();
        assert_eq!(line, "ready\n");
        (group, out)
    }

    #[tokio::test]
    async fn a_guard_ends_a_group_when_the_pipe_closes_and_leaves_it_when_it_is_released() {
        let (mut first, _out) = group().await;
        let (mut second, _out) = group().await;
        let guard = Guard::over(second.pid().unwrap()).unwrap();
        guard.release().await;
        let Guard { mut watch, alive } = Guard::over(first.pid().unwrap()).unwrap();
        // As the kernel does when this process is gone.
        drop(alive);
        let ended = first.leader().await.unwrap();
        assert_eq!(signal(ended), 9);
        watch.wait().await.unwrap();
        assert!(!second.is_empty());
        second.kill();
        second.leader().await.unwrap();
    }
}
