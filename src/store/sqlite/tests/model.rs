//! Random histories on the database against a model that is a list of tasks in memory.

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;

use super::store;
use crate::{
    store::{Filter, ReportId, Store, Via, fixture::*},
    task::{
        CancelReason, Change, ErrorClass, Failure, FailureKind, Guard, InstanceId, Priority, ResumePolicy, Retry,
        StateName, Task, TaskId, Timestamp, transition,
    },
};

const PARENTS: [&str; 2] = ["ses_parent", "ses_other"];

#[derive(Debug, Clone)]
enum Op {
    Launch { home: u64, priority: Priority, resume: ResumePolicy, parent: usize, on: Vec<usize> },
    Claim { owner: u64, every: u64 },
    Change { task: usize, change: usize, guarded: bool },
    TakeOver { dead: u64, me: u64 },
    OpenReport { home: u64, parent: usize, only: Option<Vec<usize>>, limit: u32 },
    Settle { report: i64, sent: bool },
}

fn ops() -> impl Strategy<Value = Op> {
    let priority = prop_oneof![Just(Priority::Low), Just(Priority::Normal), Just(Priority::High)];
    let resume = prop_oneof![Just(ResumePolicy::Auto), Just(ResumePolicy::Ask), Just(ResumePolicy::Never)];
    let some = || prop::collection::vec(0_usize..12, 0..3);
    prop_oneof![
        3 => (0_u64..3, priority, resume, 0_usize..6, some())
            .prop_map(|(home, priority, resume, parent, on)| Op::Launch { home, priority, resume, parent, on }),
        3 => (0_u64..3, 1_u64..3).prop_map(|(owner, every)| Op::Claim { owner, every }),
        6 => (0_usize..12, 0_usize..9, any::<bool>())
            .prop_map(|(task, change, guarded)| Op::Change { task, change, guarded }),
        1 => (0_u64..3, 0_u64..3).prop_map(|(dead, me)| Op::TakeOver { dead, me }),
        2 => (0_u64..3, 0_usize..2, prop::option::of(some()), 1_u32..4)
            .prop_map(|(home, parent, only, limit)| Op::OpenReport { home, parent, only, limit }),
        1 => (1_i64..6, any::<bool>()).prop_map(|(report, sent)| Op::Settle { report, sent }),
    ]
}

fn change(which: usize, now: i64) -> Change {
    let failure = Failure { kind: FailureKind::Error, class: ErrorClass::Network, message: "cut".into() };
    let again = |same_session| Some(Retry::plain(Timestamp(now + 3), same_session));
    match which {
        0 => Change::Complete,
        1 => Change::Fail { failure, retry: None },
        2 => Change::Fail { failure, retry: again(true) },
        3 => Change::Fail { failure, retry: again(false) },
        4 => Change::Interrupt,
        5 => Change::Cancel { reason: CancelReason::Request },
        6 => Change::Continue,
        7 => Change::Pause,
        _ => Change::BindSession { session: format!("ses_late_{now}") },
    }
}

/// A task's session is named after it, so that others can have it as their parent.
fn session_of(id: TaskId) -> String {
    format!("ses_{id}")
}

#[derive(Default)]
struct Model {
    tasks: Vec<Task>,
    sessions: BTreeSet<(TaskId, String)>,
    /// For each task the report that holds it.
    told: Vec<Option<i64>>,
    /// Home, tasks, and whether it is settled.
    reports: Vec<(InstanceId, Vec<TaskId>, bool)>,
    changes: usize,
}

impl Model {
    fn place(&self, id: TaskId) -> usize {
        self.tasks.iter().position(|task| task.id == id).unwrap()
    }

    fn apply(&mut self, place: usize, guard: Guard, change: &Change, now: Timestamp) -> Option<Vec<TaskId>> {
        let step = transition(&self.tasks[place], guard, change, now).ok()?;
        if let Some(session) = step.task.session() {
            self.sessions.insert((step.task.id, session.to_owned()));
        }
        self.tasks[place] = step.task;
        self.changes += 1;
        Some(self.cascade(place, now))
    }

    fn cascade(&mut self, place: usize, now: Timestamp) -> Vec<TaskId> {
        let mut ended = VecDeque::from([place]);
        let mut cancelled = Vec::new();
        while let Some(cause) = ended.pop_front() {
            let (id, state) = (self.tasks[cause].id, self.tasks[cause].state.name());
            let depends = |task: &Task| {
                matches!(state, StateName::Failed | StateName::Cancelled) && task.spec.depends_on.contains(&id)
            };
            let child = |task: &Task| {
                let session = (id, task.spec.parent.session.to_string());
                state == StateName::Cancelled && self.sessions.contains(&session)
            };
            let open = |place: &usize| !self.tasks[*place].state.is_terminal();
            let all = || (0..self.tasks.len()).filter(open);
            let dependants = all().filter(|&place| depends(&self.tasks[place]));
            let children = all().filter(|&place| child(&self.tasks[place]) && !depends(&self.tasks[place]));
            let dependency = CancelReason::Dependency { on: id };
            let parent = CancelReason::Parent { task: id };
            let doomed: Vec<_> = dependants
                .map(|place| (place, dependency.clone()))
                .chain(children.map(|place| (place, parent.clone())))
                .collect();
            for (place, reason) in doomed {
                let change = Change::Cancel { reason };
                self.tasks[place] = transition(&self.tasks[place], Guard::Anyone, &change, now).unwrap().task;
                self.changes += 1;
                cancelled.push(self.tasks[place].id);
                ended.push_back(place);
            }
        }
        cancelled
    }

    fn runnable(&self, owner: InstanceId, now: Timestamp) -> Vec<usize> {
        let complete = |id: &TaskId| self.tasks[self.place(*id)].state.name() == StateName::Complete;
        let mut places: Vec<usize> = (0..self.tasks.len())
            .filter(|&place| {
                let task = &self.tasks[place];
                task.state.name() == StateName::Pending
                    && task.home == owner
                    && task.state.not_before().is_none_or(|at| at <= now)
                    && task.spec.depends_on.iter().all(complete)
            })
            .collect();
        places.sort_by_key(|&place| (std::cmp::Reverse(self.tasks[place].spec.priority), place));
        places
    }

    fn untold(&self, home: InstanceId) -> Vec<&str> {
        let mut parents: Vec<&str> = Vec::new();
        for (task, told) in self.tasks.iter().zip(&self.told) {
            let parent = task.spec.parent.session.as_str();
            if task.home == home && task.state.is_terminal() && told.is_none() && !parents.contains(&parent) {
                parents.push(parent);
            }
        }
        parents
    }

    fn take_over(&mut self, dead: InstanceId, me: InstanceId, now: Timestamp) -> BTreeSet<TaskId> {
        let mut changed = BTreeSet::new();
        if dead == me {
            return changed;
        }
        for place in 0..self.tasks.len() {
            if self.tasks[place].home == dead && self.tasks[place].state.name() == StateName::Running {
                changed.insert(self.tasks[place].id);
                changed.extend(self.apply(place, Guard::Anyone, &Change::Interrupt, now).unwrap());
            }
            if self.tasks[place].home == dead && !self.tasks[place].state.is_terminal() {
                changed.insert(self.tasks[place].id);
                self.apply(place, Guard::Anyone, &Change::Adopt { home: me }, now).unwrap();
            }
        }
        for place in 0..self.tasks.len() {
            let untold = match self.told[place] {
                None => true,
                Some(report) => {
                    let (home, _, settled) = &self.reports[usize::try_from(report).unwrap() - 1];
                    *home == dead && !settled
                }
            };
            if self.tasks[place].home == dead && untold {
                self.tasks[place].home = me;
            }
        }
        for (home, _, settled) in &mut self.reports {
            if *home == dead && !*settled {
                *home = me;
            }
        }
        changed
    }
}

fn compare(store: &mut dyn Store, model: &Model, now: Timestamp) -> Result<(), TestCaseError> {
    prop_assert_eq!(&store.tasks(&project(), &Filter::default()).unwrap(), &model.tasks);
    prop_assert_eq!(store.journal(&project(), 0, 10_000).unwrap().len(), model.tasks.len() + model.changes);
    for home in (0..3).map(instance) {
        let untold = store.untold(&project(), home).unwrap();
        prop_assert_eq!(untold.iter().map(|parent| parent.session.as_str()).collect::<Vec<_>>(), model.untold(home));
        let due = model.tasks.iter().filter(|task| task.home == home).filter_map(|task| task.state.not_before());
        prop_assert_eq!(store.next_due(&project(), home, now).unwrap(), due.filter(|&at| at > now).min());
        let open = model.reports.iter().filter(|(owner, _, settled)| *owner == home && !settled);
        let open: Vec<_> = open.map(|(_, tasks, _)| tasks.clone()).collect();
        let reports = store.open_reports(&project(), home).unwrap();
        prop_assert_eq!(reports.into_iter().map(|report| report.tasks).collect::<Vec<_>>(), open);
        let live = model.tasks.iter().zip(&model.told).filter(|(_, told)| told.is_none()).map(|(task, _)| task.home);
        let open = model.reports.iter().filter(|(_, _, settled)| !settled).map(|(home, _, _)| *home);
        let others: BTreeSet<_> = live.chain(open).filter(|&other| other != home).collect();
        prop_assert_eq!(store.other_homes(&project(), home).unwrap(), others.into_iter().collect::<Vec<_>>());
    }
    Ok(())
}

fn step(store: &mut dyn Store, model: &mut Model, op: &Op, at: i64) -> Result<(), TestCaseError> {
    let now = Timestamp(at);
    let some = |places: &[usize], model: &Model| -> Vec<TaskId> {
        places.iter().filter_map(|&place| model.tasks.get(place)).map(|task| task.id).collect()
    };
    match op {
        Op::Launch { home, priority, resume, parent, on } => {
            let session = match PARENTS.get(*parent) {
                Some(parent) => (*parent).to_owned(),
                None => session_of(id(u64::try_from(*parent).unwrap())),
            };
            let n = u64::try_from(model.tasks.len()).unwrap();
            let mut new = task(n, instance(*home), |spec| {
                (spec.priority, spec.resume, spec.parent.session) = (*priority, *resume, session.into());
                spec.depends_on = some(on, model);
            });
            new.created_at = now;
            store.launch(std::slice::from_ref(&new)).unwrap();
            let bad = |id: &&TaskId| {
                let state = model.tasks[model.place(**id)].state.name();
                matches!(state, StateName::Failed | StateName::Cancelled)
            };
            let doomed = new.spec.depends_on.iter().find(bad).copied();
            model.tasks.push(new);
            model.told.push(None);
            if let Some(on) = doomed {
                let cancel = Change::Cancel { reason: CancelReason::Dependency { on } };
                model.apply(model.tasks.len() - 1, Guard::Anyone, &cancel, now).unwrap();
            }
        }
        Op::Claim { owner, every } => {
            let owner = instance(*owner);
            let mut seen = 0;
            let claimed = store.claim(
                &project(),
                owner,
                now,
                &mut each(|task| {
                    seen += 1;
                    (seen % every == 0).then(|| run(Some(&session_of(task.id))))
                }),
            );
            let mut expected = Vec::new();
            for (turn, place) in (1..).zip(model.runnable(owner, now)) {
                if turn % every == 0 {
                    let run = run(Some(&session_of(model.tasks[place].id)));
                    model.apply(place, Guard::Anyone, &Change::Claim { owner, run }, now).unwrap();
                    expected.push(model.tasks[place].clone());
                }
            }
            prop_assert_eq!(claimed.unwrap(), expected);
        }
        Op::Change { task, change: which, guarded } => {
            let Some(before) = model.tasks.get(*task).cloned() else { return Ok(()) };
            let guard = if *guarded { Guard::Runner(before.home, before.fence) } else { Guard::Anyone };
            let change = change(*which, at);
            let changed = store.change(before.id, guard, &change, None, now).ok();
            let expected = model.apply(*task, guard, &change, now);
            let cascaded = changed.map(|changed| changed.cascaded.iter().map(|each| each.task.id).collect::<Vec<_>>());
            prop_assert_eq!(cascaded, expected);
        }
        Op::TakeOver { dead, me } => {
            let (dead, me) = (instance(*dead), instance(*me));
            let taken = store.take_over(&project(), &[dead], me, now).unwrap();
            let expected = model.take_over(dead, me, now);
            prop_assert_eq!(taken.iter().map(|task| task.id).collect::<BTreeSet<_>>(), expected);
            prop_assert!(taken.iter().all(|task| *task == model.tasks[model.place(task.id)]));
        }
        Op::OpenReport { home, parent, only, limit } => {
            let (home, parent) = (instance(*home), PARENTS[*parent]);
            let only = only.as_ref().map(|places| some(places, model));
            let via = Via::Message { message: "m".into(), part: "p".into() };
            let report = store.open_report(&project(), home, parent, only.as_deref(), &via, *limit, now).unwrap();
            let ready = |place: &usize| {
                let task = &model.tasks[*place];
                let wanted = only.as_ref().map_or(task.home == home, |only| only.contains(&task.id));
                wanted && task.spec.parent.session == parent && task.state.is_terminal() && model.told[*place].is_none()
            };
            let places: Vec<_> = (0..model.tasks.len()).filter(ready).take(usize::try_from(*limit).unwrap()).collect();
            let ids: Vec<_> = places.iter().map(|&place| model.tasks[place].id).collect();
            prop_assert_eq!(report.map(|report| report.tasks), (!ids.is_empty()).then(|| ids.clone()));
            if !ids.is_empty() {
                model.reports.push((home, ids, false));
                let id = i64::try_from(model.reports.len()).unwrap();
                for place in places {
                    model.told[place] = Some(id);
                }
            }
        }
        Op::Settle { report, sent } => {
            store.settle_report(ReportId(*report), *sent, now).unwrap();
            let settled = model.reports.get_mut(usize::try_from(*report).unwrap() - 1);
            if let Some((_, _, settled)) = settled.filter(|(_, _, settled)| !settled) {
                *settled = true;
                if !sent {
                    model.told.iter_mut().filter(|told| **told == Some(*report)).for_each(|told| *told = None);
                }
            }
        }
    }
    compare(store, model, now)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn random_histories_agree_with_the_model(history in prop::collection::vec(ops(), 1..60)) {
        let (_dir, mut store) = store();
        let mut model = Model::default();
        for (at, op) in (2..).zip(&history) {
            step(&mut store, &mut model, op, at)?;
        }
        prop_assert_eq!(store.check().unwrap(), [""; 0]);
    }
}
