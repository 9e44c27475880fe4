//! What a session's messages say about a prompt. Pure.

use crate::{
    opencode::{AssistantInfo, Finish, Message, MessageId, MessageInfo, Part},
    task::Usage,
};

/// How a prompt stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reading {
    /// It has no end yet.
    Open,
    /// It was answered.
    Complete(String),
    /// It ended badly.
    Failed(String),
    /// The turn was ended after calls of tools, by a refusal or by a tool that broke: nobody goes on by himself.
    Halted,
}

/// Reads what came after a prompt. `idle` says that the session was in no turn before the messages were fetched.
pub(super) fn read(messages: &[Message], prompt: &MessageId, idle: bool) -> Reading {
    // Ids ascend with time.
    let Some((message, info)) = answers(messages, prompt).max_by(|(_, one), (_, other)| one.id.cmp(&other.id)) else {
        return Reading::Open;
    };
    // A summary is the host's own, and somebody goes on from it.
    if info.summary {
        return Reading::Open;
    }
    if let Some(error) = &info.error {
        let stopped = error.is_abort() || error.name.is_empty();
        return Reading::Failed(if stopped {
            "it was stopped from outside".to_owned()
        } else {
            error.words().to_owned()
        });
    }
    match &info.finish {
        None if info.completed => Reading::Failed("it was stopped from outside".to_owned()),
        Some(Finish::Tools) if idle && info.completed => Reading::Halted,
        None | Some(Finish::Tools | Finish::Unknown) => Reading::Open,
        // The host notes the end a moment later; if it died in between, it never does.
        Some(_) if !info.completed && !idle => Reading::Open,
        Some(Finish::Cut) => Reading::Failed("the answer was cut off by the model's output limit".to_owned()),
        Some(finish @ Finish::Last(_)) => {
            let text = text(message);
            if text.trim().is_empty() {
                Reading::Failed(format!("the model answered nothing (it ended with `{finish}`)"))
            } else {
                Reading::Complete(text)
            }
        }
    }
}

/// The last words after a prompt, for whoever gets no answer.
pub(super) fn last_words(messages: &[Message], prompt: &MessageId) -> String {
    let spoken =
        answers(messages, prompt).filter(|(_, info)| !info.summary).map(|(message, info)| (&info.id, text(message)));
    spoken
        .filter(|(_, text)| !text.trim().is_empty())
        .max_by(|one, other| one.0.cmp(other.0))
        .map(|(_, text)| text)
        .unwrap_or_default()
}

/// What was used since a prompt.
pub(super) fn usage(messages: &[Message], prompt: &MessageId) -> Usage {
    let mut usage = Usage::default();
    for (_, info) in answers(messages, prompt) {
        usage.add(info.tokens.into(), info.cost);
    }
    usage
}

/// Whether a prompt is among the messages.
pub(super) fn holds(messages: &[Message], prompt: &MessageId) -> bool {
    messages.iter().any(|message| message.info.id() == prompt)
}

fn answers<'a>(messages: &'a [Message], prompt: &MessageId) -> impl Iterator<Item = (&'a Message, &'a AssistantInfo)> {
    messages.iter().filter_map(move |message| match &message.info {
        MessageInfo::Assistant(info) if info.id > *prompt => Some((message, info)),
        _ => None,
    })
}

fn text(message: &Message) -> String {
    let texts: Vec<_> = message
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::Text(part) if !part.synthetic && !part.text.is_empty() => Some(part.text.as_str()),
            _ => None,
        })
        .collect();
    texts.join("\n\n")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const PROMPT: &str = "msg_100000000001aaaaaaaaaaaaaa";

    fn message(n: u32, info: &Value, parts: &[Value]) -> Value {
        let id = format!("msg_1000000000{n:02x}aaaaaaaaaaaaaa");
        let mut full = json!({ "id": id, "sessionID": "ses_1", "role": "assistant", "time": { "created": 1 } });
        full.as_object_mut().unwrap().extend(info.as_object().unwrap().clone());
        let parts: Vec<_> = parts
            .iter()
            .map(|part| {
                let mut full = json!({ "id": "prt_1", "messageID": id, "sessionID": "ses_1" });
                full.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
                full
            })
            .collect();
        json!({ "info": full, "parts": parts })
    }

    fn messages(all: Vec<Value>) -> Vec<Message> {
        serde_json::from_value(Value::Array(all)).unwrap()
    }

    fn reading(info: &Value, parts: &[Value], idle: bool) -> Reading {
        read(&messages(vec![message(2, info, parts)]), &PROMPT.parse().unwrap(), idle)
    }

    #[test]
    fn each_end_is_read_as_what_it_is() {
        let done = json!({ "created": 1, "completed": 2 });
        let said = [json!({ "type": "text", "text": "yes" })];
        let failed = |words: &str| Reading::Failed(words.to_owned());
        for (info, parts, idle, expected) in [
            (json!({ "finish": "stop", "time": done }), &said[..], false, Reading::Complete("yes".to_owned())),
            (json!({ "finish": "stop" }), &said, false, Reading::Open),
            (json!({ "finish": "stop" }), &said, true, Reading::Complete("yes".to_owned())),
            (
                json!({ "finish": "stop", "time": done }),
                &[],
                true,
                failed("the model answered nothing (it ended with `stop`)"),
            ),
            (
                json!({ "finish": "length", "time": done }),
                &said,
                true,
                failed("the answer was cut off by the model's output limit"),
            ),
            (json!({ "time": done }), &said, true, failed("it was stopped from outside")),
            (json!({ "error": { "name": "MessageAbortedError" } }), &[], true, failed("it was stopped from outside")),
            (json!({ "error": { "name": "APIError", "data": { "message": "no" } } }), &[], false, failed("no")),
            (json!({ "error": { "name": "APIError" } }), &[], false, failed("APIError")),
            (json!({ "finish": "tool-calls", "time": done }), &said, true, Reading::Halted),
            (json!({ "finish": "tool-calls", "time": done }), &said, false, Reading::Open),
            (json!({ "finish": "tool-calls" }), &said, true, Reading::Open),
            (json!({ "finish": "stop", "summary": true, "time": done }), &said, true, Reading::Open),
            (json!({}), &said, true, Reading::Open),
        ] {
            assert_eq!(reading(&info, parts, idle), expected, "{info}");
        }
    }

    #[test]
    fn only_what_came_after_the_prompt_counts() {
        let said = |text: &str| vec![json!({ "type": "text", "text": text })];
        let info = |finish: &str| json!({ "finish": finish, "time": { "completed": 2 }, "cost": 0.5, "tokens": { "input": 3, "output": 2 } });
        let all = messages(vec![
            message(0, &info("stop"), &said("old")),
            message(1, &json!({ "role": "user" }), &said("ask")),
            message(2, &info("tool-calls"), &said("first")),
            message(3, &info("tool-calls"), &[]),
        ]);
        let prompt = PROMPT.parse().unwrap();
        assert!(holds(&all, &prompt) && !holds(&all[2..], &prompt));
        assert_eq!(read(&all, &prompt, true), Reading::Halted);
        assert_eq!(read(&all[..2], &prompt, true), Reading::Open);
        assert_eq!(last_words(&all, &prompt), "first");
        assert_eq!(last_words(&all[..2], &prompt), "");
        let used = usage(&all, &prompt);
        assert_eq!((used.tokens.input, used.tokens.output, used.tokens.total()), (6, 4, 10));
        assert!((used.cost - 1.0).abs() < f64::EPSILON);
    }
}
