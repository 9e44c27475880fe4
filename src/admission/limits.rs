//! How many tasks may run at once: of an agent, on a model, in a project, in all.

use std::{collections::BTreeMap, num::NonZeroU32};

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::store::Lane;

/// How many tasks of one agent may run at once in a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// Its own slots.
    pub share: NonZeroU32,
    /// The most it may have with slots that other agents leave idle; never less than its own.
    pub max: NonZeroU32,
}

impl Limit {
    /// A limit without borrowing.
    #[must_use]
    pub const fn hard(slots: NonZeroU32) -> Self {
        Self { share: slots, max: slots }
    }
}

impl<'de> Deserialize<'de> for Limit {
    /// From a number, or from `{"share": …, "max": …}`.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Pair {
            share: NonZeroU32,
            max: NonZeroU32,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(NonZeroU32),
            Pair(Pair),
        }
        let wrong = || de::Error::custom("expected a number above 0, or {\"share\": …, \"max\": …} of such numbers");
        match Either::deserialize(deserializer).map_err(|_: D::Error| wrong())? {
            Either::Number(slots) => Ok(Self::hard(slots)),
            Either::Pair(Pair { share, max }) if share <= max => Ok(Self { share, max }),
            Either::Pair(_) => Err(de::Error::custom("`max` is below `share`")),
        }
    }
}

/// What a user has set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// For every agent that is not named.
    pub default: Limit,
    /// For single agents, by name; upper and lower case are the same.
    pub agents: BTreeMap<String, Limit>,
    /// For single providers (`anthropic`) and models (`anthropic/claude-x`), over all projects and processes; upper and
    /// lower case are the same.
    pub models: BTreeMap<String, NonZeroU32>,
    /// For the project as a whole.
    pub project: Option<NonZeroU32>,
    /// For all projects and processes together.
    pub total: NonZeroU32,
}

const fn number(value: u32) -> NonZeroU32 {
    match NonZeroU32::new(value) {
        Some(value) => value,
        None => NonZeroU32::MIN,
    }
}

impl Default for Limits {
    /// Ten of each agent, the seed's figure for workers; fifty in all.
    fn default() -> Self {
        Self {
            default: Limit::hard(number(10)),
            agents: BTreeMap::new(),
            models: BTreeMap::new(),
            project: None,
            total: number(50),
        }
    }
}

/// What was changed while things ran. It is kept in the store, and wins over what a user has set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Overrides {
    /// As [`Limits::agents`]; of one project.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub agents: BTreeMap<String, Limit>,
    /// As [`Limits::models`]; of all projects.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, NonZeroU32>,
    /// As [`Limits::project`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<NonZeroU32>,
    /// As [`Limits::total`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<NonZeroU32>,
}

impl Limits {
    /// The limits with what the store says was changed: a project's own, and that of all.
    #[must_use]
    pub fn as_changed(&self, settings: &[Option<String>; 2]) -> Self {
        let [own, all] = settings.each_ref().map(|body| {
            let read = |body: &String| serde_json::from_str::<Overrides>(body).ok();
            body.as_ref().and_then(read).unwrap_or_default()
        });
        self.with(&all).with(&own)
    }

    /// The limit of an agent.
    #[must_use]
    pub fn of(&self, agent: &str) -> Limit {
        get(&self.agents, agent).copied().unwrap_or(self.default)
    }

    /// The limits of a lane's provider and of its model, as far as there are any, each with its name.
    pub fn of_model<'a>(&'a self, lane: &'a Lane) -> impl Iterator<Item = (&'a str, u32)> {
        let names = lane.provider().into_iter().chain((!lane.model.is_empty()).then_some(lane.model.as_str()));
        names.filter_map(|name| Some((name, get(&self.models, name)?.get())))
    }

    /// The limits with what was changed since.
    #[must_use]
    pub fn with(&self, changed: &Overrides) -> Self {
        let mut limits = self.clone();
        for (name, limit) in &changed.agents {
            set(&mut limits.agents, name, Some(*limit));
        }
        for (name, limit) in &changed.models {
            set(&mut limits.models, name, Some(*limit));
        }
        limits.project = changed.project.or(limits.project);
        limits.total = changed.total.unwrap_or(limits.total);
        limits
    }
}

/// The entry of a name, whatever its case.
fn get<'a, V>(map: &'a BTreeMap<String, V>, name: &str) -> Option<&'a V> {
    map.get(name).or_else(|| map.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

/// Sets or removes the entry of a name, whatever its case was.
fn set<V>(map: &mut BTreeMap<String, V>, name: &str, value: Option<V>) {
    map.retain(|known, _| !known.eq_ignore_ascii_case(name));
    map.extend(value.map(|value| (name.to_owned(), value)));
}

impl Overrides {
    /// Sets the limit of an agent, or forgets it.
    pub fn set_agent(&mut self, name: &str, limit: Option<Limit>) {
        set(&mut self.agents, name, limit);
    }

    /// Sets the limit of a provider or model, or forgets it.
    pub fn set_model(&mut self, name: &str, limit: Option<NonZeroU32>) {
        set(&mut self.models, name, limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Limits, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn a_limit_is_a_number_or_a_share_and_a_maximum_and_never_zero() {
        let limits = read(r#"{"default": 3, "agents": {"Worker": {"share": 2, "max": 6}}}"#).unwrap();
        assert_eq!(limits.of("build"), Limit::hard(number(3)));
        assert_eq!(limits.of("worker"), Limit { share: number(2), max: number(6) });
        for wrong in [
            r#"{"default": 0}"#,
            r#"{"agents": {"a": 0}}"#,
            r#"{"agents": {"a": {"share": 3, "max": 2}}}"#,
            r#"{"agents": {"a": {"share": 3}}}"#,
            r#"{"models": {"p": 0}}"#,
            r#"{"total": 0}"#,
            r#"{"agent": {"a": 1}}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_was_changed_wins_whatever_the_case() {
        let limits = read(r#"{"agents": {"Worker": 4}, "models": {"P/m": 2}, "total": 9}"#).unwrap();
        let mut changed = Overrides::default();
        changed.set_agent("worker", Some(Limit::hard(number(1))));
        changed.set_model("p", Some(number(5)));
        changed.project = Some(number(7));
        let limits = limits.with(&changed);
        assert_eq!((limits.of("WORKER").max.get(), limits.total.get()), (1, 9));
        assert_eq!(limits.project, Some(number(7)));
        let lane = Lane { agent: "x".into(), model: "p/m".into() };
        assert_eq!(limits.of_model(&lane).collect::<Vec<_>>(), [("p", 5), ("p/m", 2)]);
        let json = serde_json::to_string(&changed).unwrap();
        assert_eq!(serde_json::from_str::<Overrides>(&json).unwrap(), changed);
    }
}
