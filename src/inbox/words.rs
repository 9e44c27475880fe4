//! The words that go with an answer, and a prompt in one line.

use std::time::Duration;

use super::{Ask, Why};
use crate::fault::floor;

/// What the agent is told of a denial, so that it goes on. The host shows it as what the user said.
#[must_use]
pub fn for_agent(ask: Ask<'_>, why: Why, patience: Duration) -> String {
    let reason = match why {
        Why::Patience => format!("Nobody answered this within {} s.", patience.as_secs()),
        Why::Unattended => "This run is unattended: nobody can answer this.".to_owned(),
        Why::OwnDirectory | Why::Listed | Why::Policy => "The user does not want to be asked this by tasks.".to_owned(),
    };
    let then = match ask {
        Ask::Permission { .. } => {
            "It is not allowed. Do not try it again or another way round it: go on without it, and say in your result \
             what you could not do."
        }
        Ask::Question => {
            "This is no answer of a person. Decide by yourself what is safe, or go on without it, and say in your result \
             what you assumed."
        }
    };
    format!("{reason} {then}")
}

/// A text in one line of at most `limit` bytes, without what would steer a terminal.
#[must_use]
pub fn one_line(text: &str, limit: usize) -> String {
    let shown: String = text.chars().map(|char| if steers(char) { ' ' } else { char }).collect();
    let line = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.len() <= limit {
        return line;
    }
    let kept = floor(&line, limit);
    // Whoever allows something must know that they do not see all of it.
    format!("{}… [{} bytes more]", &line[..kept], line.len() - kept)
}

/// Whether a character steers a terminal, or turns the direction of what follows: an answer is given by what is seen.
fn steers(char: char) -> bool {
    char.is_control() || matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_told_why_and_that_it_goes_on() {
        let patterns = ["x".to_owned()];
        let permission = Ask::Permission { permission: "bash", patterns: &patterns, own: false };
        let text = for_agent(permission, Why::Patience, Duration::from_secs(300));
        assert!(text.starts_with("Nobody answered this within 300 s. It is not allowed.") && text.contains("go on"));
        let text = for_agent(Ask::Question, Why::Unattended, Duration::from_secs(300));
        assert!(text.starts_with("This run is unattended") && text.contains("no answer of a person"), "{text}");
        assert!(for_agent(permission, Why::Policy, Duration::ZERO).contains("does not want to be asked"));
    }

    #[test]
    fn hostile_texts_become_one_short_line() {
        assert_eq!(one_line("a\n\u{1b}[2J  b\t", 100), "a [2J b");
        assert_eq!(one_line("ls \u{202e}x/ fr- mr", 100), "ls x/ fr- mr");
        assert_eq!(one_line(&"é".repeat(100), 9), "éééé… [192 bytes more]");
    }
}
