//! Each error is reached, and leaves the document as it was.

use crate::{
    fault::{Code, Fault},
    todo::{Change, Conflict, Document, ItemId, MAX_ITEMS, NewItem, Operation, TodoError, apply, fixture},
};

fn id(text: &str) -> ItemId {
    text.parse().unwrap()
}

fn fault(document: &str, operations: &[Operation]) -> (Code, String) {
    let fault = Fault::from(apply(&Document::parse(document), operations).unwrap_err());
    (fault.code, fault.message)
}

fn add(item: NewItem) -> Operation {
    Operation::Add { mission: None, group: None, parent: None, item: Box::new(item) }
}

fn new(title: &str) -> NewItem {
    NewItem { title: title.to_owned(), ..NewItem::default() }
}

fn after(name: &str, after: &[&str]) -> Operation {
    let after = Some(after.iter().map(|name| id(name)).collect());
    Operation::Update { id: id(name), change: Box::new(Change { after, ..Change::default() }) }
}

#[test]
fn what_cannot_be_done_says_why() {
    let file = "- [ ] t1: a\n- [ ] t2: b {after: t1}\n- [x] t3: c\n- [ ] t4: d\n  ```\n- [ ] t5: e\n  - [ ] t6: f\n";
    let claim = |name| Operation::Claim { id: id(name), by: "me".into() };
    let remove = |name| Operation::Remove { id: id(name) };
    let split = |name, into: &[NewItem]| Operation::Split { id: id(name), into: into.to_vec() };
    let cases = [
        (vec![claim("t9")], Code::TodoNoItem, "there is no item `t9`"),
        (vec![remove("t9")], Code::TodoNoItem, "there is no item `t9`"),
        (vec![after("t1", &["t9"])], Code::TodoNoItem, "there is no item `t9`"),
        (vec![remove("t4"), after("t4", &[])], Code::TodoNoItem, "there is no item `t4`"),
        (vec![claim("t3")], Code::TodoClaimed, "item `t3` is done already"),
        (vec![claim("t2")], Code::TodoNotReady, "item `t2` waits for t1"),
        (vec![claim("t5")], Code::TodoNotReady, "item `t5` has sub-items (t6, …), which are worked on instead"),
        (vec![split("t3", &[new("x")])], Code::TodoNotOpen, "item `t3` is done"),
        (vec![split("t1", &[])], Code::TodoBadItem, "`items` is empty"),
        (vec![add(NewItem { id: Some(id("t1")), ..new("x") })], Code::TodoIdTaken, "another item has the id `t1`"),
        (vec![remove("t1")], Code::TodoInUse, "item `t1` cannot go: `t2` waits for it"),
        (vec![after("t1", &["t2"])], Code::TodoCycle, "they would wait for each other: t1 -> t2 -> t1"),
        (vec![after("t6", &["t5"])], Code::TodoCycle, "they would wait for each other: t5 -> t6 -> t5"),
        (vec![add(new(" \n\t"))], Code::TodoBadItem, "`title` is empty"),
        (
            vec![add(NewItem { agent: Some("a\nb".into()), ..new("x") })],
            Code::TodoBadItem,
            "`agent` holds a line break or control character",
        ),
        (vec![add(NewItem { files: vec![" ".into()], ..new("x") })], Code::TodoBadItem, "`files` is empty"),
        (vec![add(NewItem { note: Some("\n \n".into()), ..new("x") })], Code::TodoBadItem, "`note` is empty"),
        (vec![add(new(&"x".repeat(501)))], Code::TodoBadItem, "`title` has 501 bytes, at most 500"),
        (
            vec![split("t4", &[new("x")])],
            Code::TodoBadItem,
            "`parent` goes into a code block or comment that nothing ends",
        ),
        (vec![Operation::Outside { changed: 1 }], Code::TodoBadItem, "`op` is not an operation that can be applied"),
    ];
    for (operations, code, message) in cases {
        assert_eq!(fault(file, &operations), (code, message.to_owned()), "{operations:?}");
    }
}

#[test]
fn a_file_does_not_grow_without_end() {
    let file = fixture::sample(MAX_ITEMS);
    let message = format!("the file would have more than {MAX_ITEMS} items");
    assert_eq!(fault(&file, &[add(new("one more"))]), (Code::TodoFull, message));
    let instead = [Operation::Remove { id: id("t1") }, add(new("one instead"))];
    assert!(apply(&Document::parse(&file), &instead).is_ok());
}

#[test]
fn a_conflict_quotes_all_versions_short() {
    let side = |text: &str| Some(text.to_owned());
    let conflict =
        Conflict { item: "t1".into(), base: side("- [ ] t1: a\n"), ours: None, theirs: Some("é".repeat(400)) };
    let fault = Fault::from(TodoError::Conflict(vec![conflict.clone(); 40]));
    assert_eq!(fault.code, Code::TodoConflict);
    assert!(fault.message.contains("\nbefore: - [ ] t1: a\nnow: (not there)\nyours: éé"), "{fault}");
    assert!(fault.message.len() < 2_000 && fault.message.matches("yours: ").count() == 2, "{fault}");
}
