//! What is ready and what never will be, against an oracle that simply tries.

use std::fmt::Write;

use proptest::prelude::*;

use crate::todo::{Document, Item, Status, blocked, complete, ready};

/// (depth, status, ids waited for) of each item.
type Plan = Vec<(usize, usize, Vec<usize>)>;

fn document(plan: &Plan) -> Document {
    let mut text = String::new();
    let mut deepest = 0;
    for (n, (depth, status, after)) in plan.iter().enumerate() {
        let depth = (*depth).min(deepest);
        deepest = depth + 1;
        let after: Vec<_> = after.iter().map(|n| format!("t{n}")).collect();
        let mark = Status::ALL[*status].mark();
        let _ = writeln!(text, "{}- [{mark}] t{n}: x {{after: {}}}", "  ".repeat(depth), after.join(", "));
    }
    Document::parse(&text)
}

fn labels<'a>(items: impl IntoIterator<Item = &'a Item>) -> Vec<String> {
    items.into_iter().map(Item::label).collect()
}

/// The indices that each item stands under, and those directly under it.
fn relatives(items: &[Item], at: usize) -> (Vec<usize>, Vec<usize>) {
    let find =
        |item: &Item| items.iter().position(|other| Some(&other.id) == Some(&item.parent) && item.parent.is_some());
    let above = std::iter::successors(find(&items[at]), |at| find(&items[*at])).collect();
    let below = (0..items.len()).filter(|sub| find(&items[*sub]) == Some(at)).collect();
    (above, below)
}

fn can_be_worked_on(items: &[Item], now: &[Status], at: usize) -> bool {
    let (above, below) = relatives(items, at);
    let is_done = |id| items.iter().zip(now).any(|(item, now)| item.id.as_ref() == Some(id) && *now == Status::Done);
    let waits_well = |at: &usize| items[*at].after.iter().all(is_done);
    let is_on = |at: &usize| !matches!(now[*at], Status::Failed | Status::Cancelled);
    below.is_empty()
        && now[at] == Status::Pending
        && waits_well(&at)
        && above.iter().all(|at| waits_well(at) && is_on(at))
}

fn is_complete(items: &[Item], now: &[Status], at: usize) -> bool {
    let (_, below) = relatives(items, at);
    let over = |at: &usize| matches!(now[*at], Status::Done | Status::Cancelled);
    now[at].is_open() && below.iter().all(over) && below.iter().any(|at| now[*at] == Status::Done)
}

/// What all would be if everything that can be worked on were, and went well.
fn best_end(items: &[Item]) -> Vec<Status> {
    let mut now: Vec<Status> = items.iter().map(|item| item.status).collect();
    loop {
        let goes_on = (0..items.len()).find(|at| {
            let is_running = now[*at] == Status::InProgress && relatives(items, *at).1.is_empty();
            is_running || can_be_worked_on(items, &now, *at) || is_complete(items, &now, *at)
        });
        let Some(at) = goes_on else { return now };
        now[at] = Status::Done;
    }
}

proptest! {
    #[test]
    fn agrees_with_trying(plan in prop::collection::vec((0_usize..4, 0_usize..5, prop::collection::vec(0_usize..9, 0..3)), 0..8)) {
        let document = document(&plan);
        let items = document.items();
        let now: Vec<_> = items.iter().map(|item| item.status).collect();
        let at = |is: &dyn Fn(usize) -> bool| labels((0..items.len()).filter(|at| is(*at)).map(|at| &items[at]));
        prop_assert_eq!(labels(ready(&document)), at(&|at| can_be_worked_on(items, &now, at)), "{}", document);
        prop_assert_eq!(labels(complete(&document)), at(&|at| is_complete(items, &now, at)), "{}", document);
        let end = best_end(items);
        let never = at(&|at| now[at] == Status::Pending && end[at] != Status::Done);
        prop_assert_eq!(labels(blocked(&document).into_iter().map(|it| it.0)), never, "{}\n{:?}", document, blocked(&document));
    }
}

#[test]
fn each_reason_is_named() {
    let document = Document::parse(
        "- [!] t1: a\n- [-] t2: b\n- [ ] t3: c {after: t1}\n- [ ] t4: d {after: t2}\n- [ ] t5: e {after: t77}\n\
         - [ ] t6: f {after: what ever}\n- [ ] t7: g {after: t3}\n- [ ] t8: h {after: t9}\n- [ ] t9: i {after: t10}\n\
         - [ ] t10: j {after: t8}\n- [ ] t11: k {after: t9}\n- [!] t12: l\n  - [ ] sub\n- [ ] t13: m\n  - [-] n\n- [ ] t14: o\n",
    );
    let reasons: Vec<_> = blocked(&document).iter().map(|(item, why)| format!("{}: {why}", item.label())).collect();
    assert_eq!(
        reasons,
        [
            "t3: t1 failed",
            "t4: t2 is cancelled",
            "t5: there is no item t77",
            "t6: there is no item `what ever`",
            "t7: t3 can never be done",
            "t8: a circle: t8 -> t9 -> t10 -> t8",
            "t9: a circle: t8 -> t9 -> t10 -> t8",
            "t10: a circle: t8 -> t9 -> t10 -> t8",
            "t11: t9 can never be done",
            "line 13: t12 failed",
            "t13: line 15 is cancelled",
        ]
    );
}

#[test]
fn a_long_chain_does_not_exhaust_the_stack() {
    let item = |n: usize| format!("- [ ] t{n}: x {{after: t{}}}\n", n + 1);
    let document = Document::of((0..50_000).map(item).collect::<String>());
    assert_eq!((ready(&document).len(), blocked(&document).len()), (0, 50_000));
}
