//! Which models may take over from an agent's own, and that the host can use them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{models, project::Project, service::Attachment};
use crate::{
    fault::{Code, Fault},
    opencode::ClientError,
    task::ModelChoice,
};

/// The chain of agents that have none of their own.
const DEFAULT: &str = "default";

/// Chains of models by agent: `{"build": ["provider/model", …], "default": […]}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct Fallback(BTreeMap<String, Vec<String>>);

impl Fallback {
    /// Whether every entry is written as a model.
    ///
    /// # Errors
    /// [`Code::BadOptions`], naming the entry.
    pub fn check(&self) -> Result<(), Fault> {
        for (agent, models) in &self.0 {
            for (at, text) in models.iter().enumerate() {
                if ModelChoice::parse(text).is_none() {
                    let message = format!("option `fallback.{agent}[{at}]`: `{text}` is not `provider/model`");
                    return Err(Fault::new(Code::BadOptions, message));
                }
            }
        }
        Ok(())
    }

    /// An agent's chain.
    #[must_use]
    pub fn of(&self, agent: &str) -> Vec<ModelChoice> {
        self.entry(agent)
            .map(|(_, models)| models.iter().filter_map(|text| ModelChoice::parse(text)).collect())
            .unwrap_or_default()
    }

    /// An agent's chain as it was written, and under which name.
    fn entry(&self, agent: &str) -> Option<(&str, &[String])> {
        let own = self.0.get_key_value(agent).or_else(|| self.0.get_key_value(DEFAULT));
        own.map(|(name, models)| (name.as_str(), models.as_slice())).filter(|(_, models)| !models.is_empty())
    }
}

/// What is wrong with the chains of these agents: the first model that the host cannot use. The host is asked only if
/// there is a chain.
///
/// # Errors
/// The host's answer.
pub async fn check<'a>(
    project: &Project,
    agents: impl IntoIterator<Item = &'a str>,
) -> Result<Option<String>, ClientError> {
    let mut chains: Vec<_> = agents.into_iter().filter_map(|agent| project.options.fallback.entry(agent)).collect();
    chains.sort_unstable();
    chains.dedup();
    if chains.is_empty() {
        return Ok(None);
    }
    let known = project.client().models(&project.directory()).await?;
    let is_known = |text: &str| ModelChoice::parse(text).is_some_and(|choice| models::knows(&known, &choice));
    let mut entries =
        chains.iter().flat_map(|(name, models)| models.iter().enumerate().map(move |(at, text)| (name, at, text)));
    let Some((name, at, text)) = entries.find(|(_, _, text)| !is_known(text)) else { return Ok(None) };
    Ok(Some(format!(
        "option `fallback.{name}[{at}]`: `{text}` is no model of OpenCode's, which has {}",
        models::names(&known)
    )))
}

impl Attachment {
    /// Checks the chains of these agents before anything is launched.
    ///
    /// # Errors
    /// [`Code::BadOptions`], naming the entry, or the host's answer.
    pub async fn check_fallback(&self, agents: impl IntoIterator<Item = &str>) -> Result<(), Fault> {
        match check(&self.project, agents).await? {
            None => Ok(()),
            Some(problem) => Err(Fault::new(Code::BadOptions, problem)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Fallback {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn an_agent_has_its_own_chain_or_that_of_all() {
        let chains = read(r#"{"build": ["p/a/b", "q/c"], "plan": [], "default": ["d/e"]}"#);
        let names = |agent: &str| -> Vec<_> {
            chains.of(agent).into_iter().map(|choice| format!("{} {}", choice.provider, choice.model)).collect()
        };
        assert_eq!(names("build"), ["p a/b", "q c"]);
        assert_eq!(names("general"), ["d e"]);
        assert_eq!(names("plan"), [""; 0], "an empty chain is one as well");
        assert_eq!(Fallback::default().of("build"), []);
    }

    #[test]
    fn what_is_not_written_as_a_model_is_named() {
        for text in ["model", "/model", "provider/", ""] {
            let fault = read(&format!(r#"{{"build": ["p/a", "{text}"]}}"#)).check().unwrap_err();
            assert!(fault.code == Code::BadOptions && fault.message.contains("`fallback.build[1]`"), "{fault}");
        }
        assert!(read(r#"{"build": ["p/a"]}"#).check().is_ok());
    }
}
