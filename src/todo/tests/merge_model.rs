//! Merges against a simple model: maps of what each item says.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::todo::{Change, Document, Item, ItemId, NewItem, Operation, Status, apply, merge, merge_keeping_both};

/// Thirteen items, of which some stand under others, in three groups.
fn base() -> Document {
    let item = |n: usize| match n % 4 {
        2 => format!("- [ ] a{n}: item {n}\n  a note\n"),
        3 => format!("  - [ ] a{n}: item {n}\n"),
        _ => format!("- [ ] a{n}: item {n}\n"),
    };
    let group =
        |n: usize| format!("\n## Group {n}\nwords\n\n{}", (0..5).map(|at| item(n * 5 + at)).collect::<String>());
    Document::parse(&(0..3).map(group).collect::<String>())
}

/// What an item says, and what it stands under.
type Said = (Status, String, String, Option<ItemId>);

fn said(document: &Document) -> BTreeMap<ItemId, Said> {
    let of = |item: &Item| (item.status, item.title.clone(), item.notes.clone(), item.parent.clone());
    document.items().iter().filter_map(|item| Some((item.id.clone()?, of(item)))).collect()
}

/// One edit: of which item, and which.
type Edit = (usize, usize);

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    prop::collection::vec((0_usize..15, 0_usize..8), 0..6)
}

/// What a writer makes of the base. `writer` tells its new items from others'.
fn write(base: &Document, writer: char, edits: &[Edit], may: impl Fn(usize, usize) -> bool) -> Document {
    let mut document = base.clone();
    for (n, (at, what)) in edits.iter().enumerate().filter(|(_, (at, what))| may(*at, *what)) {
        let id = base.items()[*at].id.clone().unwrap();
        let change = |change| Operation::Update { id: id.clone(), change: Box::new(change) };
        let new = |name: String| {
            let item = NewItem { id: name.parse().ok(), title: format!("new of {writer}"), ..NewItem::default() };
            let group = Some(format!("Group {}", at % 4));
            Operation::Add { mission: None, group, parent: None, item: Box::new(item) }
        };
        let operation = match what {
            0 => change(Change { status: Some(Status::ALL[n % 5]), ..Change::default() }),
            1 => change(Change { title: Some(format!("title {n}")), ..Change::default() }),
            2 => change(Change { note: Some(format!("note {n}")), ..Change::default() }),
            3 => Operation::Remove { id },
            4 => new(format!("{writer}{at}")),
            5 => new(format!("z{at}")),
            _ => {
                let item =
                    NewItem { id: format!("{writer}{at}.1").parse().ok(), title: "sub".into(), ..NewItem::default() };
                Operation::Add { mission: None, group: None, parent: Some(id), item: Box::new(item) }
            }
        };
        if let Ok((next, _)) = apply(&document, &[operation]) {
            document = next;
        }
    }
    document
}

/// The merge of maps; `None` where an item was changed on both sides in different ways, or one that goes is stood under.
fn model(base: &Document, ours: &Document, theirs: &Document) -> Option<BTreeMap<ItemId, Said>> {
    let [base, ours, theirs] = [base, ours, theirs].map(said);
    let mut result = BTreeMap::new();
    for id in base.keys().chain(ours.keys()).chain(theirs.keys()) {
        let (old, our, their) = (base.get(id), ours.get(id), theirs.get(id));
        let new = match () {
            () if our == their || our == old => their,
            () if their == old => our,
            () => return None,
        };
        if let Some(new) = new {
            result.insert(id.clone(), new.clone());
        }
    }
    let stands = |said: &Said| said.3.as_ref().is_none_or(|above| result.contains_key(above));
    result.values().all(stands).then_some(result)
}

proptest! {
    /// Writers with items of their own, in any order: the result says what each of them said, whoever came first.
    #[test]
    fn disjoint_edits_all_arrive(all in prop::collection::vec(edits(), 4), order in Just(vec![0, 1, 2, 3]).prop_shuffle()) {
        let base = base();
        let writers: Vec<Document> = all.iter().enumerate().map(|(number, edits)| {
            // Each its own items; only items under which nothing stands go; new ids are the writer's.
            let may = |at: usize, what: usize| at % 4 == number && what != 5 && (what != 3 || at % 4 != 2);
            let name = char::from(b"wxyv"[number]);
            write(&base, name, edits, may)
        }).collect();
        let mut expected = said(&base);
        for writer in &writers {
            let changed = said(writer);
            expected.retain(|id, _| changed.contains_key(id) || !said(&base).contains_key(id));
            let old = said(&base);
            expected.extend(changed.into_iter().filter(|(id, said)| old.get(id) != Some(said)));
        }
        let mut head = base.clone();
        for number in order {
            head = merge(&base, &head, &writers[number]).map_err(|conflicts| TestCaseError::fail(format!("{conflicts:?}")))?;
        }
        prop_assert_eq!(said(&head), expected, "{}", head);
    }

    /// Two writers who edit what they like: a conflict exactly if the model has one, and else the model's items.
    #[test]
    fn conflicts_are_those_of_the_model(ours in edits(), theirs in edits()) {
        let base = base();
        let (ours, theirs) = (write(&base, 'x', &ours, |_, _| true), write(&base, 'y', &theirs, |_, _| true));
        let merged = merge(&base, &ours, &theirs);
        prop_assert_eq!(merged.as_ref().ok().map(said), model(&base, &ours, &theirs), "{}\n---\n{}\n---\n{:?}", ours, theirs, merged);
        // The one that keeps both has every item that a side changed or added, and changes nothing where all is well.
        let kept = merge_keeping_both(&base, &ours, &theirs);
        if let Ok(merged) = merged {
            prop_assert_eq!(kept, merged);
        } else {
            let (old, kept_items) = (said(&base), said(&kept));
            for (id, said) in said(&ours).into_iter().chain(said(&theirs)) {
                prop_assert!(old.get(&id) == Some(&said) || kept_items.contains_key(&id), "{id} is lost:\n{kept}");
            }
        }
    }
}
