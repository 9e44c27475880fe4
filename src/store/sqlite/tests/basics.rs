//! Each operation once, with what it must not do.

use super::store;
use crate::{
    store::{Filter, Listing, Report, Store, StoreError, Via, Wanted, fixture::*},
    task::{
        CancelReason, Change, ErrorClass, Failure, FailureKind, Guard, MissionId, Outcome, Parent, Priority, Refusal,
        ResumePolicy, Retry, StateName, Task, TaskState, Timestamp, Usage,
    },
};

const NOW: Timestamp = Timestamp(10);

fn all(store: &mut dyn Store) -> Vec<Task> {
    store.tasks(&project(), &Filter::default()).unwrap()
}

fn get(store: &mut dyn Store, n: u64) -> Task {
    let filter = Filter { ids: Some(vec![id(n)]), ..Filter::default() };
    store.tasks(&project(), &filter).unwrap().remove(0)
}

fn claim_all(store: &mut dyn Store, owner: u64) -> Vec<Task> {
    store
        .claim(&project(), instance(owner), NOW, &mut each(|task| Some(run(Some(&format!("ses_{}", task.id))))))
        .unwrap()
}

fn end(store: &mut dyn Store, n: u64, change: &Change) -> crate::store::Changed {
    store.change(id(n), Guard::Anyone, change, None, NOW).unwrap()
}

fn failed(retry: Option<Retry>) -> Change {
    let failure = Failure { kind: FailureKind::Error, class: ErrorClass::Network, message: "cut".into() };
    Change::Fail { failure, retry }
}

fn via() -> Via {
    Via::Message { message: "msg_9".into(), part: "prt_9".into() }
}

fn tell(store: &mut dyn Store, home: u64, limit: u32) -> Option<Report> {
    store.open_report(&project(), instance(home), "ses_parent", None, &via(), limit, NOW).unwrap()
}

#[test]
fn what_was_launched_comes_back_as_it_was_in_order() {
    let (_dir, mut store) = store();
    let tasks: Vec<_> = (0..3)
        .map(|n| {
            task(n, instance(1), |spec| {
                spec.key = Some(format!("k\0{n}"));
                spec.prompt = "𝄞 \u{0} ' \" \\ \u{2028}".into();
                spec.priority = Priority::High;
            })
        })
        .collect();
    store.launch(&tasks).unwrap();
    assert_eq!(all(&mut store), tasks);
    let journal = store.journal(&project(), 0, 10).unwrap();
    assert_eq!(journal.len(), 3);
    assert!(journal.iter().all(|row| row.change == "launch" && row.from.is_none() && row.rev.0 == 0));
    assert_eq!(store.journal(&project(), journal[1].seq, 10).unwrap(), journal[2..]);
    assert_eq!(store.totals(&project()).unwrap().states, [3, 0, 0, 0, 0, 0]);
    assert!(store.tasks(&crate::task::ProjectKey::new("/other"), &Filter::default()).unwrap().is_empty());
}

#[test]
fn a_batch_is_launched_whole_or_not_at_all() {
    let (_dir, mut store) = store();
    let good = task(1, instance(1), |_| ());
    let bad = task(2, instance(1), |spec| spec.depends_on = vec![id(1), id(77)]);
    let error = store.launch(&[good.clone(), bad]).unwrap_err();
    assert!(matches!(error, StoreError::NoSuchDependency { dependency, .. } if dependency == id(77)), "{error}");
    assert!(all(&mut store).is_empty() && store.journal(&project(), 0, 9).unwrap().is_empty());
    let elsewhere = task(3, instance(1), |spec| spec.project = crate::task::ProjectKey::new("/other"));
    store.launch(&[elsewhere]).unwrap();
    let across = task(4, instance(1), |spec| spec.depends_on = vec![id(3)]);
    assert!(matches!(store.launch(&[good, across]), Err(StoreError::NoSuchDependency { .. })));
}

#[test]
fn what_is_not_wanted_does_not_stand_before_what_is() {
    let (_dir, mut store) = store();
    let (one, two) = (MissionId::new(NOW, &[1; 10]), MissionId::new(NOW, &[2; 10]));
    let of = [Some(one), Some(one), Some(two), Some(two), None, None];
    let tasks: Vec<_> = (0..).zip(of).map(|(n, mission)| task(n, instance(1), |spec| spec.mission = mission)).collect();
    store.launch(&tasks).unwrap();
    // The second of each ran before.
    claim_all(&mut store, 1);
    for n in 0..6 {
        end(&mut store, n, &Change::Pause);
    }
    for n in [1, 3, 5] {
        end(&mut store, n, &Change::Continue);
    }
    let again = [(6, Some(one)), (7, Some(two)), (8, None)];
    let tasks: Vec<_> =
        again.map(|(n, mission)| task(n, instance(1), |spec| spec.mission = mission)).into_iter().collect();
    store.launch(&tasks).unwrap();
    let mut seen = |wanted: Wanted| -> Vec<_> {
        let queue = store.queue(&project(), instance(1), NOW, &wanted).unwrap();
        queue.candidates.into_iter().map(|candidate| candidate.id).collect()
    };
    let ids = |numbers: &[u64]| numbers.iter().map(|n| id(*n)).collect::<Vec<_>>();
    let all = Wanted::first(9);
    assert_eq!(seen(all.clone()), ids(&[1, 3, 5, 6, 7, 8]));
    assert_eq!(seen(Wanted::first(2)), ids(&[1, 3]));
    assert_eq!(seen(Wanted::first(0)), []);
    assert_eq!(seen(Wanted { fresh: false, ..all.clone() }), ids(&[1, 3, 5]));
    assert_eq!(seen(Wanted { without: vec![one], ..Wanted::first(2) }), ids(&[3, 5]));
    assert_eq!(seen(Wanted { without_fresh: vec![one], ..all }), ids(&[1, 3, 5, 7, 8]));
}

#[test]
fn claims_go_by_priority_then_age_and_only_to_the_home() {
    let (_dir, mut store) = store();
    let with = |n, priority| task(n, instance(1), |spec| spec.priority = priority);
    let order = [with(1, Priority::Low), with(2, Priority::Normal), with(3, Priority::High), with(4, Priority::Normal)];
    store.launch(&order).unwrap();
    assert!(claim_all(&mut store, 2).is_empty());
    let mut seen = Vec::new();
    let claimed = store
        .claim(
            &project(),
            instance(1),
            NOW,
            &mut each(|task| {
                seen.push(task.id);
                (task.id != id(3)).then(|| run(None))
            }),
        )
        .unwrap();
    assert_eq!(seen, [id(3), id(2), id(4), id(1)]);
    assert_eq!(claimed.iter().map(|task| task.id).collect::<Vec<_>>(), [id(2), id(4), id(1)]);
    assert!(claimed.iter().all(|task| task.fence.0 == 1 && task.attempt == 1));
    assert_eq!(get(&mut store, 3).state.name(), StateName::Pending);
    assert_eq!(claimed[0], get(&mut store, 2));
}

#[test]
fn a_task_waits_for_its_dependencies_and_for_its_pause() {
    let (_dir, mut store) = store();
    let first = task(1, instance(1), |_| ());
    let second = task(2, instance(1), |spec| spec.depends_on = vec![id(1), id(1)]);
    store.launch(&[second, first]).unwrap();
    assert_eq!(claim_all(&mut store, 1).len(), 1);
    end(&mut store, 1, &failed(Some(Retry::plain(Timestamp(20), true))));
    assert!(claim_all(&mut store, 1).is_empty());
    let due = |store: &mut dyn Store, now| store.next_due(&project(), instance(1), Timestamp(now)).unwrap();
    assert_eq!((due(&mut store, 10), due(&mut store, 20)), (Some(Timestamp(20)), None));
    let again = store.claim(&project(), instance(1), Timestamp(20), &mut each(|_| Some(run(None)))).unwrap();
    assert_eq!((again[0].id, again[0].attempt), (id(1), 2));
    end(&mut store, 1, &Change::Complete);
    assert_eq!(claim_all(&mut store, 1)[0].id, id(2));
}

#[test]
fn a_refused_change_leaves_no_trace() {
    let (_dir, mut store) = store();
    store.launch(&[task(1, instance(1), |_| ())]).unwrap();
    let running = claim_all(&mut store, 1).remove(0);
    let stale = Guard::Runner(instance(1), crate::task::Fence(9));
    let outcome = Outcome { text: "late".into(), usage: Usage::default() };
    let error = store.change(id(1), stale, &Change::Complete, Some(&outcome), NOW).unwrap_err();
    assert!(matches!(error, StoreError::Refused(error) if error.refusal == Refusal::Fence));
    assert_eq!(get(&mut store, 1), running);
    assert_eq!(store.outcome(id(1)).unwrap(), None);
    assert_eq!(store.journal(&project(), 0, 9).unwrap().len(), 2);
    let error = store.change(id(5), Guard::Anyone, &Change::Complete, None, NOW).unwrap_err();
    assert!(matches!(error, StoreError::NoSuchTask(missing) if missing == id(5)));
}

#[test]
fn an_outcome_is_kept_with_its_change_and_never_makes_a_row_unreadable() {
    let (_dir, mut store) = store();
    store.launch(&[task(1, instance(1), |_| ()), task(2, instance(1), |_| ())]).unwrap();
    claim_all(&mut store, 1);
    let usage = Usage { cost: 0.25, ..Usage::default() };
    let outcome = Outcome { text: "done".into(), usage };
    store.change(id(1), Guard::Anyone, &Change::Complete, Some(&outcome), NOW).unwrap();
    assert_eq!(store.outcome(id(1)).unwrap(), Some(outcome));
    let odd = Outcome { text: "x".repeat(3 << 20), usage: Usage { cost: f64::NAN, ..usage } };
    store.change(id(2), Guard::Anyone, &Change::Complete, Some(&odd), NOW).unwrap();
    let kept = store.outcome(id(2)).unwrap().unwrap();
    assert!(kept.text.len() <= crate::store::sqlite::MAX_TEXT && kept.usage.cost == 0.0);
}

#[test]
fn what_can_no_longer_run_is_cancelled_with_its_direct_cause() {
    let (_dir, mut store) = store();
    let on = |n, on: &[u64]| {
        let on = on.iter().map(|&n| id(n)).collect();
        task(n, instance(1), |spec| spec.depends_on = on)
    };
    let of = |n, session: String| task(n, instance(1), |spec| spec.parent.session = session.into());
    store.launch(&[task(1, instance(1), |_| ()), on(2, &[1]), on(3, &[2]), on(4, &[1, 3])]).unwrap();
    claim_all(&mut store, 1);
    store.launch(&[of(5, format!("ses_{}", id(1)))]).unwrap();
    claim_all(&mut store, 1);
    let changed = end(&mut store, 1, &failed(None));
    let causes: Vec<_> = changed.cascaded.iter().map(|c| (c.task.id, c.from, reason(&c.task))).collect();
    let dependency = |n| CancelReason::Dependency { on: id(n) };
    assert_eq!(
        causes,
        [
            (id(2), StateName::Pending, dependency(1)),
            (id(4), StateName::Pending, dependency(1)),
            (id(3), StateName::Pending, dependency(2)),
        ]
    );
    assert_eq!(get(&mut store, 5).state.name(), StateName::Running);
    assert_eq!(store.check().unwrap(), [""; 0]);
}

fn reason(task: &Task) -> CancelReason {
    let TaskState::Cancelled { reason, .. } = &task.state else { panic!("{:?}", task.state) };
    reason.clone()
}

#[test]
fn the_children_of_every_session_of_a_cancelled_task_are_cancelled() {
    let (_dir, mut store) = store();
    let child = |n, session: &str| task(n, instance(1), |spec| spec.parent.session = session.into());
    store.launch(&[task(1, instance(1), |_| ())]).unwrap();
    store.claim(&project(), instance(1), NOW, &mut each(|_| Some(run(None)))).unwrap();
    end(&mut store, 1, &Change::BindSession { session: "ses_a".into() });
    end(&mut store, 1, &failed(Some(Retry::plain(NOW, false))));
    store.claim(&project(), instance(1), NOW, &mut each(|_| Some(run(Some("ses_b"))))).unwrap();
    store.launch(&[child(2, "ses_a"), child(3, "ses_b"), child(4, "ses_c")]).unwrap();
    store
        .claim(&project(), instance(1), NOW, &mut each(|task| (task.id == id(3)).then(|| run(Some("ses_d")))))
        .unwrap();
    store.launch(&[child(5, "ses_d")]).unwrap();
    let cancelled = end(&mut store, 1, &Change::Cancel { reason: CancelReason::Request }).cascaded;
    let parent = |n| CancelReason::Parent { task: id(n) };
    assert_eq!(
        cancelled.iter().map(|c| (c.task.id, c.from, reason(&c.task))).collect::<Vec<_>>(),
        [
            (id(2), StateName::Pending, parent(1)),
            (id(3), StateName::Running, parent(1)),
            (id(5), StateName::Pending, parent(3))
        ]
    );
    for session in ["ses_a", "ses_b"] {
        let filter = Filter { session: Some(session.into()), ..Filter::default() };
        assert_eq!(store.tasks(&project(), &filter).unwrap()[0].id, id(1));
    }
}

#[test]
fn what_waits_for_a_task_that_ended_badly_ends_at_its_launch() {
    let (_dir, mut store) = store();
    store.launch(&[task(1, instance(1), |_| ())]).unwrap();
    end(&mut store, 1, &Change::Cancel { reason: CancelReason::Request });
    let late = task(2, instance(1), |spec| spec.depends_on = vec![id(1)]);
    let later = task(3, instance(1), |spec| spec.depends_on = vec![id(2)]);
    store.launch(&[later, late]).unwrap();
    assert_eq!(reason(&get(&mut store, 2)), CancelReason::Dependency { on: id(1) });
    assert_eq!(reason(&get(&mut store, 3)), CancelReason::Dependency { on: id(2) });
    assert_eq!(store.journal(&project(), 0, 99).unwrap().len(), 6);
}

#[test]
fn an_end_is_in_one_report_until_that_is_withdrawn() {
    let (_dir, mut store) = store();
    store.launch(&[1, 2, 3].map(|n| task(n, instance(1), |_| ()))).unwrap();
    assert_eq!((store.untold(&project(), instance(1)).unwrap(), tell(&mut store, 1, 9)), (vec![], None));
    claim_all(&mut store, 1);
    for n in [2, 1] {
        end(&mut store, n, &Change::Complete);
    }
    let parent = Parent { session: "ses_parent".into(), directory: "/project".into() };
    assert_eq!(store.untold(&project(), instance(1)).unwrap(), std::slice::from_ref(&parent));
    let first = tell(&mut store, 1, 1).unwrap();
    assert_eq!((&first.tasks[..], &first.parent), (&[id(1)][..], &parent));
    let second = tell(&mut store, 1, 9).unwrap();
    assert_eq!(second.tasks, [id(2)]);
    assert_eq!(tell(&mut store, 1, 9), None);
    assert_eq!(store.open_reports(&project(), instance(1)).unwrap(), [first.clone(), second.clone()]);
    store.settle_report(first.id, true, NOW).unwrap();
    store.settle_report(first.id, false, NOW).unwrap();
    store.settle_report(second.id, false, NOW).unwrap();
    store.settle_report(second.id, true, NOW).unwrap();
    assert_eq!(store.open_reports(&project(), instance(1)).unwrap(), []);
    let tool = Via::Tool { message: "msg_t".into(), call: "call_1".into() };
    let only = [id(1), id(2), id(3)];
    let third = store.open_report(&project(), instance(2), "ses_parent", Some(&only), &tool, 9, NOW).unwrap().unwrap();
    assert_eq!((&third.tasks[..], &third.via), (&[id(2)][..], &tool));
    assert_eq!(store.open_reports(&project(), instance(2)).unwrap(), [third]);
}

#[test]
fn the_dead_leave_everything_to_one_heir() {
    let (_dir, mut store) = store();
    let with = |n, resume| task(n, instance(1), |spec| spec.resume = resume);
    let tasks = [with(1, ResumePolicy::Auto), with(2, ResumePolicy::Ask), with(3, ResumePolicy::Never)];
    store.launch(&tasks).unwrap();
    store.launch(&[4, 5].map(|n| task(n, instance(1), |_| ()))).unwrap();
    claim_all(&mut store, 1);
    store.launch(&[task(6, instance(1), |spec| spec.depends_on = vec![id(3)])]).unwrap();
    end(&mut store, 4, &Change::Complete);
    let report = tell(&mut store, 1, 9).unwrap();
    end(&mut store, 5, &Change::Complete);
    assert_eq!(store.other_homes(&project(), instance(2)).unwrap(), [instance(1)]);
    assert_eq!(store.other_homes(&project(), instance(1)).unwrap(), []);
    let taken = store.take_over(&project(), &[instance(1), instance(2)], instance(2), NOW).unwrap();
    let states: Vec<_> = taken.iter().map(|task| (task.id, task.state.name(), task.home)).collect();
    let heir = instance(2);
    assert_eq!(
        states,
        [
            (id(1), StateName::Pending, heir),
            (id(2), StateName::Paused, heir),
            (id(3), StateName::Failed, heir),
            (id(6), StateName::Cancelled, heir),
        ]
    );
    assert!(all(&mut store).iter().all(|task| task.home == heir));
    assert!(store.take_over(&project(), &[instance(1)], instance(3), NOW).unwrap().is_empty());
    assert_eq!(store.other_homes(&project(), heir).unwrap(), []);
    assert_eq!(store.open_reports(&project(), heir).unwrap(), std::slice::from_ref(&report));
    assert_eq!(tell(&mut store, 2, 9).unwrap().tasks, [id(3), id(5), id(6)]);
    assert_eq!(store.check().unwrap(), [""; 0]);
}

#[test]
fn a_report_is_a_reason_to_look_for_its_dead_home() {
    let (_dir, mut store) = store();
    store.launch(&[task(1, instance(1), |_| ())]).unwrap();
    end(&mut store, 1, &Change::Cancel { reason: CancelReason::Request });
    let report = tell(&mut store, 1, 9).unwrap();
    assert_eq!(store.other_homes(&project(), instance(2)).unwrap(), [instance(1)]);
    store.settle_report(report.id, true, NOW).unwrap();
    assert_eq!(store.other_homes(&project(), instance(2)).unwrap(), []);
}

#[test]
fn settings_are_written_over_and_removed() {
    let (_dir, mut store) = store();
    for value in [Some("1"), Some("2"), None, None] {
        store.set_setting("a", value).unwrap();
        assert_eq!(store.setting("a").unwrap().as_deref(), value);
    }
}

#[test]
fn filters_agree_with_picking_by_hand() {
    let (_dir, mut store) = store();
    let tasks: Vec<_> = (0..12)
        .map(|n| {
            task(n, instance(n % 2), |spec| {
                spec.key = (n % 3 == 0).then(|| "k".into());
                spec.parent.session = format!("ses_{}", n % 4).into();
            })
        })
        .collect();
    store.launch(&tasks).unwrap();
    for home in 0..2 {
        store
            .claim(
                &project(),
                instance(home),
                NOW,
                &mut each(|task| task.spec.key.is_some().then(|| run(Some("ses_x")))),
            )
            .unwrap();
    }
    let tasks = all(&mut store);
    for mask in 0..128_u32 {
        let given = |bit: u32| mask & (1 << bit) != 0;
        let filter = Filter {
            ids: given(0).then(|| vec![id(3), id(0), id(99), id(6), id(7)]),
            parent_session: given(1).then(|| "ses_2".into()),
            key: given(2).then(|| "k".into()),
            session: given(3).then(|| "ses_x".into()),
            states: if given(4) { vec![StateName::Running, StateName::Failed] } else { vec![] },
            home: given(5).then(|| instance(0)),
            newest: given(6).then_some(2),
        };
        let fits = |task: &&Task| {
            filter.ids.as_ref().is_none_or(|ids| ids.contains(&task.id))
                && filter.parent_session.as_ref().is_none_or(|session| *session == task.spec.parent.session)
                && filter.key.as_ref().is_none_or(|key| task.spec.key.as_ref() == Some(key))
                && filter.session.as_ref().is_none_or(|session| task.session() == Some(session))
                && (filter.states.is_empty() || filter.states.contains(&task.state.name()))
                && filter.home.is_none_or(|home| task.home == home)
        };
        let mut expected: Vec<_> = tasks.iter().filter(fits).cloned().collect();
        if filter.newest.is_some() {
            expected.drain(..expected.len().saturating_sub(2));
        }
        assert_eq!(store.tasks(&project(), &filter).unwrap(), expected, "{filter:?}");
    }
}
