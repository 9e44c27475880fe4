//! The models that the host can use.

use crate::{opencode::ModelRef, task::ModelChoice};

/// How many of them a message names at most.
const NAMED: usize = 20;

/// Whether a model is one of them.
#[must_use]
pub fn knows(known: &[ModelRef], choice: &ModelChoice) -> bool {
    known.iter().any(|model| model.provider_id == choice.provider && model.model_id == choice.model)
}

/// Their names for a message; of many the first.
#[must_use]
pub fn names(known: &[ModelRef]) -> String {
    let names: Vec<_> = known.iter().take(NAMED).map(ToString::to_string).collect();
    let more = if known.len() > names.len() { " and others" } else { "" };
    format!("{}{more}", names.join(", "))
}
