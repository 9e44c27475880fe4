//! Counting what tasks use, and who launched whom.

use std::collections::HashMap;

use proptest::prelude::*;

use super::store;
use crate::{
    store::{Account, Born, Brood, Charge, Filter, Lineage, SqliteStore, Store, fixture::*},
    task::{CancelReason, Change, Guard, MissionId, Spent, TaskId, Timestamp},
};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const DAY: i64 = 86_400_000;

use crate::store::Spending as _;

fn tokens(tokens: u64) -> Spent {
    Spent { tokens, ..Spent::default() }
}

fn charge(task: u64, item: &str, spent: Spent) -> Charge {
    Charge { task: id(task), item: item.to_owned(), spent }
}

fn spent(store: &mut SqliteStore, account: &Account) -> u64 {
    store.spent(account).unwrap().tokens
}

fn born(n: u64) -> Born {
    Born { task: task(n, instance(1), |_| ()), fingerprint: format!("print {n}") }
}

fn bear(store: &mut SqliteStore, root: &str, parent: Option<u64>, tasks: &[u64]) {
    let born: Vec<_> = tasks.iter().map(|n| born(*n)).collect();
    let lineage = Lineage { root: root.to_owned(), parent: parent.map(id) };
    assert!(store.launch_below(&lineage, &born, Timestamp(0), &mut |_| true).unwrap());
}

#[test]
fn a_charge_counts_for_the_task_the_mission_the_project_and_the_day() {
    let (_dir, mut store) = store();
    let mission = MissionId::new(NOW, &[3; 10]);
    store.launch(&[task(1, instance(1), |spec| spec.mission = Some(mission)), task(2, instance(1), |_| ())]).unwrap();
    let whole = Spent { tokens: 1, cost: 2, millis: 3, tool_calls: 4, tasks: 5 };
    store.charge(&[charge(1, "a", whole), charge(2, "a", tokens(10)), charge(9, "a", tokens(100))], NOW).unwrap();
    store.charge(&[charge(2, "b", tokens(20))], Timestamp(NOW.0 + DAY)).unwrap();
    assert_eq!(store.spent(&Account::Task(id(1))).unwrap(), whole);
    for (account, expected) in [
        (Account::Task(id(2)), 30),
        (Account::Mission(mission), 1),
        (Account::Mission(MissionId::new(NOW, &[4; 10])), 0),
        (Account::Project(project()), 31),
        (Account::Project(crate::task::ProjectKey::new("/other")), 0),
        (Account::Day(NOW), 11),
        (Account::Day(Timestamp(NOW.0 + DAY)), 20),
    ] {
        assert_eq!(spent(&mut store, &account), expected, "{account:?}");
    }
}

#[test]
fn a_tree_is_a_task_with_everything_below_it() {
    let (_dir, mut store) = store();
    bear(&mut store, "ses_root", None, &[1, 2]);
    bear(&mut store, "ses_root", Some(1), &[3, 4]);
    bear(&mut store, "ses_root", Some(3), &[5]);
    let charges: Vec<_> = (1..=5).map(|n| charge(n, "a", tokens(10_u64.pow(u32::try_from(n).unwrap())))).collect();
    store.charge(&charges, NOW).unwrap();
    let tree = |store: &mut SqliteStore, n| spent(store, &Account::Task(id(n)));
    assert_eq!([1, 2, 3, 4, 5].map(|n| tree(&mut store, n)), [111_010, 100, 101_000, 10_000, 100_000]);
    assert_eq!(store.kin(id(1)).unwrap(), (vec![], vec![id(3), id(4), id(5)]));
    assert_eq!(store.kin(id(5)).unwrap(), (vec![id(3), id(1)], vec![]));
    let cancel = Change::Cancel { reason: CancelReason::Request };
    store.change(id(4), Guard::Anyone, &cancel, None, NOW).unwrap();
    assert_eq!(store.kin(id(1)).unwrap().1, [id(3), id(5)], "what has ended is not paused any more");
    assert_eq!((tree(&mut store, 1), store.tree_size(id(1)).unwrap()), (111_010, 4), "and counts");
}

#[test]
fn the_guard_sees_what_is_there_and_its_no_inserts_nothing() {
    let (_dir, mut store) = store();
    bear(&mut store, "ses_root", None, &[1, 2]);
    bear(&mut store, "ses_other", None, &[3]);
    let cancel = Change::Cancel { reason: CancelReason::Request };
    store.change(id(2), Guard::Anyone, &cancel, None, NOW).unwrap();
    let again: Vec<_> = [1, 2, 3].map(|n| Born { task: task(n + 10, instance(1), |_| ()), ..born(n) }).into();
    let lineage = Lineage { root: "ses_root".to_owned(), parent: None };
    let mut ask = |since, answer| {
        let mut seen = Brood::default();
        let launched = store.launch_below(&lineage, &again, Timestamp(since), &mut |brood| {
            seen = brood.clone();
            answer
        });
        (launched.unwrap(), seen)
    };
    // Tasks of the fixture are launched at instant 1.
    let open = HashMap::from([("print 1".to_owned(), id(1))]);
    assert_eq!(ask(1, false), (false, Brood { all: 2, lately: 0, open: open.clone() }));
    assert_eq!(ask(0, true), (true, Brood { all: 2, lately: 2, open }));
    assert_eq!(store.tasks(&project(), &Filter::default()).unwrap().len(), 6);
}

#[test]
fn single_charges_go_with_the_end_and_the_sums_stay() {
    let (_dir, mut store) = store();
    store.launch(&[task(1, instance(1), |_| ()), task(2, instance(1), |_| ())]).unwrap();
    store.charge(&[charge(1, "a", tokens(1)), charge(2, "a", tokens(2))], NOW).unwrap();
    let cancel = Change::Cancel { reason: CancelReason::Request };
    store.change(id(1), Guard::Anyone, &cancel, None, NOW).unwrap();
    store.settle_charges(&[id(1), id(2)]).unwrap();
    let left: i64 = store.conn.query_row("SELECT count(*) FROM charges", [], |row| row.get(0)).unwrap();
    assert_eq!((left, spent(&mut store, &Account::Project(project()))), (1, 3));
}

#[test]
fn settings_are_found_by_how_they_begin_and_written_first_only_once() {
    let (_dir, mut store) = store();
    for name in ["budget tokens day", "budget cost project /a b", "budgets", "budge"] {
        store.set_setting(name, Some("1")).unwrap();
    }
    let found = store.settings("budget ").unwrap();
    let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["budget cost project /a b", "budget tokens day"]);
    assert!(store.first_setting("told", "a").unwrap() && !store.first_setting("told", "b").unwrap());
    assert_eq!(store.setting("told").unwrap().as_deref(), Some("a"));
}

#[test]
fn absurd_amounts_do_not_break_the_sums() {
    let (_dir, mut store) = store();
    store.launch(&[task(1, instance(1), |_| ())]).unwrap();
    for item in ["a", "b", "c"] {
        store.charge(&[charge(1, item, tokens(u64::MAX))], NOW).unwrap();
    }
    assert!(spent(&mut store, &Account::Day(NOW)) > 1 << 40);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// However charges come, again, with gaps or in another order, the sums are those of each item's most.
    #[test]
    fn nothing_is_counted_twice(charges in prop::collection::vec((1..4_u64, 0..4_u8, 0..100_u64), 0..40)) {
        let (_dir, mut store) = store();
        bear(&mut store, "ses_root", None, &[1]);
        bear(&mut store, "ses_root", Some(1), &[2, 3]);
        let mut most: HashMap<(TaskId, u8), u64> = HashMap::new();
        for (task, item, amount) in charges {
            store.charge(&[charge(task, &item.to_string(), tokens(amount))], NOW).unwrap();
            let known = most.entry((id(task), item)).or_default();
            *known = (*known).max(amount);
        }
        let sum: u64 = most.values().sum();
        for account in [Account::Task(id(1)), Account::Project(project()), Account::Day(NOW)] {
            prop_assert_eq!(spent(&mut store, &account), sum);
        }
    }
}
