//! Windows: a job object. Nothing there asks a program without a window to end: it is killed.

use std::{
    io::{self, PipeReader},
    os::windows::io::OwnedHandle,
    path::PathBuf,
    process::ExitStatus,
};

use process_wrap::tokio::{ChildWrapper, CommandWrap, JobObject, KillOnDrop};
use tokio::process::{ChildStdout, Command};

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
