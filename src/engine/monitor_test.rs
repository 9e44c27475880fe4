//! What the monitor makes of signals, in the order in which a host was seen to give them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::monitor::{Heard, Monitor, Reading, STABLE_POLLS, Signal, UNKNOWN_ENDS};
use crate::{
    opencode::{Finish, Message, MessageInfo, Part, ProviderError, SessionStatus},
    task::{ErrorClass, FailureKind},
};

fn id(n: u32) -> String {
    format!("msg_{n:012x}00000000000000")
}

/// The run of the prompt number 10.
fn monitor() -> Monitor {
    Monitor::new(id(10).parse().unwrap())
}

fn info(n: u32, role: &str, more: &Value) -> Value {
    let mut info = json!({ "id": id(n), "sessionID": "ses_1", "role": role, "time": { "created": 1 } });
    for (name, value) in more.as_object().unwrap() {
        info[name] = value.clone();
    }
    info
}

fn user(n: u32) -> Signal {
    Signal::Message(Box::new(serde_json::from_value(info(n, "user", &json!({}))).unwrap()))
}

/// An answer that the host is done with.
fn ended(n: u32, finish: &str) -> Signal {
    assistant(n, &json!({ "finish": finish, "time": { "created": 1, "completed": 2 } }))
}

fn assistant(n: u32, more: &Value) -> Signal {
    Signal::Message(Box::new(serde_json::from_value(info(n, "assistant", more)).unwrap()))
}

fn text(n: u32, part: u32, text: &str) -> Signal {
    part_of(n, &json!({ "id": format!("prt_{part:012x}"), "type": "text", "text": text }))
}

fn part_of(n: u32, more: &Value) -> Signal {
    let mut part = more.clone();
    part["messageID"] = json!(id(n));
    part["sessionID"] = json!("ses_1");
    Signal::Part(Box::new(serde_json::from_value(part).unwrap()))
}

fn error(name: &str) -> ProviderError {
    serde_json::from_value(json!({ "name": name, "data": { "message": "words" } })).unwrap()
}

fn busy() -> Signal {
    Signal::Status(SessionStatus::Busy)
}

fn quiet() -> Signal {
    Signal::Polled { busy: false }
}

/// What the last of these signals was heard as.
fn hear(monitor: &mut Monitor, signals: impl IntoIterator<Item = Signal>) -> Heard {
    signals.into_iter().fold(Heard::Nothing, |_, signal| monitor.hear(signal))
}

fn complete(heard: Heard) -> String {
    match heard {
        Heard::Over(Reading::Complete(outcome)) => outcome.text,
        other => panic!("{other:?}"),
    }
}

fn failure(reading: Reading) -> (FailureKind, ErrorClass) {
    match reading {
        Reading::Failed(failure) => (failure.kind, failure.class),
        other => panic!("{other:?}"),
    }
}

/// Polls until silence is believed, with these messages.
fn after_silence(monitor: &mut Monitor, messages: Vec<Message>) -> Reading {
    for _ in 1..STABLE_POLLS {
        assert_eq!(monitor.hear(quiet()), Heard::Nothing);
    }
    assert_eq!(monitor.hear(quiet()), Heard::Look);
    monitor.look(messages)
}

#[test]
fn an_idle_event_after_a_finished_answer_is_the_end_and_nothing_needs_to_be_fetched() {
    let mut monitor = monitor();
    let turn = [user(10), busy(), assistant(11, &json!({})), text(11, 1, ""), text(11, 1, "done"), ended(11, "stop")];
    assert_eq!(hear(&mut monitor, turn), Heard::Nothing);
    assert_eq!(complete(monitor.hear(Signal::Idle)), "done");
}

#[test]
fn an_answer_that_the_host_is_not_done_with_is_open() {
    let mut monitor = monitor();
    let turn = [text(11, 1, "done"), assistant(11, &json!({ "finish": "stop" })), Signal::Idle];
    assert_eq!(hear(&mut monitor, turn), Heard::Look);
    assert_eq!(complete(hear(&mut monitor, [ended(11, "stop"), Signal::Idle])), "done");
}

#[test]
fn tool_calls_are_not_an_end_even_when_the_session_looks_idle() {
    let mut monitor = monitor();
    let tool = |status: &str| {
        part_of(
            11,
            &json!({ "id": "prt_1", "type": "tool", "tool": "bash", "callID": "c", "state": { "status": status } }),
        )
    };
    let turn = [tool("pending"), tool("running"), tool("completed"), text(11, 1, "first"), ended(11, "tool-calls")];
    hear(&mut monitor, turn);
    assert_eq!((monitor.hear(Signal::Idle), monitor.tool_calls()), (Heard::Look, 1));
    assert_eq!(monitor.look(Vec::new()), Reading::Open);
    assert_eq!(complete(hear(&mut monitor, [text(12, 2, "second"), ended(12, "stop"), Signal::Idle])), "second");
}

#[test]
fn an_error_event_before_the_idle_event_waits_for_the_message_that_holds_it() {
    let mut monitor = monitor();
    hear(&mut monitor, [user(10), busy(), assistant(11, &json!({})), Signal::Error(error("APIError"))]);
    assert_eq!(monitor.hear(Signal::Idle), Heard::Look);
    let failed = json!({ "error": { "name": "APIError", "data": { "statusCode": 500 } }, "time": { "completed": 2 } });
    hear(&mut monitor, [assistant(11, &failed)]);
    let Heard::Over(reading) = monitor.hear(Signal::Idle) else { panic!("not over") };
    assert_eq!(failure(reading), (FailureKind::Error, ErrorClass::Provider));
}

#[test]
fn an_error_without_any_answer_is_believed_after_the_quiet_polls() {
    let mut monitor = monitor();
    hear(&mut monitor, [Signal::Error(error("UnknownError"))]);
    assert_eq!(failure(after_silence(&mut monitor, Vec::new())), (FailureKind::Error, ErrorClass::Unknown));
}

#[test]
fn a_stopped_run_is_aborted_with_or_without_an_error() {
    let aborted = json!({ "error": { "name": "MessageAbortedError" }, "time": { "completed": 2 } });
    // In the wait before a provider's retry the host leaves neither error nor finish.
    for more in [aborted, json!({ "time": { "completed": 2 } })] {
        let mut monitor = monitor();
        hear(&mut monitor, [text(11, 1, "half"), assistant(11, &more)]);
        assert_eq!(monitor.hear(Signal::Idle), Heard::Over(Reading::Aborted));
        assert_eq!(monitor.partial().unwrap().text, "half");
    }
    let mut monitor = monitor();
    hear(&mut monitor, [Signal::Error(error("MessageAbortedError"))]);
    assert_eq!(after_silence(&mut monitor, Vec::new()), Reading::Aborted);
}

#[test]
fn a_deleted_session_is_lost() {
    let Heard::Over(reading) = monitor().hear(Signal::Deleted) else { panic!("not over") };
    assert_eq!(failure(reading), (FailureKind::Error, ErrorClass::SessionLost));
}

#[test]
fn silence_is_believed_after_three_polls_in_a_row_only() {
    let mut monitor = monitor();
    for interruption in [Signal::Polled { busy: true }, busy(), text(11, 1, "more")] {
        hear(&mut monitor, [quiet(), quiet(), interruption]);
        assert_eq!(hear(&mut monitor, [quiet(), quiet()]), Heard::Nothing);
    }
    monitor.prompted();
    assert_eq!(failure(after_silence(&mut monitor, Vec::new())), (FailureKind::Error, ErrorClass::NoOutput));
}

#[test]
fn polls_alone_find_the_answer() {
    let message = json!({ "info": info(11, "assistant", &json!({ "finish": "stop", "time": { "completed": 2 } })),
        "parts": [{ "id": "prt_1", "type": "text", "text": "found", "messageID": id(11), "sessionID": "ses_1" }] });
    let reading = after_silence(&mut monitor(), vec![serde_json::from_value(message).unwrap()]);
    assert_eq!(complete(Heard::Over(reading)), "found");
}

#[test]
fn after_a_gap_in_the_events_the_messages_are_fetched_before_the_end_is_believed() {
    let mut monitor = monitor();
    hear(&mut monitor, [user(10), text(11, 1, ""), Signal::Missed, ended(11, "stop")]);
    assert_eq!(monitor.hear(Signal::Idle), Heard::Look);
    let message = json!({ "info": info(11, "assistant", &json!({ "finish": "stop", "time": { "completed": 2 } })),
        "parts": [{ "id": "prt_000000000001", "type": "text", "text": "all", "messageID": id(11), "sessionID": "ses_1" }] });
    let reading = monitor.look(vec![serde_json::from_value(message).unwrap()]);
    assert_eq!(complete(Heard::Over(reading)), "all");
}

#[test]
fn the_answer_to_the_first_prompt_is_no_answer_to_a_second_one_that_waits() {
    let mut monitor = monitor();
    hear(&mut monitor, [user(10), text(11, 1, "first"), ended(11, "stop"), user(12)]);
    assert_eq!(monitor.hear(Signal::Idle), Heard::Look);
    assert_eq!(monitor.look(Vec::new()), Reading::Open);
    assert_eq!(complete(hear(&mut monitor, [text(13, 2, "second"), ended(13, "stop"), Signal::Idle])), "second");
}

#[test]
fn several_texts_are_one_result_and_what_a_program_put_in_is_none() {
    let mut monitor = monitor();
    let synthetic = part_of(11, &json!({ "id": "prt_000000000002", "type": "text", "text": "no", "synthetic": true }));
    let turn = [text(11, 3, "second"), text(11, 1, "first"), synthetic, text(11, 4, ""), ended(11, "stop")];
    hear(&mut monitor, turn);
    assert_eq!(complete(monitor.hear(Signal::Idle)), "first\n\nsecond");
}

#[test]
fn what_was_said_before_the_prompt_is_no_result() {
    let mut monitor = monitor();
    hear(&mut monitor, [text(9, 1, "old"), ended(9, "stop")]);
    assert_eq!((monitor.hear(Signal::Idle), monitor.partial()), (Heard::Look, None));
}

#[test]
fn an_answer_without_words_is_none_and_one_cut_by_its_length_is_joined_with_what_follows() {
    let mut cut = monitor();
    let Heard::Over(reading) = hear(&mut cut, [text(11, 1, "lo"), ended(11, "length"), Signal::Idle]) else {
        panic!("not over")
    };
    assert_eq!(failure(reading), (FailureKind::Error, ErrorClass::OutputLimit));
    assert_eq!(cut.partial().unwrap().text, "lo");
    cut.said(&id(12).parse().unwrap());
    assert_eq!(cut.hear(Signal::Idle), Heard::Look, "what was cut off is no answer to what was said then");
    hear(&mut cut, [text(13, 2, "ng"), ended(13, "length"), text(15, 3, " enough"), ended(15, "stop")]);
    assert_eq!(complete(cut.hear(Signal::Idle)), "long enough");
    for (finish, class) in [("length", ErrorClass::OutputLimit), ("stop", ErrorClass::NoOutput)] {
        let Heard::Over(reading) = hear(&mut monitor(), [text(11, 1, " \n"), ended(11, finish), Signal::Idle]) else {
            panic!("not over")
        };
        assert_eq!(failure(reading), (FailureKind::Error, class));
    }
}

#[test]
fn an_unknown_finish_is_open_and_a_long_row_of_them_ends_the_run() {
    let mut monitor = monitor();
    assert_eq!(hear(&mut monitor, [text(11, 1, "x"), ended(11, "unknown"), Signal::Idle]), Heard::Look);
    for n in 12..12 + UNKNOWN_ENDS - 2 {
        // Each is told more than once.
        assert_eq!(hear(&mut monitor, [ended(n, "unknown"), ended(n, "unknown")]), Heard::Nothing);
    }
    let Heard::Over(reading) = monitor.hear(ended(90, "unknown")) else { panic!("not over") };
    assert_eq!(failure(reading), (FailureKind::Stalled, ErrorClass::Limit));
    let mut recovers = self::monitor();
    let turn = (11..11 + UNKNOWN_ENDS - 1).map(|n| ended(n, "unknown"));
    hear(&mut recovers, turn);
    assert_eq!(hear(&mut recovers, [ended(80, "tool-calls"), ended(81, "unknown")]), Heard::Nothing);
}

#[test]
fn a_refused_permission_is_told_as_such_after_the_quiet_polls() {
    let mut monitor = monitor();
    hear(&mut monitor, [user(10), busy(), text(11, 1, "I need bash"), ended(11, "tool-calls")]);
    assert_eq!(monitor.hear(Signal::Idle), Heard::Look);
    assert_eq!(monitor.look(Vec::new()), Reading::Open);
    assert_eq!(failure(after_silence(&mut monitor, Vec::new())).0, FailureKind::Denied);
}

#[test]
fn a_session_that_grew_too_long_is_summarised_and_goes_on() {
    let mut monitor = monitor();
    hear(&mut monitor, [user(10), busy(), assistant(11, &json!({})), Signal::Error(error("ContextOverflowError"))]);
    let summary = json!({ "finish": "stop", "summary": true, "time": { "completed": 2 } });
    let heard = hear(
        &mut monitor,
        [
            assistant(11, &json!({ "time": { "completed": 2 } })),
            user(12),
            text(13, 1, "summary"),
            assistant(13, &summary),
            user(14),
        ],
    );
    assert_eq!((heard, monitor.reading()), (Heard::Nothing, Reading::Open));
    hear(&mut monitor, [assistant(15, &json!({})), text(15, 2, "after all"), ended(15, "tool-calls")]);
    // The old error is not why it stands still now.
    assert_eq!(failure(after_silence(&mut monitor, Vec::new())).0, FailureKind::Denied);
    assert_eq!(complete(hear(&mut monitor, [text(16, 3, "after all"), ended(16, "stop"), Signal::Idle])), "after all");
}

#[test]
fn what_the_steps_used_is_added_up_and_counted_once() {
    let mut monitor = monitor();
    let step = |n: u32| {
        let tokens = json!({ "input": 3, "output": 2, "reasoning": 1, "cache": { "read": 5, "write": 4 } });
        assistant(n, &json!({ "cost": 0.5, "tokens": tokens, "finish": "stop", "time": { "completed": 2 } }))
    };
    hear(&mut monitor, [step(9), step(11), step(12), step(12)]);
    let usage = monitor.usage();
    let tokens = usage.tokens;
    assert_eq!((tokens.input, tokens.output, tokens.reasoning), (6, 4, 2));
    assert_eq!((tokens.cache_read, tokens.cache_write, usage.cost), (10, 8, 1.0));
}

fn any_signal() -> impl Strategy<Value = Signal> {
    let finish = prop_oneof![Just("stop"), Just("length"), Just("tool-calls"), Just("unknown")];
    prop_oneof![
        3 => Just(Signal::Idle),
        1 => Just(busy()),
        3 => Just(quiet()),
        1 => Just(Signal::Error(error("APIError"))),
        2 => (8_u32..16).prop_map(user),
        3 => (8_u32..16, finish).prop_map(|(n, finish)| ended(n, finish)),
        2 => (8_u32..16).prop_map(|n| assistant(n, &json!({}))),
        3 => (8_u32..16, "( |a){0,2}").prop_map(|(n, words)| text(n, 1, &words)),
    ]
}

/// What the host would show of an answer after these signals: whether it is finished, and its text.
fn shown(signals: &[Signal], wanted: &str) -> (bool, String) {
    let (mut finished, mut words) = (false, String::new());
    for signal in signals {
        match signal {
            Signal::Message(info) if info.id().as_str() == wanted => {
                finished = match info.as_ref() {
                    MessageInfo::Assistant(info) => info.finish.as_ref().is_some_and(|finish| !finish.goes_on()),
                    MessageInfo::User(_) => false,
                };
            }
            Signal::Part(part) => {
                if let Part::Text(part) = part.as_ref()
                    && part.message_id.as_str() == wanted
                {
                    words.clone_from(&part.text);
                }
            }
            _ => {}
        }
    }
    (finished, words)
}

proptest! {
    #[test]
    fn nothing_makes_it_complete_without_a_finished_text_after_the_last_prompt(
        signals in prop::collection::vec(any_signal(), 0..40)
    ) {
        let mut monitor = monitor();
        let mut last_user = 10;
        for (at, signal) in signals.iter().enumerate() {
            if let Signal::Message(info) = signal && matches!(**info, MessageInfo::User(_)) {
                last_user = (8..16).rev().find(|n| id(*n) == info.id().as_str()).unwrap_or(0).max(last_user);
            }
            let reading = match monitor.hear(signal.clone()) {
                Heard::Over(reading) => reading,
                Heard::Look => monitor.look(Vec::new()),
                Heard::Nothing => continue,
            };
            if let Reading::Complete(outcome) = reading {
                let answer = (last_user + 1..16).rev().map(|n| shown(&signals[..=at], &id(n))).find(|(finished, words)| *finished || !words.is_empty());
                let (finished, words) = answer.unwrap_or_default();
                // Pieces that were cut off before it are a part of the result.
                let cut = |signal: &Signal| matches!(signal, Signal::Message(info) if matches!(info.as_ref(), MessageInfo::Assistant(info) if info.finish == Some(Finish::Cut)));
                let whole = if signals[..=at].iter().any(cut) { outcome.text.ends_with(&words) } else { outcome.text == words };
                prop_assert!(finished && !outcome.text.trim().is_empty() && whole, "{words:?} {outcome:?}");
            }
        }
    }
}

#[test]
fn what_somebody_else_says_in_the_session_is_no_result() {
    let mut monitor = monitor();
    hear(&mut monitor, [text(11, 1, "half"), user(12), text(12, 2, "and now this")]);
    assert_eq!(monitor.partial().unwrap().text, "half");
}

#[test]
fn what_an_earlier_attempt_ended_with_is_not_the_end_of_the_next() {
    let mut monitor = monitor();
    hear(&mut monitor, [text(11, 1, "half"), ended(11, "length")]);
    monitor.judge();
    assert_eq!(monitor.hear(Signal::Idle), Heard::Look);
    assert_eq!(complete(hear(&mut monitor, [text(12, 2, " done"), ended(12, "stop"), Signal::Idle])), "half done");
}

#[test]
fn the_error_of_an_earlier_attempt_that_is_told_late_is_not_the_next_ones() {
    let mut monitor = monitor();
    let failed = |n| {
        assistant(
            n,
            &json!({ "error": { "name": "APIError", "data": { "message": "words" } }, "time": { "completed": 2 } }),
        )
    };
    hear(&mut monitor, [failed(11)]);
    monitor.judge();
    hear(&mut monitor, [Signal::Error(error("APIError")), failed(11), Signal::Idle]);
    assert_eq!(failure(after_silence(&mut monitor, Vec::new())), (FailureKind::Error, ErrorClass::NoOutput));
    monitor.prompted();
    hear(&mut monitor, [Signal::Error(error("UnknownError"))]);
    assert_eq!(failure(after_silence(&mut monitor, Vec::new())), (FailureKind::Error, ErrorClass::Unknown));
}

#[test]
fn what_is_still_written_when_an_attempt_goes_on_is_judged_when_it_ends() {
    let mut monitor = monitor();
    hear(&mut monitor, [busy(), text(11, 1, "slow")]);
    monitor.judge();
    assert_eq!(complete(hear(&mut monitor, [ended(11, "stop"), Signal::Idle])), "slow");
}

#[test]
fn a_turn_that_ends_after_a_failed_tool_is_a_crash_and_names_it() {
    let mut monitor = monitor();
    let state = json!({ "status": "error", "error": "exploded" });
    let call = json!({ "id": "prt_000000000002", "type": "tool", "tool": "bash", "callID": "c", "state": state });
    hear(&mut monitor, [busy(), part_of(11, &call), ended(11, "tool-calls"), Signal::Idle]);
    let Reading::Failed(found) = after_silence(&mut monitor, Vec::new()) else { panic!("not failed") };
    assert_eq!((found.class, found.message.contains("bash: exploded")), (ErrorClass::ToolCrash, true));
}
