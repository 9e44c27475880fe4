//! Seeing one prompt through to its end.

use std::{sync::Arc, time::Duration};

use super::{
    Entry,
    entry::{Answer, Given, Request, Told, Word},
    own,
};
use crate::{
    engine::{
        project::{Project, Running},
        sessions::HIGHEST,
        toasts::Note,
    },
    inbox::{self, Decision, Why, one_line},
    opencode::{ClientError, Reply, SessionId, SessionStatus},
    store::{Answered, NewPrompt, StoreError},
    task::TaskId,
};

/// The pause before what failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// How often the host is asked whose prompt it is before that is left to the next look.
const TRIES: usize = 5;

/// How much of a prompt a toast shows, in bytes.
const TOAST: usize = 200;

/// Why a prompt is gone whose session is idle.
const NO_TURN: &str = "its turn has ended";

/// What became of a prompt.
struct End {
    answer: String,
    by: String,
}

impl From<Given> for End {
    fn from(given: Given) -> Self {
        Self { answer: given.answer.in_words(), by: given.by.to_owned() }
    }
}

fn gone(why: &str) -> End {
    End { answer: "gone".to_owned(), by: why.to_owned() }
}

/// Attends to a prompt. Should that break, the next look finds the prompt again.
pub async fn supervise(project: Arc<Project>, entry: Arc<Entry>) {
    let attending = tokio::spawn(attend(Arc::clone(&project), Arc::clone(&entry)));
    if let Err(error) = attending.await {
        tracing::error!(prompt = entry.request.id(), %error, "attending to a prompt broke");
        project.inbox.forget(&entry, false);
    }
}

async fn attend(project: Arc<Project>, entry: Arc<Entry>) {
    let end = tokio::select! {
        end = follow(&project, &entry) => end,
        () = project.stop.cancelled() => None,
    };
    project.inbox.forget(&entry, end.is_some());
    if let Some(task) = entry.task() {
        show(&project, task);
    }
    let Some(end) = end else { return };
    let told = Told::Over { answer: end.answer.clone(), by: end.by.clone() };
    entry.told.send_replace(Some(told));
    tokio::select! {
        () = close(&project, &entry, end) => {}
        () = project.stop.cancelled() => {}
    }
}

/// Follows a prompt to its end; none when it is not ours to answer.
async fn follow(project: &Arc<Project>, entry: &Entry) -> Option<End> {
    let (task, running) = owner(project, entry).await?;
    // A prompt outlives its turn in the host's list, and what it asks for would be done if it were allowed.
    if entry.found && !in_turn(project, entry).await {
        refuse(project, entry).await;
        return None;
    }
    entry.belongs_to(task);
    // The task may have ended before that was noted.
    if !project.running().contains_key(&task) {
        entry.hear(Word::Ended);
    }
    let own = matches!(&entry.request, Request::Permission(request) if own::lies_in(&running.directory, request));
    let ask = entry.request.ask(own);
    let settings = &project.options.permissions;
    let mut toasted = false;
    loop {
        if let Some(end) = record(project, entry, task).await {
            return Some(end);
        }
        if let Some(word) = entry.take_word()
            && let Some(end) = heed(project, entry, word).await
        {
            return Some(end);
        }
        let decision = inbox::decide(settings, ask, !project.headless, entry.asked.elapsed());
        let (given, wait) = match (entry.given(), decision) {
            (Some(given), _) => (Some(given), AGAIN),
            (None, Decision::Allow(why)) => (Some(Given { answer: Answer::Once, by: why.as_str() }), AGAIN),
            (None, Decision::Deny(why)) => {
                let words = inbox::for_agent(ask, why, settings.patience());
                (Some(Given { answer: denial(&entry.request, words), by: why.as_str() }), AGAIN)
            }
            (None, Decision::Wait(left)) => (None, left),
        };
        if let Some(given) = given {
            if let Some(end) = send(project, entry, given).await {
                if end.by == Why::Patience.as_str() {
                    tell_of_denial(project, entry, &running);
                }
                return Some(end);
            }
        } else if let Some(number) = entry.number().filter(|_| !toasted) {
            toasted = true;
            project.toaster.note(Note::Waits(notice(entry, &running, number)));
        }
        // What is not recorded yet is to be recorded soon.
        let wait = if entry.number().is_none() { wait.min(AGAIN) } else { wait };
        tokio::select! {
            () = entry.changed.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// No, with words. To a question there is no such answer but one in words.
fn denial(request: &Request, words: String) -> Answer {
    match request {
        Request::Permission(_) => Answer::Reject(Some(words)),
        Request::Question(request) => Answer::Choose(vec![vec![words]; request.questions.len()]),
    }
}

/// The running task below which a prompt was asked.
async fn owner(project: &Arc<Project>, entry: &Entry) -> Option<(TaskId, Running)> {
    for _ in 0..TRIES {
        match find_owner(project, entry.request.session(), &entry.directory).await {
            Ok(Some(task)) => return project.running().remove(&task).map(|running| (task, running)),
            Ok(None) => return None,
            Err(error) => tracing::debug!(%error, "whose a prompt is could not be asked"),
        }
        tokio::time::sleep(AGAIN).await;
    }
    None
}

async fn find_owner(project: &Project, session: &SessionId, directory: &str) -> Result<Option<TaskId>, ClientError> {
    let mut session = session.clone();
    for _ in 0..HIGHEST {
        if let Some(task) = project.task_in(&session) {
            return Ok(Some(task));
        }
        match project.sessions.parent(&project.client(), directory, &session).await? {
            Some(parent) => session = parent,
            None => break,
        }
    }
    Ok(None)
}

/// Whether the session that asks is in a turn. What cannot be told is taken to be so.
async fn in_turn(project: &Project, entry: &Entry) -> bool {
    match project.client().session_status(&entry.directory).await {
        Ok(statuses) => {
            statuses.get(entry.request.session()).is_some_and(|status| !matches!(status, SessionStatus::Idle))
        }
        Err(error) => {
            tracing::debug!(%error, "whether a prompt's session is in a turn could not be asked");
            true
        }
    }
}

/// Refuses what nobody waits for: allowed by a later hand, it would still be done.
async fn refuse(project: &Project, entry: &Entry) {
    let (client, directory) = (project.client(), &entry.directory);
    let refused = match &entry.request {
        Request::Permission(request) => client.reply_permission(directory, &request.id, Reply::Reject, None).await,
        Request::Question(request) => client.reject_question(directory, &request.id).await,
    };
    if let Err(error) = refused.as_ref()
        && !error.is_not_found()
    {
        tracing::warn!(prompt = entry.request.id(), %error, "a prompt without a turn was not refused");
    }
}

/// What a word from outside means; none if the prompt waits still.
async fn heed(project: &Project, entry: &Entry, word: Word) -> Option<End> {
    match word {
        Word::Closed { answer, consequence } => Some(closed(entry, answer, consequence)),
        Word::Vanished => Some(gone("the host")),
        Word::Ended => {
            refuse(project, entry).await;
            Some(gone("its task has ended"))
        }
        Word::Idle if in_turn(project, entry).await => None,
        Word::Idle => {
            refuse(project, entry).await;
            Some(gone(NO_TURN))
        }
    }
}

/// The end that the host told of.
fn closed(entry: &Entry, answer: String, consequence: bool) -> End {
    match entry.sent() {
        Some(sent) => sent.into(),
        None if consequence => End { answer, by: "another refusal in its session".to_owned() },
        None => End { answer, by: "you, in OpenCode".to_owned() },
    }
}

/// Sends an answer; none if it has to be sent again.
async fn send(project: &Project, entry: &Entry, given: Given) -> Option<End> {
    let (client, directory) = (project.client(), &entry.directory);
    let gate = matches!(given.answer, Answer::Reject(Some(_))).then(|| project.inbox.known().refusals.refuse(entry));
    let _passed = match &gate {
        Some(gate) => Some(gate.lock().await),
        None => None,
    };
    // Another refusal may have taken this one with it while it waited at the gate.
    if let Some(word) = entry.take_word()
        && let Some(end) = heed(project, entry, word).await
    {
        return Some(end);
    }
    // The host would do what is allowed also after the turn was stopped.
    if matches!(given.answer, Answer::Once | Answer::Always) && !in_turn(project, entry).await {
        refuse(project, entry).await;
        return Some(gone(NO_TURN));
    }
    entry.sending(Some(given.clone()));
    let sent = match (&entry.request, &given.answer) {
        (Request::Permission(request), Answer::Reject(words)) => {
            if words.is_some() {
                project.inbox.known().refusals.refused(entry);
            }
            client.reply_permission(directory, &request.id, Reply::Reject, words.as_deref()).await
        }
        (Request::Permission(request), Answer::Always) => {
            client.reply_permission(directory, &request.id, Reply::Always, None).await
        }
        (Request::Permission(request), _) => client.reply_permission(directory, &request.id, Reply::Once, None).await,
        (Request::Question(request), Answer::Choose(answers)) => {
            client.reply_question(directory, &request.id, answers).await
        }
        (Request::Question(request), _) => client.reject_question(directory, &request.id).await,
    };
    match sent {
        Ok(()) => Some(given.into()),
        Err(error) if error.is_not_found() => {
            entry.sending(None);
            // Somebody was faster, and the host has told of it if it told of anything.
            match entry.take_word() {
                Some(Word::Closed { answer, consequence }) => {
                    let consequence = consequence || (answer == "reject" && is_consequence(project, entry));
                    Some(closed(entry, answer, consequence))
                }
                _ if is_consequence(project, entry) => Some(closed(entry, "reject".to_owned(), true)),
                _ => Some(gone("the host")),
            }
        }
        Err(error) => {
            tracing::warn!(prompt = entry.request.id(), %error, "an answer was not taken; trying again");
            if !error.is_transient() && entry.given().is_some() {
                entry.sending(None);
                entry.give_back(error.to_string());
            }
            None
        }
    }
}

/// Whether the host refused a request together with another that we refused.
fn is_consequence(project: &Project, entry: &Entry) -> bool {
    entry.request.is_permission() && project.inbox.known().refusals.breaks(entry)
}

/// Writes the prompt into the record, unless it is there. Gives its end if the record knows it.
async fn record(project: &Project, entry: &Entry, task: TaskId) -> Option<End> {
    if entry.number().is_some() {
        return None;
    }
    let prompt = NewPrompt {
        project: project.key.clone(),
        request: entry.request.id().to_owned(),
        task,
        session: entry.request.session().to_string(),
        directory: entry.directory.clone(),
        home: project.core.instance,
        what: entry.request.what(),
    };
    let core = Arc::clone(&project.core);
    match project.store(move |store| store.ask_prompt(&prompt, core.clock.now())).await {
        Ok(row) => {
            if let Some(Answered { answer, by, .. }) = row.answered {
                return Some(End { answer, by });
            }
            entry.recorded(row.number);
            show(project, task);
        }
        // An answer does not wait for its record.
        Err(error) => {
            tracing::warn!(%error, "a prompt was not recorded; trying again");
            project.toaster.store_trouble(&error);
        }
    }
    None
}

/// Writes what became of a prompt into the record.
async fn close(project: &Project, entry: &Entry, end: End) {
    let Some(number) = entry.number() else { return };
    let answered = Answered { answer: end.answer, by: end.by, at: project.core.clock.now() };
    loop {
        let answered = answered.clone();
        match project.store(move |store| store.close_prompt(number, &answered)).await {
            Ok(_) | Err(StoreError::Closed) => return,
            Err(error) => {
                tracing::warn!(%error, "an answer was not recorded; trying again");
                project.toaster.store_trouble(&error);
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Shows in a task's line what the first of its prompts asks.
fn show(project: &Project, task: TaskId) {
    let Some(running) = project.running().remove(&task) else { return };
    let waiting = project.inbox.waiting();
    let first = waiting.iter().find(|entry| entry.task() == Some(task) && entry.number().is_some());
    let asking = first.map(|entry| format!("waits for {}", one_line(&entry.request.what(), TOAST)));
    running.live.show(|glance| glance.asking = asking);
}

/// What a toast says of a prompt.
fn notice(entry: &Entry, running: &Running, number: i64) -> String {
    let what = one_line(&entry.request.what(), TOAST);
    let how = if entry.request.is_permission() { "once, always or reject" } else { "your answer" };
    format!("{} waits for {what}\n/answer p{number} with {how}", running.label)
}

fn tell_of_denial(project: &Project, entry: &Entry, running: &Running) {
    let what = one_line(&entry.request.what(), TOAST);
    project.toaster.note(Note::Waits(format!("{} goes on without {what}: nobody answered", running.label)));
}
