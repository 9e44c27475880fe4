//! The decision about one task.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use super::{
    Limits,
    provider::{Passage, Provider, Why},
};
use crate::{
    store::{Elsewhere, Lane},
    task::{Priority, Timestamp},
};

/// Tasks of one lane that run in this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// Whether they are of the project that is asked for.
    pub same_project: bool,
    /// Their lane.
    pub lane: Lane,
    /// How many.
    pub count: u32,
}

/// How full the machine's memory is, or that of the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// In percent of what there is.
    pub used: u8,
    /// Above it nothing of low priority starts.
    pub low_mark: u8,
    /// Above it nothing starts while something runs.
    pub stop_mark: u8,
}

impl Memory {
    /// The usual mark for work of low priority, the seed's figure.
    pub const LOW: u8 = 80;
    /// The usual mark for everything.
    pub const STOP: u8 = 95;
}

/// What one task may do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Start; `probe` when it tries its provider out.
    Start {
        /// Whether it tries its provider out.
        probe: bool,
    },
    /// Wait.
    Wait(Reason),
}

/// Why a task waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A limit: of an agent, a model, a provider, the project, or of all.
    Full {
        /// What is full: the agent's or model's name, `project` or `all projects`.
        what: String,
        /// How many run.
        used: u32,
        /// How many may.
        limit: u32,
    },
    /// The provider lets nothing through until then.
    Provider {
        /// Its name.
        name: String,
        /// Why.
        why: Why,
        /// Until when.
        until: Timestamp,
    },
    /// Another task tries the provider out.
    Trial {
        /// The provider's name.
        name: String,
        /// Why it is tried.
        why: Why,
    },
    /// Another process has had its task wait for longer.
    Courtesy {
        /// Until when it may take the slot.
        until: Timestamp,
    },
    /// The memory is full.
    Memory {
        /// How full, in percent.
        used: u8,
        /// The mark that it is above.
        mark: u8,
    },
}

impl Reason {
    /// When the answer may be another one by time alone.
    #[must_use]
    pub fn until(&self, now: Timestamp) -> Option<Timestamp> {
        /// How often the memory is looked at while something waits for it.
        const MEMORY: Duration = Duration::from_secs(2);
        /// How often one looks whether whoever tries a provider out has died.
        const TRIAL: Duration = super::provider::PROBE;
        match self {
            Self::Full { .. } => None,
            Self::Provider { until, .. } | Self::Courtesy { until } => Some(*until),
            Self::Trial { .. } => Some(now.after(TRIAL)),
            Self::Memory { .. } => Some(now.after(MEMORY)),
        }
    }

    /// In words, as every face shows them after "waits: ".
    #[must_use]
    pub fn words(&self, now: Timestamp) -> String {
        match self {
            Self::Full { what, used, limit } => format!("{what} {used}/{limit}"),
            Self::Provider { name, why, until } => {
                let (clock, left) = (clock(*until), until.since(now).as_secs());
                format!("{name} {} until {clock} UTC ({left} s)", why.as_str())
            }
            Self::Trial { name, why } => format!("{name} {}: one task tries it out", why.as_str()),
            Self::Courtesy { .. } => "a task of another process that has waited for longer".to_owned(),
            Self::Memory { used, mark } => format!("memory {used} %, above {mark} %"),
        }
    }
}

/// The time of day of an instant.
fn clock(at: Timestamp) -> String {
    let seconds = at.millis() / 1_000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// All that a decision depends on.
#[derive(Debug, Clone)]
pub struct World<'a> {
    limits: &'a Limits,
    memory: Option<Memory>,
    providers: BTreeMap<String, Provider>,
    now: Timestamp,
    agents: HashMap<String, u32>,
    models: HashMap<String, u32>,
    project: u32,
    total: u32,
    /// Agents that have tasks waiting.
    wanting: HashSet<String>,
}

impl<'a> World<'a> {
    /// The world of one project's tasks; `elsewhere` are those of living processes.
    #[must_use]
    pub fn new(
        limits: &'a Limits,
        providers: BTreeMap<String, Provider>,
        own: &[Own],
        elsewhere: &[Elsewhere],
        memory: Option<Memory>,
        now: Timestamp,
    ) -> Self {
        let mut world = Self {
            limits,
            memory,
            providers,
            now,
            agents: HashMap::new(),
            models: HashMap::new(),
            project: 0,
            total: 0,
            wanting: HashSet::new(),
        };
        for Own { same_project, lane, count } in own {
            world.add(lane, *same_project, *count);
        }
        for Elsewhere { same_project, lane, count, .. } in elsewhere {
            world.add(lane, *same_project, *count);
        }
        world
    }

    /// An agent has a task that waits: its idle slots are not lent.
    pub fn wants(&mut self, agent: &str) {
        self.wanting.insert(agent.to_ascii_lowercase());
    }

    /// Counts a start of this project.
    pub fn start(&mut self, lane: &Lane) {
        self.add(lane, true, 1);
    }

    fn add(&mut self, lane: &Lane, same_project: bool, count: u32) {
        self.total += count;
        if same_project {
            self.project += count;
            *self.agents.entry(lane.agent.to_ascii_lowercase()).or_default() += count;
        }
        for name in lane.provider().into_iter().chain((!lane.model.is_empty()).then_some(lane.model.as_str())) {
            *self.models.entry(name.to_ascii_lowercase()).or_default() += count;
        }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// What is known of a provider, to be changed.
    pub fn provider(&mut self, name: &str) -> &mut Provider {
        self.providers.entry(name.to_owned()).or_default()
    }

    /// How many tasks of an agent run in the project, and how many may.
    #[must_use]
    pub fn usage(&self, agent: &str) -> (u32, u32) {
        let used = self.agents.get(&agent.to_ascii_lowercase()).copied().unwrap_or(0);
        let limit = self.limits.of(agent);
        let lent = if used >= limit.share.get() { self.lendable(agent) } else { 0 };
        (used, limit.max.get().min(limit.share.get().max(used.saturating_add(lent))))
    }

    /// How many slots other agents of the project leave idle, less those that are lent already.
    fn lendable(&self, borrower: &str) -> u32 {
        let borrower = borrower.to_ascii_lowercase();
        let used = |agent: &str| self.agents.get(agent).copied().unwrap_or(0);
        let idle: u32 = self
            .limits
            .agents
            .iter()
            .map(|(name, limit)| (name.to_ascii_lowercase(), limit))
            .filter(|(name, _)| *name != borrower && !self.wanting.contains(name))
            .map(|(name, limit)| limit.share.get().saturating_sub(used(&name)))
            .sum();
        let lent: u32 =
            self.agents.iter().map(|(name, used)| used.saturating_sub(self.limits.of(name).share.get())).sum();
        idle.saturating_sub(lent)
    }

    /// The limits that hold for a lane: the name of each, how many run, and how many may.
    pub(super) fn limits_of(&self, lane: &Lane) -> Vec<(Scope, String, u32, u32)> {
        let (used, limit) = self.usage(&lane.agent);
        let mut found = vec![(Scope::Agent, lane.agent.to_string(), used, limit)];
        for (name, limit) in self.limits.of_model(lane) {
            let scope = if lane.model == *name { Scope::Model } else { Scope::Provider };
            found.push((scope, name.to_owned(), self.of_model(name), limit));
        }
        if let Some(name) = lane.provider()
            && let Some(scale) = self.providers.get(name).and_then(Provider::scale)
        {
            found.push((Scope::Provider, format!("{name} (scaled down)"), self.of_model(name), scale));
        }
        if let Some(limit) = self.limits.project {
            found.push((Scope::Project, "project".to_owned(), self.project, limit.get()));
        }
        found.push((Scope::All, "all projects".to_owned(), self.total, self.limits.total.get()));
        found
    }

    fn of_model(&self, name: &str) -> u32 {
        self.models.get(&name.to_ascii_lowercase()).copied().unwrap_or(0)
    }

    /// What a task may do.
    #[must_use]
    pub fn decide(&self, lane: &Lane, priority: Priority) -> Decision {
        let passage = lane.provider().and_then(|name| Some((name, self.providers.get(name)?.passage(self.now))));
        let wait = match passage {
            Some((name, Passage::Closed { until, why })) => {
                Some(Reason::Provider { name: name.to_owned(), why, until })
            }
            Some((name, Passage::Tried { why, .. })) => Some(Reason::Trial { name: name.to_owned(), why }),
            _ => None,
        };
        let wait = wait.or_else(|| {
            let full = self.limits_of(lane).into_iter().find(|(_, _, used, limit)| used >= limit);
            full.map(|(_, what, used, limit)| Reason::Full { what, used, limit })
        });
        let wait = wait.or_else(|| {
            let Memory { used, low_mark, stop_mark } = self.memory?;
            let over = |mark: u8| (used > mark).then_some(Reason::Memory { used, mark });
            // What runs will end; where nothing does, waiting would help nobody.
            let stop = if self.total > 0 { over(stop_mark) } else { None };
            stop.or_else(|| if priority == Priority::Low { over(low_mark) } else { None })
        });
        match wait {
            Some(reason) => Decision::Wait(reason),
            None => Decision::Start { probe: matches!(passage, Some((_, Passage::Probe))) },
        }
    }
}

/// Whose tasks a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Agent,
    Model,
    Provider,
    Project,
    All,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        admission::{News, Setting},
        task::InstanceId,
    };

    const NOW: Timestamp = Timestamp(50_590_000);

    fn lane(agent: &str) -> Lane {
        Lane { agent: agent.into(), model: "p/m".into() }
    }

    fn limits(json: &str) -> Limits {
        serde_json::from_str(json).unwrap()
    }

    fn world<'a>(limits: &'a Limits, running: &[(&str, u32)]) -> World<'a> {
        let own: Vec<_> =
            running.iter().map(|(agent, count)| Own { same_project: true, lane: lane(agent), count: *count }).collect();
        World::new(limits, BTreeMap::new(), &own, &[], None, NOW)
    }

    fn full(world: &World<'_>, agent: &str) -> Option<String> {
        match world.decide(&lane(agent), Priority::Normal) {
            Decision::Start { .. } => None,
            Decision::Wait(reason) => Some(reason.words(NOW)),
        }
    }

    #[test]
    fn each_limit_holds_and_is_named() {
        for (json, running, words) in [
            (r#"{"agents": {"Worker": 2}}"#, &[("worker", 2)][..], "worker 2/2"),
            (r#"{"agents": {"worker": 2}}"#, &[("Worker", 1), ("WORKER", 1)], "worker 2/2"),
            (r#"{"models": {"p": 2}}"#, &[("other", 2)], "p 2/2"),
            (r#"{"models": {"P/M": 3}}"#, &[("other", 3)], "p/m 3/3"),
            (r#"{"project": 4}"#, &[("other", 4)], "project 4/4"),
            (r#"{"total": 5}"#, &[("other", 5)], "all projects 5/5"),
        ] {
            let limits = limits(json);
            assert_eq!(full(&world(&limits, running), "worker").as_deref(), Some(words));
            let mut fewer = running.to_vec();
            fewer[0].1 -= 1;
            assert_eq!(full(&world(&limits, &fewer), "worker"), None, "{json}");
        }
    }

    #[test]
    fn what_runs_in_other_processes_and_projects_counts_where_it_is_shared() {
        let limits = limits(r#"{"agents": {"worker": 2}, "models": {"p": 3}, "total": 4}"#);
        let elsewhere = |same_project, count| Elsewhere {
            same_project,
            lane: lane("worker"),
            home: InstanceId::new(NOW, &[1; 10]),
            count,
        };
        let world = |elsewhere: &[Elsewhere]| World::new(&limits, BTreeMap::new(), &[], elsewhere, None, NOW);
        assert_eq!(full(&world(&[elsewhere(true, 2)]), "worker").as_deref(), Some("worker 2/2"));
        assert_eq!(full(&world(&[elsewhere(false, 2)]), "worker"), None);
        assert_eq!(full(&world(&[elsewhere(false, 3)]), "worker").as_deref(), Some("p 3/3"));
        assert_eq!(full(&world(&[elsewhere(false, 4)]), "worker").as_deref(), Some("p 4/3"));
    }

    #[test]
    fn idle_slots_are_lent_up_to_the_borrowers_maximum() {
        let limits = limits(r#"{"agents": {"worker": {"share": 2, "max": 5}, "planner": 2, "reviewer": 2}}"#);
        assert_eq!(world(&limits, &[("worker", 2)]).usage("worker"), (2, 5));
        assert_eq!(world(&limits, &[("worker", 4), ("planner", 1)]).usage("worker"), (4, 5));
        // Four idle slots, of which three are lent: its maximum holds.
        assert_eq!(world(&limits, &[("worker", 5)]).usage("worker"), (5, 5));
        // Whoever wants its slots keeps them.
        let mut both = world(&limits, &[("worker", 2)]);
        both.wants("planner");
        assert_eq!(both.usage("worker"), (2, 4));
        both.wants("Reviewer");
        assert_eq!(both.usage("worker"), (2, 2));
        assert_eq!(full(&both, "worker").as_deref(), Some("worker 2/2"));
        // What is lent is not taken back: the lender's share is its own all the same.
        assert_eq!(full(&world(&limits, &[("worker", 5), ("planner", 1)]), "planner"), None);
    }

    #[test]
    fn a_closed_gate_and_a_trial_let_nothing_through_and_say_until_when() {
        let limits = Limits::default();
        let mut provider = Provider::default();
        let wait = Some(Duration::from_secs(12));
        provider.hear(News::Limited { wait, quota: false }, NOW, 1, 0.0, Setting::default(), NOW);
        let at = |now, provider: &Provider| {
            let providers = BTreeMap::from([("p".to_owned(), provider.clone())]);
            World::new(&limits, providers, &[], &[], None, now).decide(&lane("worker"), Priority::Normal)
        };
        let Decision::Wait(reason) = at(NOW, &provider) else { panic!("open") };
        assert_eq!(reason.words(NOW), "p rate limit until 14:03:22 UTC (12 s)");
        assert_eq!(reason.until(NOW), Some(NOW.after(Duration::from_secs(12))));
        let later = NOW.after(Duration::from_secs(12));
        assert_eq!(at(later, &provider), Decision::Start { probe: true });
        provider.probe(crate::task::TaskId::new(NOW, &[1; 10]), later);
        let Decision::Wait(reason) = at(later, &provider) else { panic!("open") };
        assert_eq!(reason.words(NOW), "p rate limit: one task tries it out");
        // Another provider is not concerned.
        let other = Lane { agent: "worker".into(), model: "q/m".into() };
        let providers = BTreeMap::from([("p".to_owned(), provider)]);
        let world = World::new(&limits, providers, &[], &[], None, NOW);
        assert_eq!(world.decide(&other, Priority::Normal), Decision::Start { probe: false });
    }

    #[test]
    fn a_provider_that_fails_bears_fewer() {
        let limits = Limits::default();
        let mut provider = Provider::default();
        for _ in 0..2 {
            provider.hear(News::Failed, NOW, 4, 0.0, Setting::default(), NOW);
        }
        let providers = BTreeMap::from([("p".to_owned(), provider)]);
        let own = [Own { same_project: true, lane: lane("worker"), count: 3 }];
        let world = World::new(&limits, providers, &own, &[], None, NOW);
        assert_eq!(full(&world, "worker").as_deref(), Some("p (scaled down) 3/3"));
    }

    #[test]
    fn full_memory_stops_low_work_first_and_all_only_while_something_runs() {
        let limits = Limits::default();
        let memory = |used| Some(Memory { used, low_mark: 80, stop_mark: 95 });
        let decide = |used, running, priority| {
            let own = [Own { same_project: true, lane: lane("worker"), count: running }];
            let world = World::new(&limits, BTreeMap::new(), &own, &[], memory(used), NOW);
            matches!(world.decide(&lane("worker"), priority), Decision::Start { .. })
        };
        assert!(decide(80, 1, Priority::Low) && !decide(81, 1, Priority::Low) && decide(81, 1, Priority::Normal));
        assert!(decide(95, 1, Priority::High) && !decide(96, 1, Priority::High) && decide(96, 0, Priority::High));
    }
}
