//! What goes into system prompts: a mission's memory for its agents, and a part's instructions for an agent that was
//! not made for it. Answered from memory: the host waits for it before every request of a model.

use crate::{
    agent::Role,
    engine::{project::Project, service::Attachment},
    mission::{Mission, words},
    opencode::SessionId,
    todo::{Document, ItemId},
};

impl Attachment {
    /// What a session's system prompt gets, if it works for a mission.
    #[must_use]
    pub fn system(&self, session: &str) -> Vec<String> {
        blocks(&self.project, session).unwrap_or_default()
    }

    /// What a compaction of a session must keep, if it commands a mission.
    #[must_use]
    pub fn compaction(&self, session: &str) -> Option<String> {
        let driven = self.project.missions.of_session(session)?;
        Some(words::compaction(&driven.mission, &document(&self.project)))
    }
}

fn document(project: &Project) -> Document {
    project.missions.todo().map_or_else(|| Document::parse(""), |read| read.document)
}

fn blocks(project: &Project, session: &str) -> Option<Vec<String>> {
    if project.missions.is_empty() {
        return None;
    }
    if let Some(driven) = project.missions.of_session(session) {
        return Some(vec![memory(project, &driven.mission, None)]);
    }
    let running = project.running_in(&session.parse::<SessionId>().ok()?)?;
    let (id, key) = running.mission?;
    let driven = project.missions.get(id)?;
    let (role, item) = part(&key);
    let mut blocks = Vec::new();
    // An agent of ours has its instructions in its own prompt.
    if role.name() != &*running.agent {
        blocks.push(role.prompt().trim().to_owned());
    }
    blocks.push(memory(project, &driven.mission, item.as_ref()));
    Some(blocks)
}

fn memory(project: &Project, mission: &Mission, item: Option<&ItemId>) -> String {
    words::memory(mission, &document(project), item)
}

/// The part that a mission's task plays, and its item, by the key that it was launched under.
#[must_use]
pub fn part(key: &str) -> (Role, Option<ItemId>) {
    match key.split_once('-') {
        Some(("plan", _)) => (Role::Planner, None),
        Some(("review", item)) => (Role::Reviewer, item.parse().ok()),
        _ => (Role::Worker, key.parse().ok()),
    }
}
