//! The commands as tools meet them.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::{Command, Inner, KEPT, MOST, MOST_OF_SESSION, State, state, window::Window};
use crate::{
    engine::{handoff, ops::Caller, service::Attachment, sessions::HIGHEST},
    fault::{Code, Fault},
    opencode::SessionId,
    store::strays,
    sys::process::{self, Live},
    task::MAX_TIMEOUT,
};

/// What is to be started.
#[derive(Debug, Clone)]
pub struct Start {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// The same as a line.
    pub line: String,
    /// Where it runs.
    pub directory: PathBuf,
    /// How long it may run.
    pub limit: Duration,
    /// Whether it goes on when its task has ended.
    pub keep: bool,
}

impl Attachment {
    /// Starts a command.
    ///
    /// # Errors
    /// [`Code::TooManyCommands`], [`Code::CheckNotStarted`], [`Code::NotAttached`], or the host's.
    pub async fn start_command(&self, caller: &Caller, start: Start) -> Result<Arc<Command>, Fault> {
        let sessions = self.sessions_above(caller).await?;
        let project = &self.project;
        if project.stop.is_cancelled() {
            return Err(Fault::new(Code::NotAttached, "the engine was closed for this directory"));
        }
        let task = sessions.iter().find_map(|session| project.task_in(session));
        let full = |what: &str, most: usize| {
            Fault::new(Code::TooManyCommands, format!("{most} commands run {what} already, the most there may be"))
        };
        let Ok(permit) = Arc::clone(&project.core.commands).try_acquire_owned() else {
            return Err(full("in this OpenCode", MOST));
        };
        let now = project.core.clock.now();
        let (deadline, time) = watch::channel(Instant::now() + start.limit);
        let (command, live, note) = {
            let mut list = project.commands.list();
            let own = list.iter().filter(|known| known.owner == caller.session && known.state().is_running());
            if own.count() >= MOST_OF_SESSION {
                return Err(full("for this session", MOST_OF_SESSION));
            }
            let live = Live::start(&process::Command {
                argv: start.words,
                dir: start.directory.clone(),
                set: Vec::new(),
                unset: Vec::new(),
                timeout: start.limit,
                keep: KEPT,
            })?;
            let id = loop {
                let id = format!("cmd_{:06x}", fastrand::u32(..1 << 24));
                if !list.iter().any(|known| known.id == id) {
                    break id;
                }
            };
            let note = live.leader().and_then(|leader| {
                strays::note(&project.core.home, project.core.instance, &id, leader)
                    .inspect_err(|error| tracing::warn!(%error, "a command is not noted"))
                    .ok()
            });
            let command = Arc::new(Command {
                id,
                line: start.line,
                directory: start.directory,
                owner: caller.session.clone(),
                parent: sessions.get(1).cloned(),
                task,
                keep: start.keep,
                started_at: now,
                home: caller.directory.clone(),
                deadline,
                moved: watch::channel(0).0,
                stop: project.stop.child_token(),
                inner: Mutex::new(Inner {
                    state: State::Running { until: now.after(start.limit) },
                    why: None,
                    output: Window::new(KEPT),
                    seen: HashMap::new(),
                }),
            });
            list.push(Arc::clone(&command));
            (command, live, note)
        };
        let (kept, running) = (Arc::clone(project), Arc::clone(&command));
        project.tracker.spawn(async move {
            let status = live.run(time, &running.stop, |bytes| running.write(bytes)).await;
            drop(permit);
            if let Some(note) = note {
                note.remove();
            }
            running.finish(&status, kept.core.clock.now());
            kept.commands.forget();
        });
        // Whoever ends a task lets its runner go first and then looks for its commands: one of the two sees the other.
        if let Some(task) = task.filter(|task| !project.running().contains_key(task)) {
            super::after_run(project, task).await;
        }
        Ok(command)
    }

    /// The command of a name that a session may see.
    ///
    /// # Errors
    /// [`Code::NoSuchCommand`], or the host's.
    pub async fn command_of(&self, caller: &Caller, id: &str) -> Result<Arc<Command>, Fault> {
        let seen = self.commands_of(caller).await?;
        seen.into_iter().find(|command| command.id == id).ok_or_else(|| {
            let message = format!("`{}` names no command of this session", handoff::cut(id, 100));
            Fault::new(Code::NoSuchCommand, message)
        })
    }

    /// The commands that a session may see: its own, those of the sessions above it, and those of the ones right below.
    ///
    /// # Errors
    /// The host's.
    pub async fn commands_of(&self, caller: &Caller) -> Result<Vec<Arc<Command>>, Fault> {
        let all = self.project.commands.all();
        if all.is_empty() {
            return Ok(all);
        }
        let line: HashSet<_> = self.sessions_above(caller).await?.into_iter().collect();
        let may_see =
            |command: &&Arc<Command>| line.contains(&command.owner) || command.parent.as_ref() == Some(&caller.session);
        Ok(all.iter().filter(may_see).cloned().collect())
    }

    /// Every command of the project that runs in this process.
    #[must_use]
    pub fn running_commands(&self) -> Vec<Arc<Command>> {
        self.project.commands.running()
    }

    /// Lets a command run so much longer from now on.
    ///
    /// # Errors
    /// [`Code::CommandEnded`], [`Code::BadTimeout`].
    pub fn limit_command(&self, command: &Command, more: Duration) -> Result<(), Fault> {
        let now = self.now();
        let until = state::limit_from(now, command.started_at, more, MAX_TIMEOUT).ok_or_else(|| {
            let message = format!("`seconds` is {}: the command would run for more than a day in all", more.as_secs());
            Fault::new(Code::BadTimeout, message)
        })?;
        let mut inner = command.inner();
        if let State::Ended { end, .. } = inner.state {
            return Err(Fault::new(Code::CommandEnded, format!("{} has {end}", command.id)));
        }
        inner.state = State::Running { until };
        command.deadline.send_replace(Instant::now() + more);
        Ok(())
    }

    /// A session, the one above it, and so on.
    async fn sessions_above(&self, caller: &Caller) -> Result<Vec<SessionId>, Fault> {
        let client = self.project.client();
        let mut line = vec![caller.session.clone()];
        while let Some(session) = line.last().filter(|_| line.len() < HIGHEST) {
            let parent = self.project.sessions.parent(&client, &caller.directory, session).await?;
            match parent.filter(|parent| !line.contains(parent)) {
                Some(parent) => line.push(parent),
                None => break,
            }
        }
        Ok(line)
    }
}
