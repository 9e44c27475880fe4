//! Running another program: with a time limit, a bound on what is kept of its output, and nothing left of it.
//!
//! No shell ever reads a command. It runs in a process group of its own (on Windows in a job), without input. When it
//! ends, is cancelled, takes too long, or its caller is dropped, all of the group ends: asked first, killed after
//! [`GRACE`]. Only what moves itself into another group (a daemon) is out of reach.

mod adopted;
mod held;
mod identity;
mod kept;
mod live;
mod running;
#[cfg(test)]
mod tests;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::{
    io,
    path::{Path, PathBuf},
    pin::pin,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::ChildStdout,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

pub use adopted::Adopted;
pub use held::{Behind, Held, apart, become_program};
pub use identity::Identity;
pub use kept::Kept;
pub use live::Live;
pub use running::Running;

#[cfg(unix)]
use unix as platform;
#[cfg(windows)]
use windows as platform;

use crate::fault::{Code, Fault};

/// How long a group has to end by itself once it is asked to.
pub const GRACE: Duration = Duration::from_secs(2);

/// How long output is waited for that nobody of the group can write any more: a daemon may hold the pipe for ever.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How often a group is looked at while it ends. Nothing tells of the end of a process that is not our child.
const LOOK: Duration = Duration::from_millis(10);

/// A program to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program, by its name or path, and its arguments.
    pub argv: Vec<String>,
    /// The directory it runs in.
    pub dir: PathBuf,
    /// Variables set for it, over those of this process.
    pub set: Vec<(String, String)>,
    /// Variables of this process that it does not get.
    pub unset: Vec<String>,
    /// How long it may run.
    pub timeout: Duration,
    /// Bytes kept of its output: half of it from the beginning, half from the end.
    pub keep: usize,
}

/// How a program came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// By itself, with this exit code.
    Exited(i32),
    /// By this signal, which was not ours.
    Signalled(i32),
    /// It was ended because its time was over.
    TimedOut,
    /// It was ended because nobody wants it any more.
    Cancelled,
    /// It never ran ([`Code::CheckNotStarted`]).
    NotStarted(Fault),
}

impl Status {
    /// Whether it ended by itself and says that all is well.
    #[must_use]
    pub fn is_success(&self) -> bool {
        *self == Self::Exited(0)
    }
}

/// What is known of a program once nothing of it is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// How it ended.
    pub status: Status,
    /// What it wrote to stdout and stderr, in the order in which it wrote it; what is no UTF-8 is replaced, and what
    /// was left out in the middle is told.
    pub output: String,
    /// How long it ran.
    pub took: Duration,
}

/// What is known of a program whose stdout is data.
#[derive(Debug)]
pub struct Split {
    /// How it ended.
    pub status: Status,
    /// What it wrote to stdout.
    pub stdout: Kept,
    /// What it wrote to stderr.
    pub stderr: Kept,
}

/// Asks a child to end; where the system knows no such thing, it is killed.
pub fn ask_to_end(child: &mut tokio::process::Child) {
    platform::ask_to_end(child);
}

/// Runs a program to its end.
///
/// Dropping the future ends the program like a cancellation does, on a task of the runtime; if the runtime goes as
/// well, the group is killed at once.
pub async fn run(command: &Command, cancel: &CancellationToken) -> Finished {
    let begun = Instant::now();
    let (status, stdout, _) = guarded(command, cancel, false).await;
    Finished { status, output: stdout.text(), took: begun.elapsed() }
}

/// The same, with stdout and stderr apart; each is bounded by [`Command::keep`].
pub async fn run_split(command: &Command, cancel: &CancellationToken) -> Split {
    let (status, stdout, stderr) = guarded(command, cancel, true).await;
    Split { status, stdout, stderr }
}

/// Puts the program on a task of its own, which ends it also when this future is dropped.
async fn guarded(command: &Command, cancel: &CancellationToken, split: bool) -> (Status, Kept, Kept) {
    let unwanted = cancel.child_token();
    let _guard = unwanted.clone().drop_guard();
    match tokio::spawn(drive(command.clone(), unwanted, split)).await {
        Ok(finished) => finished,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down.
            Err(_) => (Status::Cancelled, Kept::new(0), Kept::new(0)),
        },
    }
}

async fn drive(command: Command, unwanted: CancellationToken, split: bool) -> (Status, Kept, Kept) {
    let (mut stdout, mut stderr) = (Kept::new(command.keep), Kept::new(command.keep));
    if unwanted.is_cancelled() {
        return (Status::Cancelled, stdout, stderr);
    }
    let (mut group, out, err) = match start(&command, split) {
        Ok(started) => started,
        Err(why) => return (Status::NotStarted(not_started(&command, &why)), stdout, stderr),
    };
    let over = sleep_until(Instant::now() + command.timeout);
    let reading = async {
        tokio::join!(read(out, |bytes| stdout.push(bytes)), async {
            if let Some(err) = err {
                read(err, |bytes| stderr.push(bytes)).await;
            }
        });
    };
    let status = attend(&mut group, reading, over, &unwanted).await;
    (status, stdout, stderr)
}

/// Follows a program to its end: by itself, because its time is over, or because it is not wanted any more.
async fn attend(
    group: &mut platform::Group,
    reading: impl Future,
    over: impl Future<Output = ()>,
    unwanted: &CancellationToken,
) -> Status {
    let (mut reading, mut over) = (pin!(reading), pin!(over));
    let mut read_all = false;
    let ended = loop {
        tokio::select! {
            ended = group.leader() => break Some(status_of(&ended)),
            _ = &mut reading, if !read_all => read_all = true,
            () = unwanted.cancelled() => break None,
            () = &mut over => break Some(Status::TimedOut),
        }
    };
    // Reads on meanwhile: a process that is asked to end may have much to say, and a full pipe would hold it.
    let mut ending = pin!(end(group));
    loop {
        tokio::select! {
            () = &mut ending => break,
            _ = &mut reading, if !read_all => read_all = true,
        }
    }
    if !read_all {
        let _ = timeout(LAST_WORDS, reading).await;
    }
    ended.unwrap_or(Status::Cancelled)
}

fn not_started(command: &Command, why: &io::Error) -> Fault {
    let program = command.argv.first().map_or("", String::as_str);
    Fault::new(Code::CheckNotStarted, format!("`{program}` in {}: {why}", command.dir.display()))
}

/// Starts the program; its stdout comes with its stderr unless they are to be apart.
fn start(command: &Command, split: bool) -> io::Result<(platform::Group, ChildStdout, Option<ChildStdout>)> {
    let [program, arguments @ ..] = command.argv.as_slice() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no program is named"));
    };
    // The system would give the same error as for a program that is not there.
    if !command.dir.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, "the directory is not there"));
    }
    let mut start = std::process::Command::new(program);
    start.args(arguments).current_dir(&command.dir).stdin(Stdio::null());
    for name in &command.unset {
        start.env_remove(name);
    }
    start.envs(command.set.iter().map(|(name, value)| (name, value)));
    // One pipe for both keeps their order. The writing ends go with `start`, so that the end of the output is seen.
    let (out, writer) = io::pipe()?;
    let err = if split {
        let (err, writer) = io::pipe()?;
        start.stderr(writer);
        Some(platform::reader(err)?)
    } else {
        start.stderr(writer.try_clone()?);
        None
    };
    start.stdout(writer);
    Ok((platform::Group::start(start)?, platform::reader(out)?, err))
}

/// Whether a file may be run as a program, as far as that can be told.
#[must_use]
pub fn is_program(path: &Path) -> bool {
    path.is_file() && platform::may_run(path)
}

/// A path as a program printed it.
#[must_use]
pub fn path(printed: Vec<u8>) -> PathBuf {
    platform::path(printed)
}

async fn read(mut from: impl AsyncRead + Unpin, mut into: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        into(&buffer[..length]);
    }
}

/// Ends what is left of a group, and returns when nothing is, or nothing that could be ended.
async fn end(group: &mut platform::Group) {
    if !group.is_empty() {
        group.ask();
        let deadline = Instant::now() + GRACE;
        while !group.is_empty() && Instant::now() < deadline {
            // Reaps the leader as soon as it ends: a dead one that is not reaped still counts as a member.
            let _ = timeout(LOOK, group.leader()).await;
            sleep(LOOK).await;
        }
        group.kill();
    }
    let _ = group.leader().await;
}

fn status_of(ended: &io::Result<ExitStatus>) -> Status {
    match ended {
        Ok(status) => match status.code() {
            Some(code) => Status::Exited(code),
            None => Status::Signalled(platform::signal(*status)),
        },
        // The system does not know the child any more, because somebody else in this process has reaped it.
        Err(_) => Status::Signalled(0),
    }
}
