//! Reading a file.

use crate::todo::{Document, Item, Status, fixture};

const FILE: &str = "# TODO\r\n## Add a parser {mission: m3}\r\nAny free text stays.\r\n\
- [ ] t1: Write the lexer {files: src/lex.rs, tests/lex.rs; size: S; colour: blue}\r\n\
- [~] t2: Write the parser {after: t1; agent: worker}\r\n  free detail\r\n\r\n    more\r\n  - [ ] t2.1: A sub-item\r\n  tail\r\n\
### Deeper\r\n* [x] t4: done\r\n+ [!] no id\r\n1. [-] t1: twice\r\n# Other\r\n- [ ] t9: x\r\n\
```\r\n- [ ] code\r\n```\r\n<!--\r\n- [ ] hidden\r\n-->\r\n- [X]";

fn titles(document: &Document) -> Vec<String> {
    let name = |item: &Item| format!("{}{} {}", ".".repeat(item.depth), item.label(), item.title);
    document.items().iter().map(name).collect()
}

#[test]
fn a_file_is_read_and_printed_as_it_was() {
    let document = Document::parse(FILE);
    assert_eq!(document.to_string(), FILE);
    assert_eq!(
        titles(&document),
        [
            "t1 Write the lexer",
            "t2 Write the parser",
            ".t2.1 A sub-item",
            "t4 done",
            "line 13 no id",
            "line 14 t1: twice",
            "t9 x",
            "line 23 "
        ]
    );
    let [t1, t2, sub, t4, failed, twice, other, last] = document.items() else { panic!() };
    assert_eq!((t1.files.join("+"), t1.size.unwrap().as_str()), ("src/lex.rs+tests/lex.rs".to_owned(), "S"));
    assert_eq!((t2.agent.as_deref(), t2.after[0].as_str(), t2.status), (Some("worker"), "t1", Status::InProgress));
    assert_eq!(t2.notes, "free detail\n\n  more\ntail");
    assert_eq!((sub.parent.as_ref().unwrap().as_str(), sub.depth), ("t2", 1));
    assert_eq!((t4.mission.as_deref(), t4.groups.join("/")), (Some("m3"), "TODO/Add a parser/Deeper".to_owned()));
    assert_eq!((failed.status, twice.status, &twice.id), (Status::Failed, Status::Cancelled, &None));
    assert_eq!((other.mission.as_deref(), other.groups.join("/")), (None, "Other".to_owned()));
    assert_eq!((last.status, last.title.as_str()), (Status::Done, ""));
    assert_eq!(document.sub_items(t2).count(), 1);
}

#[test]
fn a_sample_has_the_items_asked_for() {
    let text = fixture::sample(1_000);
    let document = Document::parse(&text);
    assert_eq!((document.items().len(), document.to_string() == text), (1_000, true));
    assert!(document.items().iter().all(|item| item.id.is_some() && item.agent.is_some()));
}
