//! Prompts and aborts, as a fake host takes them.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    Shared,
    state::{State, Turn},
    turn,
};
use crate::opencode::SessionId;

/// Takes a prompt in, and starts a turn unless one runs. The session exists.
pub fn prompt(shared: &Arc<Shared>, id: &SessionId, body: &Value) {
    let mut state = shared.lock();
    let agent = body["agent"].as_str().unwrap_or("build").to_owned();
    if !state.agents.iter().any(|known| known["name"] == agent.as_str()) {
        let message = format!("Agent not found: \"{agent}\". Available agents: build, general, plan");
        for message in [message.clone(), format!("{message}\n    at <anonymous>")] {
            let error = json!({ "name": "UnknownError", "data": { "message": message } });
            state.emit_for(id, "session.error", json!({ "error": error }));
        }
        return;
    }
    if let Some(made) = body["messageID"].as_str().and_then(|id| made_at(id, state.now)) {
        // Whoever prompts lives on the same machine: their clock is ours.
        state.now = state.now.max(made);
    }
    let message = body["messageID"].as_str().map_or_else(|| state.id("msg_"), str::to_owned);
    // One name space for all sessions: an id that another session has used goes there, and nobody is told.
    let owner = state.sessions.iter().find(|(_, stored)| stored.has(&message)).map(|(id, _)| id.clone());
    let elsewhere = owner.as_ref().is_some_and(|owner| owner != id);
    let home = owner.clone().unwrap_or_else(|| id.clone());
    if owner.is_none() {
        let info = user_info(&mut state, id, &message, &agent, body);
        if let Some(session) = state.sessions.get_mut(id) {
            session.messages.push(json!({ "info": info, "parts": [] }));
        }
    } else if !elsewhere {
        // Sent again, a prompt keeps its place and takes the agent and the model of the latest time.
        let info = user_info(&mut state, id, &message, &agent, body);
        let stored = state.sessions.get_mut(id).map(|session| session.messages.iter_mut());
        if let Some(stored) = stored.and_then(|mut all| all.find(|stored| stored["info"]["id"] == message.as_str())) {
            stored["info"]["agent"] = info["agent"].clone();
            stored["info"]["model"] = info["model"].clone();
        }
    }
    state.emit_message(&home, &message);
    for part in body["parts"].as_array().cloned().unwrap_or_default() {
        let mut part = part;
        if part["id"].is_null() {
            part["id"] = json!(state.id("prt_"));
        }
        part["messageID"] = json!(message);
        part["sessionID"] = json!(home);
        state.put_part(&home, &message, &part);
    }
    state.emit_session(&home, "session.updated");
    if elsewhere || body["noReply"] == true {
        return;
    }
    let Some(session) = state.sessions.get_mut(id) else { return };
    session.latest = Some(message);
    if session.turn.is_some() || session.is_answered() {
        return;
    }
    state.turns += 1;
    let (number, stop) = (state.turns, CancellationToken::new());
    if let Some(session) = state.sessions.get_mut(id) {
        session.turn = Some(Turn { number, stop: stop.clone(), status: json!({ "type": "busy" }) });
    }
    drop(state);
    tokio::spawn(turn::run(Arc::clone(shared), id.clone(), number, stop));
}

/// When an id was made, in milliseconds since the Unix epoch: ids keep the lower 36 bits.
fn made_at(id: &str, near: u64) -> Option<u64> {
    let stamp = u64::from_str_radix(id.strip_prefix("msg_")?.get(..12)?, 16).ok()?;
    Some(near >> 36 << 36 | stamp >> 12)
}

fn user_info(state: &mut State, id: &SessionId, message: &str, agent: &str, body: &Value) -> Value {
    let created = state.tick();
    let mut model = match &body["model"] {
        Value::Null => json!({ "providerID": "fake", "modelID": "model" }),
        model => model.clone(),
    };
    if !body["variant"].is_null() {
        model["variant"] = body["variant"].clone();
    }
    let mut info = json!({
        "id": message, "sessionID": id, "role": "user", "time": { "created": created }, "agent": agent, "model": model,
        "summary": { "diffs": [] },
    });
    if !body["system"].is_null() {
        info["system"] = body["system"].clone();
    }
    info
}

/// Stops a session's turn, and the prompts that wait in it with it.
pub fn abort(state: &mut State, id: &SessionId) {
    if let Some(orphan) = state.orphans.remove(id) {
        orphan.stop.cancel();
    }
    let Some(session) = state.sessions.get_mut(id) else { return };
    let Some(turn) = session.turn.take() else { return };
    turn.stop.cancel();
    // What it asked stays in the lists, though nobody waits for the answer.
    if turn.status["type"] == "retry" {
        // No error, no finish: nothing but an end.
        state.complete(id, None, None);
        return state.emit_idle(id);
    }
    let error = json!({ "name": "MessageAbortedError", "data": { "message": "Aborted" } });
    state.fail(id, &error);
}
