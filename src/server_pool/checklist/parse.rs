//! Reading a checklist.

use crate::fault::{Code, Fault};

/// The most checks of a list: each is a session.
const MAX_ITEMS: usize = 500;

/// The longest text of a check, in bytes.
const MAX_TEXT: usize = 20_000;

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The heading it stands under.
    pub group: Option<String>,
    /// What is to be checked.
    pub text: String,
}

/// A list of checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checklist {
    /// Those to be run, in their order.
    pub items: Vec<Item>,
    /// How many were left out because they are ticked off.
    pub ticked: usize,
}

impl Checklist {
    /// Reads a list. Where there are list items (`- [ ] …`, `- …`, `* …`, `1. …`) these are the checks, each with the
    /// lines that are indented below it; what else stands there is for people. Without any, each line is one. `# …` is
    /// the heading of what follows.
    ///
    /// # Errors
    /// [`Code::BadChecklist`] when nothing is to be checked, or too much.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let bad = |message: String| Err(Fault::new(Code::BadChecklist, message));
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let marked = text.lines().any(|line| marker(line).is_some());
        let (mut items, mut ticked) = (Vec::<Item>::new(), 0);
        let mut group = None;
        // Whether what is indented belongs to the last of the items; none: to one that is left out.
        let mut open = Open::Nothing;
        for line in text.lines() {
            let trimmed = line.trim();
            let indented = line.starts_with([' ', '\t']);
            if trimmed.is_empty() {
                continue;
            }
            match (&open, marker(line)) {
                (Open::Item, _) if indented => {
                    if let Some(item) = items.last_mut() {
                        item.text.push('\n');
                        item.text.push_str(line.trim_end());
                    }
                }
                (Open::Ticked, _) if indented => {}
                (_, Some((true, _))) => (open, ticked) = (Open::Ticked, ticked + 1),
                (_, Some((false, ""))) => open = Open::Nothing,
                (_, Some((false, text))) => {
                    items.push(Item { group: Option::clone(&group), text: text.to_owned() });
                    open = Open::Item;
                }
                (_, None) => {
                    open = Open::Nothing;
                    if let Some(heading) = heading(trimmed) {
                        group = Some(heading.to_owned());
                    } else if !marked {
                        items.push(Item { group: Option::clone(&group), text: trimmed.to_owned() });
                    }
                }
            }
        }
        if let Some(item) = items.iter().find(|item| item.text.len() > MAX_TEXT) {
            return bad(format!("an item has {} bytes: {MAX_TEXT} are taken", item.text.len()));
        }
        match items.len() {
            0 if ticked > 0 => bad(format!("all {ticked} items are ticked off")),
            0 => bad("it has no items".to_owned()),
            many if many > MAX_ITEMS => bad(format!("it has {many} items: {MAX_ITEMS} are taken")),
            _ => Ok(Self { items, ticked }),
        }
    }
}

/// What an indented line belongs to.
enum Open {
    Item,
    Ticked,
    Nothing,
}

/// Whether a line is a list item, whether it is ticked off, and its text.
fn marker(line: &str) -> Option<(bool, &str)> {
    let line = line.trim();
    let rest = ["- ", "* ", "+ "].iter().find_map(|mark| line.strip_prefix(mark)).or_else(|| numbered(line));
    // An item without a text is one all the same.
    let rest = rest.or_else(|| matches!(line, "-" | "*" | "+").then_some(""))?.trim();
    let boxed = |mark: &str| rest.strip_prefix(mark).filter(|rest| rest.is_empty() || rest.starts_with(' '));
    match (boxed("[ ]"), boxed("[x]").or_else(|| boxed("[X]"))) {
        (Some(text), _) => Some((false, text.trim())),
        (_, Some(text)) => Some((true, text.trim())),
        _ => Some((false, rest)),
    }
}

fn numbered(line: &str) -> Option<&str> {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let rest = &line[digits..];
    (1..=9).contains(&digits).then(|| rest.strip_prefix(". ").or_else(|| rest.strip_prefix(") "))).flatten()
}

fn heading(line: &str) -> Option<&str> {
    let text = line.trim_start_matches('#');
    let depth = line.len() - text.len();
    ((1..=6).contains(&depth) && text.starts_with(' ')).then(|| text.trim().trim_end_matches('#').trim_end())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> (Vec<(String, String)>, usize) {
        let Checklist { items, ticked } = Checklist::parse(text).unwrap();
        (items.into_iter().map(|item| (item.group.unwrap_or_default(), item.text)).collect(), ticked)
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(group, text)| ((*group).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn items_of_a_list_are_the_checks() {
        let text = "\u{feff}# Audit\n\nSome words for people.\n- [ ] no secrets\n  in any file\n  - nor in tests\n\n- [x] done\n  with this\n\
            ## Style ##\n* [ ]\n* plain bullet\n1. first\n2) second\n- [link](x) is an item\r\n#hash is prose\n";
        let (items, ticked) = parsed(text);
        assert_eq!(
            items,
            pairs(&[
                ("Audit", "no secrets\n  in any file\n  - nor in tests"),
                ("Style", "plain bullet"),
                ("Style", "first"),
                ("Style", "second"),
                ("Style", "[link](x) is an item"),
            ])
        );
        assert_eq!(ticked, 1);
    }

    #[test]
    fn without_a_list_each_line_is_a_check() {
        let (items, ticked) = parsed("one\n\n  two  \n# Group\nthree\n");
        assert_eq!((items, ticked), (pairs(&[("", "one"), ("", "two"), ("Group", "three")]), 0));
    }

    #[test]
    fn what_cannot_be_run_is_refused() {
        for (text, words) in [
            ("", "it has no items"),
            ("# Only\n\n## Headings\n", "it has no items"),
            ("- [ ]\n-\n", "it has no items"),
            ("- [x] a\n- [X] b\n", "all 2 items are ticked off"),
            (&"- a\n".repeat(MAX_ITEMS + 1), "it has 501 items: 500 are taken"),
            (&format!("- {}", "a".repeat(MAX_TEXT + 1)), "an item has 20001 bytes"),
        ] {
            let fault = Checklist::parse(text).unwrap_err();
            assert!(fault.code == Code::BadChecklist && fault.message.starts_with(words), "{fault}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_no_item_is_empty(text in "(?s)([-*#. x\\[\\]0-9a\n\t]|.){0,80}") {
            if let Ok(list) = Checklist::parse(&text) {
                prop_assert!(!list.items.is_empty());
                prop_assert!(list.items.iter().all(|item| !item.text.trim().is_empty()));
            }
        }

        #[test]
        fn as_many_items_as_were_written(texts in proptest::collection::vec("[a-z]{1,8}( [a-z]{1,8}){0,3}", 1..20)) {
            let written = format!("- [ ] {}\n", texts.join("\n- [ ] "));
            let read: Vec<_> = Checklist::parse(&written).unwrap().items.into_iter().map(|item| item.text).collect();
            prop_assert_eq!(read, texts);
        }
    }
}
