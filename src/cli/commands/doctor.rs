//! `sortie doctor`: whether all is as it should be.

use std::path::{Path, PathBuf};

use super::super::{
    Done,
    context::{Context, places, runtime},
    exit,
    json::{Check, DoctorAnswer},
};
use crate::{
    config::{self, OPENCODE},
    fault::Fault,
    queue::processes::WorkerNote,
    server_pool::{Places, find_opencode},
    store::Listing,
    task::StateName,
};

pub fn run(context: &Context) -> Done {
    let mut checks = vec![configuration(context)];
    match context.open() {
        Ok((home, mut store)) => {
            checks.push(well("home", home.root().display().to_string()));
            let left = runtime()?.block_on(context.reconcile(&home, &mut store))?;
            let workers = WorkerNote::living(&home, &context.project);
            let totals = store.totals(&context.project)?;
            let waits = totals.of(StateName::Pending);
            let numbers: Vec<_> = workers.iter().map(|worker| worker.pid.to_string()).collect();
            checks.push(match workers.len() {
                0 if waits > 0 => Check {
                    name: "workers".to_owned(),
                    ok: true,
                    found: format!("none, and {waits} tasks wait: sortie run"),
                },
                0 => well("workers", "none".to_owned()),
                _ => well("workers", format!("process {}", numbers.join(", "))),
            });
            checks.push(well(
                "left behind",
                match left {
                    0 => "nothing".to_owned(),
                    left => format!("{left} tasks or processes of dead processes, now seen to"),
                },
            ));
        }
        Err(fault) => checks.push(ill("home", &fault)),
    }
    if let Ok(config) = context.config() {
        let mut programs: Vec<_> = config.agents.values().map(|agent| agent.command.clone()).collect();
        programs.retain(|program| program != OPENCODE);
        programs.sort();
        programs.dedup();
        let places = places();
        checks.extend(programs.into_iter().map(|program| on_path(&program, &places)));
        checks.push(match runtime()?.block_on(find_opencode(&places)) {
            Ok(path) => well("program opencode", path.display().to_string()),
            Err(fault) => ill("program opencode", &fault),
        });
    }
    let all_well = checks.iter().all(|check| check.ok);
    for check in &checks {
        let sign = if check.ok { "✓" } else { "✗" };
        context.out.say(format!("{sign} {}: {}", check.name, check.found));
    }
    context.out.document("doctor", DoctorAnswer { checks });
    Ok(if all_well { exit::OK } else { exit::TASKS_FAILED })
}

fn well(name: &str, found: String) -> Check {
    Check { name: name.to_owned(), ok: true, found }
}

fn ill(name: &str, fault: &Fault) -> Check {
    Check { name: name.to_owned(), ok: false, found: fault.to_string() }
}

fn configuration(context: &Context) -> Check {
    match config::load(&context.sources()) {
        Ok((_, found)) if found.is_empty() => {
            well("configuration", "no file; every agent is one of OpenCode's".to_owned())
        }
        Ok((_, found)) => {
            let found: Vec<_> = found.iter().map(|path| path.display().to_string()).collect();
            well("configuration", found.join(", "))
        }
        Err(fault) => ill("configuration", &fault),
    }
}

/// Whether a program is there.
fn on_path(program: &str, places: &Places) -> Check {
    let name = format!("program {program}");
    let found = if Path::new(program).components().count() > 1 {
        Some(PathBuf::from(program)).filter(|path| path.is_file())
    } else {
        places.file(program)
    };
    match found {
        Some(path) => well(&name, path.display().to_string()),
        None => {
            Check { name, ok: false, found: "not found: install it, or name it by its path in sortie.jsonc".to_owned() }
        }
    }
}
