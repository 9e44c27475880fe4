//! Telling parents: once for each end, with the result, and never in the middle of a turn.
//!
//! A report's tasks and ids are stored before it is sent. A message of ours may be sent again without harm, so after
//! a crash it is; whether a tool's result arrived is read from the message that holds the call.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    project::Project,
    report_text::{self, Ended},
    sessions,
};
use crate::{
    opencode::{Client, ClientError, Message, MessageId, MessageInfo, Part, Prompt, SessionId, ToolStatus},
    store::{Filter, Report, StoreError, Via},
    task::{Parent, StateName, Task, TaskId},
};

/// How long after a report the next one to the same parent waits, unless nothing is open any more: each one is a turn
/// of the parent's model over its whole context.
pub const SPACING: Duration = Duration::from_secs(10);

/// How long after a failure the host or the store is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// The most tasks in one report.
const MOST: u32 = 200;

/// Tells until the project is let go.
pub async fn run(project: Arc<Project>) {
    let mut told_at = HashMap::new();
    // While somebody is still to be told, the parent's idleness must be heard.
    let mut _need = None;
    loop {
        let told = tokio::select! {
            () = project.stop.cancelled() => return,
            told = tell(&project, &mut told_at) => told,
        };
        let pause = match told {
            Ok(pause) => pause,
            Err(StoreError::Closed) => return,
            Err(error) => {
                tracing::warn!(%error, "ends could not be told; trying again");
                project.toaster.store_trouble(&error);
                Some(AGAIN)
            }
        };
        _need = pause.and_then(|_| project.need_stream(&project.directory()));
        tokio::select! {
            () = project.stop.cancelled() => return,
            () = project.tell.notified() => {}
            () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
        }
    }
}

/// Tells what can be told now, and says when to look again if something is left.
async fn tell(project: &Project, told_at: &mut HashMap<SessionId, Instant>) -> Result<Option<Duration>, StoreError> {
    let (key, me) = (project.key.clone(), project.core.instance);
    let (unsettled, untold) =
        project.store(move |store| Ok((store.open_reports(&key, me)?, store.untold(&key, me)?))).await?;
    let mut again: Option<Duration> = None;
    let mut later = |pause: Duration| again = Some(again.map_or(pause, |known| known.min(pause)));
    for report in unsettled {
        match settle(project, &report, Sent::Perhaps).await? {
            Settled::Done => {}
            Settled::Busy => later(sessions::BELIEVED),
            Settled::NotYet(error) => {
                tracing::debug!(%error, "a report is still open");
                later(AGAIN);
            }
        }
    }
    for parent in untold {
        let Ok(session) = parent.session.parse::<SessionId>() else { continue };
        project.sessions.follow(&session);
        match project.sessions.busy(&project.client(), &parent, &session, project.hears(&parent.directory)).await {
            Ok(false) => {}
            // Its idle event wakes us; the pause is the net under a missed one.
            Ok(true) => {
                later(sessions::BELIEVED);
                continue;
            }
            Err(error) => {
                tracing::debug!(%error, "a parent could not be looked at");
                later(AGAIN);
                continue;
            }
        }
        // Every end comes by here while others wait: what waits is not read for it.
        if let Some(rest) = told_at.get(&session).and_then(|told| SPACING.checked_sub(told.elapsed()))
            && has_open(project, &parent).await?
        {
            later(rest);
            continue;
        }
        let (message, part) = project.core.prompt_ids();
        let via = Via::Message { message: message.to_string(), part: part.to_string() };
        let Some(report) = open_report(project, &parent.session, None, via).await? else { continue };
        told_at.insert(session, Instant::now());
        if report.tasks.len() >= MOST as usize {
            // There may be more than one report holds.
            later(SPACING);
        }
        if let Settled::NotYet(error) = settle(project, &report, Sent::Never).await? {
            tracing::warn!(%error, "a report was not sent; trying again");
            later(AGAIN);
        }
    }
    told_at.retain(|_, told| told.elapsed() < SPACING);
    Ok(again)
}

/// Tells a session of its ends at once, in a turn or not; says whether there were any.
///
/// # Errors
/// The store's.
pub async fn tell_now(project: &Project, session: &str) -> Result<bool, StoreError> {
    let (message, part) = project.core.prompt_ids();
    let via = Via::Message { message: message.to_string(), part: part.to_string() };
    let Some(report) = open_report(project, session, None, via).await? else { return Ok(false) };
    if let Settled::NotYet(error) = settle(project, &report, Sent::Never).await? {
        tracing::warn!(%error, "a report was not sent; trying again");
        project.tell.notify_one();
    }
    Ok(true)
}

/// Puts ended, untold tasks of a session into a report.
///
/// # Errors
/// The store's.
pub async fn open_report(
    project: &Project,
    session: &str,
    only: Option<Vec<TaskId>>,
    via: Via,
) -> Result<Option<Report>, StoreError> {
    let (key, core, session) = (project.key.clone(), Arc::clone(&project.core), session.to_owned());
    project
        .store(move |store| {
            store.open_report(&key, core.instance, &session, only.as_deref(), &via, MOST, core.clock.now())
        })
        .await
}

async fn has_open(project: &Project, parent: &Parent) -> Result<bool, StoreError> {
    let (key, session) = (project.key.clone(), parent.session.clone());
    project.store(move |store| store.has_open(&key, &session)).await
}

async fn open_tasks(project: &Project, parent: &Parent) -> Result<Vec<Task>, StoreError> {
    let parent_session = Some(parent.session.to_string());
    let filter = Filter { parent_session, states: StateName::OPEN.to_vec(), ..Filter::default() };
    let open = project.tasks(filter).await?;
    Ok(open.into_iter().filter(|task| task.spec.mission.is_none()).collect())
}

/// How a report stands after it was looked at.
enum Settled {
    Done,
    /// Its parent is in a turn.
    Busy,
    NotYet(ClientError),
}

/// Whether a message may have been sent before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    Never,
    Perhaps,
}

/// Sends a report, or finds out whether it arrived.
async fn settle(project: &Project, report: &Report, sent: Sent) -> Result<Settled, StoreError> {
    let Ok(session) = report.parent.session.parse::<SessionId>() else {
        return close(project, report, true).await;
    };
    match &report.via {
        Via::Message { message, part } => {
            let (Ok(message_id), Ok(part_id)) = (message.parse(), part.parse()) else {
                return close(project, report, false).await;
            };
            let text = report_text::report(
                &ended(project, report.tasks.clone()).await?,
                &open_tasks(project, &report.parent).await?,
            );
            let client = project.client();
            let sending = async {
                if sent == Sent::Perhaps && is_told(&client, &report.parent.directory, &session, &message_id).await? {
                    return Ok(());
                }
                let voice = project.sessions.voice(&client, &report.parent.directory, &session).await?;
                let prompt = Prompt {
                    agent: voice.agent,
                    model: voice.model,
                    variant: voice.variant,
                    synthetic: true,
                    ..Prompt::new(message_id, part_id, text)
                };
                project.sessions.prompted(&session);
                client.prompt_async(&report.parent.directory, &session, prompt).await
            };
            match sending.await {
                Ok(()) => close(project, report, true).await,
                // There is nobody left to tell.
                Err(error) if error.is_not_found() => {
                    tracing::info!(%session, "a parent is gone; its tasks' ends are told to nobody");
                    close(project, report, true).await
                }
                Err(error) => Ok(Settled::NotYet(error)),
            }
        }
        Via::Tool { message, call } => {
            // While the turn goes on, the call may still be on its way.
            let client = project.client();
            match project
                .sessions
                .busy(&client, &report.parent, &session, project.hears(&report.parent.directory))
                .await
            {
                Ok(false) => {}
                Ok(true) => return Ok(Settled::Busy),
                Err(error) => return Ok(Settled::NotYet(error)),
            }
            let Ok(message) = message.parse() else { return close(project, report, false).await };
            match client.message(&report.parent.directory, &session, &message).await {
                Ok(message) => close(project, report, arrived(&message, call)).await,
                Err(error) if error.is_not_found() => close(project, report, false).await,
                Err(error) => Ok(Settled::NotYet(error)),
            }
        }
    }
}

/// Whether a message of ours is in the session and done with. One that is there without a finished answer is not: the
/// host died over it, and sending it again wakes the session. One that is followed by others must not be sent again,
/// because the host would answer it once more.
pub async fn is_told(
    client: &Client,
    directory: &str,
    session: &SessionId,
    ours: &MessageId,
) -> Result<bool, ClientError> {
    let newest = client.messages(directory, session, Some(20)).await?;
    let Some(at) = newest.iter().position(|message| message.info.id() == ours) else {
        return match client.message(directory, session, ours).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        };
    };
    Ok(newest[at + 1..].iter().any(|later| match &later.info {
        MessageInfo::User(_) => true,
        MessageInfo::Assistant(info) => info.finish.as_ref().is_some_and(|finish| !finish.goes_on()),
    }))
}

/// Whether a message holds the completed call.
fn arrived(message: &Message, call: &str) -> bool {
    message.parts.iter().any(|part| match part {
        Part::Tool(part) => part.call_id.as_str() == call && part.state.status == ToolStatus::Completed,
        _ => false,
    })
}

async fn close(project: &Project, report: &Report, sent: bool) -> Result<Settled, StoreError> {
    let (id, core) = (report.id, Arc::clone(&project.core));
    project.store(move |store| store.settle_report(id, sent, core.clock.now())).await?;
    if !sent {
        project.tell.notify_one();
    }
    Ok(Settled::Done)
}

/// Tasks with what came of them.
///
/// # Errors
/// The store's.
pub async fn ended(project: &Project, ids: Vec<TaskId>) -> Result<Vec<Ended>, StoreError> {
    let key = project.key.clone();
    project
        .store(move |store| {
            let tasks = store.tasks(&key, &Filter { ids: Some(ids), ..Filter::default() })?;
            tasks.into_iter().map(|task| store.outcome(task.id).map(|outcome| Ended { task, outcome })).collect()
        })
        .await
}
