//! Operations.

use crate::todo::{Change, Document, ItemId, NewItem, Operation, Status, TodoError, apply, ready};

fn id(text: &str) -> ItemId {
    text.parse().unwrap()
}

fn new(title: &str) -> Box<NewItem> {
    Box::new(NewItem { title: title.to_owned(), ..NewItem::default() })
}

fn add(mission: Option<&str>, group: Option<&str>, title: &str) -> Operation {
    Operation::Add { mission: mission.map(Into::into), group: group.map(Into::into), parent: None, item: new(title) }
}

#[test]
fn a_file_grows_from_nothing() {
    let (document, touched) = apply(
        &Document::default(),
        &[
            add(Some("m1"), Some("Parser"), "a"),
            add(Some("m1"), None, "b"),
            add(None, None, "c"),
            add(Some("m1"), Some("Tests"), "d"),
            Operation::Claim { id: id("t2"), by: "me".into() },
            Operation::Split { id: id("t2"), into: vec![*new("e"), *new("f")] },
            Operation::Update {
                id: id("t1"),
                change: Box::new(Change { note: Some("- [ ] x\n\n# y".into()), ..Change::default() }),
            },
        ],
    )
    .unwrap();
    assert_eq!(
        document.to_string(),
        "# TODO\n- [ ] t3: c\n\n## Parser {mission: m1}\n- [ ] t1: a\n  \\- [ ] x\n\n  \\# y\n- [~] t2: b\n  - [ ] t2.1: e\n  \
         - [ ] t2.2: f\n\n### Tests\n- [ ] t4: d\n"
    );
    assert_eq!(touched.iter().map(ItemId::as_str).collect::<Vec<_>>(), ["t1", "t2", "t3", "t4", "t2.1", "t2.2"]);
    let ready: Vec<_> = ready(&document).iter().map(|item| item.label()).collect();
    assert_eq!(ready, ["t3", "t1", "t2.1", "t2.2", "t4"]);
}

#[test]
fn a_claim_is_refused_unless_the_item_is_ready() {
    let document = Document::parse("- [ ] t1: a\n- [ ] t2: b {after: t1}\n");
    let claim =
        |document: &Document, name: &str| apply(document, &[Operation::Claim { id: id(name), by: "me".into() }]);
    let (claimed, _) = claim(&document, "t1").unwrap();
    assert_eq!(claimed.to_string(), "- [~] t1: a\n- [ ] t2: b {after: t1}\n");
    assert_eq!(claim(&claimed, "t1").unwrap_err(), TodoError::Claimed { id: id("t1"), status: Status::InProgress });
    assert_eq!(claim(&claimed, "t2").unwrap_err(), TodoError::NotReady { id: id("t2"), why: "waits for t1".into() });
    assert_eq!(claim(&claimed, "t3").unwrap_err(), TodoError::NoItem(id("t3")));
}

#[test]
fn an_indented_line_behind_a_new_item_is_not_taken_for_its_note() {
    for (group, before, behind) in [(Some("A"), "# A\n", "\n  ## B\n- [ ] t2: b\n"), (None, "", "  ```\n- [ ] code\n")]
    {
        let document = Document::parse(&format!("{before}{behind}"));
        let (document, _) = apply(&document, &[add(None, group, "new")]).unwrap();
        let id = document.items()[0].id.clone().unwrap();
        assert_eq!(document.to_string(), format!("{before}- [ ] {id}: new\n<!-- -->\n{behind}"));
    }
}
