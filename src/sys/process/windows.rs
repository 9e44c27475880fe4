//! Windows: a job object. Nothing there asks a program without a window to end: it is killed.

use std::{
    io::{self, PipeReader},
    os::windows::io::OwnedHandle,
    path::{Path, PathBuf},
    process::ExitStatus,
};

use process_wrap::tokio::{ChildWrapper, CommandWrap, JobObject, KillOnDrop};
use sysinfo::{Pid, ProcessesToUpdate, System};
use tokio::process::{ChildStdin, ChildStdout, Command};

/// A program and what it starts. Dropping it closes the job, which kills all of them.
#[derive(Debug)]
pub(super) struct Group {
    job: Box<dyn ChildWrapper>,
    killed: bool,
}

impl Group {
    pub(super) fn start(command: std::process::Command) -> io::Result<Self> {
        let job = CommandWrap::from(Command::from(command)).wrap(KillOnDrop).wrap(JobObject).spawn()?;
        Ok(Self { job, killed: false })
    }

    /// The program's number, unless it has ended.
    pub(super) fn pid(&self) -> Option<u32> {
        self.job.id()
    }

    /// The writing end of its input, if that is a pipe.
    pub(super) fn input(&mut self) -> Option<ChildStdin> {
        self.job.stdin().take()
    }

    /// Waits for the program itself. May be called again, and dropped while it waits.
    pub(super) async fn leader(&mut self) -> io::Result<ExitStatus> {
        self.job.inner_mut().wait().await
    }

    /// Whether nothing is left of the job: known only once it was killed.
    pub(super) fn is_empty(&mut self) -> bool {
        self.killed
    }

    /// Ends all of the job.
    pub(super) fn ask(&mut self) {
        self.kill();
    }

    /// Kills what is left of the job.
    pub(super) fn kill(&mut self) {
        if !self.killed {
            // It may have ended since.
            let _ = self.job.start_kill();
            self.killed = true;
        }
    }
}

/// Whether the program of a job runs: all of the job ends with its supervisor, so that nothing else is left.
pub(super) fn group_exists(group: u32) -> bool {
    with_process(group, |_| ()).is_some()
}

/// Ends what is left of a job.
pub(super) fn end_group(group: u32, _kill: bool) {
    with_process(group, |process| process.kill());
}

/// The process itself: there are no groups.
#[expect(clippy::unnecessary_wraps, reason = "elsewhere a process may be gone")]
pub(super) fn group_of(number: u32) -> Option<u32> {
    Some(number)
}

fn with_process<R>(number: u32, with: impl FnOnce(&sysinfo::Process) -> R) -> Option<R> {
    let (mut system, id) = (System::new(), Pid::from_u32(number));
    system.refresh_processes(ProcessesToUpdate::Some(&[id]), true);
    system.process(id).map(with)
}

/// Ends a child.
pub(super) fn ask_to_end(child: &mut tokio::process::Child) {
    // It may have ended.
    let _ = child.start_kill();
}

/// Runs another program in this one's place: it has its input and output, and its exit code becomes this one's.
pub(super) fn become_program(mut command: std::process::Command) -> io::Error {
    match command.status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(1)),
        Err(error) => error,
    }
}

/// Starts a program without our console and apart from its groups.
pub(super) fn apart(command: &mut std::process::Command) {
    use std::os::windows::process::CommandExt;
    /// `CREATE_NEW_PROCESS_GROUP` and `DETACHED_PROCESS` of `winbase.h`.
    const APART: u32 = 0x0000_0200 | 0x0000_0008;
    command.creation_flags(APART);
}
/// Nothing to do here: the system closes a job with the last process that holds it, and the job was made to end then.
#[derive(Debug)]
pub(super) struct Guard;

impl Guard {
    /// Watches over a job from now on.
    #[expect(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
    pub(super) fn over(_group: u32) -> io::Result<Self> {
        Ok(Self)
    }

    /// The job is gone.
    #[expect(clippy::unused_async, reason = "elsewhere it waits")]
    pub(super) async fn release(self) {}
}

/// Known by the name only, which whoever looks for it has chosen.
pub(super) fn may_run(_path: &Path) -> bool {
    true
}

/// The reading end of a pipe, for the runtime.
pub(super) fn reader(pipe: PipeReader) -> io::Result<ChildStdout> {
    ChildStdout::from_std(OwnedHandle::from(pipe).into())
}

/// Every program has an exit code here.
pub(super) fn signal(_status: ExitStatus) -> i32 {
    0
}

/// git prints UTF-8.
pub(super) fn path(printed: Vec<u8>) -> PathBuf {
    String::from_utf8(printed).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()).into()
}
