//! Agents that the host knows.

use std::collections::BTreeMap;

use serde::{Deserialize, de::IgnoredAny};

use super::{message::ModelRef, number::or_default, permission::Rule};

/// Where an agent may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgentMode {
    /// For sessions of a user.
    Primary,
    /// For sessions launched by another.
    Subagent,
    /// For both, and what a mode unknown here is taken for.
    #[default]
    #[serde(other)]
    All,
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Agent {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// Where it may be used.
    #[serde(default)]
    pub mode: AgentMode,
    /// Whether it is the host's own helper, such as the one that writes titles.
    #[serde(default, deserialize_with = "or_default")]
    pub hidden: bool,
    /// The model configured for it.
    #[serde(default)]
    pub model: Option<ModelRef>,
    /// The variant configured for it.
    #[serde(default)]
    pub variant: Option<String>,
    /// Its rules.
    #[serde(default, deserialize_with = "or_default")]
    pub permission: Vec<Rule>,
}

/// Providers with their models, of which only the names are read.
#[derive(Deserialize)]
pub(in crate::opencode) struct Providers {
    providers: Vec<Provider>,
}

#[derive(Deserialize)]
struct Provider {
    id: String,
    #[serde(default)]
    #[expect(clippy::zero_sized_map_values, reason = "the host sends a map, of which only the names are read")]
    models: BTreeMap<String, IgnoredAny>,
}

impl Providers {
    /// Every model, by provider and name.
    pub(in crate::opencode) fn models(self) -> Vec<ModelRef> {
        let of = |Provider { id, models }| {
            models.into_keys().map(move |model_id| ModelRef { provider_id: String::clone(&id), model_id })
        };
        self.providers.into_iter().flat_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_list_is_read() {
        let agents: Vec<Agent> = serde_json::from_str(include_str!("../fixtures/agents.json")).unwrap();
        let named = |name: &str| agents.iter().find(|agent| agent.name == name).unwrap();
        assert_eq!((named("build").mode, named("build").hidden), (AgentMode::Primary, false));
        assert_eq!(named("general").mode, AgentMode::Subagent);
        assert!(named("title").hidden);
        assert!(!named("build").permission.is_empty());
        let text = r#"{"name":"a","mode":"newer","model":{"providerID":"p","modelID":"m"},"variant":"high"}"#;
        let agent: Agent = serde_json::from_str(text).unwrap();
        assert_eq!(agent.mode, AgentMode::All);
        assert_eq!(agent.model, Some(ModelRef { provider_id: "p".to_owned(), model_id: "m".to_owned() }));
    }

    #[test]
    fn of_providers_only_the_names_of_their_models_are_read() {
        let text = r#"{"providers":[{"id":"p","options":{"apiKey":"secret"},"models":{"b/c":{"id":"b/c"},"a":{}}}]}"#;
        let models = serde_json::from_str::<Providers>(text).unwrap().models();
        let names: Vec<_> = models.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["p/a", "p/b/c"]);
    }
}
