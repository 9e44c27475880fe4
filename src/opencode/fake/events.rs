//! Events of a fake host, in the form and order of the real one.

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::state::State;
use crate::opencode::SessionId;

impl State {
    pub fn subscribe(&mut self) -> mpsc::UnboundedReceiver<String> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let connected = json!({ "payload": { "id": "evt_0", "type": "server.connected", "properties": {} } });
        // The receiver is at hand: it is open.
        let _ = sender.send(connected.to_string());
        self.subscribers.push(sender);
        receiver
    }

    pub fn emit(&mut self, directory: &Value, kind: &str, properties: Value) {
        if self.silent {
            return;
        }
        let id = self.id("evt_");
        let mut payload = json!({ "id": id, "type": kind });
        payload["properties"] = properties;
        let text = json!({ "directory": directory, "project": "global", "payload": payload }).to_string();
        self.subscribers.retain(|subscriber| subscriber.send(text.clone()).is_ok());
    }

    /// An event about a session that exists.
    pub fn emit_for(&mut self, id: &SessionId, kind: &str, mut properties: Value) {
        let Some(session) = self.sessions.get(id) else { return };
        let directory = session.info["directory"].clone();
        properties["sessionID"] = json!(id);
        self.emit(&directory, kind, properties);
    }

    pub fn emit_session(&mut self, id: &SessionId, kind: &str) {
        let Some(session) = self.sessions.get(id) else { return };
        let info = session.info.clone();
        self.emit_for(id, kind, json!({ "info": info }));
    }

    /// The message's own record has changed.
    pub fn emit_message(&mut self, id: &SessionId, message: &str) {
        let Some(session) = self.sessions.get(id) else { return };
        let found = session.messages.iter().find(|stored| stored["info"]["id"] == message);
        let Some(info) = found.map(|message| message["info"].clone()) else { return };
        self.emit_for(id, "message.updated", json!({ "info": info }));
    }

    /// Puts a part into a message, in the place of the one with its id if there is one, and says so.
    pub fn put_part(&mut self, id: &SessionId, message: &str, part: &Value) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let Some(found) = session.messages.iter_mut().find(|stored| stored["info"]["id"] == message) else { return };
        if let Some(parts) = found["parts"].as_array_mut() {
            match parts.iter_mut().find(|stored| stored["id"] == part["id"]) {
                Some(stored) => *stored = part.clone(),
                None => parts.push(part.clone()),
            }
        }
        let time = self.tick();
        self.emit_for(id, "message.part.updated", json!({ "part": part, "time": time }));
    }

    pub fn emit_status(&mut self, id: &SessionId, status: &Value) {
        if let Some(turn) = self.sessions.get_mut(id).and_then(|session| session.turn.as_mut()) {
            turn.status = status.clone();
        }
        self.emit_for(id, "session.status", json!({ "status": status }));
    }

    pub fn emit_idle(&mut self, id: &SessionId) {
        self.emit_for(id, "session.status", json!({ "status": { "type": "idle" } }));
        self.emit_for(id, "session.idle", json!({}));
    }
}
