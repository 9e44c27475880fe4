//! The decision for a whole queue.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use super::decide::{Decision, Reason, Scope, World};
use crate::{
    store::{Candidate, Head, Home, Lane, Queue, instance},
    task::{InstanceId, TaskId, Timestamp},
};

/// How many candidates of each lane are looked at: more than ever start at once.
pub const DEPTH: u32 = 64;

/// How long a slot is left to a task of another process that has waited for longer. Its process is woken by the commit
/// that freed the slot; one that does not take it in this time is kept from it by something else.
pub const COURTESY: Duration = Duration::from_secs(2);

/// How much earlier a task stands whose parent has others running: the provider has most of their prompt in its cache.
/// Less than the head start of a priority, and bounded, so that the cold ones have their turn.
const WARM: Duration = Duration::from_secs(30);

/// Which tasks of other processes a slot has been left to, and since when.
pub type Left = BTreeMap<(InstanceId, Lane, Timestamp), Timestamp>;

/// What a choice came to.
#[derive(Debug, Clone, Default)]
pub struct Chosen {
    /// What starts, in its order.
    pub start: Vec<Candidate>,
    /// Providers that are tried out by one of them.
    pub tried: Vec<String>,
    /// Why the first of each lane that does not start waits.
    pub waits: Vec<(Candidate, Reason)>,
    /// When another choice may come out differently by time alone.
    pub next: Option<Timestamp>,
}

/// Leaves out what dead processes had: they hold no slot and wait for none.
pub fn keep_living(home: &Home, queue: &mut Queue) {
    let homes: HashSet<_> =
        queue.running.iter().map(|one| one.home).chain(queue.heads.iter().map(|head| head.home)).collect();
    let alive: HashSet<_> = homes.into_iter().filter(|one| instance::is_alive(home, *one)).collect();
    queue.running.retain(|one| alive.contains(&one.home));
    queue.heads.retain(|head| alive.contains(&head.home));
}

/// Chooses what starts. `warm` are the sessions whose tasks run here. `left` is what was left to others so far.
pub fn choose(queue: &Queue, world: &mut World<'_>, warm: &HashSet<String>, left: &mut Left) -> Chosen {
    let now = world.now();
    for head in queue.heads.iter().filter(|head| head.same_project) {
        world.wants(&head.lane.agent);
    }
    for candidate in &queue.candidates {
        world.wants(&candidate.lane.agent);
    }
    left.retain(|(home, lane, place), _| {
        queue.heads.iter().any(|head| head.home == *home && head.lane == *lane && head.place == *place)
    });
    let mut order: Vec<_> = queue.candidates.iter().collect();
    order.sort_by_key(|candidate| {
        let place = if warm.contains(&candidate.parent) { candidate.place.before(WARM) } else { candidate.place };
        (place, candidate.seq)
    });
    let mut chosen = Chosen::default();
    let mut full: HashSet<(&Lane, bool)> = HashSet::new();
    for candidate in order {
        let lane = &*candidate.lane;
        // What holds for one of a lane holds for those behind it; only the memory asks for the priority.
        let is_low = candidate.priority == crate::task::Priority::Low;
        if full.contains(&(lane, is_low)) {
            continue;
        }
        let reason = match world.decide(lane, candidate.priority) {
            Decision::Start { probe } => match courtesy(queue, world, candidate, left) {
                None => {
                    if probe && let Some(provider) = lane.provider() {
                        world.provider(provider).probe(candidate.id, now);
                        chosen.tried.push(provider.to_owned());
                    }
                    world.start(lane);
                    chosen.start.push(candidate.clone());
                    continue;
                }
                Some(reason) => reason,
            },
            Decision::Wait(reason) => reason,
        };
        chosen.next = chosen.next.into_iter().chain(reason.until(now)).min();
        full.insert((lane, is_low));
        chosen.waits.push((candidate.clone(), reason));
    }
    chosen
}

/// Whether the last free slots are for tasks of other processes that stand before this one.
fn courtesy(queue: &Queue, world: &World<'_>, candidate: &Candidate, left: &mut Left) -> Option<Reason> {
    let now = world.now();
    let key = |head: &Head| (head.home, head.lane.clone(), head.place);
    for (scope, _, used, limit) in world.limits_of(&candidate.lane) {
        let counts = |head: &&Head| {
            head.place < candidate.place
                && match scope {
                    Scope::Agent => head.same_project && head.lane.agent.eq_ignore_ascii_case(&candidate.lane.agent),
                    Scope::Model => head.lane.model.eq_ignore_ascii_case(&candidate.lane.model),
                    Scope::Provider => head.lane.provider() == candidate.lane.provider(),
                    Scope::Project => head.same_project,
                    Scope::All => true,
                }
        };
        let before: Vec<_> = queue
            .heads
            .iter()
            .filter(counts)
            .filter(|head| left.get(&key(head)).is_none_or(|since| now < since.after(COURTESY)))
            // One that may not start itself is not waited for.
            .filter(|head| matches!(world.decide(&head.lane, candidate.priority), Decision::Start { .. }))
            .collect();
        if before.len() >= limit.saturating_sub(used) as usize && !before.is_empty() {
            let since: Vec<_> = before.into_iter().map(|head| *left.entry(key(head)).or_insert(now)).collect();
            let until = since.into_iter().min().unwrap_or(now).after(COURTESY);
            return Some(Reason::Courtesy { until });
        }
    }
    None
}

/// The task of a wait.
impl Chosen {
    /// Why a task waits, as far as it is its turn; those behind the first of a lane wait for the same.
    #[must_use]
    pub fn reason(&self, lane: &Lane, id: TaskId) -> Option<&Reason> {
        let of_lane = || self.waits.iter().filter(|(candidate, _)| *candidate.lane == *lane);
        of_lane().find(|(candidate, _)| candidate.id == id).or_else(|| of_lane().next()).map(|(_, reason)| reason)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{admission::Limits, task::Priority};

    const NOW: Timestamp = Timestamp(10_000_000);

    fn candidate(n: u8, agent: &str, place: i64, parent: &str) -> Candidate {
        Candidate {
            id: TaskId::new(Timestamp(1), &[n; 10]),
            lane: Arc::new(Lane { agent: agent.into(), ..Lane::default() }),
            priority: Priority::Normal,
            place: Timestamp(place),
            seq: n.into(),
            parent: parent.to_owned(),
        }
    }

    fn choose_at(queue: &Queue, limits: &str, now: Timestamp, left: &mut Left) -> Chosen {
        let limits: Limits = serde_json::from_str(limits).unwrap();
        let mut world = World::new(&limits, BTreeMap::new(), &[], &[], None, now);
        choose(queue, &mut world, &HashSet::from(["warm".to_owned()]), left)
    }

    fn ids(chosen: &Chosen) -> Vec<u8> {
        chosen.start.iter().map(|candidate| candidate.id.to_string().bytes().last().unwrap() - b'0').collect()
    }

    #[test]
    fn the_first_in_place_start_and_one_full_lane_does_not_hold_up_another() {
        let of = |n, agent| candidate(n, agent, i64::from(n), "s");
        let queue = Queue { candidates: vec![of(4, "b"), of(3, "a"), of(2, "a"), of(1, "a")], ..Queue::default() };
        let chosen = choose_at(&queue, r#"{"default": 2}"#, NOW, &mut Left::new());
        assert_eq!(ids(&chosen), [1, 2, 4]);
        let (waits, reason) = &chosen.waits[0];
        assert_eq!((waits.id, reason.words(NOW)), (queue.candidates[1].id, "a 2/2".to_owned()));
        assert_eq!((chosen.waits.len(), chosen.next), (1, None));
        assert_eq!(chosen.reason(&queue.candidates[1].lane, queue.candidates[1].id), Some(reason));
    }

    #[test]
    fn warm_work_goes_first_among_its_like_and_no_further() {
        let second = 1_000;
        for (behind, first) in [(29, 2), (31, 1)] {
            let queue = Queue {
                candidates: vec![candidate(1, "a", 0, "cold"), candidate(2, "a", behind * second, "warm")],
                ..Queue::default()
            };
            assert_eq!(ids(&choose_at(&queue, r#"{"default": 1}"#, NOW, &mut Left::new())), [first]);
        }
    }

    #[test]
    fn the_last_slot_is_left_to_who_has_waited_for_longer_elsewhere_but_not_for_ever() {
        let head = |place, agent: &str| Head {
            same_project: true,
            lane: Lane { agent: agent.into(), ..Lane::default() },
            home: InstanceId::new(NOW, &[1; 10]),
            place: Timestamp(place),
        };
        let queue = |heads| Queue { candidates: vec![candidate(5, "a", 50, "s")], heads, ..Queue::default() };
        let one = r#"{"default": 1}"#;
        let mut left = Left::new();
        let chosen = choose_at(&queue(vec![head(40, "a")]), one, NOW, &mut left);
        assert!(chosen.start.is_empty());
        assert_eq!(chosen.next, Some(NOW.after(COURTESY)));
        // It did not take it.
        assert_eq!(ids(&choose_at(&queue(vec![head(40, "a")]), one, NOW.after(COURTESY), &mut left)), [5]);
        // The next of that process is left its turn again.
        assert!(choose_at(&queue(vec![head(41, "a")]), one, NOW.after(COURTESY), &mut left).start.is_empty());
        // Whoever stands behind, waits for another limit, or leaves a slot over, is no reason to wait.
        for (heads, limits) in
            [(vec![head(60, "a")], one), (vec![head(40, "b")], one), (vec![head(40, "a")], r#"{"default": 2}"#)]
        {
            assert_eq!(ids(&choose_at(&queue(heads), limits, NOW, &mut Left::new())), [5]);
        }
    }
}
