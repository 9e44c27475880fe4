//! What a task's session does, read from signals: events as they come, and polls where events stay away.
//!
//! Pure: signals in, a [`Heard`] out. The rule it keeps: a run is complete only if the last assistant message after
//! the last prompt has a `finish` that is not a call for more steps, no error, and text. Idleness alone proves
//! nothing: an aborted, refused or lost run is idle too.

use std::collections::{BTreeMap, BTreeSet};

use super::failures;
use crate::{
    opencode::{
        AssistantInfo, Finish, Message, MessageId, MessageInfo, ModelRef, Part, PartId, ProviderError, Session,
        SessionStatus,
    },
    task::{DiffSummary, Failure, Outcome, Usage},
};

/// Answers in a row that end with the finish `unknown` after which the run is stopped. The host asks the model again
/// after each of them at once, for ever.
pub const UNKNOWN_ENDS: u32 = 10;

/// Quiet polls in a row after which silence is believed: the seed's figure.
pub const STABLE_POLLS: u8 = 3;

/// Something that was seen of a session.
#[derive(Debug, Clone)]
pub enum Signal {
    /// Its status changed.
    Status(SessionStatus),
    /// It went idle.
    Idle,
    /// An error was reported.
    Error(ProviderError),
    /// A message changed.
    Message(Box<MessageInfo>),
    /// A part of a message changed.
    Part(Box<Part>),
    /// The session's own record changed.
    Session(Box<Session>),
    /// The session is gone.
    Deleted,
    /// The stream of events broke or is back: something may not have been heard.
    Missed,
    /// A poll found it busy or not.
    Polled {
        /// Whether the host lists it as busy.
        busy: bool,
    },
}

/// What to do after a signal.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// Nothing.
    Nothing,
    /// Fetch the messages: the signals do not tell enough.
    Look,
    /// The run is over.
    Over(Reading),
}

/// What the messages say about the run.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// It gave a result.
    Complete(Outcome),
    /// It failed.
    Failed(Failure),
    /// Somebody stopped it.
    Aborted,
    /// It is not over.
    Open,
}

#[derive(Debug, Default)]
struct Turn {
    info: Option<AssistantInfo>,
    texts: BTreeMap<PartId, String>,
    /// The call that the user refused, and how.
    refused: Option<String>,
    /// The call that failed last, and how.
    failed: Option<String>,
    /// The calls at work, and of what.
    running: BTreeMap<PartId, String>,
}

/// Follows one run.
#[derive(Debug)]
pub struct Monitor {
    prompt: MessageId,
    last_user: MessageId,
    /// The last answer of an earlier attempt: it was judged then.
    judged: Option<MessageId>,
    turns: BTreeMap<MessageId, Turn>,
    /// Prompts after the first: what they say is no answer.
    prompts: BTreeSet<MessageId>,
    error: Option<ProviderError>,
    status: SessionStatus,
    diff: Option<DiffSummary>,
    /// Tool calls by their part: the host tells of a running one several times.
    tool_calls: BTreeSet<PartId>,
    quiet_polls: u8,
    unknown_ends: u32,
    /// Whether what was heard may have gaps: then the messages are fetched before the end is believed.
    missed: bool,
}

impl Monitor {
    /// Follows the run of this prompt.
    #[must_use]
    pub fn new(prompt: MessageId) -> Self {
        Self {
            last_user: prompt.clone(),
            prompt,
            judged: None,
            turns: BTreeMap::new(),
            prompts: BTreeSet::new(),
            error: None,
            status: SessionStatus::Idle,
            diff: None,
            tool_calls: BTreeSet::new(),
            quiet_polls: 0,
            unknown_ends: 0,
            missed: false,
        }
    }

    /// The prompt was taken by the host just now: a session that was idle before says nothing.
    pub fn prompted(&mut self) {
        self.quiet_polls = 0;
        self.missed = false;
    }

    /// The prompt is sent again, for the session to go on with it: that something was refused is no end.
    pub fn goes_on(&mut self) {
        self.prompted();
        self.status = SessionStatus::Busy;
        for turn in self.turns.values_mut() {
            turn.refused = None;
        }
    }

    /// Something is said in the session beside the prompt: what was answered before is no answer to it.
    pub fn said(&mut self, message: &MessageId) {
        self.turns.remove(message);
        self.prompts.insert(message.clone());
        if *message > self.last_user {
            self.last_user = message.clone();
        }
    }

    /// The run goes on after what was seen so far, none of which is its end any more.
    pub fn judge(&mut self) {
        let is_over = |turn: &Turn| turn.info.as_ref().is_some_and(|info| info.completed || info.error.is_some());
        self.judged = self.turns.iter().rfind(|(_, turn)| is_over(turn)).map(|(id, _)| id.clone());
        self.error = None;
        self.quiet_polls = 0;
    }

    /// Takes a signal in.
    pub fn hear(&mut self, signal: Signal) -> Heard {
        if !matches!(signal, Signal::Polled { .. }) {
            self.quiet_polls = 0;
        }
        match signal {
            Signal::Status(status) => self.status = status,
            Signal::Idle => {
                self.status = SessionStatus::Idle;
                return match self.reading() {
                    _ if self.missed => Heard::Look,
                    Reading::Open => Heard::Look,
                    reading => Heard::Over(reading),
                };
            }
            // What ended an earlier attempt may be told late.
            Signal::Error(error) if self.was_judged(&error) => {}
            Signal::Error(error) => self.error = Some(error),
            Signal::Message(info) => {
                if self.is_news(&info) {
                    // The host goes on after an error, as it does when it has summarised too long a session.
                    self.error = None;
                }
                self.message(*info);
                if self.unknown_ends >= UNKNOWN_ENDS {
                    return Heard::Over(Reading::Failed(failures::endless(self.unknown_ends)));
                }
            }
            Signal::Part(part) => self.part(*part),
            Signal::Session(session) => self.session(&session),
            Signal::Missed => self.missed = true,
            Signal::Deleted => return Heard::Over(Reading::Failed(failures::session_lost())),
            Signal::Polled { busy: true } => self.quiet_polls = 0,
            Signal::Polled { busy: false } => {
                self.quiet_polls = self.quiet_polls.saturating_add(1);
                return if self.quiet_polls >= STABLE_POLLS { Heard::Look } else { Heard::Nothing };
            }
        }
        Heard::Nothing
    }

    /// Takes in the session's newest messages, as fetched, and reads them. Call after [`Heard::Look`].
    pub fn look(&mut self, messages: Vec<Message>) -> Reading {
        self.missed = false;
        for message in messages {
            self.message(message.info);
            message.parts.into_iter().for_each(|part| self.part(part));
        }
        let reading = self.read(self.status == SessionStatus::Idle || self.quiet_polls >= STABLE_POLLS);
        if reading == Reading::Open
            && self.status == SessionStatus::Idle
            && let Some(what) = self.refused()
        {
            return Reading::Failed(failures::denied(Some(what)));
        }
        if reading == Reading::Open && self.quiet_polls >= STABLE_POLLS {
            // Idle over several polls, and no answer: the error, if one was seen, is why.
            return match &self.error {
                Some(error) if error.is_abort() => Reading::Aborted,
                Some(error) => Reading::Failed(failures::of_provider(error)),
                None if self.was_refused() => Reading::Failed(match self.failed_call() {
                    Some(what) => failures::tool_crash(what),
                    None => failures::denied(None),
                }),
                None => Reading::Failed(failures::no_answer()),
            };
        }
        reading
    }

    /// What the messages seen so far say.
    #[must_use]
    pub fn reading(&self) -> Reading {
        self.read(false)
    }

    /// The same; `idle` when the session is known to be. The host notes a message's `finish` a moment before its end:
    /// if it dies in between, the end never comes, and a finished message of an idle session is all there will be.
    fn read(&self, idle: bool) -> Reading {
        // Ids ascend with time; an answer to an earlier prompt is no answer to the last one.
        let Some((id, turn)) = self.last_answer() else { return Reading::Open };
        // A summary is the host's own, and somebody goes on from it.
        let Some(info) = turn.info.as_ref().filter(|info| !info.summary) else { return Reading::Open };
        if let Some(error) = &info.error {
            return if error.is_abort() { Reading::Aborted } else { Reading::Failed(failures::of_provider(error)) };
        }
        match &info.finish {
            None if info.completed => Reading::Aborted,
            None | Some(Finish::Tools | Finish::Unknown) => Reading::Open,
            Some(_) if !info.completed && !idle => Reading::Open,
            Some(Finish::Cut) => Reading::Failed(failures::cut_off()),
            Some(finish @ Finish::Last(_)) => {
                let text = self.text(id);
                if text.trim().is_empty() {
                    Reading::Failed(failures::no_output(finish))
                } else {
                    Reading::Complete(Outcome { text, usage: self.usage() })
                }
            }
        }
    }

    /// The last answer after the last prompt.
    fn last_answer(&self) -> Option<(&MessageId, &Turn)> {
        let (id, turn) = self.turns.iter().next_back()?;
        (*id > self.last_user && Some(id) > self.judged.as_ref()).then_some((id, turn))
    }

    /// The text of an answer, with the pieces before it that were cut off by the output limit.
    fn text(&self, answer: &MessageId) -> String {
        let mut pieces = Vec::new();
        for (id, turn) in self.turns.range(..=answer).rev() {
            let text = turn.text();
            if id == answer || turn.is_cut() {
                pieces.push(text);
            } else if !text.trim().is_empty() && !turn.is_summary() {
                break;
            }
        }
        pieces.reverse();
        pieces.concat()
    }

    /// Whether a tool of the latest answer is at work.
    #[must_use]
    pub fn is_in_tool(&self) -> bool {
        self.turns.values().next_back().is_some_and(|turn| !turn.running.is_empty())
    }

    /// Whether this one is.
    #[must_use]
    pub fn is_in(&self, tool: &str) -> bool {
        self.turns.values().next_back().is_some_and(|turn| turn.running.values().any(|running| running == tool))
    }

    /// The model that answered last.
    #[must_use]
    pub fn answered_by(&self) -> Option<&ModelRef> {
        self.turns.values().rev().filter(|turn| !turn.is_summary()).find_map(|turn| turn.info.as_ref()?.model.as_ref())
    }

    /// A number that changes with whatever is seen of answers: for whoever hears no events.
    #[must_use]
    pub fn extent(&self) -> usize {
        let of = |turn: &Turn| 1 + turn.running.len() + turn.text().len() + usize::from(turn.info.is_some());
        self.turns.values().map(of).sum::<usize>() + self.tool_calls.len()
    }

    /// Whether an error is that of an earlier attempt. One that comes again is told by the new answer as well.
    fn was_judged(&self, error: &ProviderError) -> bool {
        let judged = self.judged.as_ref().and_then(|id| self.turns.get(id)?.info.as_ref());
        judged.is_some_and(|info| info.error.as_ref() == Some(error))
    }

    /// Whether a session that is idle was stopped by a refusal: the host tells that by nothing but an end after tool
    /// calls.
    fn was_refused(&self) -> bool {
        let info = self.last_answer().and_then(|(_, turn)| turn.info.as_ref());
        info.is_some_and(|info| info.completed && info.error.is_none() && info.finish == Some(Finish::Tools))
    }

    /// What the user refused in the last turn: the host ends the turn there, with a `finish` that promises more.
    fn refused(&self) -> Option<&str> {
        self.last_answer()?.1.refused.as_deref()
    }

    /// The call of the last turn that failed.
    fn failed_call(&self) -> Option<&str> {
        self.last_answer()?.1.failed.as_deref()
    }

    /// What there is of a result, for a run that ends without one.
    #[must_use]
    pub fn partial(&self) -> Option<Outcome> {
        let spoke = |turn: &Turn| !turn.is_summary() && !turn.text().trim().is_empty();
        let last = self.turns.iter().rfind(|(_, turn)| spoke(turn));
        let (text, usage) = (last.map(|(id, _)| self.text(id)).unwrap_or_default(), self.usage());
        (!text.is_empty() || usage != Usage::default()).then_some(Outcome { text, usage })
    }

    /// What the run has used so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let mut usage = Usage { diff: self.diff, ..Usage::default() };
        for info in self.turns.values().filter_map(|turn| turn.info.as_ref()) {
            usage.add(info.tokens.into(), info.cost);
        }
        usage
    }

    /// What the host last said about the session.
    #[must_use]
    pub fn status(&self) -> &SessionStatus {
        &self.status
    }

    /// How many tool calls were seen.
    #[must_use]
    pub fn tool_calls(&self) -> usize {
        self.tool_calls.len()
    }

    fn message(&mut self, info: MessageInfo) {
        match info {
            MessageInfo::User(user) => self.said(&user.id),
            MessageInfo::Assistant(info) => {
                if info.id > self.prompt {
                    self.count_unknown(&info);
                    let turn = self.turns.entry(info.id.clone()).or_default();
                    turn.info = Some(info);
                }
            }
        }
    }

    fn is_news(&self, info: &MessageInfo) -> bool {
        matches!(info, MessageInfo::Assistant(info) if info.id > self.prompt && !self.turns.contains_key(&info.id))
    }

    fn count_unknown(&mut self, info: &AssistantInfo) {
        let seen = self.turns.get(&info.id).and_then(|turn| turn.info.as_ref()).and_then(|info| info.finish.as_ref());
        match (seen, &info.finish) {
            (None, Some(Finish::Unknown)) => self.unknown_ends += 1,
            (_, Some(Finish::Unknown) | None) => {}
            _ => self.unknown_ends = 0,
        }
    }

    fn part(&mut self, part: Part) {
        match part {
            Part::Text(part) if self.prompts.contains(&part.message_id) => {}
            Part::Text(part) if part.message_id > self.prompt && !part.synthetic => {
                self.turns.entry(part.message_id).or_default().texts.insert(part.id, part.text);
            }
            Part::Tool(part) if part.message_id > self.prompt => {
                let turn = self.turns.entry(part.message_id.clone()).or_default();
                if part.is_running() {
                    turn.running.insert(part.id.clone(), part.tool.clone());
                } else {
                    turn.running.remove(&part.id);
                }
                if let Some(error) = part.state.error {
                    let refused = is_refusal(&error);
                    let what = Some(format!("{}: {error}", part.tool));
                    *(if refused { &mut turn.refused } else { &mut turn.failed }) = what;
                }
                self.tool_calls.insert(part.id);
            }
            _ => {}
        }
    }

    fn session(&mut self, session: &Session) {
        self.diff = session.summary.map(DiffSummary::from).or(self.diff);
    }
}

/// Whether a tool failed because the user said no to a permission or a question: the host has only words for it.
fn is_refusal(error: &str) -> bool {
    error.contains("user rejected permission") || error.contains("user dismissed this question")
}

impl Turn {
    /// Whether the output limit cut it off.
    fn is_cut(&self) -> bool {
        self.info.as_ref().is_some_and(|info| info.finish == Some(Finish::Cut))
    }

    /// Whether it is the host's summary of the session.
    fn is_summary(&self) -> bool {
        self.info.as_ref().is_some_and(|info| info.summary)
    }

    /// The text parts, in their order.
    fn text(&self) -> String {
        let texts: Vec<_> = self.texts.values().map(String::as_str).filter(|text| !text.is_empty()).collect();
        texts.join("\n\n")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn prompt() -> MessageId {
        "msg_1fcf2da07001aaaaaaaaaaaaaa".parse().unwrap()
    }

    /// An answer to the prompt with one more part, as the host gives it.
    fn answer(info: Value, part: Value) -> Vec<Message> {
        let (id, session) = ("msg_1fcf2da08001aaaaaaaaaaaaaa", "ses_1");
        let mut message = json!({
            "info": { "id": id, "sessionID": session, "role": "assistant", "time": { "created": 1 } },
            "parts": [{ "id": "prt_1", "messageID": id, "sessionID": session }],
        });
        for (target, source) in [("/info", info), ("/parts/0", part)] {
            let target = message.pointer_mut(target).and_then(Value::as_object_mut).unwrap();
            target.extend(source.as_object().unwrap().clone());
        }
        vec![serde_json::from_value(message).unwrap()]
    }

    #[test]
    fn an_answer_whose_end_the_host_did_not_live_to_note_is_an_answer_once_the_session_is_idle() {
        let messages = || answer(json!({ "finish": "stop" }), json!({ "type": "text", "text": "done" }));
        let mut monitor = Monitor::new(prompt());
        monitor.hear(Signal::Status(SessionStatus::Busy));
        assert_eq!(monitor.look(messages()), Reading::Open);
        let mut monitor = Monitor::new(prompt());
        assert!(matches!(monitor.look(messages()), Reading::Complete(outcome) if outcome.text == "done"));
    }

    #[test]
    fn a_refusal_is_the_end_only_when_the_session_is_idle() {
        let error = "The user rejected permission to use this specific tool call.";
        let state = json!({ "status": "error", "error": error });
        let part = json!({ "type": "tool", "callID": "c", "tool": "bash", "state": state });
        let messages = || answer(json!({ "finish": "tool-calls" }), part.clone());
        let mut monitor = Monitor::new(prompt());
        monitor.hear(Signal::Status(SessionStatus::Busy));
        assert_eq!(monitor.look(messages()), Reading::Open);
        assert_eq!(monitor.hear(Signal::Idle), Heard::Look);
        let expected = failures::denied(Some(&format!("bash: {error}")));
        assert_eq!(monitor.look(messages()), Reading::Failed(expected));
    }
}
