//! From the host's events to those whom they concern: runners of the session, and the parents' book.

use std::sync::Arc;

use super::{inbox::Request, monitor::Signal, project::Project};
use crate::opencode::{Event, MessageInfo, Reply, SessionId, SessionStatus};

/// Hands one event of a directory on. Of sessions that concern nobody nothing is kept.
pub fn take(project: &Arc<Project>, directory: Option<&str>, event: &Event) {
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
            project.inbox.idle(session);
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
            project.inbox.idle(session);
            project.signal(session, || Signal::Deleted);
        }
        Event::MessageUpdated(info) => {
            if matches!(**info, MessageInfo::Assistant(_)) {
                project.moves(session);
            }
            project.signal(session, || Signal::Message(info.clone()));
            project.sessions.message(session, info);
        }
        Event::PartUpdated(part) => {
            project.moves(session);
            project.signal(session, || Signal::Part(part.clone()));
        }
        Event::Delta { .. } => project.moves(session),
        Event::PermissionAsked(request) => {
            asked(project, directory, Request::Permission(request.clone()));
        }
        Event::QuestionAsked(request) => asked(project, directory, Request::Question(request.clone())),
        Event::PermissionReplied { request, reply, .. } => {
            project.inbox.closed(request.as_str(), reply.map_or("an answer", Reply::as_str));
        }
        Event::QuestionClosed { request, rejected, .. } => {
            project.inbox.closed(request.as_str(), if *rejected { "dismiss" } else { "an answer" });
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

/// An agent asks something of the user. While nothing of ours runs it is nobody's below us.
fn asked(project: &Project, directory: Option<&str>, request: Request) {
    if let Some(directory) = directory.filter(|_| !project.running().is_empty()) {
        project.inbox.asked(request, directory, false);
    }
}
