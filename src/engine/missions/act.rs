//! From a decided step to the deed: one transaction first, then everything that follows from it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{
    book::{Driven, Known, Read},
    names,
};
use crate::{
    agent::COMMANDER,
    engine::{
        project::Project,
        reports::{self},
        toasts::Note,
    },
    fault::Fault,
    mission::{Launch, Mission, Step, TaskView},
    opencode::{ClientError, MessageId, PartId, Prompt, SessionId},
    store::{Filter, MissionRow, MissionStep, StoreError, TodoCommit},
    task::{CancelReason, Change, ModelChoice, Parent, Priority, Task, TaskId, TaskSpec, Tokens},
    todo,
};

/// The row of a mission after a step.
fn row(project: &Project, mission: &Mission, rev: u64) -> Result<MissionRow, StoreError> {
    let body = serde_json::to_string(mission).map_err(|error| StoreError::Internal(error.to_string()))?;
    Ok(MissionRow {
        id: mission.id,
        project: project.key.clone(),
        tag: mission.tag.clone(),
        session: mission.session.clone(),
        home: project.core.instance,
        over: mission.is_over(),
        rev,
        created_at: mission.created_at,
        body,
    })
}

/// Writes a mission's first revision.
///
/// # Errors
/// The store's.
pub async fn begin(project: &Project, mission: Mission) -> Result<Driven, StoreError> {
    let row = row(project, &mission, 0)?;
    let core = Arc::clone(&project.core);
    let step = MissionStep { mission: row, step: "begin".to_owned(), launch: Vec::new(), todo: None };
    project.store(move |store| store.step_mission(&step, core.clock.now())).await?;
    let driven = Driven { mission: Arc::new(mission), rev: 0, tasks: HashMap::new() };
    project.missions.put(driven.clone());
    Ok(driven)
}

/// Makes a step: writes it, and does what follows. Returns the mission after it.
///
/// # Errors
/// The store's; [`StoreError::Moved`] and [`StoreError::TodoMoved`] when it must be decided anew.
pub async fn step(project: &Arc<Project>, driven: &Driven, read: &Read, step: Step) -> Result<Driven, Fault> {
    let Step { mission, word, launch, todo: operations, cancel, halt, news } = step;
    let todo = if operations.is_empty() {
        None
    } else {
        let (document, _) = todo::apply(&read.document, &operations)?;
        let operations = serde_json::to_string(&operations).map_err(|error| StoreError::Internal(error.to_string()))?;
        Some(TodoCommit {
            project: project.key.clone(),
            parent: read.rev,
            text: document.shared_text(),
            author: format!("mission {}", mission.tag),
            operations,
        })
    };
    let mut tasks = Vec::with_capacity(launch.len());
    for launch in launch {
        tasks.push(task(project, &mission, launch).await?);
    }
    let rev = driven.rev + 1;
    let row = row(project, &mission, rev)?;
    let changes_todo = todo.is_some();
    let launched: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
    let core = Arc::clone(&project.core);
    let whole = MissionStep { mission: row, step: word.to_owned(), launch: tasks, todo };
    project.store(move |store| store.step_mission(&whole, core.clock.now())).await?;
    tracing::info!(mission = %mission.tag, rev, word, "a mission's step");
    let mut known = driven.tasks.clone();
    known.extend(launched.into_iter().map(|id| (id, Known { view: TaskView::Open, tokens: Tokens::default() })));
    let driven = Driven { mission: Arc::new(mission), rev, tasks: known };
    project.missions.put(driven.clone());
    if changes_todo {
        project.todo_changed();
    }
    for task in cancel {
        project.change(task, Change::Cancel { reason: CancelReason::Request }).await;
    }
    if halt {
        self::halt(project, &driven.mission).await?;
    }
    for news in news {
        project.toaster.note(Note::Mission(driven.mission.tag.clone(), news));
    }
    project.stir();
    Ok(driven)
}

/// Lets a mission's tasks stand still.
///
/// # Errors
/// The store's.
pub async fn halt(project: &Project, mission: &Mission) -> Result<(), StoreError> {
    for task in open_tasks(project, mission).await? {
        project.change(task.id, Change::Pause).await;
    }
    Ok(())
}

/// A mission's tasks that have not ended.
///
/// # Errors
/// The store's.
pub async fn open_tasks(project: &Project, mission: &Mission) -> Result<Vec<Task>, StoreError> {
    let filter = Filter {
        parent_session: Some(mission.session.clone()),
        states: crate::task::StateName::OPEN.to_vec(),
        ..Filter::default()
    };
    let id = mission.id;
    Ok(project.tasks(filter).await?.into_iter().filter(|task| task.spec.mission == Some(id)).collect())
}

/// A task of a mission.
async fn task(project: &Project, mission: &Mission, launch: Launch) -> Result<Task, StoreError> {
    let Launch { id, key, title, agent, model, prompt, continues, directory } = launch;
    let core = &project.core;
    let directory = directory.map_or_else(|| mission.directory.clone(), |path| path.to_string_lossy().into_owned());
    let mut run = None;
    if let Some(before) = continues {
        let filter = Filter { ids: Some(vec![before]), ..Filter::default() };
        let session = project.tasks(filter).await?.pop().and_then(|task| task.session().map(str::to_owned));
        run = session.map(|session| core.new_run(Some(session)));
    }
    let mut spec = TaskSpec {
        project: project.key.clone(),
        key: Some(key),
        title: names::title(&title),
        agent: agent.into(),
        prompt,
        model: model.and_then(|model| ModelChoice::parse(&model)),
        expected_model: None,
        directory: directory.into(),
        parent: Parent::new(&mission.session, &mission.directory),
        depth: project.options.max_depth.get(),
        priority: Priority::Normal,
        timeout: project.options.timeout(),
        max_attempts: project.options.retries + 1,
        resume: project.options.resume,
        depends_on: Vec::new(),
        continues,
        retry_of: None,
        mission: Some(mission.id),
        queued: None,
    };
    spec.expected_model = project.expected_model(&spec);
    Ok(Task { run, ..Task::new(id, spec, core.instance, core.clock.now()) })
}

/// How long the host may take to be told.
const SEND_LIMIT: Duration = Duration::from_secs(10);

/// Sends a mission's message to its commander; says whether it is there.
///
/// # Errors
/// The host's answer.
pub async fn send(project: &Project, mission: &Mission) -> Result<bool, ClientError> {
    let Some(message) = mission.message.as_ref().filter(|message| !message.sent) else { return Ok(false) };
    let (Ok(session), Ok(message_id), Ok(part_id)) =
        (mission.session.parse::<SessionId>(), message.message.parse::<MessageId>(), message.part.parse::<PartId>())
    else {
        return Ok(true);
    };
    let client = project.client();
    if reports::is_told(&client, &mission.directory, &session, &message_id).await? {
        return Ok(true);
    }
    let voice = project.sessions.voice(&client, &mission.directory, &session).await?;
    let prompt = Prompt {
        // A session that its first prompt never reached speaks as nobody yet.
        agent: voice.agent.or_else(|| Some(COMMANDER.to_owned())),
        model: voice.model,
        variant: voice.variant,
        synthetic: true,
        ..Prompt::new(message_id, part_id, message.text.clone())
    };
    project.sessions.prompted(&session);
    let sending = client.prompt_async(&mission.directory, &session, prompt);
    let sent = tokio::time::timeout(SEND_LIMIT, sending).await;
    // A held turn goes on with it.
    project.missions.hold(&session, false);
    project.stir();
    match sent {
        Ok(Ok(())) => Ok(true),
        // The session is gone: there is nobody to command any more.
        Ok(Err(error)) if error.is_not_found() => Ok(true),
        Ok(Err(error)) => Err(error),
        Err(_) => Ok(false),
    }
}
