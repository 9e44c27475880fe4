//! A host that leaves when its main session is idle: the commander's turn is held at its end while the mission works.

use crate::{engine::service::Attachment, opencode::SessionId};

impl Attachment {
    /// Holds the turn of a session that commands a mission, until the mission has something to say to it, stands still
    /// or is over. Says whether the turn goes on.
    pub(in crate::engine) async fn hold_turn(&self, session: &SessionId) -> bool {
        let project = &self.project;
        let goes_on = || project.missions.of_session(session.as_str()).is_some_and(|it| it.mission.pause.is_none());
        if !goes_on() {
            return false;
        }
        let mut changed = project.changed.subscribe();
        project.missions.hold(session, true);
        project.missions.wake.notify_one();
        loop {
            if !project.missions.is_held(session) {
                return true;
            }
            if !goes_on() {
                break;
            }
            tokio::select! {
                moved = changed.changed() => if moved.is_err() { break },
                () = project.stop.cancelled() => break,
            }
        }
        project.missions.hold(session, false);
        false
    }
}
