//! The command line: the same store and rules as everywhere, for scripts and people without a host.
//!
//! One file a command. Each opens what it needs, does one thing, and answers: text for people, or one JSON document
//! ([`json`]). Faults go to the error output with what to do about them; the exit codes are in [`exit`].

mod args;
mod commands;
mod context;
mod exit;
mod json;
mod view;

use std::{ffi::OsString, io::Write, process::ExitCode};

use clap::{CommandFactory, Parser};

use args::{Cli, Command};
use context::Context;

use crate::fault::Fault;

/// What a supervisor is started by: the project and the task follow.
const SUPERVISE: &str = "__supervise";

/// What a gate is started by: what it is to become follows.
const GATE: &str = "__gate";

/// What a command came to: its exit code.
type Done = Result<u8, Fault>;

/// Does what was typed.
#[must_use]
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    // What only we start is none of the user's commands.
    match arguments.get(1).and_then(|name| name.to_str()) {
        Some(SUPERVISE) => return ExitCode::from(commands::supervise::main(&arguments[2..])),
        Some(GATE) => return ExitCode::from(commands::supervise::gate(&arguments[2..])),
        _ => {}
    }
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to the output, what is wrong to the error output.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(exit::USAGE));
        }
    };
    let json = cli.json;
    let name = name_of(&cli.command);
    match run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(fault) => {
            if json {
                let row = json::ErrorRow {
                    code: fault.code.as_str(),
                    message: fault.message.clone(),
                    remedy: fault.code.remedy(),
                };
                context::print(
                    &serde_json::to_string_pretty(&json::Document::new(name, json::ErrorAnswer { error: row }))
                        .unwrap_or_default(),
                );
            } else {
                let _ = writeln!(std::io::stderr(), "{fault}");
            }
            ExitCode::from(exit::of(&fault))
        }
    }
}

fn run(cli: Cli) -> Done {
    // These need no project, and must not fail where there is none.
    match cli.command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "sortie", &mut script);
            context::print(String::from_utf8_lossy(&script).trim_end());
            return Ok(exit::OK);
        }
        Command::Man => {
            let mut page = Vec::new();
            let rendered = clap_mangen::Man::new(Cli::command()).render(&mut page);
            rendered.map_err(|error| Fault::new(crate::fault::Code::NotRun, error.to_string()))?;
            context::print(String::from_utf8_lossy(&page).trim_end());
            return Ok(exit::OK);
        }
        _ => {}
    }
    let context = Context::new(cli.project.as_deref(), cli.json)?;
    match cli.command {
        Command::Start(args) => commands::start::run(&context, args),
        Command::Run(args) => commands::run::run(&context, &args),
        Command::Status(args) => commands::status::run(&context, &args),
        Command::Wait(args) => commands::wait::run(&context, &args),
        Command::Logs(args) => commands::logs::run(&context, &args),
        Command::Result { task } => commands::logs::result(&context, &task),
        Command::Cancel(tasks) => commands::change::cancel(&context, &tasks.tasks),
        Command::Pause(tasks) => commands::change::pause(&context, &tasks.tasks),
        Command::Resume(tasks) => commands::change::resume(&context, &tasks.tasks),
        Command::Priority { task, priority } => commands::change::prioritize(&context, &task, priority),
        Command::Retry(args) => commands::retry::run(&context, &args),
        Command::Send { task, message } => commands::retry::send(&context, &task, &message),
        Command::Timeout(args) => commands::timeout::run(&context, &args.what),
        Command::Clean(args) => commands::clean::run(&context, &args),
        Command::Agents => commands::agents::run(&context),
        Command::Checklist(args) => commands::checklist::run(&context, &args),
        Command::Servers => commands::servers::run(&context),
        Command::Import { directory } => commands::exchange::import(&context, &directory),
        // There is one format, which the arguments have checked.
        Command::Export { directory, format: _ } => commands::exchange::export(&context, &directory),
        Command::Doctor => commands::doctor::run(&context),
        Command::Completions { .. } | Command::Man => Ok(exit::OK),
    }
}

/// The name under which a command answers.
fn name_of(command: &Command) -> &'static str {
    match command {
        Command::Start(_) => "start",
        Command::Run(_) => "run",
        Command::Status(_) => "status",
        Command::Wait(_) => "wait",
        Command::Logs(_) => "logs",
        Command::Result { .. } => "result",
        Command::Cancel(_) => "cancel",
        Command::Retry(_) => "retry",
        Command::Timeout(_) => "timeout",
        Command::Clean(_) => "clean",
        Command::Send { .. } => "send",
        Command::Pause(_) => "pause",
        Command::Resume(_) => "resume",
        Command::Priority { .. } => "priority",
        Command::Agents => "agents",
        Command::Checklist(_) => "checklist",
        Command::Servers => "servers",
        Command::Import { .. } => "import",
        Command::Export { .. } => "export",
        Command::Doctor => "doctor",
        Command::Completions { .. } => "completions",
        Command::Man => "man",
    }
}
