//! The spawn guard: how many tasks one person's session may bring about, how fast, and none twice.

use std::{fmt::Write, num::NonZeroU32};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::{
    store::Brood,
    task::{TaskId, TaskSpec},
};

/// The option `spawn`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct SpawnLimits {
    /// The most tasks below one person's session, ended ones included.
    pub tree: NonZeroU32,
    /// The most tasks that are launched there in a minute.
    pub per_minute: NonZeroU32,
}

impl Default for SpawnLimits {
    /// A full batch a minute, and five of them in all: far above what people do, far below what a loop does.
    fn default() -> Self {
        let number = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        Self { tree: number(1_000), per_minute: number(200) }
    }
}

/// Why a launch is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There are too many already.
    Tree {
        /// How many there are.
        have: u64,
        /// How many there may be.
        most: u32,
    },
    /// Too many were launched just now.
    Rate {
        /// How many there were in the last minute.
        have: u64,
        /// How many there may be.
        most: u32,
    },
    /// One of them is under way already.
    Duplicate {
        /// Its place in the batch.
        at: usize,
        /// The one that is under way.
        of: TaskId,
    },
}

impl SpawnLimits {
    /// Whether a batch may be launched, given by fingerprints; one without may be a repetition.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn check(&self, brood: &Brood, batch: &[Option<String>]) -> Result<(), Refusal> {
        let more = batch.len() as u64;
        let duplicate = batch.iter().enumerate().find_map(|(at, fingerprint)| {
            let of = brood.open.get(fingerprint.as_ref()?)?;
            Some(Refusal::Duplicate { at, of: *of })
        });
        if let Some(duplicate) = duplicate {
            return Err(duplicate);
        }
        if brood.all + more > u64::from(self.tree.get()) {
            return Err(Refusal::Tree { have: brood.all, most: self.tree.get() });
        }
        if brood.lately + more > u64::from(self.per_minute.get()) {
            return Err(Refusal::Rate { have: brood.lately, most: self.per_minute.get() });
        }
        Ok(())
    }
}

/// What makes two tasks the same work: agent, model, directory, what they wait for, and the words of the prompt
/// without regard to the space between them.
#[must_use]
pub fn fingerprint(spec: &TaskSpec) -> String {
    let model = spec.model.as_ref().map(ToString::to_string).unwrap_or_default();
    let mut awaited: Vec<String> = spec.depends_on.iter().map(ToString::to_string).collect();
    awaited.sort_unstable();
    let mut hash = Sha256::new();
    // A byte that none of them holds keeps them apart.
    for part in [spec.agent.as_str(), &model, &spec.directory, &awaited.join(" ")] {
        hash.update(part.as_bytes());
        hash.update([0xff]);
    }
    for word in spec.prompt.split_whitespace() {
        hash.update(word.as_bytes());
        hash.update([b' ']);
    }
    hash.finalize().iter().take(16).fold(String::with_capacity(32), |mut hex, byte| {
        // Writing to a string does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        store::fixture::{id, spec},
        task::ModelChoice,
    };

    fn limits(tree: u32, per_minute: u32) -> SpawnLimits {
        SpawnLimits { tree: NonZeroU32::new(tree).unwrap(), per_minute: NonZeroU32::new(per_minute).unwrap() }
    }

    #[test]
    fn space_does_not_make_a_prompt_another_and_everything_else_does() {
        let same = TaskSpec { prompt: " do \n\tit ".to_owned(), title: "other".to_owned(), ..spec() };
        assert_eq!(fingerprint(&same), fingerprint(&spec()));
        let model = ModelChoice { provider: "p".into(), model: "m".into(), variant: None };
        for other in [
            TaskSpec { prompt: "doit".to_owned(), ..spec() },
            TaskSpec { agent: "plan".into(), ..spec() },
            TaskSpec { directory: "/project/a".into(), ..spec() },
            TaskSpec { model: Some(model), ..spec() },
            TaskSpec { depends_on: vec![id(1)], ..spec() },
        ] {
            assert_ne!(fingerprint(&other), fingerprint(&spec()), "{other:?}");
        }
    }

    #[test]
    fn a_repetition_is_not_a_duplicate() {
        let brood = Brood { open: HashMap::from([("a".to_owned(), id(7))]), ..Brood::default() };
        let batch = [Some("b".to_owned()), Some("a".to_owned())];
        assert_eq!(limits(9, 9).check(&brood, &batch), Err(Refusal::Duplicate { at: 1, of: id(7) }));
        assert_eq!(limits(9, 9).check(&brood, &[None, Some("b".to_owned())]), Ok(()));
    }

    proptest! {
        #[test]
        fn no_launch_leads_beyond_a_limit_and_none_within_is_refused(
            all in 0..30_u64, lately in 0..30_u64, more in 0..30_usize, tree in 1..40_u32, per_minute in 1..40_u32,
        ) {
            let brood = Brood { all, lately, ..Brood::default() };
            let within = all + more as u64 <= u64::from(tree) && lately + more as u64 <= u64::from(per_minute);
            prop_assert_eq!(limits(tree, per_minute).check(&brood, &vec![None; more]).is_ok(), within);
        }
    }
}
