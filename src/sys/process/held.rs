//! Programs that may outlive whoever started them.
//!
//! Such a program is written down before it runs: it is started behind a gate, a process of ours that waits for a word.
//! Only when its number is on disk is it let go, and the gate becomes the program, in the same process. Whoever dies
//! before that word closes the gate's input, and the gate ends without having been anything else. So there is no moment
//! at which a program runs that nobody knows of.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    process::ChildStdin,
    time::{Instant, sleep},
};

use super::{GRACE, LOOK, Status, birth, birth::is_marked, end, platform, status_of};

/// The word that opens a gate.
const GO: u8 = b'g';

/// How often an adopted program is looked at: nothing tells of the end of a process that is not our child.
const ADOPTED_LOOK: Duration = Duration::from_millis(250);

/// What is held back.
#[derive(Debug)]
pub struct Behind {
    /// The gate: our own program, and what makes it a gate.
    pub gate: Vec<OsString>,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Where it runs.
    pub dir: PathBuf,
    /// Variables set for it, over those of this process.
    pub set: Vec<(String, String)>,
    /// Where it writes, both its output and its errors.
    pub output: File,
}

/// A program in a group of its own, behind its gate at first. Dropping it kills all of the group.
#[derive(Debug)]
pub struct Held {
    group: platform::Group,
    gate: Option<ChildStdin>,
    pid: u32,
    birth: u64,
}

impl Held {
    /// Starts the gate.
    ///
    /// # Errors
    /// Those of the system.
    pub fn start(behind: Behind) -> io::Result<Self> {
        if !behind.dir.is_dir() {
            return Err(io::Error::new(io::ErrorKind::NotADirectory, "the directory is not there"));
        }
        let [gate, arguments @ ..] = behind.gate.as_slice() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no gate is named"));
        };
        let mut command = std::process::Command::new(gate);
        command.args(arguments).args(&behind.argv).current_dir(&behind.dir);
        command.envs(behind.set.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stderr(behind.output.try_clone()?).stdout(behind.output);
        let mut group = platform::Group::start(command)?;
        let gone = || io::Error::other("it ended at once");
        let pid = group.pid().ok_or_else(gone)?;
        Ok(Self { gate: group.input(), pid, birth: birth(pid).ok_or_else(gone)?, group })
    }

    /// Its number, and when it began.
    #[must_use]
    pub fn process(&self) -> (u32, u64) {
        (self.pid, self.birth)
    }

    /// Lets the program run.
    ///
    /// # Errors
    /// The gate is gone.
    pub async fn let_go(&mut self) -> io::Result<()> {
        match self.gate.take() {
            Some(mut gate) => gate.write_all(&[GO]).await,
            None => Ok(()),
        }
    }

    /// Waits for the program itself. May be called again, and dropped while it waits.
    pub async fn ended(&mut self) -> Status {
        status_of(&self.group.leader().await)
    }

    /// Ends what is left of the group: asked first, killed after [`GRACE`].
    pub async fn end(&mut self) {
        end(&mut self.group).await;
    }
}

/// A program that somebody else has started and left behind.
#[derive(Debug, Clone)]
pub struct Adopted {
    pid: u32,
    birth: u64,
    mark: (String, String),
}

impl Adopted {
    /// The program of this number and birth; `mark` is a variable that was set for it.
    #[must_use]
    pub fn new(pid: u32, birth: u64, mark: (&str, &str)) -> Self {
        Self { pid, birth, mark: (mark.0.to_owned(), mark.1.to_owned()) }
    }

    /// Whether the program itself runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        birth(self.pid) == Some(self.birth)
    }

    /// Waits until the program itself is gone.
    pub async fn ended(&self) {
        while self.is_alive() {
            sleep(ADOPTED_LOOK).await;
        }
    }

    /// Whether anything of its group is left. While there is, the system gives the number to nobody else.
    #[must_use]
    pub fn has_group(&self) -> bool {
        let is_ours = match birth(self.pid) {
            Some(birth) => birth == self.birth,
            None => is_marked(self.pid, &self.mark.0, &self.mark.1),
        };
        is_ours && platform::group_exists(self.pid)
    }

    /// Ends what is left of the group: asked first, killed after [`GRACE`].
    pub async fn end(&self) {
        if !self.has_group() {
            return;
        }
        platform::end_group(self.pid, false);
        let deadline = Instant::now() + GRACE;
        while self.has_group() && Instant::now() < deadline {
            sleep(LOOK).await;
        }
        if self.has_group() {
            platform::end_group(self.pid, true);
        }
    }
}

/// The gate: waits for the word, and becomes the program. Returns only when nobody lets it, or why it could not.
///
/// # Errors
/// The program could not be started.
pub fn become_program(argv: &[OsString]) -> io::Result<()> {
    let mut word = [0];
    if io::stdin().read(&mut word)? == 0 || word[0] != GO {
        return Ok(());
    }
    let [program, arguments @ ..] = argv else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no program is named"));
    };
    let mut command = std::process::Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    Err(platform::become_program(command))
}

/// Has a command start apart from this process's terminal and group: the end of these does not end it.
pub fn apart(command: &mut std::process::Command) {
    platform::apart(command);
}
