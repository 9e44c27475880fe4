//! From the host's events to those whom they concern: runners of the session, and the parents' book.

use super::{monitor::Signal, project::Project, toasts::Note};
use crate::opencode::{Event, SessionId, SessionStatus};

/// Hands one event on. Of sessions that concern nobody nothing is kept.
pub fn take(project: &Project, event: &Event) {
    if let Event::InstanceDisposed { directory } = event {
        project.left(directory);
    }
    let Some(session) = event.session() else { return };
    project.budgets.hear(project, event);
    match event {
        Event::SessionStatus { status, .. } => {
            project.signal(session, || Signal::Status(status.clone()));
            stands(project, session, status);
        }
        Event::SessionIdle { .. } => {
            project.signal(session, || Signal::Idle);
            stands(project, session, &SessionStatus::Idle);
        }
        Event::SessionError { error, .. } => {
            project.signal(session, || Signal::Error(error.clone()));
            if error.is_abort() {
                project.missions.aborted(session);
            }
        }
        Event::SessionUpdated(info) => {
            project.sessions.learn(info);
            project.signal(session, || Signal::Session(info.clone()));
        }
        Event::SessionDeleted(_) => {
            project.signal(session, || Signal::Deleted);
        }
        Event::MessageUpdated(info) => {
            project.signal(session, || Signal::Message(info.clone()));
            project.sessions.message(session, info);
        }
        Event::PartUpdated(part) => {
            project.signal(session, || Signal::Part(part.clone()));
        }
        Event::PermissionAsked(request) => {
            asks(project, session, &format!("permission: {} {}", request.permission, request.patterns.join(" ")));
        }
        Event::QuestionAsked(request) => {
            let question = request.questions.first().map_or("a question", |question| question.question.as_str());
            asks(project, session, &format!("an answer: {question}"));
        }
        Event::PermissionReplied { .. } | Event::QuestionClosed { .. } => {
            if let Some(running) = project.running_in(session) {
                running.live.show(|glance| glance.asking = None);
            }
        }
        Event::SessionCreated(info) => project.sessions.learn(info),
        Event::ServerConnected | Event::InstanceDisposed { .. } => {}
    }
}

/// A parent that has become idle can be told.
fn stands(project: &Project, session: &SessionId, status: &SessionStatus) {
    if !matches!(status, SessionStatus::Idle) {
        project.missions.begun(session);
    }
    if project.sessions.status(session, status) {
        project.tell.notify_one();
        project.missions.wake.notify_one();
    }
}

/// A session waits for the user: that must be seen.
fn asks(project: &Project, session: &SessionId, what: &str) {
    if let Some(running) = project.running_in(session) {
        let what = format!("waits for {}", super::handoff::cut(what, 200));
        running.live.show(|glance| glance.asking = Some(what.clone()));
        project.toaster.note(Note::Waits(format!("{} {what}", running.label)));
    }
}
