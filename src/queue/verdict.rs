//! How an agent's end is judged. Pure.

use super::place::Said;
use crate::{
    config::Success,
    sys::process::Status,
    task::{ErrorClass, Failure, FailureKind},
};

/// The exit code by which `timeout(1)` and its like say that the time was over.
const TIMED_OUT: i32 = 124;

/// What is known of an agent whose process is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How the process ended; none where it was not our child.
    pub status: Option<Status>,
    /// The exit code that a wrapper has noted.
    pub noted: Option<i32>,
    /// What the agent has said.
    pub said: Option<Said>,
    /// The last line of its log.
    pub last_line: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The work is done; with the agent's own report, if it wrote one.
    Complete(Option<String>),
    /// It is not.
    Failed(Failure),
    /// The agent says that it was cancelled.
    Cancelled,
}

/// Judges an end. What the agent has said counts before the exit code; a process that is gone without either has died.
#[must_use]
pub fn judge(success: Success, ended: Ended) -> Verdict {
    let Ended { status, noted, said, last_line } = ended;
    let code = match status {
        Some(Status::Exited(code)) => Some(code),
        _ => noted,
    };
    match said {
        Some(Said::Cancelled) => return Verdict::Cancelled,
        Some(Said::Timeout) => return failed(FailureKind::Timeout, "the agent's own time limit was over".to_owned()),
        Some(Said::Error(words)) => return failed(FailureKind::Error, words),
        Some(Said::Done(report)) if success != Success::Both || code == Some(0) => return Verdict::Complete(report),
        Some(Said::Done(_)) | None => {}
    }
    match (code, status) {
        (Some(0), _) if success == Success::Exit => Verdict::Complete(None),
        (Some(0), _) => failed(FailureKind::Died, "it ended without saying that it is done (no file .done)".to_owned()),
        (Some(TIMED_OUT), _) if noted == Some(TIMED_OUT) => {
            failed(FailureKind::Timeout, "the agent's own time limit was over (exit code 124)".to_owned())
        }
        (Some(code), _) => failed(FailureKind::Error, with_line(format!("exit code {code}"), last_line)),
        (None, Some(Status::Signalled(signal))) => {
            failed(FailureKind::Died, with_line(format!("its process was ended by signal {signal}"), last_line))
        }
        (None, Some(Status::NotStarted(fault))) => failed(FailureKind::Error, fault.message),
        (None, _) => failed(FailureKind::Died, with_line("its process is gone without a word".to_owned(), last_line)),
    }
}

fn with_line(what: String, line: Option<String>) -> String {
    match line {
        Some(line) => format!("{what}: {line}"),
        None => what,
    }
}

fn failed(kind: FailureKind, message: String) -> Verdict {
    Verdict::Failed(Failure { kind, class: ErrorClass::Unknown, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(success: Success, status: Option<Status>, noted: Option<i32>, said: Option<Said>) -> String {
        match judge(success, Ended { status, noted, said, last_line: Some("last".to_owned()) }) {
            Verdict::Complete(report) => format!("complete {}", report.unwrap_or_default()),
            Verdict::Failed(failure) => failure.to_string(),
            Verdict::Cancelled => "cancelled".to_owned(),
        }
    }

    #[test]
    fn every_end_has_one_verdict() {
        use Success::{Both, Exit, Sentinel};
        let exited = |code| Some(Status::Exited(code));
        let killed = Some(Status::Signalled(9));
        let done = || Some(Said::Done(Some("report".to_owned())));
        for (success, status, noted, said, expected) in [
            (Exit, exited(0), None, None, "complete "),
            (Exit, exited(0), None, done(), "complete report"),
            (Exit, exited(3), None, done(), "complete report"),
            (Exit, exited(3), None, None, "error: exit code 3: last"),
            (Exit, exited(124), None, None, "error: exit code 124: last"),
            (Exit, killed.clone(), None, None, "died: its process was ended by signal 9: last"),
            (Exit, killed.clone(), Some(0), None, "complete "),
            (Exit, None, None, None, "died: its process is gone without a word: last"),
            (Exit, None, Some(0), None, "complete "),
            (Exit, None, Some(124), None, "timeout: the agent's own time limit was over (exit code 124)"),
            (Exit, None, None, done(), "complete report"),
            (Sentinel, exited(0), None, None, "died: it ended without saying that it is done (no file .done)"),
            (Sentinel, killed, None, done(), "complete report"),
            (Both, exited(0), None, done(), "complete report"),
            (Both, exited(1), None, done(), "error: exit code 1: last"),
            (Both, exited(0), None, None, "died: it ended without saying that it is done (no file .done)"),
            (Both, None, None, done(), "died: its process is gone without a word: last"),
            (Exit, exited(0), None, Some(Said::Cancelled), "cancelled"),
            (Exit, exited(0), None, Some(Said::Timeout), "timeout: the agent's own time limit was over"),
            (Exit, exited(0), None, Some(Said::Error("no disk".to_owned())), "error: no disk"),
        ] {
            assert_eq!(
                words(success, status.clone(), noted, said.clone()),
                expected,
                "{success:?} {status:?} {said:?}"
            );
        }
    }
}
