//! A program in the background: what it writes is handed on as it comes, and its time may be changed while it runs.

use tokio::{
    process::ChildStdout,
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{Command, Identity, Status, attend, not_started, platform, read, start};
use crate::fault::Fault;

/// A program that runs. Dropped, it is killed with all that it started; it does not outlive this process either.
#[derive(Debug)]
pub struct Live {
    group: platform::Group,
    output: ChildStdout,
    leader: Option<Identity>,
    guard: Option<platform::Guard>,
}

impl Live {
    /// Starts a program; stdout and stderr come together. Of the command, `timeout` and `keep` are not used.
    ///
    /// # Errors
    /// [`crate::fault::Code::CheckNotStarted`].
    pub fn start(command: &Command) -> Result<Self, Fault> {
        let (group, output, _) = start(command, false).map_err(|why| not_started(command, &why))?;
        let guard = group.pid().and_then(|pid| {
            platform::Guard::over(pid)
                .inspect_err(|error| tracing::warn!(%error, "a command is not watched: a crash would leave it"))
                .ok()
        });
        let leader = group.pid().and_then(Identity::of);
        Ok(Self { group, output, leader, guard })
    }

    /// The program, to be known again; none if it has ended already.
    #[must_use]
    pub fn leader(&self) -> Option<Identity> {
        self.leader
    }

    /// Follows it to its end, which comes at the deadline at the latest. Nothing of it is left afterwards.
    pub async fn run(
        self,
        deadline: watch::Receiver<Instant>,
        unwanted: &CancellationToken,
        into: impl FnMut(&[u8]),
    ) -> Status {
        self.follow(passed(deadline), unwanted, into).await
    }

    /// Follows it until it ends, its time is over, or nobody wants it any more.
    pub(super) async fn follow(
        mut self,
        over: impl Future<Output = ()>,
        unwanted: &CancellationToken,
        into: impl FnMut(&[u8]),
    ) -> Status {
        let status = attend(&mut self.group, read(self.output, into), over, unwanted).await;
        if let Some(guard) = self.guard {
            guard.release().await;
        }
        status
    }
}

/// Waits until a deadline is over that may be moved meanwhile.
async fn passed(mut deadline: watch::Receiver<Instant>) {
    loop {
        let at = *deadline.borrow_and_update();
        tokio::select! {
            () = sleep_until(at) => return,
            // Nobody can move it any more.
            moved = deadline.changed() => if moved.is_err() {
                return sleep_until(at).await;
            },
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::{path::Path, time::Duration};

    use super::*;
    use crate::fault::Code;

    const FOR_EVER: Duration = Duration::from_secs(80_000);

    fn command(script: &str, dir: &Path) -> Command {
        Command {
            argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
            dir: dir.to_owned(),
            set: Vec::new(),
            unset: Vec::new(),
            timeout: Duration::ZERO,
            keep: 0,
        }
    }

    #[tokio::test]
    async fn output_is_handed_on_as_it_comes_and_the_program_is_known_again() {
        let dir = tempfile::tempdir().unwrap();
        let live =
            Live::start(&command("echo out; until [ -e go ]; do sleep 0.01; done; echo err >&2; exit 4", dir.path()));
        let (live, go) = (live.unwrap(), dir.path().join("go"));
        let leader = live.leader().unwrap();
        assert!(leader.is_alive());
        let (_move, deadline) = watch::channel(Instant::now() + FOR_EVER);
        let mut heard = Vec::new();
        let wanted = CancellationToken::new();
        let status = live.run(deadline, &wanted, |bytes| {
            heard.extend_from_slice(bytes);
            // It goes on only when its first words were heard.
            if heard == b"out\n" {
                std::fs::write(&go, "").unwrap();
            }
        });
        assert_eq!(status.await, Status::Exited(4));
        assert_eq!(heard, b"out\nerr\n");
        assert!(!leader.is_alive());
    }

    #[tokio::test]
    async fn its_time_can_be_cut_short_while_it_runs() {
        let dir = tempfile::tempdir().unwrap();
        let live = Live::start(&command("echo ready; while :; do sleep 600; done", dir.path())).unwrap();
        let (moves, deadline) = watch::channel(Instant::now() + FOR_EVER);
        let wanted = CancellationToken::new();
        let status = live.run(deadline, &wanted, |_| {
            moves.send_replace(Instant::now());
        });
        assert_eq!(status.await, Status::TimedOut);
    }

    #[tokio::test]
    async fn what_cannot_be_started_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let nowhere = Live::start(&command("true", &dir.path().join("nowhere"))).unwrap_err();
        assert_eq!(nowhere.code, Code::CheckNotStarted);
    }
}
