//! Whether a run goes round in a circle: the same tool with the same arguments gives the same result, again and again.

use crate::{
    engine::monitor::Signal,
    opencode::{Fingerprint, Part, PartId, ToolPart, ToolStatus},
};

/// The host's name for calls of tools that do not exist, and for those whose arguments do not parse.
pub const UNREADABLE: &str = "invalid";

/// What the host says of arguments that a tool does not take.
const UNFIT: &str = "called with invalid arguments";

/// What makes two calls the same.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Call {
    tool: String,
    input: Fingerprint,
    ended: ToolStatus,
    output: Fingerprint,
    error: Option<String>,
}

/// A circle that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circle {
    /// The tool that is called.
    pub tool: String,
    /// How often in a row.
    pub times: u32,
}

/// The guard of one run.
#[derive(Debug)]
pub struct Repeats {
    limit: u32,
    last: Option<Call>,
    times: u32,
    /// The parts of the row, so that a call is counted once however often the host tells of it.
    counted: Vec<PartId>,
}

impl Repeats {
    /// A guard that lets the same call give the same result fewer than `limit` times in a row; zero switches it off.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self { limit, last: None, times: 0, counted: Vec::new() }
    }

    /// Takes a signal in; a circle if that is what it shows.
    pub fn hear(&mut self, signal: &Signal) -> Option<Circle> {
        let Signal::Part(part) = signal else { return None };
        let Part::Tool(part) = part.as_ref() else { return None };
        if self.limit == 0 || !part.is_over() || self.counted.contains(&part.id) {
            return None;
        }
        let call = Call::of(part);
        if self.last.as_ref() == Some(&call) {
            self.times += 1;
        } else {
            (self.last, self.times) = (Some(call), 1);
            self.counted.clear();
        }
        self.counted.push(part.id.clone());
        (self.times >= self.limit).then(|| Circle { tool: part.tool.clone(), times: self.times })
    }
}

impl Call {
    fn of(part: &ToolPart) -> Self {
        let (tool, ended, error) = (part.tool.clone(), part.state.status, part.state.error.clone());
        // A call that cannot be made is wrong in ever new ways, and as good as the same.
        let unfit = tool == UNREADABLE || error.as_deref().is_some_and(|error| error.contains(UNFIT));
        if unfit {
            let none = Fingerprint::default();
            return Self { tool, ended, input: none, output: none, error: None };
        }
        Self { tool, ended, input: part.state.input, output: part.state.output, error }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn call(n: u32, tool: &str, state: &Value) -> Signal {
        let part = json!({
            "id": format!("prt_{n}"), "messageID": "msg_1", "sessionID": "ses_1", "type": "tool", "callID": "c",
            "tool": tool, "state": state,
        });
        Signal::Part(Box::new(serde_json::from_value(part).unwrap()))
    }

    fn done(n: u32, input: &str, output: &str) -> Signal {
        call(n, "bash", &json!({ "status": "completed", "input": { "command": input }, "output": output }))
    }

    fn count(signals: impl IntoIterator<Item = Signal>) -> usize {
        let mut guard = Repeats::new(3);
        signals.into_iter().filter(|signal| guard.hear(signal).is_some()).count()
    }

    #[test]
    fn the_same_call_with_the_same_result_is_a_circle_the_third_time() {
        let mut guard = Repeats::new(3);
        let circles: Vec<_> = (1..=4).map(|n| guard.hear(&done(n, "ls", "a"))).collect();
        let circle = |times| Some(Circle { tool: "bash".to_owned(), times });
        assert_eq!(circles, [None, None, circle(3), circle(4)]);
    }

    #[test]
    fn another_argument_result_or_tool_breaks_the_row() {
        let same = |n| done(n, "ls", "a");
        assert_eq!(count([same(1), same(2), done(3, "ls", "b"), same(4), same(5)]), 0);
        assert_eq!(count([same(1), same(2), done(3, "pwd", "a"), same(4), same(5)]), 0);
        let other = call(3, "read", &json!({ "status": "completed", "input": { "command": "ls" }, "output": "a" }));
        assert_eq!(count([same(1), same(2), other, same(4), same(5)]), 0);
        assert_eq!(count([same(1), same(2), same(3)]), 1);
    }

    #[test]
    fn a_call_counts_once_and_only_when_it_is_over() {
        let running = |n| call(n, "bash", &json!({ "status": "running", "input": { "command": "ls" } }));
        let same = |n| done(n, "ls", "a");
        assert_eq!(count([running(1), running(1), same(1), same(1), same(1), running(2), same(2)]), 0);
        assert_eq!(count([running(1), same(1), running(2), same(2), same(1), running(3), same(3)]), 1);
    }

    #[test]
    fn failing_alike_is_a_circle_and_so_are_arguments_that_never_fit() {
        let failed = |n, input: &str, error: &str| {
            call(n, "bash", &json!({ "status": "error", "input": { "command": input }, "error": error }))
        };
        assert_eq!(count((1..=3).map(|n| failed(n, "x", "no such file"))), 1);
        assert_eq!(count([failed(1, "x", "a"), failed(2, "x", "b"), failed(3, "x", "c")]), 0);
        let unfit = "The bash tool was called with invalid arguments: ";
        assert_eq!(count((1..=3).map(|n| failed(n, &n.to_string(), &format!("{unfit}{n}")))), 1);
        let unread = |n: u32| {
            let state = json!({ "status": "completed", "input": { "error": n }, "output": n.to_string() });
            call(n, UNREADABLE, &state)
        };
        assert_eq!(count((1..=3).map(unread)), 1);
    }

    #[test]
    fn without_a_limit_nothing_is_a_circle() {
        let mut guard = Repeats::new(0);
        assert!((0..100).all(|n| guard.hear(&done(n, "ls", "a")).is_none()));
    }
}
