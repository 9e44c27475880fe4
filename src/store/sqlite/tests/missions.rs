//! Missions: steps are whole, in order, and survive their process.

use super::store;
use crate::{
    store::{
        MissionFilter, MissionRow, MissionStep, Missions, Store, StoreError, Via,
        fixture::{instance, project, task},
    },
    task::{Change, Guard, MissionId, Timestamp},
};

const NOW: Timestamp = Timestamp(5);

fn row(n: u8, rev: u64, over: bool) -> MissionRow {
    MissionRow {
        id: MissionId::new(Timestamp(1), &[n; 10]),
        project: project(),
        tag: format!("m{n}"),
        session: format!("ses_{n}"),
        home: instance(1),
        over,
        rev,
        created_at: Timestamp(1),
        body: format!("body {rev}"),
    }
}

fn step(mission: MissionRow) -> MissionStep {
    MissionStep { mission, step: "step".into(), launch: Vec::new(), todo: None }
}

#[test]
fn steps_follow_one_another_and_a_late_one_is_refused() {
    let (_dir, mut store) = store();
    assert_eq!(store.mission_tag(&project()).unwrap(), "m1");
    store.step_mission(&step(row(1, 0, false)), NOW).unwrap();
    store.step_mission(&step(row(1, 1, false)), NOW).unwrap();
    let late = MissionStep { launch: vec![task(1, instance(1), |_| ())], ..step(row(1, 1, false)) };
    assert!(matches!(store.step_mission(&late, NOW), Err(StoreError::Moved)));
    assert!(store.tasks(&project(), &crate::store::Filter::default()).unwrap().is_empty());
    store.step_mission(&step(row(2, 0, false)), NOW).unwrap();
    assert_eq!(store.mission_tag(&project()).unwrap(), "m3");
    let same_tag = MissionRow { tag: "m2".into(), ..row(3, 0, false) };
    assert!(matches!(store.step_mission(&step(same_tag), NOW), Err(StoreError::Moved)));
    store.step_mission(&step(row(1, 2, true)), NOW).unwrap();
    assert!(matches!(store.step_mission(&step(row(1, 3, false)), NOW), Err(StoreError::Moved)));
    let all = store.missions(&project(), &MissionFilter::default()).unwrap();
    assert_eq!(all, [row(1, 2, true), row(2, 0, false)]);
    let open = MissionFilter { open: true, ..MissionFilter::default() };
    assert_eq!(store.missions(&project(), &open).unwrap(), [row(2, 0, false)]);
    let of = |session: &str| MissionFilter { session: Some(session.to_owned()), open: true };
    assert_eq!(store.missions(&project(), &of("ses_1")).unwrap(), []);
    assert_eq!(store.missions(&project(), &of("ses_2")).unwrap(), [row(2, 0, false)]);
    assert_eq!(store.check().unwrap(), [""; 0]);
}

#[test]
fn a_missions_task_is_told_to_the_mission_and_to_nobody_else() {
    let (_dir, mut store) = store();
    let mission = row(1, 0, false);
    let launch = vec![task(1, instance(1), |spec| spec.mission = Some(mission.id))];
    store.step_mission(&MissionStep { mission, step: "work".into(), launch, todo: None }, NOW).unwrap();
    let id = crate::store::fixture::id(1);
    store.change(id, Guard::Anyone, &Change::Pause, None, NOW).unwrap();
    assert_eq!(store.other_homes(&project(), instance(2)).unwrap(), [instance(1)]);
    let cancel = Change::Cancel { reason: crate::task::CancelReason::Request };
    store.change(id, Guard::Anyone, &cancel, None, NOW).unwrap();
    assert!(store.untold(&project(), instance(1)).unwrap().is_empty());
    let via = Via::Message { message: "m".into(), part: "p".into() };
    let report = store.open_report(&project(), instance(1), "ses_parent", None, &via, 9, NOW).unwrap();
    assert!(report.is_none());
}

#[test]
fn a_sessions_own_tasks_are_counted_until_they_are_told() {
    let (_dir, mut store) = store();
    let mission = row(1, 0, false);
    let ours = vec![task(1, instance(1), |spec| spec.mission = Some(mission.id))];
    store.step_mission(&MissionStep { mission, step: "work".into(), launch: ours, todo: None }, NOW).unwrap();
    store.launch(&[task(2, instance(1), |_| ()), task(3, instance(1), |_| ())]).unwrap();
    let own = |store: &mut crate::store::SqliteStore| store.own_tasks(&project(), "ses_parent", Timestamp(1)).unwrap();
    assert_eq!(own(&mut store), (2, 2));
    for n in [2, 3] {
        let cancel = Change::Cancel { reason: crate::task::CancelReason::Request };
        store.change(crate::store::fixture::id(n), Guard::Anyone, &cancel, None, NOW).unwrap();
    }
    assert_eq!(own(&mut store), (2, 2));
    let via = Via::Message { message: "m".into(), part: "p".into() };
    let report = store.open_report(&project(), instance(1), "ses_parent", None, &via, 9, NOW).unwrap().unwrap();
    assert_eq!((report.tasks.len(), own(&mut store)), (2, (2, 2)));
    store.settle_report(report.id, true, NOW).unwrap();
    assert_eq!(own(&mut store), (2, 0));
    assert_eq!(store.own_tasks(&project(), "ses_parent", Timestamp(2)).unwrap(), (0, 0));
    store.launch(&[task(4, instance(1), |_| ())]).unwrap();
    let cancel = Change::Cancel { reason: crate::task::CancelReason::Request };
    store.change(crate::store::fixture::id(4), Guard::Anyone, &cancel, None, NOW).unwrap();
    let via = Via::Tool { message: "m".into(), call: "c".into() };
    store.open_report(&project(), instance(1), "ses_parent", None, &via, 9, NOW).unwrap().unwrap();
    assert_eq!(own(&mut store), (3, 0));
}

#[test]
fn the_missions_of_the_dead_are_taken_over() {
    let (_dir, mut store) = store();
    store.step_mission(&step(row(1, 0, false)), NOW).unwrap();
    store.step_mission(&step(row(2, 0, true)), NOW).unwrap();
    assert_eq!(store.other_homes(&project(), instance(2)).unwrap(), [instance(1)]);
    store.take_over(&project(), &[instance(1)], instance(2), NOW).unwrap();
    let homes: Vec<_> = store.missions(&project(), &MissionFilter::default()).unwrap();
    assert_eq!(homes.iter().map(|mission| mission.home).collect::<Vec<_>>(), [instance(2), instance(1)]);
    assert!(store.other_homes(&project(), instance(2)).unwrap().is_empty());
}
