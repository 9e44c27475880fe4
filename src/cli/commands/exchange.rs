//! `sortie import` and `sortie export`: the files of the orchestrator that people come from.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use super::{
    super::{Done, context::Context, exit, json::TaskList, view},
    rows,
};
use crate::{
    fault::{Code, Fault},
    queue::{
        log::Log,
        older::{Beside, Older},
        place::{NAMES, Place},
    },
    store::{Filter, Store},
    task::{Task, TaskId, Timestamp},
};

/// The longest file of a task that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// How many tasks are shown one by one.
const SHOWN: usize = 50;

/// Takes the tasks of a directory such as `.gemini/agents` in. One whose id was taken in before is left out, so that it
/// may be done again. Nothing there is changed.
pub fn import(context: &Context, directory: &Path) -> Done {
    let config = context.config()?;
    let directory = context.directory.join(directory);
    let (home, mut store) = context.open()?;
    let mut found: Vec<(PathBuf, Older)> = Vec::new();
    for path in files(&directory.join("tasks"))? {
        found.push((path.clone(), read(&path)?));
    }
    found.sort_by(|(_, one), (_, two)| (&one.created_at, &one.task_id).cmp(&(&two.created_at, &two.task_id)));
    let (mut tasks, mut logs): (Vec<Task>, Vec<(TaskId, PathBuf)>) = (Vec::new(), Vec::new());
    let mut known: HashMap<String, TaskId> = HashMap::new();
    let mut before = 0;
    for (path, older) in found {
        let filter = Filter { key: Some(older.task_id.clone()), ..Filter::default() };
        if let Some(task) = store.tasks(&context.project, &filter)?.pop() {
            known.insert(older.task_id, task.id);
            before += 1;
            continue;
        }
        let mut task = older.task(&context.ids(), &config, &context.project, &beside(&path), context.now())?;
        task.spec.retry_of = older.parent_task_id.as_ref().and_then(|of| known.get(of)).copied();
        known.insert(older.task_id.clone(), task.id);
        logs.push((task.id, directory.join("logs").join(format!("{}.log", older.task_id))));
        tasks.push(task);
    }
    store.launch(&tasks)?;
    for (task, log) in logs {
        if log.is_file() {
            let place = Place::of(&home, task);
            place.make()?;
            let copied = Log::of(&place).append().and_then(|mut into| io::copy(&mut fs::File::open(&log)?, &mut into));
            copied.map_err(|error| Fault::new(Code::BadImport, format!("{}: {error}", log.display())))?;
        }
    }
    let rows = rows(context, &mut store, &tasks)?;
    let again = if before > 0 { format!(", {before} were here already") } else { String::new() };
    if (1..=SHOWN).contains(&rows.len()) {
        context.out.say(view::tasks(&rows, context.out));
    }
    context.out.say(format!("{} taken in{again}", rows.len()));
    context.out.document("import", TaskList { tasks: rows });
    Ok(exit::OK)
}

/// The task files of a directory.
fn files(directory: &Path) -> Result<Vec<PathBuf>, Fault> {
    let fail = |error: io::Error| Fault::new(Code::BadImport, format!("{}: {error}", directory.display()));
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if path.extension().is_some_and(|end| end == "json") && path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

fn read(path: &Path) -> Result<Older, Fault> {
    let fail = |why: String| Fault::new(Code::BadImport, format!("{}: {why}", path.display()));
    let length = fs::metadata(path).map_err(|error| fail(error.to_string()))?.len();
    if length > LONGEST {
        return Err(fail(format!("longer than {LONGEST} bytes")));
    }
    let text = fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| fail(error.to_string()))
}

/// What lies beside a task's file, under its name with another end.
fn beside(path: &Path) -> Beside {
    let of = |name: &str| path.with_extension(name.trim_start_matches('.'));
    let written = NAMES.iter().map(|name| of(name)).chain([path.to_owned()]);
    let at = |path: PathBuf| {
        let time = fs::metadata(path).ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(time.as_millis()).ok().map(Timestamp)
    };
    let read = |name: &str| fs::read_to_string(of(name)).ok();
    Beside {
        said: Place::said_by(|name| of(name).is_file(), read),
        exit_code: Place::exit_code_by(read),
        written: written.filter_map(at).max(),
    }
}

/// Writes the queue's tasks into a new directory as that orchestrator keeps them.
pub fn export(context: &Context, directory: &Path) -> Done {
    let directory = context.directory.join(directory);
    let fail = |error: io::Error| Fault::new(Code::BadImport, format!("{}: {error}", directory.display()));
    let is_empty = match fs::read_dir(&directory) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(fail(error)),
    };
    if !is_empty {
        return Err(fail(io::Error::other("it is there, and not empty")));
    }
    let (home, mut store) = context.open()?;
    let tasks: Vec<Task> =
        store.tasks(&context.project, &Filter::default())?.into_iter().filter(Task::is_queued).collect();
    for name in ["tasks", "plans", "logs"] {
        fs::create_dir_all(directory.join(name)).map_err(fail)?;
    }
    for task in &tasks {
        let older = Older::of(task);
        let text = serde_json::to_string_pretty(&older).map_err(|error| fail(io::Error::other(error)))?;
        let file = directory.join("tasks").join(format!("{}.json", older.task_id));
        fs::write(file, text + "\n").map_err(fail)?;
        fs::write(directory.join("plans").join(format!("{}_plan.md", older.task_id)), &older.prompt).map_err(fail)?;
        let log = Place::of(&home, task.id).path().join("log");
        if log.is_file() {
            fs::copy(log, directory.join("logs").join(format!("{}.log", older.task_id))).map_err(fail)?;
        }
    }
    context.out.say(format!("{} tasks written to {}", tasks.len(), directory.display()));
    let rows = rows(context, &mut store, &tasks)?;
    context.out.document("export", TaskList { tasks: rows });
    Ok(exit::OK)
}
