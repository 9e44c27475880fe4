//! A simulation of several processes that share their limits and providers, in virtual time, with deaths and storms.
//!
//! `SORTIE_SIM_ROUNDS` sets how many scenarios are played, `SORTIE_SIM_SEED` the first of their seeds, and
//! `SORTIE_SIM_TASKS` how many tasks the large one has.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use fastrand::Rng;

use crate::admission::{Left, Limit, Limits, News, Own, Passage, Provider, Setting, World, choose};
use crate::{
    store::{Candidate, Elsewhere, Head, Lane, Queue},
    task::{InstanceId, Priority, TaskId, Timestamp},
};

/// Seeds that have failed once.
const REGRESSIONS: [u64; 0] = [];

/// A scenario that has not ended by then never will.
const END: Timestamp = Timestamp(200 * 3_600 * 1_000);

const AGENTS: [&str; 4] = ["planner", "worker", "reviewer", "other"];
const MODELS: [&str; 3] = ["p/small", "p/large", "q/one"];

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Pending { from: Timestamp },
    Running { next: Timestamp, steps: u32, since: Timestamp, asked: bool },
    Ended,
}

struct SimTask {
    id: TaskId,
    seq: i64,
    home: usize,
    lane: Arc<Lane>,
    priority: Priority,
    launched: Timestamp,
    parent: String,
    state: State,
    steps: u32,
}

impl SimTask {
    fn place(&self) -> Timestamp {
        self.launched.before(self.priority.head_start())
    }

    fn is_waiting(&self, now: Timestamp) -> bool {
        self.launched <= now && matches!(self.state, State::Pending { from } if from <= now)
    }

    fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }
}

struct Process {
    id: InstanceId,
    project: usize,
    dies: Option<Timestamp>,
    alive: bool,
    left: Left,
}

/// While it lasts a provider refuses what it is asked.
struct Storm {
    provider: &'static str,
    from: Timestamp,
    to: Timestamp,
    news: News,
}

struct Sim {
    rng: Rng,
    now: Timestamp,
    limits: Limits,
    tasks: Vec<SimTask>,
    processes: Vec<Process>,
    providers: BTreeMap<String, Provider>,
    storms: Vec<Storm>,
    /// When a process looks by time alone.
    wakes: Vec<Timestamp>,
    /// Why tasks wait, by process, for failures.
    waits: Vec<Vec<(Candidate, crate::admission::Reason)>>,
    /// Requests that met a storm.
    refused: u32,
}

fn bytes(n: usize) -> [u8; 10] {
    let mut bytes = [0; 10];
    bytes[2..].copy_from_slice(&(n as u64).to_be_bytes());
    bytes
}

fn seconds(from: u64, to: u64, rng: &mut Rng) -> Duration {
    Duration::from_millis(rng.u64(from * 1_000..=to * 1_000))
}

fn limit(rng: &mut Rng, most: u32) -> NonZeroU32 {
    NonZeroU32::new(rng.u32(1..=most)).unwrap()
}

impl Sim {
    fn new(seed: u64, tasks: usize) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut limits = Limits { default: Limit::hard(limit(&mut rng, 4)), ..Limits::default() };
        for agent in &AGENTS[..3] {
            let share = limit(&mut rng, 4);
            let max = NonZeroU32::new(share.get() + rng.u32(0..4)).unwrap();
            limits.agents.insert((*agent).to_owned(), Limit { share, max });
        }
        for name in ["p", "p/small", "q"] {
            if rng.bool() {
                limits.models.insert(name.to_owned(), limit(&mut rng, 5));
            }
        }
        limits.project = rng.bool().then(|| limit(&mut rng, 6));
        limits.total = limit(&mut rng, 10);
        let projects = rng.usize(1..=2);
        let processes = (0..rng.usize(projects..=4))
            .map(|n| Process {
                id: InstanceId::new(Timestamp(1), &bytes(n)),
                project: n % projects,
                // The first of each project lives: somebody has to finish the work.
                dies: (n >= projects && rng.bool()).then(|| Timestamp(0).after(seconds(1, 600, &mut rng))),
                alive: true,
                left: Left::new(),
            })
            .collect::<Vec<_>>();
        let tasks = (0..tasks)
            .map(|n| SimTask {
                id: TaskId::new(Timestamp(1), &bytes(n)),
                seq: i64::try_from(n).unwrap(),
                home: rng.usize(0..processes.len()),
                lane: Arc::new(Lane {
                    agent: (*rng.choice(AGENTS).as_ref().unwrap()).into(),
                    model: if rng.u8(0..10) == 0 { "" } else { *rng.choice(MODELS).as_ref().unwrap() }.into(),
                }),
                priority: rng.choice([Priority::Low, Priority::Normal, Priority::High]).unwrap(),
                launched: Timestamp(0).after(seconds(0, 300, &mut rng)),
                parent: format!("ses_{}", rng.u8(0..5)),
                state: State::Pending { from: Timestamp(0) },
                steps: rng.u32(1..4),
            })
            .collect();
        let storms = (0..rng.usize(0..4))
            .map(|_| {
                let from = Timestamp(0).after(seconds(0, 300, &mut rng));
                let wait = rng.bool().then(|| seconds(1, 20, &mut rng));
                let news =
                    if rng.u8(0..3) == 0 { News::Failed } else { News::Limited { wait, quota: rng.u8(0..4) == 0 } };
                Storm {
                    provider: rng.choice(["p", "q"]).unwrap(),
                    from,
                    to: from.after(seconds(1, 120, &mut rng)),
                    news,
                }
            })
            .collect();
        Self {
            rng,
            now: Timestamp(0),
            limits,
            tasks,
            processes,
            providers: BTreeMap::new(),
            storms,
            wakes: Vec::new(),
            refused: 0,
            waits: vec![Vec::new(); 4],
        }
    }

    /// Plays until every task has ended.
    fn play(&mut self) -> Result<(), String> {
        loop {
            self.live();
            if self.tasks.iter().all(|task| task.state == State::Ended) {
                return Ok(());
            }
            let mut order: Vec<_> = (0..self.processes.len()).filter(|n| self.processes[*n].alive).collect();
            self.rng.shuffle(&mut order);
            for process in order {
                self.look(process)?;
            }
            let now = self.now;
            self.wakes.retain(|at| *at > now);
            let of_tasks = self.tasks.iter().filter_map(|task| match task.state {
                State::Running { next, .. } => Some(next),
                State::Pending { from } => Some(from.max(task.launched)).filter(|at| *at > now),
                State::Ended => None,
            });
            let deaths = self.processes.iter().filter(|process| process.alive).filter_map(|process| process.dies);
            let next = of_tasks.chain(deaths).chain(self.wakes.iter().copied()).filter(|at| *at > now).min();
            self.now = next.ok_or_else(|| {
                format!("nothing happens any more at {now:?}, and tasks wait: {:?} {:?}", self.waits, self.providers)
            })?;
            if self.now > END {
                return Err("it never ends".to_owned());
            }
        }
    }

    /// What happens at this instant, but for starts.
    fn live(&mut self) {
        let now = self.now;
        for n in 0..self.processes.len() {
            if self.processes[n].alive && self.processes[n].dies.is_some_and(|dies| dies <= now) {
                self.die(n);
            }
        }
        for n in 0..self.tasks.len() {
            let task = &self.tasks[n];
            let State::Running { next, steps, since, asked } = task.state else { continue };
            if next > now {
                continue;
            }
            let provider = task.lane.provider().map(str::to_owned);
            let storm = self
                .storms
                .iter()
                .find(|storm| Some(storm.provider) == provider.as_deref() && storm.from <= now && now < storm.to);
            let news = storm.map_or(News::Answered, |storm| storm.news);
            self.refused += u32::from(news != News::Answered);
            if let Some(name) = &provider {
                let running = self.tasks.iter().filter(|task| task.is_running() && task.lane.provider() == Some(name));
                let running = u32::try_from(running.count()).unwrap();
                let known = self.providers.entry(name.clone()).or_default();
                let jitter = self.rng.f64();
                if news != News::Answered || !asked {
                    known.hear(news, since, running, jitter, Setting { longest_pause: 60, floor: 1 }, now);
                }
            }
            let again = seconds(1, 10, &mut self.rng);
            self.tasks[n].state = match news {
                News::Limited { wait, .. } => {
                    State::Pending { from: now.after(wait.unwrap_or(Duration::from_secs(1))) }
                }
                // The host asks again by itself.
                News::Failed => State::Running { next: now.after(again), steps, since, asked },
                News::Answered if steps > 1 => {
                    State::Running { next: now.after(again), steps: steps - 1, since, asked: true }
                }
                News::Answered => State::Ended,
            };
        }
    }

    /// A process dies; another of its project goes on with its tasks.
    fn die(&mut self, n: usize) {
        self.processes[n].alive = false;
        let heir = (0..self.processes.len())
            .find(|other| self.processes[*other].alive && self.processes[*other].project == self.processes[n].project)
            .expect("the first of each project lives");
        let from = self.now.after(Duration::from_secs(1));
        for task in self.tasks.iter_mut().filter(|task| task.home == n) {
            task.home = heir;
            if task.is_running() {
                task.state = State::Pending { from };
            }
        }
    }

    fn queue(&self, n: usize) -> Queue {
        let (now, me) = (self.now, &self.processes[n]);
        let mut lanes: HashMap<&Lane, Vec<&SimTask>> = HashMap::new();
        let mut heads: BTreeMap<(usize, &Lane), Timestamp> = BTreeMap::new();
        let mut running: BTreeMap<(usize, &Lane), u32> = BTreeMap::new();
        for task in &self.tasks {
            if task.is_running() && task.home != n {
                *running.entry((task.home, &task.lane)).or_default() += 1;
            }
            if task.is_waiting(now) {
                if task.home == n {
                    lanes.entry(&task.lane).or_default().push(task);
                } else {
                    let head = heads.entry((task.home, &task.lane)).or_insert(task.place());
                    *head = (*head).min(task.place());
                }
            }
        }
        let mut candidates = Vec::new();
        for mut tasks in lanes.into_values() {
            tasks.sort_by_key(|task| (task.place(), task.seq));
            candidates.extend(tasks.into_iter().take(crate::admission::DEPTH as usize).map(|task| Candidate {
                id: task.id,
                lane: Arc::clone(&task.lane),
                priority: task.priority,
                place: task.place(),
                seq: task.seq,
                parent: task.parent.clone(),
            }));
        }
        let same = |home: usize| self.processes[home].project == me.project;
        Queue {
            candidates,
            running: running
                .into_iter()
                .map(|((home, lane), count)| Elsewhere {
                    same_project: same(home),
                    lane: lane.clone(),
                    home: self.processes[home].id,
                    count,
                })
                .collect(),
            heads: heads
                .into_iter()
                .map(|((home, lane), place)| Head {
                    same_project: same(home),
                    lane: lane.clone(),
                    home: self.processes[home].id,
                    place,
                })
                .collect(),
            ..Queue::default()
        }
    }

    /// A process looks at its queue and starts what may start.
    fn look(&mut self, n: usize) -> Result<(), String> {
        let queue = self.queue(n);
        let mut own: HashMap<Lane, u32> = HashMap::new();
        for task in self.tasks.iter().filter(|task| task.home == n && task.is_running()) {
            *own.entry((*task.lane).clone()).or_default() += 1;
        }
        let own: Vec<_> = own.into_iter().map(|(lane, count)| Own { same_project: true, lane, count }).collect();
        let warm: HashSet<_> = self
            .tasks
            .iter()
            .filter(|task| task.home == n && task.is_running())
            .map(|task| task.parent.clone())
            .collect();
        let limits = self.limits.clone();
        let mut world = World::new(&limits, self.providers.clone(), &own, &queue.running, None, self.now);
        let chosen = choose(&queue, &mut world, &warm, &mut self.processes[n].left);
        self.wakes.extend(chosen.next);
        self.waits[n].clone_from(&chosen.waits);
        for name in &chosen.tried {
            self.providers.insert(name.clone(), world.provider(name).clone());
        }
        for start in &chosen.start {
            self.check_start(start, &chosen.tried)?;
            let again = seconds(1, 10, &mut self.rng);
            let now = self.now;
            let task = self.tasks.iter_mut().find(|task| task.id == start.id).unwrap();
            task.state = State::Running { next: now.after(again), steps: task.steps, since: now, asked: false };
        }
        self.check_limits(n)
    }

    fn check_start(&self, start: &Candidate, tried: &[String]) -> Result<(), String> {
        let fail = |what: &str| Err(format!("{what}: {start:?} at {:?}", self.now));
        if let Some(provider) = start.lane.provider() {
            let passage = self.providers.get(provider).map_or(Passage::Free, |known| known.passage(self.now));
            let is_trial = tried.iter().any(|name| name == provider);
            match passage {
                Passage::Free if !is_trial => {}
                Passage::Tried { by, .. } if is_trial && by == start.id => {}
                _ => return fail("a start on a provider that lets nothing through"),
            }
        }
        // Nobody of its lane and process that stood well before it is left behind.
        let bound = Duration::from_secs(30);
        let overtaken = self.tasks.iter().any(|other| {
            other.is_waiting(self.now)
                && self.processes[other.home].id == self.processes[self.task(start.id).home].id
                && *other.lane == *start.lane
                && other.place() < start.place.before(bound)
        });
        if overtaken { fail("a start before one that has waited for longer") } else { Ok(()) }
    }

    fn task(&self, id: TaskId) -> &SimTask {
        self.tasks.iter().find(|task| task.id == id).unwrap()
    }

    fn check_limits(&self, n: usize) -> Result<(), String> {
        let mut counts: HashMap<String, u32> = HashMap::new();
        for task in self.tasks.iter().filter(|task| task.is_running()) {
            let mut count = |name: String| *counts.entry(name).or_default() += 1;
            count("all".to_owned());
            let project = self.processes[task.home].project;
            count(format!("project {project}"));
            count(format!("agent {} of {project}", task.lane.agent));
            if let Some(provider) = task.lane.provider() {
                count(provider.to_owned());
                count(task.lane.model.to_string());
            }
        }
        let of = |name: &str| counts.get(name).copied().unwrap_or(0);
        let mut bounds = vec![("all".to_owned(), self.limits.total.get())];
        let project = self.processes[n].project;
        bounds.extend(self.limits.project.map(|limit| (format!("project {project}"), limit.get())));
        bounds.extend(AGENTS.map(|agent| (format!("agent {agent} of {project}"), self.limits.of(agent).max.get())));
        bounds.extend(self.limits.models.iter().map(|(name, limit)| (name.clone(), limit.get())));
        match bounds.into_iter().find(|(name, limit)| of(name) > *limit) {
            Some((name, limit)) => Err(format!("{name}: {} run, {limit} may, at {:?}", of(&name), self.now)),
            None => Ok(()),
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn no_limit_is_passed_no_gate_is_ignored_and_every_task_ends() {
    let rounds = number("SORTIE_SIM_ROUNDS").unwrap_or(10_000);
    let first = number("SORTIE_SIM_SEED").unwrap_or_else(|| u64::from(fastrand::u32(..)));
    println!("{rounds} scenarios from SORTIE_SIM_SEED={first}");
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let seeds: Vec<_> = REGRESSIONS.into_iter().chain(first..first + rounds).collect();
    std::thread::scope(|scope| {
        let play = |at| {
            for seed in seeds.iter().skip(at).step_by(threads) {
                let mut sim = Sim::new(*seed, Rng::with_seed(*seed).usize(5..40));
                if let Err(why) = sim.play() {
                    panic!("SORTIE_SIM_ROUNDS=1 SORTIE_SIM_SEED={seed}: {why}");
                }
            }
        };
        for at in 0..threads {
            scope.spawn(move || play(at));
        }
    });
}

#[test]
fn a_long_queue_comes_to_its_end() {
    let seed = number("SORTIE_SIM_SEED").unwrap_or_else(|| u64::from(fastrand::u32(..)));
    println!("SORTIE_SIM_SEED={seed}");
    let tasks = number("SORTIE_SIM_TASKS").unwrap_or(500);
    let mut sim = Sim::new(seed, usize::try_from(tasks).unwrap());
    sim.play().unwrap();
}
