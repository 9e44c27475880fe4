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
};

use tokio::{io::AsyncWriteExt, process::ChildStdin};

use super::{Identity, Status, end, platform, status_of};

/// The word that opens a gate.
const GO: u8 = b'g';

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
    process: Identity,
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
        let process = group.pid().and_then(Identity::of).ok_or_else(gone)?;
        Ok(Self { gate: group.input(), process, group })
    }

    /// Which process it is.
    #[must_use]
    pub fn process(&self) -> Identity {
        self.process
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

    /// Ends what is left of the group: asked first, killed after [`super::GRACE`].
    pub async fn end(&mut self) {
        end(&mut self.group).await;
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
