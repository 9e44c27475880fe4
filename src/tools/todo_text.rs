//! TODO.md in few words: items as lines, what a change did, and revisions.
//!
//! A model reads this often, so an item is one line, what is over is left out unless asked for, and a long answer ends
//! with how to see the rest.

use std::{fmt::Write, sync::Arc, time::Duration};

use super::todo_args::View;
use crate::{
    engine::{handoff, report_text::duration},
    todo::{self, Document, Item, ItemId, Operation, Status},
};

/// The most bytes of an answer: the items of a large mission, not a context full.
pub const MOST: usize = 16 * 1024;

/// Items as they are asked for, of one mission or of all.
#[must_use]
pub fn read(document: &Document, rev: u64, view: View, mission: Option<&str>) -> String {
    let is_of = |item: &Item| mission.is_none() || item.mission.as_deref() == mission;
    let blocked = todo::blocked(document);
    let why = |item: &Item| blocked.iter().find(|(other, _)| other.line == item.line).map(|(_, why)| why.to_string());
    let mut text = sums(document, rev, &is_of);
    let shown: Vec<&Item> = match view {
        View::All => {
            let _ = write!(text, "\n{document}");
            return cut(text, "read the file for the rest");
        }
        View::Ready => todo::ready(document).into_iter().filter(|item| is_of(item)).collect(),
        View::Open => document.items().iter().filter(|item| item.status.is_open() && is_of(item)).collect(),
    };
    let mut groups: Option<&Arc<[String]>> = None;
    for (number, item) in shown.iter().enumerate() {
        let mut line = String::new();
        if groups != Some(&item.groups) {
            groups = Some(&item.groups);
            let _ = write!(line, "\n# {}", item.groups.join(" / "));
        }
        let _ = write!(line, "\n{}{}", "  ".repeat(item.depth.min(8)), one(item));
        if let Some(why) = why(item) {
            let _ = write!(line, " BLOCKED: {why}");
        }
        if text.len() + line.len() > MOST {
            let _ = write!(text, "\n[{} of {} shown; read one by its id]", number, shown.len());
            break;
        }
        text.push_str(&line);
    }
    text
}

/// `rev 12: 3 of 8 done, 1 failed, 2 in progress, 1 ready, 1 blocked`.
fn sums(document: &Document, rev: u64, is_of: &dyn Fn(&Item) -> bool) -> String {
    let count = |status| document.items().iter().filter(|item| item.status == status && is_of(item)).count();
    let cancelled = count(Status::Cancelled);
    let all = document.items().iter().filter(|item| is_of(item)).count() - cancelled;
    let mut text = format!("rev {rev}: {} of {all} done", count(Status::Done));
    let ready = todo::ready(document).into_iter().filter(|item| is_of(item)).count();
    let blocked = todo::blocked(document).into_iter().filter(|(item, _)| is_of(item)).count();
    for (number, what) in [
        (count(Status::Failed), "failed"),
        (cancelled, "cancelled"),
        (count(Status::InProgress), "in progress"),
        (ready, "ready"),
        (blocked, "blocked"),
    ] {
        if number > 0 {
            let _ = write!(text, ", {number} {what}");
        }
    }
    text
}

/// `t1 [ ] Write the lexer (worker; S; src/lex.rs; after t0)`.
fn one(item: &Item) -> String {
    let after = item.after.iter().map(ToString::to_string).chain(item.after_unread.iter().cloned());
    let after: Vec<_> = after.collect();
    let race: Vec<_> = item.race.iter().map(ToString::to_string).collect();
    let parts = [
        item.agent.clone().unwrap_or_default(),
        item.size.map(|size| size.as_str().to_owned()).unwrap_or_default(),
        item.files.join(", "),
        if after.is_empty() { String::new() } else { format!("after {}", after.join(", ")) },
        if race.is_empty() { String::new() } else { format!("race {}", race.join(", ")) },
    ];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let mut text = format!("{} [{}] {}", item.label(), item.status.mark(), item.title);
    if !parts.is_empty() {
        let _ = write!(text, " ({})", parts.join("; "));
    }
    text
}

/// One item with its notes and its sub-items.
#[must_use]
pub fn item(document: &Document, rev: u64, item: &Item) -> String {
    let mut text = format!("rev {rev}\n{}", one(item));
    if let Some((_, why)) = todo::blocked(document).into_iter().find(|(other, _)| other.line == item.line) {
        let _ = write!(text, " BLOCKED: {why}");
    }
    for line in item.notes.lines() {
        let _ = write!(text, "\n  {line}");
    }
    for sub in document.sub_items(item) {
        let _ = write!(text, "\n  {}", one(sub));
    }
    cut(text, "read the file for the rest")
}

fn cut(text: String, hint: &str) -> String {
    if text.len() <= MOST { text } else { format!("{}; {hint}", handoff::cut(&text, MOST)) }
}

/// What a change did: `rev 12: t7, t8 added; t3 done`.
#[must_use]
pub fn changed(rev: u64, before: &Document, after: &Document, touched: &[ItemId]) -> String {
    let mut done: Vec<(&str, Vec<String>)> = Vec::new();
    for id in touched {
        let what = match (before.get(id), after.get(id)) {
            (_, None) => "removed",
            (None, Some(_)) => "added",
            (Some(old), Some(new)) if old.status != new.status => words(new.status),
            (Some(_), Some(_)) => "changed",
        };
        match done.iter_mut().find(|(known, _)| *known == what) {
            Some((_, ids)) => ids.push(id.to_string()),
            None => done.push((what, vec![id.to_string()])),
        }
    }
    let parts: Vec<_> = done.iter().map(|(what, ids)| format!("{} {what}", ids.join(", "))).collect();
    if parts.is_empty() { format!("rev {rev}: nothing changed") } else { format!("rev {rev}: {}", parts.join("; ")) }
}

fn words(status: Status) -> &'static str {
    if status == Status::InProgress { "in progress" } else { status.as_str() }
}

/// A revision, as it is listed.
#[derive(Debug, Clone, Copy)]
pub struct Revision<'a> {
    /// Its number.
    pub rev: u64,
    /// Who made it.
    pub author: &'a str,
    /// How long ago.
    pub age: Duration,
    /// What it did.
    pub operations: &'a [Operation],
}

/// Revisions, a line each: `12 4m05s ago worker: t3 done`.
#[must_use]
pub fn history(revisions: &[Revision<'_>]) -> String {
    if revisions.is_empty() {
        return "No revisions.".to_owned();
    }
    let mut text = String::new();
    for (number, revision) in revisions.iter().enumerate() {
        let mut parts: Vec<_> = revision.operations.iter().take(TOLD).map(deed).collect();
        if revision.operations.len() > TOLD {
            parts.push(format!("and {} more", revision.operations.len() - TOLD));
        }
        let line =
            format!("{} {} ago {}: {}\n", revision.rev, duration(revision.age), revision.author, parts.join("; "));
        if text.len() + line.len() > MOST {
            let _ = write!(text, "[{number} of {} shown; give `rev` for those before it]", revisions.len());
            break;
        }
        text.push_str(&line);
    }
    text.trim_end().to_owned()
}

/// The most operations of one revision that its line tells of.
const TOLD: usize = 5;

fn deed(operation: &Operation) -> String {
    match operation {
        Operation::Add { item, parent, .. } => {
            let place = parent.as_ref().map(|id| format!(" under {id}")).unwrap_or_default();
            let id = item.id.as_ref().map(|id| format!("{id} ")).unwrap_or_default();
            format!("added {id}`{}`{place}", short(&item.title))
        }
        Operation::Update { id, change } => {
            let what = [
                (change.title.is_some(), "title"),
                (change.agent.is_some(), "agent"),
                (change.files.is_some(), "files"),
                (change.after.is_some(), "after"),
                (change.size.is_some(), "size"),
                (change.race.is_some(), "race"),
                (change.note.is_some(), "note"),
            ];
            let names = what.into_iter().filter(|(is_new, _)| *is_new).map(|(_, name)| name);
            let parts: Vec<_> = change.status.map(words).into_iter().chain(names).collect();
            format!("{id} {}", parts.join(", "))
        }
        Operation::Claim { id, by } => format!("{id} claimed for {}", short(by)),
        Operation::Split { id, into } => format!("{id} split into {}", into.len()),
        Operation::Remove { id } => format!("{id} removed"),
        Operation::Outside { changed } => format!("edited outside, {changed} items and lines"),
    }
}

/// A text on one line, and not a long one.
fn short(text: &str) -> String {
    const LONGEST: usize = 80;
    let line: Vec<_> =
        text.split(|char: char| char.is_whitespace() || char.is_control()).filter(|it| !it.is_empty()).collect();
    let line = line.join(" ");
    let end = crate::fault::floor(&line, LONGEST);
    if end < line.len() { format!("{}…", &line[..end]) } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::todo::{Change, NewItem, apply, fixture};

    const FILE: &str = "# TODO\n## Parser {mission: m1}\n- [x] t1: Lexer\n- [ ] t2: Parser {agent: worker; size: M; files: a.rs, b.rs; after: t1}\n  \
                        why\n- [~] t3: Tests {race: x, y@p/m}\n  - [ ] t3.1: Unit\n- [!] t4: Docs\n- [ ] t5: Site {after: t4}\n- [-] t6: No\n\
                        ## Other {mission: m2}\n- [ ] t7: Else\n";

    fn id(text: &str) -> ItemId {
        text.parse().unwrap()
    }

    #[test]
    fn items_are_a_line_each() {
        let document = Document::parse(FILE);
        assert_eq!(
            read(&document, 12, View::Open, Some("m1")),
            "rev 12: 1 of 6 done, 1 failed, 1 cancelled, 1 in progress, 2 ready, 1 blocked\n# TODO / Parser\n\
             t2 [ ] Parser (worker; M; a.rs, b.rs; after t1)\nt3 [~] Tests (race x, y@p/m)\n  t3.1 [ ] Unit\n\
             t5 [ ] Site (after t4) BLOCKED: t4 failed"
        );
        assert_eq!(
            read(&document, 12, View::Ready, None),
            "rev 12: 1 of 7 done, 1 failed, 1 cancelled, 1 in progress, 3 ready, 1 blocked\n# TODO / Parser\n\
             t2 [ ] Parser (worker; M; a.rs, b.rs; after t1)\n  t3.1 [ ] Unit\n# TODO / Other\nt7 [ ] Else"
        );
        assert!(read(&document, 12, View::All, None).ends_with(FILE));
        assert_eq!(read(&Document::default(), 0, View::Open, None), "rev 0: 0 of 0 done");
    }

    #[test]
    fn one_item_is_shown_with_its_notes_and_sub_items() {
        let document = Document::parse(FILE);
        let show = |name| item(&document, 3, document.get(&id(name)).unwrap());
        assert_eq!(show("t2"), "rev 3\nt2 [ ] Parser (worker; M; a.rs, b.rs; after t1)\n  why");
        assert_eq!(show("t3"), "rev 3\nt3 [~] Tests (race x, y@p/m)\n  t3.1 [ ] Unit");
        assert_eq!(show("t5"), "rev 3\nt5 [ ] Site (after t4) BLOCKED: t4 failed");
    }

    #[test]
    fn a_large_file_is_not_a_context_full() {
        let document = Document::of(fixture::sample(5_000));
        for view in [View::Open, View::Ready, View::All] {
            let text = read(&document, 1, view, None);
            assert!((MOST - 500..MOST + 100).contains(&text.len()), "{}", text.len());
            assert!(
                text.ends_with("; read one by its id]") || text.ends_with("; read the file for the rest"),
                "{view:?}"
            );
        }
    }

    #[test]
    fn a_change_tells_what_it_did() {
        let before = Document::parse(FILE);
        let set = |name, status| Operation::Update {
            id: id(name),
            change: Box::new(Change { status: Some(status), ..Change::default() }),
        };
        let operations = [
            Operation::Split { id: id("t7"), into: vec![NewItem { title: "a".into(), ..NewItem::default() }] },
            set("t3", Status::Done),
            set("t4", Status::Done),
            set("t2", Status::InProgress),
            Operation::Remove { id: id("t6") },
        ];
        let (after, touched) = apply(&before, &operations).unwrap();
        assert_eq!(
            changed(12, &before, &after, &touched),
            "rev 12: t7 changed; t7.1 added; t3, t4 done; t2 in progress; t6 removed"
        );
        assert_eq!(changed(12, &before, &before, &[]), "rev 12: nothing changed");
    }

    #[test]
    fn a_revision_is_a_line() {
        let new = NewItem { title: format!("a\nb{}", "é".repeat(60)), ..NewItem::default() };
        let change = Change { status: Some(Status::Done), note: Some("n".into()), ..Change::default() };
        let operations = [
            Operation::Add { mission: None, group: None, parent: Some(id("t2")), item: Box::new(new.clone()) },
            Operation::Update { id: id("t3"), change: Box::new(change) },
            Operation::Claim { id: id("t4"), by: "worker".into() },
            Operation::Split { id: id("t5"), into: vec![new.clone(), new] },
            Operation::Remove { id: id("t6") },
            Operation::Outside { changed: 7 },
        ];
        let revision =
            |rev, operations| Revision { rev, author: "commander", age: Duration::from_secs(245), operations };
        assert_eq!(
            history(&[revision(12, &operations), revision(11, &operations[5..])]),
            format!(
                "12 4m05s ago commander: added `a b{}…` under t2; t3 done, note; t4 claimed for worker; t5 split into 2; \
                 t6 removed; and 1 more\n11 4m05s ago commander: edited outside, 7 items and lines",
                "é".repeat(38)
            )
        );
        assert_eq!(history(&[]), "No revisions.");
        let many = vec![revision(1, &operations); 1_000];
        assert!(history(&many).ends_with(" of 1000 shown; give `rev` for those before it]"));
    }
}
