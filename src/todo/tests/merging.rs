//! Three-way merges.

use crate::todo::{Document, distance, merge, merge_keeping_both};

const BASE: &str = "# TODO\n\n## A {mission: m1}\n- [ ] t1: one\n- [ ] t2: two\n  a note\n  - [ ] t2.1: sub\n\n## B\nwords\n\n- [ ] t3: three\n- [ ] none\n";

fn edit(from: &str, to: &str) -> Document {
    assert!(BASE.contains(from), "{from}");
    Document::parse(&BASE.replacen(from, to, 1))
}

fn merged(ours: &Document, theirs: &Document) -> String {
    merge(&Document::parse(BASE), ours, theirs).unwrap().to_string()
}

fn kept(ours: &Document, theirs: &Document) -> String {
    merge_keeping_both(&Document::parse(BASE), ours, theirs).to_string()
}

#[test]
fn changes_of_different_items_come_together() {
    for (ours, theirs, expected) in [
        (("[ ] t1", "[x] t1"), ("[ ] t3", "[~] t3"), vec![("[ ] t1", "[x] t1"), ("[ ] t3", "[~] t3")]),
        // Both the same.
        (("[ ] t1", "[x] t1"), ("[ ] t1", "[x] t1"), vec![("[ ] t1", "[x] t1")]),
        // Both add at the same place; a heading of one side does not take the other side's item.
        (
            ("- [ ] none\n", "- [ ] none\n- [ ] t4: four\n"),
            ("- [ ] none\n", "- [ ] none\n\n## C\n- [ ] t5: five\n"),
            vec![("- [ ] none\n", "- [ ] none\n- [ ] t4: four\n\n## C\n- [ ] t5: five\n")],
        ),
        // A sub-item goes under its item though the other side puts something behind that.
        (
            ("t1: one\n", "t1: one\n  - [ ] t1.1: x\n"),
            ("t1: one\n", "t1: one\n- [ ] t9: y\n"),
            vec![("t1: one\n", "t1: one\n  - [ ] t1.1: x\n- [ ] t9: y\n")],
        ),
        // One moves what the other changes.
        (
            (
                "- [ ] t1: one\n- [ ] t2: two\n  a note\n  - [ ] t2.1: sub\n",
                "- [ ] t2: two\n  a note\n  - [ ] t2.1: sub\n- [ ] t1: one\n",
            ),
            ("[ ] t1", "[x] t1"),
            vec![(
                "- [ ] t1: one\n- [ ] t2: two\n  a note\n  - [ ] t2.1: sub\n",
                "- [ ] t2: two\n  a note\n  - [ ] t2.1: sub\n- [x] t1: one\n",
            )],
        ),
        // Removed on one side, left alone on the other.
        (("- [ ] t1: one\n", ""), ("[ ] t3", "[x] t3"), vec![("- [ ] t1: one\n", ""), ("[ ] t3", "[x] t3")]),
        // Headings and free lines.
        (("## A", "## AA"), ("words", "more\nwords"), vec![("## A", "## AA"), ("words", "more\nwords")]),
        (("words", "ours"), ("words", "theirs"), vec![("words", "theirs\nours")]),
        // A heading is renamed while an item is added under it.
        (
            ("## B", "## BB"),
            ("t3: three\n", "t3: three\n- [ ] t4: four\n"),
            vec![("## B", "## BB"), ("t3: three\n", "t3: three\n- [ ] t4: four\n")],
        ),
        // The ends of lines do not count.
        (("none\n", "none"), ("[ ] t3", "[x] t3"), vec![("[ ] t3", "[x] t3"), ("none\n", "none")]),
    ] {
        let (ours, theirs) = (edit(ours.0, ours.1), edit(theirs.0, theirs.1));
        let expected = expected.iter().fold(BASE.to_owned(), |text, (from, to)| text.replacen(from, to, 1));
        assert_eq!(merged(&ours, &theirs), expected);
        assert_eq!(kept(&ours, &theirs), expected, "without a conflict both merges are the same");
    }
}

#[test]
fn an_editor_that_ends_lines_otherwise_changes_no_item() {
    let theirs = Document::parse(&BASE.replace('\n', "\r\n"));
    let ours = edit("[ ] t1", "[x] t1");
    assert_eq!(merged(&ours, &theirs), BASE.replace('\n', "\r\n").replace("[ ] t1", "[x] t1"));
    let theirs = Document::parse(&format!("\u{feff}{BASE}"));
    assert_eq!(merged(&ours, &theirs), format!("\u{feff}{ours}"));
}

#[test]
fn the_same_item_in_two_ways_is_a_conflict() {
    let text = |text: &str| Some(text.to_owned());
    for (ours, theirs, item, sides, both) in [
        (
            ("[ ] t1", "[x] t1"),
            ("[ ] t1", "[!] t1"),
            "t1",
            [text("- [ ] t1: one\n"), text("- [x] t1: one\n"), text("- [!] t1: one\n")],
            ("- [ ] t1: one\n", "- [x] t1: one\n  outside: - [!] t1: one\n"),
        ),
        (
            ("  a note\n", "  ours\n"),
            ("  a note\n", "  theirs\n  too\n"),
            "t2",
            [
                text("- [ ] t2: two\n  a note\n"),
                text("- [ ] t2: two\n  ours\n"),
                text("- [ ] t2: two\n  theirs\n  too\n"),
            ],
            ("  a note\n", "  ours\n  outside: theirs\n  outside: too\n"),
        ),
        (
            ("- [ ] t1: one\n", ""),
            ("[ ] t1", "[x] t1"),
            "t1",
            [text("- [ ] t1: one\n"), None, text("- [x] t1: one\n")],
            ("[ ] t1", "[x] t1"),
        ),
        (
            ("[ ] t1", "[x] t1"),
            ("- [ ] t1: one\n", ""),
            "t1",
            [text("- [ ] t1: one\n"), text("- [x] t1: one\n"), None],
            ("- [ ] t1: one\n", "- [x] t1: one\n  outside: removed\n"),
        ),
        (
            ("- [ ] t1: one\n", ""),
            ("t1: one\n", "t1: one\n  - [ ] t1.1: x\n"),
            "t1",
            [
                text("- [ ] t1: one\n"),
                text("  - [ ] t1.1: x\n").filter(|_| false),
                text("- [ ] t1: one\n  - [ ] t1.1: x\n"),
            ],
            ("t1: one\n", "t1: one\n  - [ ] t1.1: x\n"),
        ),
        (
            ("t1: one\n", "t1: one\n- [ ] t7: ours\n"),
            ("t3: three\n", "t3: three\n* [x] t7: theirs\n  more\n"),
            "t7",
            [None, text("- [ ] t7: ours\n"), text("* [x] t7: theirs\n  more\n")],
            ("t1: one\n", "t1: one\n* [x] theirs\n  more\n- [ ] t7: ours\n"),
        ),
        (
            ("[ ] none", "[x] none"),
            ("[ ] none", "[~] none"),
            "none",
            [text("- [ ] none\n"), text("- [x] none\n"), text("- [~] none\n")],
            ("[ ] none\n", "[x] none\n  outside: - [~] none\n"),
        ),
    ] {
        let (ours, theirs) = (edit(ours.0, ours.1), edit(theirs.0, theirs.1));
        let conflicts = merge(&Document::parse(BASE), &ours, &theirs).unwrap_err();
        assert_eq!(conflicts.len(), 1, "{conflicts:?}");
        let conflict = conflicts.into_iter().next().unwrap();
        assert_eq!((conflict.item.as_str(), [conflict.base, conflict.ours, conflict.theirs]), (item, sides));
        assert_eq!(kept(&ours, &theirs), BASE.replacen(both.0, both.1, 1));
    }
}

#[test]
fn a_fence_that_swallows_the_file_loses_nothing() {
    let theirs = edit("# TODO\n", "# TODO\n```\n");
    for (ours, lost, behind) in [
        (edit("[ ] none\n", "[x] none\n"), "none", "outside: ```\noutside: - [ ] none\n"),
        (edit("[ ] none\n", "[ ] none\n- [ ] t4: four\n"), "t4", "outside: ```\n"),
    ] {
        let conflicts = merge(&Document::parse(BASE), &ours, &theirs).unwrap_err();
        assert_eq!(conflicts.iter().map(|conflict| conflict.item.as_str()).collect::<Vec<_>>(), [lost]);
        assert_eq!(kept(&ours, &theirs), format!("{ours}{behind}"));
    }
}

#[test]
fn items_put_under_each_other_are_a_conflict() {
    let (one, two) = ("- [ ] t1: one\n", "- [ ] t2: two\n");
    let base = Document::parse(&format!("{one}{two}"));
    let (ours, theirs) = (Document::parse(&format!("{one}  {two}")), Document::parse(&format!("{two}  {one}")));
    let names: Vec<_> = merge(&base, &ours, &theirs).unwrap_err().into_iter().map(|conflict| conflict.item).collect();
    assert_eq!(names, ["t1", "t2"]);
    let kept = merge_keeping_both(&base, &ours, &theirs);
    assert_eq!(kept.items().len(), 2, "{kept}");
}

#[test]
fn distance_counts_items_and_lines() {
    let base = Document::parse(BASE);
    for (from, to, expected) in [
        ("", "", 0),
        ("[ ] t1", "[x] t1", 1),
        ("- [ ] t1: one\n", "", 1),
        ("words\n", "", 1),
        ("words\n", "other\n", 2),
        ("## B", "## C", 2),
        ("none\n", "none\n- [ ] t8: x\n", 1),
        ("\n", "\r\n", 0),
    ] {
        let other = edit(from, to);
        assert_eq!((distance(&base, &other), distance(&other, &base)), (expected, expected), "{from} {to}");
    }
}
