//! What people say to a mission: begin, stop, stand still, go on, tell.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{act, book::Driven, gather};
use crate::{
    engine::{budgets, project::Project, service::Attachment},
    fault::{Code, Fault},
    mission::{End, Mission, Note, Pause, Phase, Step, words},
    opencode::SessionId,
    store::{Filter, MissionFilter, StoreError},
    task::{CancelReason, Change, PauseReason, StateName, TaskState},
    todo::{Operation, Status},
};

/// The longest goal, in bytes: as long as a prompt of a task.
const MAX_GOAL: usize = 64 * 1024;

/// How long an edit of the file may take to be taken in, and how often that is looked at.
const TAKEN_IN: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How often a step is decided anew when somebody else was first.
const TRIES: usize = 20;

impl Attachment {
    /// Begins a mission for a session, or adds to the one that it has; says what it is to do.
    ///
    /// # Errors
    /// [`Code::TextTooLong`], [`Code::NothingOpen`] without a goal and without open items, or the store's.
    pub async fn begin_mission(&self, session: &SessionId, directory: &str, goal: &str) -> Result<String, Fault> {
        let project = &self.project;
        let goal = goal.trim();
        if goal.len() > MAX_GOAL {
            let message = format!("the request has {} bytes, at most {MAX_GOAL}", goal.len());
            return Err(Fault::new(Code::TextTooLong, message));
        }
        let adopts = goal.is_empty();
        if adopts && !has_open_items(project).await? {
            return Err(Fault::new(Code::NothingOpen, "nothing was asked for, and TODO.md has no open items"));
        }
        let goal = if adopts { "Do the open items of TODO.md.".to_owned() } else { goal.to_owned() };
        project.missions.expect(session);
        if project.missions.of_session(session.as_str()).is_some() {
            return self
                .change(session, |mission, read| {
                    let mut mission = mission.clone();
                    mission.goal = format!("{}\n\nAsked later:\n{goal}", mission.goal);
                    mission.goal.truncate(crate::fault::floor(&mission.goal, MAX_GOAL));
                    mission.adopts |= adopts;
                    // Open items that people wrote are a plan.
                    mission.planned = if adopts { 0 } else { words::scope(&read.document, &mission).count() };
                    (mission.phase, mission.planner, mission.message, mission.checked) =
                        (Phase::Plan, None, None, None);
                    go_on(&mut mission, project);
                    Some(Step::of(mission, "again"))
                })
                .await
                .map(|_| goal);
        }
        for _ in 0..TRIES {
            let (key, core) = (project.key.clone(), Arc::clone(&project.core));
            let tag = project.store(move |store| store.mission_tag(&key)).await?;
            let now = core.clock.now();
            let mission = Mission {
                id: core.ids.mission(),
                project: project.key.clone(),
                tag,
                session: session.to_string(),
                directory: directory.to_owned(),
                goal: goal.clone(),
                adopts,
                planned: 0,
                phase: Phase::Plan,
                pause: None,
                end: None,
                planner: None,
                works: std::collections::BTreeMap::new(),
                message: None,
                turns: 0,
                stale: 0,
                fingerprint: None,
                heard: None,
                checked: None,
                memory: Vec::new(),
                litter: Vec::new(),
                told: 0,
                spent: 0,
                since: now,
                created_at: now,
            };
            match act::begin(project, mission).await {
                Ok(driven) => {
                    project.sessions.follow(session);
                    project.toaster.note(crate::engine::toasts::Note::Begun(driven.mission.tag.clone()));
                    project.stir();
                    return Ok(goal);
                }
                // Another process took the same tag.
                Err(StoreError::Moved) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Fault::new(Code::StoreBusy, "no name was free for the mission"))
    }

    /// Stops the mission of a session and every open task of it; says what was stopped.
    ///
    /// # Errors
    /// [`Code::NoMission`] if there is nothing to stop, or the store's.
    pub async fn stop_mission(&self, session: &SessionId) -> Result<String, Fault> {
        let project = &self.project;
        let before = project.missions.of_session(session.as_str());
        let stopped = self
            .change(session, |mission, read| {
                let mut mission = mission.clone();
                // What was begun and not ended is open again, for whoever comes next.
                let begun = |item: &&crate::todo::Item| item.status == Status::InProgress;
                let open = words::scope(&read.document, &mission).filter(begun).filter_map(|item| item.id.clone());
                let todo = open.map(|id| Operation::set(id, Status::Pending)).collect();
                (mission.end, mission.phase) = (Some(End::Stopped), Phase::Done);
                mission.works.retain(|_, work| work.stage.racers().is_empty());
                Some(Step { todo, ..Step::of(mission, "stop") })
            })
            .await;
        let stopped = match stopped {
            Ok(driven) => Some(driven),
            Err(fault) if fault.code == Code::NoMission => None,
            Err(fault) => return Err(fault),
        };
        // Nobody works in them any more, and nobody will look after them.
        if let Some(Driven { mission, .. }) = before.filter(|_| stopped.is_some()) {
            let racers = mission.works.values().flat_map(|work| work.stage.racers());
            let trees = racers.filter_map(|racer| racer.tree.as_ref()).map(|tree| &tree.path);
            for path in trees.chain(&mission.litter) {
                super::errands::drop_tree(project, path.clone());
            }
        }
        let states = StateName::OPEN.to_vec();
        let filter = Filter { parent_session: Some(session.to_string()), states, ..Filter::default() };
        let tasks = self.find(filter).await?;
        for task in &tasks {
            project.change(task.id, Change::Cancel { reason: CancelReason::Request }).await;
        }
        self.abort_turn(session).await;
        match (stopped, tasks.len()) {
            (None, 0) => Err(Fault::new(Code::NoMission, "this session has no mission and no open tasks")),
            (Some(driven), tasks) => {
                let tag = &driven.mission.tag;
                Ok(format!("Mission {tag} is stopped, {}. Its items are still in TODO.md.", counted(tasks)))
            }
            (None, tasks) => Ok(format!("{}.", counted(tasks))),
        }
    }

    /// Lets the mission of a session stand still, with its tasks.
    ///
    /// # Errors
    /// [`Code::NoMission`], or the store's.
    pub async fn pause_mission(&self, session: &SessionId, reason: &str) -> Result<String, Fault> {
        let driven = pause(&self.project, session, reason).await?;
        self.abort_turn(session).await;
        Ok(format!("Mission {} is paused. /resume lets it go on, /stop ends it.", driven.mission.tag))
    }

    /// Lets the paused mission of a session go on, and its tasks in their sessions.
    ///
    /// # Errors
    /// [`Code::NoMission`], or the store's.
    pub async fn resume_mission(&self, session: &SessionId) -> Result<String, Fault> {
        let project = &self.project;
        if let Some(driven) = project.missions.of_session(session.as_str()) {
            budgets::grant_mission(project, driven.mission.id).await?;
        }
        let driven = self
            .change(session, |mission, _| {
                let mut mission = mission.clone();
                go_on(&mut mission, project);
                Some(Step::of(mission, "resume"))
            })
            .await?;
        project.missions.forget_errands(driven.mission.id);
        let paused = |state: &TaskState| matches!(state, TaskState::Paused { reason: PauseReason::User, .. });
        for task in act::open_tasks(project, &driven.mission).await? {
            if paused(&task.state) {
                project.change(task.id, Change::Continue).await;
            }
        }
        project.stir();
        Ok(format!("Mission {} goes on.", driven.mission.tag))
    }

    /// The missions for people: that of the session, or the open ones of the project, or the last one.
    ///
    /// # Errors
    /// The store's.
    pub async fn missions_text(&self, session: &SessionId) -> Result<String, Fault> {
        let project = &self.project;
        let read = gather::todo(project).await?;
        let key = project.key.clone();
        let rows = project.store(move |store| store.missions(&key, &MissionFilter::default())).await?;
        let of_session = |row: &&crate::store::MissionRow| row.session == session.as_str();
        let mut chosen: Vec<_> = rows.iter().rfind(of_session).into_iter().collect();
        if chosen.is_empty() {
            chosen = rows.iter().filter(|row| !row.over).collect();
        }
        if chosen.is_empty() {
            chosen.extend(rows.last());
        }
        if chosen.is_empty() {
            return Ok("No missions in this project yet: /task <what> begins one.".to_owned());
        }
        let texts = chosen.into_iter().map(|row| Ok(words::status(&gather::decode(row)?, &read.document)));
        Ok(texts.collect::<Result<Vec<_>, StoreError>>()?.join("\n"))
    }

    /// Adds a decision or finding to the memory of the mission that a session works for.
    ///
    /// # Errors
    /// [`Code::NoMission`], or the store's.
    pub async fn remember(&self, session: &SessionId, note: Note) -> Result<(), Fault> {
        let commander = self.commander_of(session).await?;
        self.change(&commander, |mission, _| {
            let mut mission = mission.clone();
            mission.remember(note.clone());
            Some(Step::of(mission, "note"))
        })
        .await
        .map(|_| ())
    }

    /// The mission that a session commands or works for: its name in TODO.md, and a heading for it.
    ///
    /// # Errors
    /// The store's.
    pub async fn mission_of(&self, session: &SessionId) -> Result<Option<(String, String)>, Fault> {
        let commander = match self.commander_of(session).await {
            Ok(commander) => commander,
            Err(fault) if fault.code == Code::NoMission => return Ok(None),
            Err(fault) => return Err(fault),
        };
        let driven = self.project.missions.of_session(commander.as_str());
        Ok(driven.map(|driven| (driven.mission.tag.clone(), heading(&driven.mission.goal))))
    }

    /// The session that commands the mission which a session works for.
    async fn commander_of(&self, session: &SessionId) -> Result<SessionId, Fault> {
        if self.project.missions.of_session(session.as_str()).is_some() {
            return Ok(session.clone());
        }
        if self.project.missions.is_empty() {
            return Err(no_mission());
        }
        let filter = Filter { session: Some(session.to_string()), newest: Some(1), ..Filter::default() };
        let task = self.find(filter).await?.pop();
        let mission = task.and_then(|task| task.spec.mission).and_then(|id| self.project.missions.get(id));
        let session = mission.and_then(|driven| driven.mission.session.parse().ok());
        session.ok_or_else(no_mission)
    }

    /// Changes the mission of a session by one step; decides anew when somebody else was first.
    async fn change(
        &self,
        session: &SessionId,
        step: impl Fn(&Mission, &super::book::Read) -> Option<Step>,
    ) -> Result<Driven, Fault> {
        change(&self.project, session, step).await
    }

    /// Stops the session's turn, if it is in one.
    async fn abort_turn(&self, session: &SessionId) {
        let project = &self.project;
        if let Err(error) = project.client().abort(&self.directory, session).await {
            tracing::warn!(%session, %error, "a commander's turn was not stopped");
        }
    }
}

/// Lets the mission of a session stand still because a person wants it.
///
/// # Errors
/// [`Code::NoMission`], or the store's.
pub async fn pause(project: &Arc<Project>, session: &SessionId, reason: &str) -> Result<Driven, Fault> {
    change(project, session, |mission, _| {
        if mission.pause.is_some() {
            return None;
        }
        let mut mission = mission.clone();
        mission.pause = Some(Pause { reason: reason.to_owned(), by_person: true });
        let news = vec![crate::mission::News::Paused { reason: reason.to_owned() }];
        Some(Step { halt: true, news, ..Step::of(mission, "pause") })
    })
    .await
}

async fn change(
    project: &Arc<Project>,
    session: &SessionId,
    step: impl Fn(&Mission, &super::book::Read) -> Option<Step>,
) -> Result<Driven, Fault> {
    let mut last = no_mission();
    for _ in 0..TRIES {
        let Some(mut driven) = project.missions.of_session(session.as_str()) else { return Err(last) };
        gather::tasks(project, &mut driven).await?;
        let read = gather::todo(project).await?;
        let Some(step) = step(&driven.mission, &read) else { return Ok(driven) };
        match act::step(project, &driven, &read, step).await {
            Err(fault) if matches!(fault.code, Code::StoreBusy | Code::TodoMoved) => last = fault,
            done => return done,
        }
        // The loop may have been first: its step is in the book as soon as it is written.
        tokio::task::yield_now().await;
    }
    Err(last)
}

/// The first line of a goal, short enough for a heading.
fn heading(goal: &str) -> String {
    const LONGEST: usize = 80;
    let line = goal.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    line[..crate::fault::floor(line, LONGEST)].trim().to_owned()
}

/// Whether TODO.md has open items that no mission's heading stands over. What was written into the file just now is
/// waited for.
async fn has_open_items(project: &Project) -> Result<bool, Fault> {
    let file = Path::new(project.key.as_str()).join(&project.options.todo);
    let until = Instant::now() + TAKEN_IN;
    loop {
        let read = gather::todo(project).await?;
        if read.document.items().iter().any(|item| item.mission.is_none() && item.status.is_open()) {
            return Ok(true);
        }
        if Instant::now() >= until || !file.is_file() {
            return Ok(false);
        }
        project.todo.notify_one();
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Goes on, with what it may use counted anew.
fn go_on(mission: &mut Mission, project: &Project) {
    let tokens =
        project.missions.get(mission.id).map(|driven| driven.tasks.values().map(|known| known.tokens.total()).sum());
    mission.pause = None;
    (mission.turns, mission.stale, mission.fingerprint) = (0, 0, None);
    mission.spent = tokens.unwrap_or(mission.spent);
    mission.since = project.core.clock.now();
}

fn no_mission() -> Fault {
    Fault::new(Code::NoMission, "this session has no mission that goes on")
}

fn counted(tasks: usize) -> String {
    format!("{tasks} task{} cancelled", if tasks == 1 { "" } else { "s" })
}
