//! How the commander's latest turn stands, read from its session's newest messages.

use crate::{
    mission::Turn,
    opencode::{Message, MessageInfo, Part},
};

/// Reads the turn. Summaries of a compaction are the host's: neither a prompt nor an answer.
pub fn read(messages: &[Message]) -> Turn {
    let mut turn = Turn::default();
    for message in messages {
        match &message.info {
            MessageInfo::User(user) => {
                let texts: Vec<_> = message
                    .parts
                    .iter()
                    .filter_map(|part| match part {
                        Part::Text(text) if !text.ignored => Some(text),
                        _ => None,
                    })
                    .collect();
                // A note that the model does not see, or the mark of a compaction.
                if texts.is_empty() {
                    continue;
                }
                turn.answered = false;
                turn.trouble = None;
                // Ours begin with our mark; the host's own go with a turn that has begun.
                let is_ours = texts.iter().all(|text| text.synthetic || text.text.starts_with("<sortie-"));
                if !is_ours {
                    turn.person = Some(user.id.to_string());
                }
            }
            MessageInfo::Assistant(answer) if !answer.summary => {
                turn.answered =
                    answer.error.is_none() && answer.finish.as_ref().is_some_and(|finish| !finish.goes_on());
                // An aborted message proves nothing: a host that leaves makes them too.
                let error = answer.error.as_ref().filter(|error| !error.is_abort());
                turn.trouble = error.map(|error| format!("{}: {}", error.name, error.message));
            }
            MessageInfo::Assistant(_) => {}
        }
    }
    turn
}
