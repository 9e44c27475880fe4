//! `sortie checklist`: independent checks at once, and one verdict each.

use std::{fs, io::Read, path::Path, sync::Arc};

use super::{
    super::{
        Done,
        args::ChecklistArgs,
        context::{Context, Out, places, runtime},
        exit,
        json::{ChecklistAnswer, VerdictRow},
        view,
    },
    supervise::stop_when_asked,
};
use crate::{
    config,
    fault::{Code, Fault},
    inbox::{self, Policy},
    server_pool::{
        Pool, Settings, Source, Start,
        checklist::{Checklist, How, Overall, Report, Row, Verdict},
        find_opencode,
    },
};

/// The longest checklist, in bytes: more than the most checks with the longest texts is none.
const LONGEST: u64 = 16 * 1024 * 1024;

pub fn run(context: &Context, args: &ChecklistArgs) -> Done {
    let list = Checklist::parse(&read(&args.file)?)?;
    let servers = context.config()?.servers;
    let home = Context::home()?;
    let directory = context.directory.to_string_lossy().into_owned();
    let mut how = How::new(directory.clone());
    how.agent.clone_from(&args.agent);
    how.model.clone_from(&args.model);
    how.timeout = args.timeout.unwrap_or(how.timeout);
    how.parallel = args.parallel.map_or(how.parallel, |number| number.get() as usize);
    // Nobody is there to be asked.
    how.permissions = inbox::Settings { policy: Policy::AllowListed, allow: args.allow.clone(), ..how.permissions };
    let report = runtime()?.block_on(async {
        let stop = stop_when_asked();
        let settings = settings(&servers, args).await?;
        let pool = Pool::open(home, Arc::clone(&context.clock), settings).await?;
        let report = tokio::select! {
            report = worked(&pool, &list, &how, &directory, context.out) => report.map(Some),
            () = stop.cancelled() => Ok(None),
        };
        pool.close().await;
        report
    })?;
    Ok(match report {
        Some(report) => answer(context, &list, &report),
        None => exit::INTERRUPTED,
    })
}

/// The list in a file, or on the standard input for `-`.
fn read(file: &Path) -> Result<String, Fault> {
    let bad = |why: std::io::Error| Fault::new(Code::BadChecklist, format!("{}: {why}", file.display()));
    let mut text = String::new();
    let mut from: Box<dyn Read> =
        if file == Path::new("-") { Box::new(std::io::stdin()) } else { Box::new(fs::File::open(file).map_err(bad)?) };
    from.by_ref().take(LONGEST + 1).read_to_string(&mut text).map_err(bad)?;
    if text.len() as u64 > LONGEST {
        return Err(Fault::new(Code::BadChecklist, format!("it has more than {LONGEST} bytes")));
    }
    Ok(text)
}

/// The servers that are to be used.
async fn settings(servers: &config::Servers, args: &ChecklistArgs) -> Result<Settings, Fault> {
    if let Some(url) = args.server.as_ref().or(servers.url.as_ref()) {
        let password = std::env::var("OPENCODE_SERVER_PASSWORD").ok().filter(|password| !password.is_empty());
        return Ok(Settings::new(Source::Reuse { url: url.clone(), password }));
    }
    let start = Start {
        // The configuration has been checked: it is a range.
        ports: servers.ports.as_deref().and_then(config::port_range),
        isolate: servers.isolated == Some(true),
        ..Start::new(find_opencode(&places()).await?)
    };
    let max_servers = servers.max.map_or(1, |max| max.get() as usize);
    Ok(Settings { max_servers, ..Settings::new(Source::Start(start)) })
}

async fn worked(pool: &Pool, list: &Checklist, how: &How, directory: &str, out: Out) -> Result<Report, Fault> {
    // Where there is no server, that is said once, and not of each check.
    drop(pool.server(directory).await?);
    let (mut over, all) = (0, list.items.len());
    let told = |row: &Row| {
        over += 1;
        let (sign, _) = sign(&row.verdict);
        out.hint(format!("{over}/{all}  {sign}  {}", view::one_line(&row.item.text)));
    };
    Ok(list.run(pool, how, told).await)
}

fn sign(verdict: &Verdict) -> (&'static str, comfy_table::Color) {
    match verdict {
        Verdict::Pass => ("✓ pass", comfy_table::Color::Green),
        Verdict::Fail(_) => ("✗ fail", comfy_table::Color::Red),
        Verdict::Unclear => ("? unclear", comfy_table::Color::Yellow),
        Verdict::Error(_) => ("! error", comfy_table::Color::Yellow),
    }
}

fn answer(context: &Context, list: &Checklist, report: &Report) -> u8 {
    let line = |(at, row): (usize, &Row)| {
        let (sign, color) = sign(&row.verdict);
        let text = view::one_line(&row.item.text);
        let what = match row.verdict.reason() {
            "" => text,
            reason => format!("{text}: {}", view::one_line(reason)),
        };
        ([(at + 1).to_string(), sign.to_owned(), view::duration(row.took), row.tokens.to_string(), what], Some(color))
    };
    let rows = report.rows.iter().enumerate().map(line).collect();
    context.out.say(view::table(["", "VERDICT", "TIME", "TOKENS", "CHECK"], rows, context.out));
    let many = |is: fn(&Verdict) -> bool| report.rows.iter().filter(|row| is(&row.verdict)).count();
    let passed = many(|verdict| *verdict == Verdict::Pass);
    let failed = many(|verdict| matches!(verdict, Verdict::Fail(_)));
    let unknown = report.rows.len() - passed - failed;
    let ticked = if list.ticked > 0 { format!(", {} ticked off already", list.ticked) } else { String::new() };
    context.out.say(format!("{passed} pass, {failed} fail, {unknown} not known{ticked}"));
    let (overall, code) = match report.overall() {
        Overall::Pass => ("pass", exit::OK),
        Overall::Fail => ("fail", exit::TASKS_FAILED),
        Overall::Incomplete => ("incomplete", exit::NOT_KNOWN),
    };
    let rows = report.rows.iter().map(|row| VerdictRow {
        check: row.item.text.clone(),
        group: row.item.group.clone(),
        verdict: row.verdict.as_str(),
        reason: Some(row.verdict.reason().to_owned()).filter(|reason| !reason.is_empty()),
        seconds: row.took.as_secs_f64(),
        tokens: row.tokens,
        session: row.session.as_ref().map(ToString::to_string),
    });
    context.out.document("checklist", ChecklistAnswer { overall, checks: rows.collect(), ticked: list.ticked });
    code
}
