//! What `sortie run` starts: the supervisor of one task, and the gate before its agent.

use std::{ffi::OsString, io::Write, path::Path};

use tokio_util::sync::CancellationToken;

use super::super::{
    Done, GATE,
    context::{Context, places, runtime},
    exit,
};
use crate::{
    fault::{Code, Fault},
    queue::supervise::{Setup, supervise},
    store::{Durability, SqliteStore},
    sys::process,
    task::TaskId,
};

/// The exit code of a program that is not there, as shells have it.
const NOT_THERE: u8 = 127;

/// Supervises the task whose project and id were given.
pub fn main(arguments: &[OsString]) -> u8 {
    let [project, task] = arguments else { return exit::USAGE };
    match run(Path::new(project), &task.to_string_lossy()) {
        Ok(code) => code,
        Err(fault) => {
            let _ = writeln!(std::io::stderr(), "{fault}");
            exit::of(&fault)
        }
    }
}

fn run(project: &Path, task: &str) -> Done {
    let context = Context::new(Some(project), false)?;
    let id: TaskId = task.parse().map_err(|error| Fault::new(Code::UnknownId, format!("`{task}`: {error}")))?;
    let home = Context::home()?;
    let store = SqliteStore::open(&home, Durability::Full)?;
    let gate = vec![super::own_program()?.into(), GATE.into()];
    let setup = Setup {
        home,
        store,
        config: context.config()?,
        clock: std::sync::Arc::clone(&context.clock),
        gate,
        places: places(),
    };
    runtime()?.block_on(async { supervise(setup, &context.project, id, stop_when_asked()).await })?;
    Ok(exit::OK)
}

/// Is cancelled when this process is asked to end.
pub fn stop_when_asked() -> CancellationToken {
    let stop = CancellationToken::new();
    let asked = stop.clone();
    tokio::spawn(async move {
        asked_to_end().await;
        asked.cancel();
    });
    stop
}

/// Waits until this process is asked to end.
pub async fn asked_to_end() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
    #[cfg(not(unix))]
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Becomes an agent, once its supervisor has written it down.
pub fn gate(argv: &[OsString]) -> u8 {
    if let Err(error) = process::become_program(argv) {
        let program = argv.first().map(|program| program.to_string_lossy().into_owned()).unwrap_or_default();
        let _ = writeln!(std::io::stderr(), "sortie: `{program}` cannot be started: {error}");
        return NOT_THERE;
    }
    exit::OK
}
