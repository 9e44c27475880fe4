//! `/agent:start` and its like: the command line, typed in the host. No model is asked.

use std::{path::PathBuf, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    engine::service::Attachment,
    fault::{Code, Fault},
    sys::process::{Command, Status, run},
};

/// How long a command may take: each only looks or writes; what works on is left behind.
const LIMIT: Duration = Duration::from_secs(60);

/// The most that is shown of its answer, in bytes.
const KEPT: usize = 32 * 1024;

/// What the commands of the queue begin with.
const PREFIX: &str = "agent:";

/// The command line that a command stands for, where it is one of the queue.
fn line(name: &str, arguments: &str) -> Option<Vec<String>> {
    let fixed: &[&str] = match name.strip_prefix(PREFIX)? {
        "start" => &["start"],
        // One task, in the background, as older orchestrators did it.
        "run" => &["run", "--limit", "1", "--detach"],
        "run-parallel" => &["run", "--detach", "--parallel"],
        "status" => &["status"],
        "retry" => &["retry"],
        "cancel" => &["cancel"],
        // Nobody can be asked here; what is cleared away is told.
        "clean" => &["clean", "--yes"],
        "timeout" => &["timeout"],
        _ => return None,
    };
    Some(fixed.iter().map(|word| (*word).to_owned()).chain(words(arguments)).collect())
}

/// The words of what was typed. What stands between double quotes is one; a quote that is not closed is none.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let quoted = rest.strip_prefix('"').and_then(|inner| inner.split_once('"'));
        let (word, after) = match quoted {
            Some((word, after)) if after.is_empty() || after.starts_with(char::is_whitespace) => (word, after),
            _ => rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len())),
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    words
}

/// Does a command of the queue; none where it is not one.
pub async fn agent_command(
    to: &Attachment,
    name: &str,
    directory: &str,
    arguments: &str,
) -> Option<Result<String, Fault>> {
    let line = line(name, arguments)?;
    Some(answer(to, directory, line).await)
}

async fn answer(to: &Attachment, directory: &str, line: Vec<String>) -> Result<String, Fault> {
    let Some(program) = &to.program else {
        return Err(Fault::new(Code::NoProgram, "there is no program `sortie` beside the plugin"));
    };
    let command = Command {
        argv: std::iter::once(program.to_string_lossy().into_owned()).chain(line).collect(),
        dir: PathBuf::from(directory),
        set: [("SORTIE_HOME", to.home().to_string_lossy().into_owned()), ("NO_COLOR", "1".to_owned())]
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec(),
        unset: vec!["COLUMNS".to_owned()],
        timeout: LIMIT,
        keep: KEPT,
    };
    let finished = run(&command, &CancellationToken::new()).await;
    match finished.status {
        // What it refuses it says itself.
        Status::Exited(_) => Ok(finished.output.trim_end().to_owned()),
        Status::NotStarted(fault) => Err(fault),
        other => Err(Fault::new(Code::NoProgram, format!("`sortie` gave no answer ({other:?})"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_becomes_words_and_nothing_is_lost() {
        for (text, expected) in [
            ("", &[][..]),
            ("coder Write a test", &["coder", "Write", "a", "test"]),
            ("coder \"Write a test\" --timeout 300", &["coder", "Write a test", "--timeout", "300"]),
            ("coder don't \"stop", &["coder", "don't", "\"stop"]),
            ("  a \"\"  \"b\"c ", &["a", "", "\"b\"c"]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn each_command_stands_for_a_line() {
        assert_eq!(line("agent:run-parallel", "5").unwrap(), ["run", "--detach", "--parallel", "5"]);
        assert_eq!(line("agent:timeout", "extend x 5m").unwrap(), ["timeout", "extend", "x", "5m"]);
        assert_eq!(line("agent:frob", ""), None);
        assert_eq!(line("start", ""), None);
        for spec in super::super::command::COMMANDS.iter().filter(|spec| spec.name.starts_with(PREFIX)) {
            assert!(line(spec.name, "").is_some(), "{}", spec.name);
        }
    }
}
