//! Slots: the right to run one task of an agent.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Deserialize;

/// How many tasks of one agent may run at once, in one process and project.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// For every agent that is not named.
    pub default: NonZeroU32,
    /// For single agents, by name.
    pub agents: BTreeMap<String, NonZeroU32>,
}

impl Default for Limits {
    /// Ten of each agent, the seed's figure for workers.
    fn default() -> Self {
        Self { default: NonZeroU32::new(10).unwrap_or(NonZeroU32::MIN), agents: BTreeMap::new() }
    }
}

impl Limits {
    /// The limit of an agent.
    #[must_use]
    pub fn of(&self, agent: &str) -> u32 {
        self.agents.get(agent).copied().unwrap_or(self.default).get()
    }
}

/// The slots of one project.
#[derive(Clone)]
pub struct Slots {
    shared: Arc<Shared>,
}

struct Shared {
    limits: Limits,
    used: Mutex<HashMap<String, u32>>,
    freed: Box<dyn Fn() + Send + Sync>,
}

/// A taken slot. Dropping it, on whatever path, gives it back.
pub struct Slot {
    shared: Arc<Shared>,
    agent: String,
}

impl Slots {
    /// Empty slots; `freed` is called after each return, so that waiting work is looked at again.
    #[must_use]
    pub fn new(limits: Limits, freed: impl Fn() + Send + Sync + 'static) -> Self {
        Self { shared: Arc::new(Shared { limits, used: Mutex::default(), freed: Box::new(freed) }) }
    }

    /// Takes a slot of `agent`, if one is free.
    #[must_use]
    pub fn take(&self, agent: &str) -> Option<Slot> {
        let mut used = self.shared.used();
        let count = used.entry(agent.to_owned()).or_default();
        if *count >= self.shared.limits.of(agent) {
            return None;
        }
        *count += 1;
        Some(Slot { shared: Arc::clone(&self.shared), agent: agent.to_owned() })
    }

    /// Taken slots and limit of an agent.
    #[must_use]
    pub fn usage(&self, agent: &str) -> (u32, u32) {
        (self.shared.used().get(agent).copied().unwrap_or(0), self.shared.limits.of(agent))
    }
}

impl Shared {
    /// The counts. A panic elsewhere cannot leave them half changed, so a poisoned lock is used as it is.
    fn used(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        {
            let mut used = self.shared.used();
            if let Some(count) = used.get_mut(&self.agent) {
                *count -= 1;
                if *count == 0 {
                    used.remove(&self.agent);
                }
            }
        }
        (self.shared.freed)();
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots").field("limits", &self.shared.limits).finish_non_exhaustive()
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slot").field(&self.agent).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn slots(of_a: u32) -> (Slots, Arc<AtomicU32>) {
        let freed = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&freed);
        let limits = Limits {
            default: NonZeroU32::new(1).unwrap(),
            agents: BTreeMap::from([("a".to_owned(), NonZeroU32::new(of_a).unwrap())]),
        };
        let slots = Slots::new(limits, move || {
            seen.fetch_add(1, Ordering::SeqCst);
        });
        (slots, freed)
    }

    #[test]
    fn each_agent_has_its_own_limit() {
        let (slots, _) = slots(2);
        let held = [slots.take("a"), slots.take("a"), slots.take("b")];
        assert!(held.iter().all(Option::is_some));
        assert!(slots.take("a").is_none() && slots.take("b").is_none());
        assert_eq!((slots.usage("a"), slots.usage("c")), ((2, 2), (0, 1)));
    }

    #[test]
    fn a_slot_comes_back_on_drop_and_on_panic() {
        let (slots, freed) = slots(1);
        drop(slots.take("a"));
        let moved = slots.take("a");
        let panicked = std::thread::spawn(move || {
            let _slot = moved;
            panic!("a runner dies");
        });
        assert!(panicked.join().is_err());
        assert_eq!(slots.usage("a"), (0, 1));
        assert_eq!(freed.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_limit_of_zero_does_not_parse() {
        assert!(serde_json::from_str::<Limits>(r#"{"default": 0}"#).is_err());
        assert!(serde_json::from_str::<Limits>(r#"{"agents": {"a": 0}}"#).is_err());
        assert!(serde_json::from_str::<Limits>(r#"{"agent": {"a": 1}}"#).is_err());
    }
}
