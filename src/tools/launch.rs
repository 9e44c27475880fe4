//! From a launch call to tasks: every check that a call can fail, before anything is written.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    args::{Launch, LaunchTask},
    text::{self, Kind},
};
use crate::{
    agent::COMMANDER,
    engine::{
        handoff,
        models::{knows, names as model_names},
        ops::Caller,
        service::Attachment,
        spawn::Above,
    },
    fault::{Code, Fault},
    task::{MAX_TIMEOUT, ModelChoice, StateName, Task, TaskId, TaskSpec, attempt, graph},
};

/// The most tasks in one call.
pub const MOST_TASKS: usize = 200;

/// Launches what a call asks for.
///
/// # Errors
/// A fault that names the task and field; then nothing was launched.
pub async fn launch(to: &Attachment, caller: &Caller, call: Launch) -> Result<Vec<Task>, Fault> {
    let tasks = call.tasks;
    if tasks.is_empty() {
        return Err(Fault::new(Code::EmptyBatch, "`tasks` is empty"));
    }
    if tasks.len() > MOST_TASKS {
        return Err(Fault::new(Code::BatchTooLarge, format!("`tasks` has {}, at most {MOST_TASKS}", tasks.len())));
    }
    for (at, task) in tasks.iter().enumerate() {
        texts(at, task)?;
        numbers(at, task)?;
    }
    let above = allowed(to, caller).await?;
    agents(to, &tasks).await?;
    models(to, &tasks).await?;
    to.check_fallback(tasks.iter().map(|task| task.agent.as_str())).await?;
    to.learn_voice(caller).await?;
    let ids: Vec<TaskId> = tasks.iter().map(|_| to.task_id()).collect();
    let mut names = Names { to, caller, keys: keys(&tasks)?, ids: &ids, earlier: HashMap::new() };
    let mut specs = Vec::with_capacity(tasks.len());
    let mut edges = Vec::with_capacity(tasks.len());
    for (at, task) in tasks.into_iter().enumerate() {
        let (spec, waits_for) = names.spec(at, task, above.depth).await?;
        edges.push(waits_for);
        specs.push((ids[at], spec, None));
    }
    graph::check(&edges, |at| label(&specs[at].1, at))
        .map_err(|cycle| Fault::new(Code::Cycle, format!("tasks wait for each other: {cycle}")))?;
    to.launch_below(&above, specs).await
}

/// Where a caller stands that may launch tasks.
///
/// # Errors
/// [`Code::TooDeep`].
pub async fn allowed(to: &Attachment, caller: &Caller) -> Result<Above, Fault> {
    let above = to.above(caller).await?;
    let (depth, most) = (above.depth, to.options().max_depth.get());
    if depth > most {
        let message = format!("this session is a task itself (depth {}); tasks go {most} deep", depth - 1);
        return Err(Fault::new(Code::TooDeep, message));
    }
    Ok(above)
}

fn label(spec: &TaskSpec, at: usize) -> String {
    spec.key.clone().unwrap_or_else(|| format!("tasks[{at}]"))
}

fn texts(at: usize, task: &LaunchTask) -> Result<(), Fault> {
    let field = |name: &str| format!("tasks[{at}].{name}");
    text::check(&field("title"), &task.title, Kind::Line)?;
    text::check(&field("agent"), &task.agent, Kind::Line)?;
    text::check(&field("prompt"), &task.prompt, Kind::Prompt)?;
    if let Some(key) = &task.key {
        text::check(&field("key"), key, Kind::Key)?;
    }
    for (index, name) in task.depends_on.iter().enumerate() {
        text::check(&field(&format!("depends_on[{index}]")), name, Kind::Key)?;
    }
    Ok(())
}

fn numbers(at: usize, task: &LaunchTask) -> Result<(), Fault> {
    if let Some(timeout) = task.timeout.filter(|seconds| !(1..=MAX_TIMEOUT.as_secs()).contains(seconds)) {
        return Err(Fault::new(Code::BadTimeout, format!("`tasks[{at}].timeout` is {timeout}")));
    }
    if let Some(retries) = task.retries.filter(|retries| *retries >= attempt::MAX_ATTEMPTS) {
        return Err(Fault::new(Code::BadRetries, format!("`tasks[{at}].retries` is {retries}")));
    }
    Ok(())
}

/// Every agent must be one that the host knows. An unknown one is asked for once more: agents can be added.
async fn agents(to: &Attachment, tasks: &[LaunchTask]) -> Result<(), Fault> {
    let mut known = to.agents(false).await?;
    let unknown = |known: &[crate::opencode::Agent]| {
        tasks.iter().position(|task| !known.iter().any(|agent| agent.name == task.agent && !agent.hidden))
    };
    if unknown(&known).is_some() {
        known = to.agents(true).await?;
    }
    let Some(at) = unknown(&known) else { return Ok(()) };
    let mut names: Vec<_> = known
        .iter()
        .filter(|agent| !agent.hidden && agent.name != COMMANDER)
        .map(|agent| agent.name.as_str())
        .collect();
    names.sort_unstable();
    let given = handoff::cut(&tasks[at].agent, 100);
    let message = format!("`tasks[{at}].agent` is `{given}`; OpenCode knows {}", names.join(", "));
    Err(Fault::new(Code::UnknownAgent, message))
}

/// Every model that is asked for must be one that the host can use: it would be found out only when the task runs.
async fn models(to: &Attachment, tasks: &[LaunchTask]) -> Result<(), Fault> {
    let mut asked = Vec::new();
    for (at, task) in tasks.iter().enumerate() {
        if let Some(model) = &task.model {
            asked.push((at, model, choice(at, model)?));
        }
    }
    if asked.is_empty() {
        return Ok(());
    }
    let known = to.models().await?;
    let Some((at, given, _)) = asked.iter().find(|(_, _, choice)| !knows(&known, choice)) else { return Ok(()) };
    let message = format!("`tasks[{at}].model` is `{given}`; OpenCode has {}", model_names(&known));
    Err(Fault::new(Code::BadModel, message))
}

fn keys(tasks: &[LaunchTask]) -> Result<HashMap<String, usize>, Fault> {
    let mut keys = HashMap::new();
    for (at, key) in tasks.iter().enumerate().filter_map(|(at, task)| task.key.clone().map(|key| (at, key))) {
        if let Some(first) = keys.insert(key.clone(), at) {
            let message = format!("`tasks[{first}].key` and `tasks[{at}].key` are both `{key}`");
            return Err(Fault::new(Code::DuplicateKey, message));
        }
    }
    Ok(keys)
}

/// What names mean in one call.
struct Names<'a> {
    to: &'a Attachment,
    caller: &'a Caller,
    keys: HashMap<String, usize>,
    ids: &'a [TaskId],
    earlier: HashMap<String, Task>,
}

impl Names<'_> {
    /// The spec of one task, and which others of the batch it waits for.
    async fn spec(&mut self, at: usize, task: LaunchTask, depth: u32) -> Result<(TaskSpec, Vec<usize>), Fault> {
        let mut depends_on: Vec<TaskId> = Vec::new();
        let mut waits_for = Vec::new();
        let mut renamed: HashMap<String, TaskId> = HashMap::new();
        let wanted: Vec<_> = task
            .depends_on
            .iter()
            .map(|name| (name.clone(), "depends_on"))
            .chain(handoff::references(&task.prompt).into_iter().map(|name| (name.to_owned(), "prompt")))
            .collect();
        // A prompt that asks for a result waits for it, said so or not.
        for (name, field) in wanted {
            let id = if let Some(other) = self.keys.get(&name) {
                waits_for.push(*other);
                self.ids[*other]
            } else {
                self.earlier(&name, &format!("tasks[{at}].{field}")).await?
            };
            if !depends_on.contains(&id) {
                depends_on.push(id);
            }
            renamed.insert(name, id);
        }
        let options = self.to.options();
        let spec = TaskSpec {
            project: self.to.project_key(),
            key: task.key,
            title: task.title.trim().to_owned(),
            agent: task.agent.into(),
            prompt: handoff::replace(&task.prompt, |name| renamed.get(name).map(|id| format!("{{{{result:{id}}}}}"))),
            model: task.model.map(|model| choice(at, &model)).transpose()?,
            expected_model: None,
            directory: directory(self.to, self.caller, at, task.directory.as_deref())?.into(),
            parent: self.caller.parent(),
            depth,
            priority: task.priority,
            timeout: task.timeout.map_or(options.timeout(), Duration::from_secs),
            max_attempts: task.retries.unwrap_or(options.retries) + 1,
            resume: task.resume.unwrap_or(options.resume),
            depends_on,
            continues: None,
            retry_of: None,
            mission: None,
            queued: None,
        };
        Ok((spec, waits_for))
    }

    /// A task of an earlier call.
    async fn earlier(&mut self, name: &str, field: &str) -> Result<TaskId, Fault> {
        if !self.earlier.contains_key(name) {
            let found = self.to.resolve(&self.caller.session, name).await.map_err(|fault| match fault.code {
                Code::NoSuchTask => {
                    let known: HashSet<_> = self.keys.keys().map(String::as_str).collect();
                    let mut known: Vec<_> = known.into_iter().collect();
                    known.sort_unstable();
                    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                    let message = format!("`{field}` names `{name}`; keys of this batch: {known}");
                    Fault::new(Code::UnknownDependency, message)
                }
                _ => fault,
            })?;
            if matches!(found.state.name(), StateName::Failed | StateName::Cancelled) {
                let message = format!("`{field}` names `{name}`, which is {}", found.state.name().as_str());
                return Err(Fault::new(Code::DeadDependency, message));
            }
            self.earlier.insert(name.to_owned(), found);
        }
        Ok(self.earlier[name].id)
    }
}

/// `provider/model`, of which the model may hold further slashes.
fn choice(at: usize, text: &str) -> Result<ModelChoice, Fault> {
    let field = format!("tasks[{at}].model");
    text::check(&field, text, Kind::Line)?;
    let wrong = || Fault::new(Code::BadModel, format!("`{field}` is `{text}`, not `provider/model`"));
    ModelChoice::parse(text).ok_or_else(wrong)
}

/// Where a task works: the caller's directory, or one inside the project or the caller's directory.
fn directory(to: &Attachment, caller: &Caller, at: usize, given: Option<&str>) -> Result<String, Fault> {
    let Some(given) = given else { return Ok(caller.directory.clone()) };
    let field = format!("tasks[{at}].directory");
    text::check(&field, given, Kind::Line)?;
    let base = Path::new(&caller.directory);
    let canonical = |path: &Path| std::fs::canonicalize(path).ok().filter(|path| path.is_dir());
    let path: PathBuf =
        canonical(&base.join(given)).ok_or_else(|| Fault::new(Code::NoDirectory, format!("`{field}` is `{given}`")))?;
    let inside = [to.root(), base].into_iter().filter_map(canonical).any(|root| path.starts_with(root));
    let text = path.to_str().filter(|_| inside).map(str::to_owned);
    text.ok_or_else(|| {
        Fault::new(Code::OutsideProject, format!("`{field}` is `{given}`; the project is {}", to.root().display()))
    })
}
