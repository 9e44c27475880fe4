//! A turn of a fake host: the model is asked until the last prompt is answered.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{
    PromptSeen, Shared, Step,
    state::{Asked, State, Stored},
};
use crate::opencode::SessionId;

impl Stored {
    pub fn has(&self, message: &str) -> bool {
        self.messages.iter().any(|stored| stored["info"]["id"] == message)
    }

    /// Whether the last message is a finished answer to the last prompt. An answer with an error is none.
    pub fn is_answered(&self) -> bool {
        let answer = self.messages.iter().rfind(|message| message["info"]["role"] == "assistant");
        let Some(info) = answer.map(|message| &message["info"]) else { return false };
        let finished = info["finish"].as_str().is_some_and(|finish| !["tool-calls", "unknown"].contains(&finish));
        finished && info["error"].is_null() && info["parentID"].as_str() == self.latest.as_deref()
    }

    /// The answer that is being made.
    fn open_answer(&mut self) -> Option<&mut Value> {
        let last = self.messages.iter_mut().rfind(|message| message["info"]["role"] == "assistant")?;
        last["info"]["time"]["completed"].is_null().then_some(last)
    }
}

impl State {
    /// Ends the answer that is being made: with a reason, with an error, or with neither.
    pub fn complete(&mut self, id: &SessionId, finish: Option<&str>, error: Option<&Value>) {
        let completed = self.tick();
        let Some(answer) = self.sessions.get_mut(id).and_then(Stored::open_answer) else { return };
        let message = answer["info"]["id"].as_str().unwrap_or_default().to_owned();
        if let Some(finish) = finish {
            answer["info"]["finish"] = json!(finish);
            self.emit_message(id, &message);
        }
        let Some(answer) = self.sessions.get_mut(id).and_then(Stored::open_answer) else { return };
        answer["info"]["time"]["completed"] = json!(completed);
        if let Some(error) = error {
            answer["info"]["error"] = error.clone();
        }
        let info = answer["info"].clone();
        self.emit_message(id, &message);
        let Some(session) = self.sessions.get_mut(id) else { return };
        for name in ["input", "output"] {
            let sum = number(&session.info["tokens"][name]) + number(&info["tokens"][name]);
            session.info["tokens"][name] = json!(sum);
        }
        let cost = session.info["cost"].as_f64().unwrap_or_default() + info["cost"].as_f64().unwrap_or_default();
        session.info["cost"] = json!(cost);
        session.info["time"]["updated"] = json!(completed);
    }

    /// Ends the turn with an error, in the host's order: idle comes before the message, and again after it.
    pub fn fail(&mut self, id: &SessionId, error: &Value) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.turn = None;
        }
        self.emit_for(id, "session.error", json!({ "error": error }));
        self.emit_idle(id);
        self.complete(id, None, Some(error));
        self.emit_idle(id);
    }

    fn end(&mut self, id: &SessionId) {
        let latest = self.sessions.get_mut(id).and_then(|session| {
            session.turn = None;
            session.latest.clone()
        });
        self.emit_idle(id);
        self.emit_session(id, "session.updated");
        // The host counts the changes late, and puts them into the prompt.
        self.emit_message(id, &latest.unwrap_or_default());
    }

    /// Begins an answer to the last prompt. None when it has one.
    fn begin(&mut self, id: &SessionId, number: u64) -> Option<PromptSeen> {
        let session = self.in_turn(id, number)?;
        if session.is_answered() {
            return None;
        }
        let latest = session.latest.clone()?;
        let prompt = session.messages.iter().find(|message| message["info"]["id"] == latest.as_str())?.clone();
        let (info, session_info) = (&prompt["info"], session.info.clone());
        let created = self.tick();
        let answer = self.id("msg_");
        let asked = self.asked_for.entry(latest.clone()).or_default();
        let asked_before = std::mem::replace(asked, *asked + 1);
        self.model_runs += 1;
        let answer_info = json!({
            "id": answer, "sessionID": id, "role": "assistant", "time": { "created": created }, "parentID": latest,
            "modelID": info["model"]["modelID"], "providerID": info["model"]["providerID"], "mode": info["agent"],
            "agent": info["agent"], "cost": 0.001,
            "tokens": { "input": 10, "output": 5, "reasoning": 0, "cache": { "read": 0, "write": 0 } },
        });
        self.emit_status(id, &json!({ "type": "busy" }));
        self.sessions.get_mut(id)?.messages.push(json!({ "info": answer_info, "parts": [] }));
        self.emit_message(id, &answer);
        let visible = prompt["parts"].as_array()?.iter().filter(|part| part["ignored"] != true);
        let text: Vec<&str> = visible.filter_map(|part| part["text"].as_str()).collect();
        let string = |value: &Value| value.as_str().map(str::to_owned);
        Some(PromptSeen {
            session: id.clone(),
            directory: string(&session_info["directory"]).unwrap_or_default(),
            parent: session_info["parentID"].as_str().and_then(|parent| parent.parse().ok()),
            message_id: latest.parse().ok()?,
            text: text.join("\n"),
            agent: string(&info["agent"]).unwrap_or_default(),
            model: serde_json::from_value(info["model"].clone()).ok(),
            variant: string(&info["model"]["variant"]),
            system: string(&info["system"]),
            asked_before,
        })
    }

    /// Begins the next answer within a script.
    fn begin_again(&mut self, id: &SessionId, number: u64) -> bool {
        self.begin(id, number).is_some()
    }

    fn part(&mut self, id: &SessionId, mut part: Value) {
        let Some(answer) = self.sessions.get_mut(id).and_then(Stored::open_answer) else { return };
        let message = answer["info"]["id"].as_str().unwrap_or_default().to_owned();
        part["messageID"] = json!(message);
        part["sessionID"] = json!(id);
        self.put_part(id, &message, &part);
    }

    fn say(&mut self, id: &SessionId, text: &str) {
        let part = self.id("prt_");
        for text in ["", text] {
            self.part(id, json!({ "id": part, "type": "text", "text": text }));
        }
    }

    fn tool(&mut self, id: &SessionId, part: &str, tool: &str, status: &str) {
        // Each call is of something else, or a few of them would be a circle.
        let state = json!({ "status": status, "input": { "of": part } });
        self.part(
            id,
            json!({ "id": part, "type": "tool", "tool": tool, "callID": format!("call_{part}"), "state": state }),
        );
    }

    /// Asks, and gives what the answers will come by.
    fn ask(&mut self, id: &SessionId, step: &Step) -> Vec<oneshot::Receiver<bool>> {
        match step {
            Step::AskPermission(permission, pattern) => vec![self.ask_permission(id, permission, pattern)],
            Step::AskPermissions(asked) => {
                asked.iter().map(|(permission, pattern)| self.ask_permission(id, permission, pattern)).collect()
            }
            Step::AskQuestion(question, labels) => vec![self.ask_question(id, question, labels)],
            _ => Vec::new(),
        }
    }

    fn ask_permission(&mut self, id: &SessionId, permission: &str, pattern: &str) -> oneshot::Receiver<bool> {
        let (answer, answered) = oneshot::channel();
        let name = self.id("per_");
        let info = json!({ "id": name, "sessionID": id, "permission": permission, "patterns": [pattern],
            "metadata": {}, "always": ["*"] });
        self.permissions.insert(name, Asked { info: info.clone(), answer });
        self.emit_for(id, "permission.asked", info);
        answered
    }

    fn ask_question(&mut self, id: &SessionId, question: &str, labels: &[String]) -> oneshot::Receiver<bool> {
        let (answer, answered) = oneshot::channel();
        let options: Vec<_> = labels.iter().map(|label| json!({ "label": label, "description": "" })).collect();
        let question = json!({ "question": question, "header": question, "options": options });
        let name = self.id("que_");
        let info = json!({ "id": name, "sessionID": id, "questions": [question] });
        self.questions.insert(name, Asked { info: info.clone(), answer });
        self.emit_for(id, "question.asked", info);
        answered
    }

    /// The host makes room: a marker, a summary, and a prompt of its own, which is the one to be answered now.
    fn compact(&mut self, id: &SessionId, number: u64) -> bool {
        let data = json!({ "message": "context length exceeded" });
        let error = json!({ "name": "ContextOverflowError", "data": data });
        self.emit_for(id, "session.error", json!({ "error": error }));
        self.complete(id, None, None);
        self.own_prompt(id, json!({ "type": "compaction" }));
        if !self.begin_again(id, number) {
            return false;
        }
        if let Some(answer) = self.sessions.get_mut(id).and_then(Stored::open_answer) {
            answer["info"]["summary"] = json!(true);
        }
        self.say(id, "summary");
        self.complete(id, Some("stop"), None);
        let text = "The previous request exceeded the provider's size limit.";
        self.own_prompt(id, json!({ "type": "text", "text": text, "synthetic": true }));
        self.begin_again(id, number)
    }

    /// Makes room because it was asked to: a marker and a summary, and nobody goes on from it.
    pub fn summarise(&mut self, id: &SessionId) {
        self.own_prompt(id, json!({ "type": "compaction" }));
        let (answer, created) = (self.id("msg_"), self.tick());
        let info = json!({
            "id": answer, "sessionID": id, "role": "assistant", "time": { "created": created }, "summary": true,
            "agent": "compaction", "providerID": "fake", "modelID": "model",
        });
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.messages.push(json!({ "info": info, "parts": [] }));
        self.say(id, "summary");
        self.complete(id, Some("stop"), None);
        self.emit_idle(id);
    }

    fn own_prompt(&mut self, id: &SessionId, mut part: Value) {
        let (message, created) = (self.id("msg_"), self.tick());
        part["id"] = json!(self.id("prt_"));
        part["messageID"] = json!(message);
        part["sessionID"] = json!(id);
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.latest = Some(message.clone());
        let info = json!({
            "id": message, "sessionID": id, "role": "user", "time": { "created": created }, "agent": "build",
            "model": { "providerID": "fake", "modelID": "model" },
        });
        session.messages.push(json!({ "info": info, "parts": [] }));
        self.emit_message(id, &message);
        self.put_part(id, &message, &part);
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

/// Runs a turn. Whoever stops it writes its end; a turn that is no more the session's own writes nothing.
pub async fn run(shared: Arc<Shared>, id: SessionId, number: u64, stop: CancellationToken) {
    stop.run_until_cancelled(answer_all(&shared, &id, number)).await;
}

async fn answer_all(shared: &Shared, id: &SessionId, number: u64) {
    while let Some(seen) = begin_or_end(shared, id, number) {
        let script = (shared.model)(&seen);
        let mut finish = "stop".to_owned();
        for step in &script.steps {
            if let Step::Finish(reason) = step {
                finish.clone_from(reason);
            } else if !perform(shared, id, number, step).await {
                return;
            }
        }
        with(shared, id, number, |state| state.complete(id, Some(&finish), None));
        // An odd finish makes the host ask again at once: let others work in between.
        tokio::task::yield_now().await;
    }
}

/// Begins the next answer, or ends the turn: at once, or a prompt could come in between and wait for nobody.
fn begin_or_end(shared: &Shared, id: &SessionId, number: u64) -> Option<PromptSeen> {
    let mut state = shared.lock();
    let seen = state.begin(id, number);
    if seen.is_none() && state.in_turn(id, number).is_some() {
        state.end(id);
    }
    seen
}

/// Does a step. False when the turn is over.
async fn perform(shared: &Shared, id: &SessionId, number: u64, step: &Step) -> bool {
    match step {
        Step::Wait(time) => tokio::time::sleep(*time).await,
        Step::Say(text) => with(shared, id, number, |state| state.say(id, text)),
        Step::Hang => std::future::pending().await,
        Step::Tool(tool, time) => {
            let part = shared.lock().id("prt_");
            for status in ["pending", "running"] {
                with(shared, id, number, |state| state.tool(id, &part, tool, status));
            }
            tokio::time::sleep(*time).await;
            with(shared, id, number, |state| state.tool(id, &part, tool, "completed"));
            with(shared, id, number, |state| state.complete(id, Some("tool-calls"), None));
            return shared.lock().begin_again(id, number);
        }
        Step::Call(tool, input, result) => {
            let part = shared.lock().id("prt_");
            let state = match result {
                Ok(output) => json!({ "status": "completed", "input": input, "output": output }),
                Err(error) => json!({ "status": "error", "input": input, "error": error }),
            };
            let call = format!("call_{part}");
            let part = json!({ "id": part, "type": "tool", "tool": tool, "callID": call, "state": state });
            with(shared, id, number, |state| state.part(id, part));
            with(shared, id, number, |state| state.complete(id, Some("tool-calls"), None));
            return shared.lock().begin_again(id, number);
        }
        Step::Think(time) => {
            for _ in 0..time.as_secs() {
                tokio::time::sleep(Duration::from_secs(1)).await;
                with(shared, id, number, |state| state.emit_for(id, "message.part.delta", json!({ "delta": "x" })));
            }
        }
        Step::AskPermission(..) | Step::AskPermissions(..) | Step::AskQuestion(..) => {
            let asked = asked(&mut shared.lock(), id, number, step);
            let Some(asked) = asked else { return false };
            let mut goes_on = true;
            for answered in asked {
                goes_on &= answered.await == Ok(true);
            }
            if !goes_on {
                with(shared, id, number, |state| {
                    state.complete(id, Some("tool-calls"), None);
                    state.end(id);
                });
                return false;
            }
        }
        Step::Retry(message, time) => {
            with(shared, id, number, |state| {
                let next = state.now + u64::try_from(time.as_millis()).unwrap_or_default();
                state.emit_status(id, &json!({ "type": "retry", "attempt": 1, "message": message, "next": next }));
            });
            tokio::time::sleep(*time).await;
            with(shared, id, number, |state| state.emit_status(id, &json!({ "type": "busy" })));
        }
        Step::Fail(name, message, status) => {
            let mut error = json!({ "name": name, "data": { "message": message } });
            if let Some(status) = status {
                error["data"]["statusCode"] = json!(status);
                error["data"]["isRetryable"] = json!(*status >= 500 || *status == 429);
            }
            with(shared, id, number, |state| state.fail(id, &error));
            return false;
        }
        Step::Compact => {
            let mut state = shared.lock();
            return state.in_turn(id, number).is_some() && state.compact(id, number);
        }
        Step::Use(input, output, cost) => with(shared, id, number, |state| {
            if let Some(answer) = state.sessions.get_mut(id).and_then(Stored::open_answer) {
                answer["info"]["tokens"]["input"] = json!(input);
                answer["info"]["tokens"]["output"] = json!(output);
                answer["info"]["cost"] = json!(cost);
            }
        }),
        Step::Finish(_) => {}
    }
    true
}

/// Asks, if the turn is still the session's own.
fn asked(state: &mut State, id: &SessionId, number: u64, step: &Step) -> Option<Vec<oneshot::Receiver<bool>>> {
    state.in_turn(id, number)?;
    Some(state.ask(id, step))
}

/// Writes for a turn, if it is still the session's own.
fn with(shared: &Shared, id: &SessionId, number: u64, write: impl FnOnce(&mut State)) {
    let mut state = shared.lock();
    if state.in_turn(id, number).is_some() {
        write(&mut state);
    }
}
