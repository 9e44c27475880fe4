//! The paths of a fake host.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::{
    Shared,
    prompt::{abort, prompt},
    state::{Asked, State, Stored},
};
use crate::opencode::{Method, Request, Response, SessionId};

/// A path that the host does not know is answered with its web page.
const WEB_PAGE: &str = "<!doctype html><html></html>";

fn segments(request: &Request) -> Vec<&str> {
    request.path.trim_start_matches('/').split('/').collect()
}

/// A request's pattern, as error messages name it.
pub fn endpoint(request: &Request) -> &'static str {
    match (request.method, segments(request).as_slice()) {
        (Method::Get, ["global", "health"]) => "GET /global/health",
        (Method::Post, ["session"]) => "POST /session",
        (Method::Get, ["session", "status"]) => "GET /session/status",
        (Method::Get, ["session", _]) => "GET /session/{id}",
        (Method::Patch, ["session", _]) => "PATCH /session/{id}",
        (Method::Delete, ["session", _]) => "DELETE /session/{id}",
        (Method::Post, ["session", _, "abort"]) => "POST /session/{id}/abort",
        (Method::Get, ["session", _, "children"]) => "GET /session/{id}/children",
        (Method::Get, ["session", _, "message"]) => "GET /session/{id}/message",
        (Method::Get, ["session", _, "message", _]) => "GET /session/{id}/message/{message}",
        (Method::Post, ["session", _, "prompt_async"]) => "POST /session/{id}/prompt_async",
        (Method::Post, ["session", _, "summarize"]) => "POST /session/{id}/summarize",
        (Method::Get, ["agent"]) => "GET /agent",
        (Method::Get, ["config", "providers"]) => "GET /config/providers",
        (Method::Get, ["permission"]) => "GET /permission",
        (Method::Post, ["permission", _, "reply"]) => "POST /permission/{id}/reply",
        (Method::Get, ["question"]) => "GET /question",
        (Method::Post, ["question", _, "reply"]) => "POST /question/{id}/reply",
        (Method::Post, ["question", _, "reject"]) => "POST /question/{id}/reject",
        (Method::Post, ["tui", "show-toast"]) => "POST /tui/show-toast",
        _ => "unknown",
    }
}

/// Does what a request asks for.
pub fn answer(shared: &Arc<Shared>, request: &Request) -> Response {
    let query = |wanted: &str| request.query.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.clone());
    let directory = json!(query("directory").unwrap_or_default());
    let body = request.body.clone().unwrap_or_default();
    let path = segments(request);
    let kind = endpoint(request);
    let session = match session(kind, &path) {
        Ok(session) => session,
        Err(response) => return response,
    };
    let mut state = shared.lock();
    if let Some(id) = &session
        && kind != "POST /session/{id}/abort"
        && !state.sessions.contains_key(id)
    {
        return not_found(&format!("Session not found: {id}"));
    }
    match (kind, session) {
        ("POST /session", _) => create(&mut state, &directory, &body),
        ("GET /session/status", _) => {
            let here = state.sessions.iter().filter(|(_, session)| session.info["directory"] == directory);
            let turns = here.filter_map(|(id, session)| Some((id, session.turn.as_ref()?)));
            let turns = turns.chain(state.orphans.iter());
            ok(&Value::Object(turns.map(|(id, turn)| (id.to_string(), turn.status.clone())).collect()))
        }
        ("GET /session/{id}", Some(id)) => ok(&state.sessions[&id].info),
        ("PATCH /session/{id}", Some(id)) => {
            if let Some(session) = state.sessions.get_mut(&id) {
                for (name, value) in body.as_object().into_iter().flatten() {
                    session.info[name] = value.clone();
                }
            }
            state.emit_session(&id, "session.updated");
            ok(&state.sessions[&id].info)
        }
        ("DELETE /session/{id}", Some(id)) => {
            state.delete(&id);
            ok(&json!(true))
        }
        ("POST /session/{id}/abort", Some(id)) => {
            abort(&mut state, &id);
            ok(&json!(true))
        }
        ("GET /session/{id}/children", Some(id)) => {
            let children = state.children(&id);
            ok(&children.iter().map(|child| state.sessions[child].info.clone()).collect())
        }
        ("GET /session/{id}/message", Some(id)) => {
            let messages = &state.sessions[&id].messages;
            let limit = query("limit").and_then(|limit| limit.parse().ok()).unwrap_or(messages.len());
            ok(&json!(messages[messages.len().saturating_sub(limit)..]))
        }
        ("GET /session/{id}/message/{message}", Some(id)) => {
            let found = state.sessions[&id].messages.iter().find(|message| message["info"]["id"] == path[3]);
            found.map_or_else(|| not_found(&format!("Message not found: {}", path[3])), ok)
        }
        ("POST /session/{id}/prompt_async", Some(id)) => {
            drop(state);
            if let Some(refusal) = refuse_prompt(&body) {
                return refusal;
            }
            prompt(shared, &id, &body);
            Response { status: 204, body: String::new() }
        }
        ("POST /session/{id}/summarize", Some(id)) => {
            state.summarise(&id);
            ok(&json!(true))
        }
        ("GET /config/providers", _) => {
            let models: Value =
                ["model", "second", "third"].into_iter().map(|name| (name.to_owned(), json!({}))).collect();
            ok(&json!({ "providers": [{ "id": "fake", "models": models }], "default": {} }))
        }
        ("GET /global/health", _) => ok(&json!({ "healthy": true, "version": "1.18.33" })),
        ("GET /agent", _) => ok(&json!(state.agents)),
        // Each directory has its own.
        ("GET /permission", _) => ok(&listed(&state, &state.permissions, &directory)),
        ("GET /question", _) => ok(&listed(&state, &state.questions, &directory)),
        ("POST /permission/{id}/reply", _) => reply(&mut state, path[1], &directory, &body),
        ("POST /question/{id}/reply", _) => question(&mut state, path[1], &directory, Some(&body["answers"])),
        ("POST /question/{id}/reject", _) => question(&mut state, path[1], &directory, None),
        ("POST /tui/show-toast", _) if body["variant"].is_null() => bad("Missing key\n  at [\"variant\"]"),
        ("POST /tui/show-toast", _) => {
            state.toasts.push(body);
            ok(&json!(true))
        }
        _ => Response { status: 200, body: WEB_PAGE.to_owned() },
    }
}

/// The session that a path names. The host fails over an id that cannot be one.
fn session(kind: &str, path: &[&str]) -> Result<Option<SessionId>, Response> {
    if !kind.contains("/session/{id}") {
        return Ok(None);
    }
    path[1].parse().map(Some).map_err(|_| {
        let message = "Unexpected server error. Check server logs for details.";
        respond(500, &json!({ "name": "UnknownError", "data": { "message": message, "ref": "err_0" } }))
    })
}

fn create(state: &mut State, directory: &Value, body: &Value) -> Response {
    let id = state.id("ses_");
    let Ok(key) = id.parse::<SessionId>() else { return not_found("no id") };
    let created = state.tick();
    let mut info = json!({
        "id": id, "projectID": "global", "directory": directory, "title": "New session", "version": "1.18.33",
        "cost": 0, "tokens": { "input": 0, "output": 0, "reasoning": 0, "cache": { "read": 0, "write": 0 } },
        "time": { "created": created, "updated": created },
    });
    for name in ["parentID", "title", "permission", "metadata"] {
        if !body[name].is_null() {
            info[name] = body[name].clone();
        }
    }
    let session = Stored { info: info.clone(), messages: Vec::new(), turn: None, latest: None };
    state.sessions.insert(key.clone(), session);
    state.emit_session(&key, "session.created");
    state.emit_session(&key, "session.updated");
    ok(&info)
}

fn refuse_prompt(body: &Value) -> Option<Response> {
    if body["messageID"].as_str().is_some_and(|id| !id.starts_with("msg")) {
        return Some(bad("Expected a string starting with \"msg\"\n  at [\"messageID\"]"));
    }
    let parts = body["parts"].as_array()?;
    parts.iter().any(|part| part["text"].is_null()).then(|| bad("Missing key\n  at [\"parts\"][0][\"text\"]"))
}

/// Whether the session that asks is of this directory.
fn is_of(state: &State, info: &Value, directory: &Value) -> bool {
    let session = info["sessionID"].as_str().and_then(|session| session.parse::<SessionId>().ok());
    session.and_then(|session| state.sessions.get(&session)).is_some_and(|it| it.info["directory"] == *directory)
}

fn listed(state: &State, asked: &BTreeMap<String, Asked>, directory: &Value) -> Value {
    asked.values().filter(|asked| is_of(state, &asked.info, directory)).map(|asked| asked.info.clone()).collect()
}

fn reply(state: &mut State, id: &str, directory: &Value, body: &Value) -> Response {
    let here = state.permissions.get(id).is_some_and(|asked| is_of(state, &asked.info, directory));
    let Some(Asked { info, answer }) = here.then(|| state.permissions.remove(id)).flatten() else {
        let message = format!("Permission request not found: {id}");
        return respond(404, &json!({ "_tag": "PermissionNotFoundError", "requestID": id, "message": message }));
    };
    state.replies.push(body.clone());
    let rejected = body["reply"] == "reject";
    closed(state, &info, "permission.replied", json!({ "reply": body["reply"] }));
    // The turn may have been stopped meanwhile.
    let _ = answer.send(!rejected || !body["message"].is_null());
    if rejected {
        // With it all others of the session, and those without a word to the model.
        let same = |asked: &Asked| asked.info["sessionID"] == info["sessionID"];
        let others: Vec<_> =
            state.permissions.iter().filter(|(_, asked)| same(asked)).map(|(id, _)| id.clone()).collect();
        for Asked { info, answer } in others.iter().filter_map(|id| state.permissions.remove(id)).collect::<Vec<_>>() {
            closed(state, &info, "permission.replied", json!({ "reply": "reject" }));
            let _ = answer.send(false);
        }
    }
    ok(&json!(true))
}

fn question(state: &mut State, id: &str, directory: &Value, answers: Option<&Value>) -> Response {
    let here = state.questions.get(id).is_some_and(|asked| is_of(state, &asked.info, directory));
    let Some(Asked { info, answer }) = here.then(|| state.questions.remove(id)).flatten() else {
        let message = format!("Question request not found: {id}");
        return respond(404, &json!({ "_tag": "QuestionNotFoundError", "requestID": id, "message": message }));
    };
    match answers {
        Some(answers) => closed(state, &info, "question.replied", json!({ "answers": answers })),
        None => closed(state, &info, "question.rejected", json!({})),
    }
    let _ = answer.send(answers.is_some());
    ok(&json!(true))
}

fn closed(state: &mut State, info: &Value, kind: &str, mut properties: Value) {
    properties["requestID"] = info["id"].clone();
    if let Some(session) = info["sessionID"].as_str().and_then(|session| session.parse().ok()) {
        state.emit_for(&session, kind, properties);
    }
}

fn respond(status: u16, body: &Value) -> Response {
    Response { status, body: body.to_string() }
}

fn ok(body: &Value) -> Response {
    respond(200, body)
}

fn not_found(message: &str) -> Response {
    respond(404, &json!({ "name": "NotFoundError", "data": { "message": message } }))
}

fn bad(message: &str) -> Response {
    respond(400, &json!({ "name": "BadRequest", "data": { "message": message, "kind": "Payload" } }))
}
