//! What is done with a prompt now.

use std::time::Duration;

use super::{Policy, Settings};

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask<'a> {
    /// To do something.
    Permission {
        /// The tool or kind of action.
        permission: &'a str,
        /// What it would be done to.
        patterns: &'a [String],
        /// Whether all of that lies in the task's own directory.
        own: bool,
    },
    /// Something of the user.
    Question,
}

/// What is done with a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is allowed, this once.
    Allow(Why),
    /// It is denied, and the agent is told to go on without it.
    Deny(Why),
    /// A person may answer for so long.
    Wait(Duration),
}

/// Why it was decided so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It concerns the task's own directory only.
    OwnDirectory,
    /// The user has listed it.
    Listed,
    /// The user's policy is not to be asked.
    Policy,
    /// Nobody can be asked here.
    Unattended,
    /// Nobody answered in time.
    Patience,
}

impl Why {
    /// Its name in the record.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OwnDirectory => "own directory",
            Self::Listed => "allow list",
            Self::Policy => "policy",
            Self::Unattended => "unattended",
            Self::Patience => "patience",
        }
    }
}

/// Decides about a prompt that has waited for `age`; `attended` says whether somebody can be asked.
#[must_use]
pub fn decide(settings: &Settings, ask: Ask<'_>, attended: bool, age: Duration) -> Decision {
    if let Ask::Permission { permission, patterns, own } = ask {
        if own && permission == "external_directory" {
            return Decision::Allow(Why::OwnDirectory);
        }
        if settings.policy != Policy::Deny && settings.lists(permission, patterns) {
            return Decision::Allow(Why::Listed);
        }
    }
    match settings.policy {
        Policy::AllowListed | Policy::Deny => Decision::Deny(Why::Policy),
        Policy::Ask if !attended => Decision::Deny(Why::Unattended),
        Policy::Ask => match settings.patience().checked_sub(age).filter(|left| !left.is_zero()) {
            Some(left) => Decision::Wait(left),
            None => Decision::Deny(Why::Patience),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::{super::Allowed, *};

    const NOW: Duration = Duration::ZERO;
    const LATER: Duration = Duration::from_secs(60);

    fn settings(policy: Policy, allow: &[(&str, &str)]) -> Settings {
        let allow = allow
            .iter()
            .map(|(permission, pattern)| Allowed { permission: (*permission).into(), pattern: (*pattern).into() });
        Settings { policy, allow: allow.collect(), patience: NonZeroU32::new(60).unwrap() }
    }

    /// What is decided of a permission at once, with somebody there.
    fn of(settings: &Settings, permission: &str, patterns: &[&str], own: bool) -> Decision {
        let patterns: Vec<_> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        decide(settings, Ask::Permission { permission, patterns: &patterns, own }, true, NOW)
    }

    #[test]
    fn a_person_is_asked_until_the_patience_ends_and_only_where_there_is_one() {
        let settings = settings(Policy::Ask, &[]);
        for ask in [Ask::Question, Ask::Permission { permission: "bash", patterns: &["x".to_owned()], own: false }] {
            assert_eq!(decide(&settings, ask, true, NOW), Decision::Wait(LATER));
            let almost = Duration::from_millis(59_999);
            assert_eq!(decide(&settings, ask, true, almost), Decision::Wait(Duration::from_millis(1)));
            assert_eq!(decide(&settings, ask, true, LATER), Decision::Deny(Why::Patience));
            assert_eq!(decide(&settings, ask, true, LATER * 2), Decision::Deny(Why::Patience));
            assert_eq!(decide(&settings, ask, false, NOW), Decision::Deny(Why::Unattended));
        }
    }

    #[test]
    fn who_does_not_want_to_be_asked_is_not() {
        for policy in [Policy::AllowListed, Policy::Deny] {
            let settings = settings(policy, &[]);
            assert_eq!(of(&settings, "bash", &["x"], false), Decision::Deny(Why::Policy));
            assert_eq!(decide(&settings, Ask::Question, true, NOW), Decision::Deny(Why::Policy));
        }
    }

    #[test]
    fn what_is_listed_is_allowed_but_under_deny() {
        for (policy, allowed) in [(Policy::Ask, true), (Policy::AllowListed, true), (Policy::Deny, false)] {
            let settings = settings(policy, &[("bash", "git *")]);
            let decided = of(&settings, "bash", &["git log", "git"], false);
            assert_eq!(decided == Decision::Allow(Why::Listed), allowed, "{policy:?}: {decided:?}");
        }
    }

    #[test]
    fn all_of_it_must_be_listed_and_under_its_own_name() {
        let settings = settings(Policy::AllowListed, &[("bash", "git *"), ("web*", "https://docs.rs/*")]);
        let no = Decision::Deny(Why::Policy);
        assert_eq!(of(&settings, "bash", &["git log", "rm -rf x"], false), no);
        assert_eq!(of(&settings, "edit", &["git log"], false), no);
        assert_eq!(of(&settings, "webfetch", &["https://docs.rs/x"], false), Decision::Allow(Why::Listed));
        assert_eq!(of(&settings, "webfetch", &["https://evil.example/?https://docs.rs/"], false), no);
        // That nothing is named must not mean that nothing has to be listed.
        assert_eq!(of(&settings, "bash", &[], false), no);
    }

    #[test]
    fn what_names_nothing_needs_everything() {
        let settings = settings(Policy::AllowListed, &[("bash", "*")]);
        assert_eq!(of(&settings, "bash", &[], false), Decision::Allow(Why::Listed));
        assert_eq!(of(&settings, "edit", &[], false), Decision::Deny(Why::Policy));
    }

    #[test]
    fn the_own_directory_is_allowed_under_every_policy_and_nothing_else_for_it() {
        for policy in [Policy::Ask, Policy::AllowListed, Policy::Deny] {
            let settings = settings(policy, &[]);
            let own = of(&settings, "external_directory", &["/w/*"], true);
            assert_eq!(own, Decision::Allow(Why::OwnDirectory));
            assert_ne!(of(&settings, "external_directory", &["/w/*"], false), own);
            assert!(!matches!(of(&settings, "bash", &["rm /w/*"], true), Decision::Allow(_)));
        }
    }

    proptest! {
        /// Whatever is set and asked: nothing waits beyond its time, nor where nobody is, and nothing is allowed that
        /// is neither listed nor the task's own.
        #[test]
        fn nothing_hangs_and_nothing_is_given_away(
            policy in prop_oneof![Just(Policy::Ask), Just(Policy::AllowListed), Just(Policy::Deny)],
            listed in proptest::collection::vec(("[ab*]{1,2}", "[ab*]{1,2}"), 0..3),
            permission in "[ab]{1,2}",
            patterns in proptest::collection::vec("[ab]{1,2}", 0..3),
            attended: bool,
            seconds in 0_u64..120,
        ) {
            let allow: Vec<_> = listed.iter().map(|(name, pattern)| (name.as_str(), pattern.as_str())).collect();
            let settings = settings(policy, &allow);
            let age = Duration::from_secs(seconds);
            let ask = Ask::Permission { permission: &permission, patterns: &patterns, own: false };
            match decide(&settings, ask, attended, age) {
                Decision::Wait(left) => prop_assert!(attended && policy == Policy::Ask && age + left == LATER),
                Decision::Allow(why) => prop_assert!(why == Why::Listed && !listed.is_empty() && policy != Policy::Deny),
                Decision::Deny(Why::Patience) => prop_assert!(age >= LATER),
                Decision::Deny(_) => {}
            }
        }
    }
}
