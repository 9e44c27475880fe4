//! Background commands: from the arguments of a call to the words of its answer.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{
    background_args::{self as args, Do},
    text::{self, Kind},
    words,
};
use crate::{
    engine::{
        commands::{self, Command, Part, Why},
        ops::Caller,
        report_text::PAGE,
        service::Attachment,
    },
    fault::{Code, Fault},
    inbox::one_line,
    task::MAX_TIMEOUT,
};

/// How long a wait is unless the call says otherwise.
const WAIT: u64 = 60;

/// The longest wait of one call: shorter than the silence after which a tool is taken to hang.
const LONGEST_WAIT: u64 = 600;

/// How much of a command's line is shown in lists, in bytes.
const BRIEF: usize = 100;

/// The longest command, in bytes: systems take little more.
const LONGEST: usize = 32 * 1024;

/// What a start asks for, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// Where it is to run.
    pub directory: PathBuf,
    /// How long it may run.
    pub limit: Duration,
    /// Whether it goes on when its task has ended.
    pub keep: bool,
}

/// Checks the arguments of a start. Permission is asked by what this gives, and it is what is run.
///
/// # Errors
/// [`Code::BadCommand`], [`Code::NoDirectory`], [`Code::BadTimeout`], or those of texts.
pub fn wanted(directory: &str, start: &args::Start) -> Result<Wanted, Fault> {
    text::check("command", &start.command, Kind::Prompt)?;
    if start.command.len() > LONGEST {
        let message = format!("`command` has {} bytes, at most {LONGEST}", start.command.len());
        return Err(Fault::new(Code::TextTooLong, message));
    }
    let words = words::split(&start.command)?;
    let mut path = PathBuf::from(directory);
    if let Some(given) = &start.directory {
        text::check("directory", given, Kind::Line)?;
        path.push(given);
    }
    let path = std::fs::canonicalize(&path).ok().filter(|path| path.is_dir()).ok_or_else(|| {
        Fault::new(Code::NoDirectory, format!("`directory` is `{}`", start.directory.as_deref().unwrap_or(directory)))
    })?;
    let limit = start.timeout.map_or(commands::DEFAULT_LIMIT, Duration::from_secs);
    check_limit("timeout", limit)?;
    Ok(Wanted { words, directory: path, limit, keep: start.keep })
}

fn check_limit(field: &str, limit: Duration) -> Result<(), Fault> {
    if limit.is_zero() || limit > MAX_TIMEOUT {
        return Err(Fault::new(Code::BadTimeout, format!("`{field}` is {}", limit.as_secs())));
    }
    Ok(())
}

/// Starts a command.
///
/// # Errors
/// Those of [`wanted`] and [`Attachment::start_command`].
pub async fn start(to: &Attachment, caller: &Caller, start: &args::Start) -> Result<String, Fault> {
    let Wanted { words, directory, limit, keep } = wanted(&caller.directory, start)?;
    let line = words::line(&words);
    let command = to.start_command(caller, commands::Start { words, line, directory, limit, keep }).await?;
    Ok(format!("{} runs, for {} s at most", command.id, limit.as_secs()))
}

/// Looks at a command, waits for it, ends it, or sets its time limit.
///
/// # Errors
/// [`Code::NoSuchCommand`], [`Code::CommandEnded`], [`Code::BadTimeout`], [`Code::BadArguments`], [`Code::Aborted`].
pub async fn command(
    to: &Attachment,
    caller: &Caller,
    args: &args::Command,
    abort: &CancellationToken,
) -> Result<String, Fault> {
    check(args)?;
    let Some(id) = &args.id else {
        let all = to.commands_of(caller).await?;
        return Ok(if all.is_empty() { "No commands.".to_owned() } else { list(to, &all) });
    };
    let command = to.command_of(caller, id).await?;
    let mut note = None;
    match args.r#do {
        Do::Look => {}
        Do::Wait => note = wait(&command, args, abort).await?,
        Do::Kill => {
            command.stop(Why::Killed);
            command.ended().await;
        }
        Do::Limit => {
            let seconds = args.seconds.ok_or_else(|| Fault::new(Code::BadArguments, "`seconds` is missing"))?;
            let limit = Duration::from_secs(seconds);
            check_limit("seconds", limit)?;
            to.limit_command(&command, limit)?;
        }
    }
    Ok(shown(to, caller, &command, args.offset, note))
}

/// What does not go together is not left out in silence.
fn check(args: &args::Command) -> Result<(), Fault> {
    let wrong = |message: &str| Err(Fault::new(Code::BadArguments, message));
    match args.r#do {
        Do::Wait | Do::Kill | Do::Limit if args.id.is_none() => wrong("`id` is missing"),
        Do::Look if args.id.is_none() && args.offset.is_some() => wrong("`id` is missing"),
        Do::Look | Do::Kill if args.seconds.is_some() => wrong("`seconds` is for `wait` and `limit`"),
        Do::Look | Do::Kill | Do::Limit if args.text.is_some() => wrong("`text` is for `wait`"),
        Do::Wait if args.text.as_deref() == Some("") => wrong("`text` is empty"),
        _ => Ok(()),
    }
}

/// Waits; says what the answer should begin with.
async fn wait(command: &Command, args: &args::Command, abort: &CancellationToken) -> Result<Option<String>, Fault> {
    let seconds = args.seconds.unwrap_or(WAIT);
    if !(1..=LONGEST_WAIT).contains(&seconds) {
        let message = format!("`seconds` is {seconds}: one wait takes 1 to {LONGEST_WAIT}");
        return Err(Fault::new(Code::BadArguments, message));
    }
    let over = tokio::time::timeout(
        Duration::from_secs(seconds),
        command.until(args.text.as_deref(), args.offset.unwrap_or_default()),
    );
    let is_there = tokio::select! {
        over = over => over,
        () = abort.cancelled() => return Err(Fault::new(Code::Aborted, "the call was aborted while it waited")),
    };
    Ok(match (is_there, &args.text) {
        (Ok(false), Some(_)) => Some("It ended without that text.".to_owned()),
        (Ok(_), _) => None,
        (Err(_), _) => Some(format!("Nothing of that within {seconds} s.")),
    })
}

/// How a command stands, and its output: from an offset, or what the session has not seen yet.
fn shown(to: &Attachment, caller: &Caller, command: &Command, offset: Option<u64>, note: Option<String>) -> String {
    let mut answer = head(to, command);
    if let Some(note) = note {
        answer.push_str(&note);
        answer.push('\n');
    }
    let (asked, part) = match offset {
        Some(offset) => {
            let part = command.output(offset, PAGE);
            command.saw(&caller.session, part.to);
            (offset, part)
        }
        None => command.news(&caller.session, PAGE),
    };
    let written = command.written();
    let Part { from, to, text } = part;
    answer.push_str(&text);
    if !text.is_empty() && !text.ends_with('\n') {
        answer.push('\n');
    }
    let _ = match (to > from, asked) {
        (false, 0) => write!(answer, "(no output)"),
        (false, _) => write!(answer, "(nothing new; {written} bytes in all)"),
        (true, _) => write!(answer, "[bytes {from} to {to} of {written}"),
    };
    if to > from {
        if from > asked {
            let kept = command.forgotten().max(asked);
            let _ = if kept < from {
                write!(answer, "; earlier ones from offset {kept}")
            } else {
                write!(answer, "; earlier ones are not kept")
            };
        }
        if to < written && offset.is_some() {
            let _ = write!(answer, "; go on with offset {to}");
        }
        answer.push(']');
    }
    answer
}

/// `cmd_1 [running for 3.2s, 29m56s left] npm run dev`
fn head(to: &Attachment, command: &Command) -> String {
    let state = command.state().words(command.started_at, to.now());
    format!("{} [{state}] {}\n", command.id, one_line(&command.line, BRIEF))
}

fn list(to: &Attachment, commands: &[std::sync::Arc<Command>]) -> String {
    let lines: String = commands.iter().map(|command| head(to, command)).collect();
    lines.trim_end().to_owned()
}

/// What `/tasks` shows of commands; empty if none runs.
#[must_use]
pub fn running(to: &Attachment) -> String {
    let all = to.running_commands();
    if all.is_empty() {
        return String::new();
    }
    let mut text = String::from("\nRunning in the background:\n");
    for command in all {
        let task = command.task.map(|task| format!(", for {task}")).unwrap_or_default();
        let head = head(to, &command);
        let _ = writeln!(text, "{}{task}{}", head.trim_end(), beside(to.root(), &command.directory));
    }
    text
}

/// Where it runs, if not in the project's root.
fn beside(root: &Path, directory: &Path) -> String {
    match directory.strip_prefix(root) {
        Ok(path) if path.as_os_str().is_empty() => String::new(),
        Ok(path) => format!(", in {}", one_line(&path.to_string_lossy(), BRIEF)),
        Err(_) => format!(", in {}", one_line(&directory.to_string_lossy(), BRIEF)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fault;

    fn start(arguments: &serde_json::Value) -> Result<Wanted, Fault> {
        let dir = tempfile::tempdir().unwrap();
        let arguments = fault::object(&arguments.to_string(), Code::BadArguments)?;
        wanted(dir.path().to_str().unwrap(), &arguments)
    }

    #[test]
    fn a_start_is_checked_before_anything_is_asked_or_done() {
        let wanted = start(&json!({ "command": "npm run dev", "timeout": 5 })).unwrap();
        assert_eq!((wanted.words.len(), wanted.limit, wanted.keep), (3, Duration::from_secs(5), false));
        assert_eq!(start(&json!({ "command": "x" })).unwrap().limit, commands::DEFAULT_LIMIT);
        for (arguments, code, named) in [
            (json!({}), Code::BadArguments, "command"),
            (json!({ "command": ["npm", "test"] }), Code::BadArguments, "`command`"),
            (json!({ "command": " " }), Code::EmptyField, "`command`"),
            (json!({ "command": "a\0b" }), Code::BadCharacters, "`command`"),
            (json!({ "command": "a".repeat(40_000) }), Code::TextTooLong, "`command`"),
            (json!({ "command": "a | b" }), Code::BadCommand, "`|`"),
            (json!({ "command": "x", "directory": "nowhere" }), Code::NoDirectory, "`nowhere`"),
            (json!({ "command": "x", "timeout": 0 }), Code::BadTimeout, "`timeout` is 0"),
            (json!({ "command": "x", "timeout": 86_401 }), Code::BadTimeout, "86401"),
            (json!({ "command": "x", "timeout": -1 }), Code::BadArguments, "`timeout`"),
            (json!({ "command": "x", "keep": "yes" }), Code::BadArguments, "`keep`"),
        ] {
            let fault = start(&arguments).unwrap_err();
            assert!(fault.code == code && fault.message.contains(named), "{fault}");
        }
    }

    #[test]
    fn arguments_that_do_not_go_together_are_refused() {
        let checked = |arguments: &serde_json::Value| {
            fault::object::<args::Command>(&arguments.to_string(), Code::BadArguments).and_then(|args| check(&args))
        };
        for fine in [
            json!({}),
            json!({ "id": "a", "offset": 3 }),
            json!({ "id": "a", "do": "wait", "text": "ready", "seconds": 3, "offset": 0 }),
            json!({ "id": "a", "do": "kill", "offset": 3 }),
            json!({ "id": "a", "do": "limit", "seconds": 60 }),
        ] {
            assert_eq!(checked(&fine), Ok(()), "{fine}");
        }
        for (wrong, named) in [
            (json!({ "do": "kill" }), "`id` is missing"),
            (json!({ "do": "wait", "text": "x" }), "`id` is missing"),
            (json!({ "offset": 3 }), "`id` is missing"),
            (json!({ "id": "a", "seconds": 3 }), "`seconds` is for"),
            (json!({ "id": "a", "do": "kill", "text": "x" }), "`text` is for"),
            (json!({ "id": "a", "do": "wait", "text": "" }), "`text` is empty"),
            (json!({ "id": "a", "do": "stop" }), "`do`"),
            (json!({ "id": "a", "offset": -1 }), "`offset`"),
        ] {
            let fault = checked(&wrong).unwrap_err();
            assert!(fault.code == Code::BadArguments && fault.message.contains(named), "{wrong}: {fault}");
        }
    }
}
