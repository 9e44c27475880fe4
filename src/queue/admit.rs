//! Who of the queue may start: the same decision as in a host.

use std::collections::{BTreeMap, HashSet};

use crate::{
    admission::{Chosen, Left, Limits, Memory, Own, Provider, World, choose, keep_living},
    config::Config,
    store::{Home, Queue, Scheduler, Wanted},
    sys::memory::MemoryGauge,
    task::{Run, Task, TaskId, Timestamp},
};

/// How many candidates of each agent are looked at.
const DEPTH: u32 = 64;

/// The limits of a configuration.
pub fn limits(config: &Config) -> Limits {
    let mut limits = Limits::default();
    if let Some(slots) = config.queue.slots {
        limits.default = crate::admission::Limit::hard(slots);
    }
    limits.project = config.queue.project;
    let named = config.agents.iter().filter_map(|(name, agent)| Some((name.clone(), agent.slots?)));
    limits.agents = named.map(|(name, slots)| (name, crate::admission::Limit::hard(slots))).collect();
    limits
}

/// What may start now. `own` are tasks that were given to supervisors which have not claimed them yet.
pub fn look(home: &Home, limits: &Limits, mut queue: Queue, own: &[Own], left: &mut Left, now: Timestamp) -> Chosen {
    keep_living(home, &mut queue);
    let limits = limits.as_changed(&queue.limits);
    let providers = queue.providers.iter().map(|(name, body)| (name.clone(), Provider::read(body))).collect();
    let memory = Some(Memory { used: MemoryGauge::default().used(), low_mark: Memory::LOW, stop_mark: Memory::STOP });
    let mut world = World::new(&limits, providers, own, &queue.running, memory, now);
    choose(&queue, &mut world, &HashSet::new(), left)
}

/// Lets one task start, if it may.
pub struct One<'a> {
    home: &'a Home,
    limits: &'a Limits,
    task: TaskId,
    now: Timestamp,
}

impl<'a> One<'a> {
    /// For this task.
    pub fn new(home: &'a Home, limits: &'a Limits, task: TaskId, now: Timestamp) -> Self {
        Self { home, limits, task, now }
    }

    fn may(&self, mut queue: Queue) -> bool {
        queue.candidates.retain(|candidate| candidate.id == self.task);
        // Whoever sent us has left its slot to others already, or has not.
        queue.heads.clear();
        let chosen = look(self.home, self.limits, queue, &[], &mut BTreeMap::new(), self.now);
        !chosen.start.is_empty()
    }
}

impl Scheduler for One<'_> {
    fn wanted(&self) -> Wanted {
        Wanted { only: Some(self.task), ..Wanted::first(u32::MAX) }
    }

    fn wants(&mut self, queue: Queue) -> bool {
        self.may(queue)
    }

    fn choose(&mut self, queue: Queue) -> Vec<TaskId> {
        if self.may(queue) { vec![self.task] } else { Vec::new() }
    }

    fn run(&mut self, task: &Task) -> Option<Run> {
        Some(task.run.clone().unwrap_or_else(Run::of_program))
    }

    fn providers(&mut self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// What a look at the whole queue wants to see.
pub fn wanted() -> Wanted {
    Wanted::first(DEPTH)
}
