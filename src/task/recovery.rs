//! What follows each class of error: one table, from which `docs/recovery.md` is printed, and what a task remembers of
//! its failed attempts.

use serde::{Deserialize, Serialize};

use super::{ErrorClass, ModelChoice, attempt::MAX_ATTEMPTS};

/// Where the next attempt goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the session of the failed one, which knows what was done.
    Same,
    /// In a new session.
    New,
}

/// How long the next attempt waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// Not at all.
    None,
    /// One second, then twice as long each time.
    Doubling,
}

/// What Sortie says in a session beside the prompt. The words of each are the engine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Nothing was heard of the agent for long.
    Nudge,
    /// Its answer was cut off by the output limit.
    CutOff,
    /// Its session was too long, and is compacted before this is said.
    Compacted,
    /// A tool of its last step failed and the host ended the turn.
    ToolCrashed,
}

/// What follows a class of error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The class.
    pub class: ErrorClass,
    /// What is put into it.
    pub met: &'static str,
    /// How often a task may fail of it and be tried again; its own number of attempts bounds it as well.
    pub tries: u32,
    /// How long the next attempt waits, unless it is another model's.
    pub pause: Pause,
    /// Where it goes on.
    pub place: Place,
    /// What the agent is told there instead of the prompt.
    pub says: Option<Why>,
    /// Whether the next model of the agent's chain takes over, if there is one; that is an attempt beyond `tries`.
    pub next_model: bool,
    /// What a person can do about it.
    pub remedy: &'static str,
}

/// A rule for what is final.
const fn last(class: ErrorClass, met: &'static str, remedy: &'static str) -> Rule {
    Rule { class, met, tries: 0, pause: Pause::None, place: Place::Same, says: None, next_model: false, remedy }
}

/// A rule for what passes by itself.
const fn passes(class: ErrorClass, met: &'static str, tries: u32, remedy: &'static str) -> Rule {
    Rule { tries, pause: Pause::Doubling, ..last(class, met, remedy) }
}

/// As often as a task has attempts.
const ALWAYS: u32 = MAX_ATTEMPTS - 1;

/// The table. Each class stands in it once.
pub const RULES: [Rule; 18] = [
    Rule {
        next_model: true,
        ..passes(
            ErrorClass::RateLimit,
            "The provider asks for patience (429) longer than OpenCode tries itself.",
            ALWAYS,
            "Lower `limits`, or give the agent a `fallback`.",
        )
    },
    Rule {
        next_model: true,
        ..last(
            ErrorClass::Quota,
            "The account has no credit left (402, `insufficient_quota`). Without another model the task waits, a minute at \
             first and then longer, until it is answered again.",
            "Top up the account, or give the agent a `fallback`.",
        )
    },
    passes(ErrorClass::Network, "The connection to the provider or to OpenCode broke.", ALWAYS, "Check the network."),
    Rule {
        next_model: true,
        ..passes(
            ErrorClass::Provider,
            "The provider failed on its side (5xx).",
            ALWAYS,
            "Wait, or give the agent a `fallback`.",
        )
    },
    Rule {
        next_model: true,
        ..last(
            ErrorClass::Auth,
            "The provider refused the credentials (401, 403).",
            "Log in again with `opencode auth login`.",
        )
    },
    Rule {
        tries: 2,
        says: Some(Why::Compacted),
        ..last(
            ErrorClass::ContextOverflow,
            "The session is too long for the model, and OpenCode could not make room itself.",
            "Cut the task into smaller ones.",
        )
    },
    Rule {
        tries: 2,
        says: Some(Why::CutOff),
        ..last(
            ErrorClass::OutputLimit,
            "The answer was cut off by the model's output limit. The pieces are one result; one that stays cut off counts \
             as it is.",
            "Ask for a shorter answer, or for files instead of words.",
        )
    },
    last(
        ErrorClass::Refused,
        "The provider's content filter blocked the answer.",
        "Word the task differently, or choose another model.",
    ),
    last(
        ErrorClass::Invalid,
        "The provider or OpenCode refused the request as wrong.",
        "The message says what is wrong.",
    ),
    passes(
        ErrorClass::Parse,
        "What the provider answered could not be read.",
        2,
        "Update OpenCode, or choose another model.",
    ),
    Rule {
        place: Place::New,
        ..passes(ErrorClass::SessionLost, "The session was deleted.", ALWAYS, "Leave the sessions of tasks alone.")
    },
    Rule {
        place: Place::New,
        ..passes(
            ErrorClass::NoOutput,
            "The agent ended without a word.",
            ALWAYS,
            "Say in the prompt what the result is to be.",
        )
    },
    Rule {
        tries: 1,
        says: Some(Why::ToolCrashed),
        ..last(
            ErrorClass::ToolCrash,
            "OpenCode ended the turn because a tool failed.",
            "The message names the tool; see OpenCode's log.",
        )
    },
    passes(
        ErrorClass::Stall,
        "Nothing was heard of the session for the time of `stall`, and after a nudge for as long again.",
        2,
        "Look at the session; raise `stall` if the work is only slow.",
    ),
    last(
        ErrorClass::Loop,
        "The agent did the same over and over with the same result.",
        "Look at the session; raise `repeats` if that is how it has to work.",
    ),
    last(ErrorClass::Aborted, "Somebody stopped the turn.", "Try it again with `sortie_retry`."),
    last(
        ErrorClass::Limit,
        "The task ran into its time limit or a budget, or was refused a permission.",
        "Give it more time (`timeout`, `sortie_extend`), more of the budget (`/budget`), or the permission.",
    ),
    last(ErrorClass::Unknown, "Anything else.", "See the message and the log in Sortie's home."),
];

/// The rule of a class.
#[must_use]
pub fn rule(class: ErrorClass) -> &'static Rule {
    // The last one is that of what is not known, and a test sees to it that no class is missing.
    RULES.iter().find(|rule| rule.class == class).unwrap_or(&RULES[RULES.len() - 1])
}

/// Something that is said in a task's session beside its prompt. Its ids are stored before it is sent, as the prompt's
/// are: sending it again is harmless.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// What for.
    pub why: Why,
    /// The id of its message.
    pub message: String,
    /// The id of its text part.
    pub part: String,
}

/// What a task remembers of its failed attempts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Recovery {
    /// What they failed of, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<ErrorClass>,
    /// The model of its agent's chain that it has gone over to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelChoice>,
    /// What is to be said in its session when it goes on, instead of what was said last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub says: Option<Why>,
    /// What was said in its session beside the prompt, oldest first. The last is what the agent is to answer now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<Word>,
}

impl Recovery {
    /// Whether there is nothing to remember.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// How often the task has failed of a class.
    #[must_use]
    pub fn failed_of(&self, class: ErrorClass) -> u32 {
        u32::try_from(self.failures.iter().filter(|failed| **failed == class).count()).unwrap_or(u32::MAX)
    }

    /// Whether this was said in the present session.
    #[must_use]
    pub fn has_said(&self, why: Why) -> bool {
        self.words.iter().any(|word| word.why == why)
    }
}

/// The model after the present one: the first of the chain that comes after it and is not the task's own. None when
/// the chain is used up.
#[must_use]
pub fn next_model(chain: &[ModelChoice], own: Option<&ModelChoice>, now: Option<&ModelChoice>) -> Option<ModelChoice> {
    let same = |a: &ModelChoice, b: &ModelChoice| a.provider == b.provider && a.model == b.model;
    // A model that is no more in the chain was taken out of it by its user: the chain begins anew.
    let from = now.and_then(|now| chain.iter().position(|model| same(model, now))).map_or(0, |at| at + 1);
    chain[from..].iter().find(|model| ![own, now].into_iter().flatten().any(|used| same(used, model))).cloned()
}

/// The table as `docs/recovery.md` shows it.
#[must_use]
pub fn page() -> String {
    use std::fmt::Write;
    let mut page = String::from(
        "# Recovery\n\nPrinted from `src/task/recovery.rs`. What follows each class of error that an attempt ends with. \
         `sortie_status` names the class behind the reason.\n\n\"Again\" is how often a task may fail of the class and be \
         tried again; the task's own number of retries bounds it as well. Doubling pauses are 1, 2, 4 and 8 s, and up to a \
         quarter longer. Where there is a next model in the agent's `fallback`, it takes over at once, in the same \
         session, also when \"again\" is 0.\n\n| class | when | again | pause | session | the agent is told | next model | \
         what you can do |\n|---|---|---|---|---|---|---|---|\n",
    );
    for rule in &RULES {
        let tried = rule.tries > 0;
        let pause = match rule.pause {
            Pause::Doubling if tried => "doubling",
            _ => "none",
        };
        let place = match rule.place {
            _ if !tried && !rule.next_model => "",
            Place::Same => "same",
            Place::New => "new",
        };
        let says = match rule.says {
            None => "",
            Some(Why::Nudge) => "to go on or say what it waits for",
            Some(Why::CutOff) => "to go on where it was cut off",
            Some(Why::Compacted) => "to go on, after a compaction",
            Some(Why::ToolCrashed) => "to go on without that tool or in another way",
        };
        let next = if rule.next_model { "yes" } else { "" };
        let pause = if tried { pause } else { "" };
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {pause} | {place} | {says} | {next} | {} |",
            rule.class.as_str(),
            rule.met,
            rule.tries,
            rule.remedy
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(name: &str) -> ModelChoice {
        ModelChoice { provider: "p".into(), model: name.into(), variant: None }
    }

    #[test]
    fn every_class_has_its_rule_and_each_only_one() {
        for class in ErrorClass::ALL {
            assert_eq!(RULES.iter().filter(|rule| rule.class == *class).count(), 1, "{class:?}");
            assert!(rule(*class).met.ends_with('.') && rule(*class).remedy.ends_with('.'), "{class:?}");
        }
        assert_eq!((RULES.len(), RULES[RULES.len() - 1].class), (ErrorClass::ALL.len(), ErrorClass::Unknown));
    }

    #[test]
    fn what_is_said_is_said_in_a_session_that_knows_the_rest() {
        for rule in &RULES {
            assert!(rule.says.is_none() || rule.place == Place::Same, "{:?}", rule.class);
            assert!(rule.tries < MAX_ATTEMPTS, "{:?}", rule.class);
        }
    }

    #[test]
    fn a_chain_is_walked_once_without_the_tasks_own_model() {
        let chain = [model("a"), model("own"), model("b")];
        let own = model("own");
        let first = next_model(&chain, Some(&own), None).unwrap();
        let second = next_model(&chain, Some(&own), Some(&first)).unwrap();
        assert_eq!((first, second.clone()), (model("a"), model("b")));
        assert_eq!(next_model(&chain, Some(&own), Some(&second)), None);
        assert_eq!(next_model(&chain, None, Some(&model("gone"))), Some(model("a")));
        assert_eq!(next_model(&[], Some(&own), None), None);
        assert_eq!(next_model(&[model("own")], Some(&own), None), None);
    }

    #[test]
    fn the_page_is_the_printed_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/recovery.md");
        if std::env::var_os("SORTIE_BLESS").is_some() {
            std::fs::write(path, page()).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(path).unwrap(),
            page(),
            "run this test with SORTIE_BLESS=1 to print it anew"
        );
    }
}
