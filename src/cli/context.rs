//! What every command works with: where it was typed, Sortie's files, and how to answer.

use std::{
    env, fs,
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Serialize;

use super::json::Document;
use crate::{
    clock::{Clock, Ids},
    config::{self, Config, Source},
    engine::root,
    fault::{Code, Fault},
    queue::dispatch,
    server_pool::Places,
    store::{Durability, Filter, Home, Listing, SqliteStore, Store},
    sys::SystemClock,
    task::{ProjectKey, Task, TaskId, Timestamp},
};

/// How many tasks are named where an id fits several.
const SHOWN: u32 = 5;

/// Where a command works.
pub struct Context {
    /// The directory in which it was typed, or that of `-C`.
    pub directory: PathBuf,
    /// The project of that directory.
    pub project: ProjectKey,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How it answers.
    pub out: Out,
}

/// How a command answers.
#[derive(Debug, Clone, Copy)]
pub struct Out {
    /// For programs.
    pub json: bool,
    /// In colour.
    pub color: bool,
    /// The width of the terminal, where there is one.
    pub width: Option<u16>,
}

impl Out {
    fn new(json: bool) -> Self {
        let tty = std::io::stdout().is_terminal();
        let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        let forced = env::var_os("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty() && value != "0");
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        let color = !json && !set("NO_COLOR") && (forced || (tty && !dumb));
        let columns = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let width = columns.or_else(|| tty.then(terminal_size::terminal_size).flatten().map(|(width, _)| width.0));
        Self { json, color, width }
    }

    /// Prints text for people. Nothing is printed where programs read.
    pub fn say(self, text: impl AsRef<str>) {
        if !self.json {
            print(text.as_ref());
        }
    }

    /// Prints a hint for people beside the answer: where a script reads the answer, it is left out.
    pub fn hint(self, text: impl AsRef<str>) {
        if !self.json && std::io::stderr().is_terminal() {
            let _ = writeln!(std::io::stderr(), "{}", text.as_ref());
        }
    }

    /// Prints the answer for programs. Nothing is printed where people read.
    pub fn document(self, command: &'static str, body: impl Serialize) {
        if self.json {
            let document = Document::new(command, body);
            print(&serde_json::to_string_pretty(&document).unwrap_or_default());
        }
    }
}

/// Prints lines. Whoever reads may have gone: that is no error.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

impl Context {
    /// The context of what was typed.
    ///
    /// # Errors
    /// [`Code::BadFlag`] when the directory of `-C` is none.
    pub fn new(project: Option<&Path>, json: bool) -> Result<Self, Fault> {
        let given = project.map_or_else(env::current_dir, std::path::absolute);
        let directory = given.and_then(fs::canonicalize).map_err(|error| {
            let path = project.unwrap_or(Path::new("."));
            Fault::new(Code::BadFlag, format!("the directory {}: {error}", path.display()))
        })?;
        if !directory.is_dir() {
            return Err(Fault::new(Code::BadFlag, format!("{} is no directory", directory.display())));
        }
        let checkout = directory.ancestors().find(|path| path.join(".git").exists());
        let root = root::of(checkout.unwrap_or(&directory));
        let project = ProjectKey::new(&root.to_string_lossy());
        Ok(Self { directory, project, clock: Arc::new(SystemClock), out: Out::new(json) })
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// New ids.
    #[must_use]
    pub fn ids(&self) -> Ids {
        Ids::new(Arc::clone(&self.clock))
    }

    /// Sortie's files.
    ///
    /// # Errors
    /// The store's.
    pub fn home() -> Result<Home, Fault> {
        Ok(Home::open(&crate::sys::home::find(None)?)?)
    }

    /// Sortie's files and the database. What dead processes left in the project is given back first.
    ///
    /// # Errors
    /// The store's.
    pub fn open(&self) -> Result<(Home, SqliteStore), Fault> {
        let home = Self::home()?;
        let mut store = SqliteStore::open(&home, Durability::Full)?;
        store.requeue(&self.project, &|id| crate::store::instance::is_alive(&home, id), self.now())?;
        Ok((home, store))
    }

    /// The files in which the configuration may be.
    #[must_use]
    pub fn sources(&self) -> Vec<Source> {
        Source::of(crate::sys::home::config().as_deref(), Path::new(self.project.as_str()))
    }

    /// The configuration.
    ///
    /// # Errors
    /// [`Code::BadConfig`].
    pub fn config(&self) -> Result<Config, Fault> {
        Ok(config::load(&self.sources())?.0)
    }

    /// Gives back what dead processes had, and ends what runs for nobody.
    ///
    /// # Errors
    /// The store's.
    pub async fn reconcile(&self, home: &Home, store: &mut SqliteStore) -> Result<usize, Fault> {
        dispatch::reconcile(home, store, &self.project, self.now()).await
    }

    /// The task of an id, or of the beginning of one.
    ///
    /// # Errors
    /// [`Code::UnknownId`] and [`Code::AmbiguousId`].
    pub fn task(&self, store: &mut SqliteStore, name: &str) -> Result<Task, Fault> {
        let digits = name.strip_prefix(TaskId::PREFIX).unwrap_or(name).to_ascii_lowercase();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Fault::new(Code::UnknownId, format!("`{name}` is no id of a task")));
        }
        let found = store.with_prefix(&self.project, &format!("{}{digits}", TaskId::PREFIX), SHOWN + 1)?;
        match found.as_slice() {
            [] => Err(Fault::new(Code::UnknownId, format!("`{name}` is no task of {}", self.project.as_str()))),
            [id] => self.reload(store, *id),
            several => {
                let mut names = store.short_ids(several)?;
                names.truncate(SHOWN as usize);
                let more = if several.len() > SHOWN as usize { " and more" } else { "" };
                let message = format!("`{name}` may be {}{more}", names.join(", "));
                Err(Fault::new(Code::AmbiguousId, message))
            }
        }
    }

    /// The tasks of several ids, each once.
    ///
    /// # Errors
    /// As [`Self::task`].
    pub fn tasks(&self, store: &mut SqliteStore, names: &[String]) -> Result<Vec<Task>, Fault> {
        let mut tasks: Vec<Task> = Vec::with_capacity(names.len());
        for name in names {
            let task = self.task(store, name)?;
            if tasks.iter().all(|known| known.id != task.id) {
                tasks.push(task);
            }
        }
        Ok(tasks)
    }

    /// A task as it is now.
    ///
    /// # Errors
    /// [`Code::UnknownId`].
    pub fn reload(&self, store: &mut SqliteStore, id: TaskId) -> Result<Task, Fault> {
        let filter = Filter { ids: Some(vec![id]), ..Filter::default() };
        let found = store.tasks(&self.project, &filter)?.pop();
        found.ok_or_else(|| Fault::new(Code::UnknownId, format!("`{id}` is no task of {}", self.project.as_str())))
    }
}

/// Where `OpenCode` may be.
#[must_use]
pub fn places() -> Places {
    let path = env::var_os("PATH").unwrap_or_default();
    Places { opencode_path: env::var_os("OPENCODE_PATH").map(PathBuf::from), path: env::split_paths(&path).collect() }
}

/// A runtime for commands that wait.
///
/// # Errors
/// [`Code::NotRun`].
pub fn runtime() -> Result<tokio::runtime::Runtime, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Fault::new(Code::NotRun, format!("no runtime: {error}")))
}
