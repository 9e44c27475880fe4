//! `sortie servers`: the servers of OpenCode that Sortie's processes have started.

use super::super::{
    Done,
    context::{Context, runtime},
    exit,
    json::{ServerRow, ServersAnswer, instant},
    view,
};
use crate::server_pool::registry;

pub fn run(context: &Context) -> Done {
    let home = Context::home()?;
    let ended = runtime()?.block_on(registry::sweep(&home))?;
    let servers: Vec<_> = registry::list(&home)?
        .into_iter()
        .map(|found| ServerRow {
            url: found.record.url(),
            id: found.record.id,
            pid: found.record.process.map(|process| process.pid),
            running: found.runs,
            directory: found.record.directory,
            started_at: instant(found.record.started_at),
            up_seconds: context.now().since(found.record.started_at).as_secs(),
        })
        .collect();
    if ended > 0 {
        context.out.say(format!("{ended} left behind by a process that was killed: ended"));
    }
    if servers.is_empty() {
        context.out.say("no server runs: one is started when a checklist needs it");
    } else {
        let line = |row: &ServerRow| {
            let pid = row.pid.map_or_else(String::new, |pid| pid.to_string());
            let state = if row.running { "● running" } else { "○ starting" };
            let up = view::duration(std::time::Duration::from_secs(row.up_seconds));
            ([row.url.clone(), state.to_owned(), pid, up, view::one_line(&row.directory)], None)
        };
        let head = ["SERVER", "STATE", "PROCESS", "UP", "STARTED FOR"];
        context.out.say(view::table(head, servers.iter().map(line).collect(), context.out));
    }
    context.out.document("servers", ServersAnswer { servers, ended });
    Ok(exit::OK)
}
