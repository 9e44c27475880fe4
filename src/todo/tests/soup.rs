//! Texts of pieces that mean something in Markdown, at random, and what must hold of each. `SORTIE_FUZZ_ROUNDS` makes it
//! long; the seed of each round is in its message.

use std::collections::HashSet;

use fastrand::Rng;

use crate::todo::{
    Change, Document, ItemId, NewItem, Operation, Racer, Size, Status, apply, assign_ids, blocked, complete, distance,
    merge, merge_keeping_both, ready,
};

pub(super) const PIECES: &[&str] = &[
    "- [ ] ",
    "- [x] ",
    "* [~] ",
    "+ [!] ",
    "1. [-] ",
    "12) [X] ",
    "- ",
    "[ ] ",
    "\n",
    "\n",
    "\n",
    "\n",
    "\r\n",
    "\r",
    "\n\n",
    "  ",
    "  ",
    "\t",
    "    ",
    " ",
    "# ",
    "## ",
    "###",
    "# A {mission: m1}",
    "t1: ",
    "t2: ",
    "t3:",
    "t1.1: ",
    "after: t1",
    "{after: t2; agent: a}",
    "{",
    "}",
    "{}",
    ";",
    ":",
    ",",
    "{mission: m2}",
    "```",
    "~~~",
    "````rust",
    "<!--",
    "-->",
    "---",
    "> ",
    "\\",
    "\u{feff}",
    "é",
    "日本",
    "\u{2028}",
    "\u{0}",
    "a title",
    "word",
    "{files: a, b%3B}",
    "{size: XL}",
    "{race: a@b/c}",
    "%7D",
    "| a | b |",
    "outside: ",
];

/// A text of so many pieces.
fn soup(random: &mut Rng, pieces: usize) -> String {
    (0..pieces).map(|_| PIECES[random.usize(..PIECES.len())]).collect()
}

/// A text that is more like a file.
fn file(random: &mut Rng) -> String {
    let lines = random.usize(..12);
    (0..lines)
        .map(|_| {
            let length = random.usize(..4);
            let line = match random.u8(..4) {
                0 => soup(random, length),
                _ => format!(
                    "{}{}t{}: {}",
                    "  ".repeat(random.usize(..3)),
                    PIECES[random.usize(..5)],
                    random.u8(1..9),
                    soup(random, length)
                ),
            };
            line + if random.u8(..20) == 0 { "\r\n" } else { "\n" }
        })
        .collect()
}

/// Another text, made of one by changing, taking out and putting in lines.
fn changed(random: &mut Rng, text: &str) -> String {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    for _ in 0..random.usize(..4) {
        let at = random.usize(..=lines.len());
        match random.u8(..3) {
            0 if at < lines.len() => drop(lines.remove(at)),
            1 if at < lines.len() => lines[at] = lines[at].replacen("[ ]", "[x]", 1),
            _ => lines.insert(at, file(random).lines().next().unwrap_or("x").to_owned() + "\n"),
        }
    }
    lines.concat()
}

fn reads_back(text: &str) -> Document {
    let document = Document::parse(text);
    assert_eq!(document.to_string(), text);
    let ids: HashSet<_> = document.items().iter().filter_map(|item| item.id.clone()).collect();
    assert_eq!(ids.len(), document.items().iter().filter(|item| item.id.is_some()).count(), "an id is there twice");
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    for item in document.items() {
        assert!(lines[item.line - 1].contains(&item.title), "{item:?}");
        assert!(item.parent.as_ref().is_none_or(|id| document.get(id).is_some_and(|above| above.depth < item.depth)));
        assert_eq!(item.id.as_ref().and_then(|id| document.get(id)), item.id.as_ref().map(|_| item));
    }
    document
}

fn can_be_asked(document: &Document) {
    let can: HashSet<_> = ready(document).iter().map(|item| item.line).collect();
    let never: HashSet<_> = blocked(document).iter().map(|(item, _)| item.line).collect();
    assert!(can.is_disjoint(&never));
    assert!(complete(document).iter().all(|item| item.status.is_open() && !can.contains(&item.line)));
}

fn gets_ids(document: &Document) {
    let (with, given) = assign_ids(document);
    assert_eq!(given.len(), document.items().iter().filter(|item| item.id.is_none()).count());
    assert_eq!(with.items().len(), document.items().len());
    for (old, new) in document.items().iter().zip(with.items()) {
        assert!(new.id.is_some() && (old.id.is_none() || old.id == new.id), "{new:?}");
        assert_eq!((&old.title, &old.notes, old.status, old.depth), (&new.title, &new.notes, new.status, new.depth));
    }
}

/// An operation with texts that try to be more than they are.
fn operation(random: &mut Rng, document: &Document) -> Operation {
    let text = |random: &mut Rng| {
        let length = random.usize(1..6);
        soup(random, length)
    };
    let any = |random: &mut Rng| random.choice(document.items()).and_then(|item| item.id.clone());
    let some = any(random).unwrap_or_else(|| "t1".parse::<ItemId>().unwrap());
    let new = |random: &mut Rng| NewItem {
        id: None,
        title: text(random),
        agent: random.bool().then(|| text(random)),
        files: (0..random.usize(..3)).map(|_| text(random)).collect(),
        after: any(random).filter(|_| random.bool()).into_iter().collect(),
        size: random.bool().then_some(Size::L),
        race: (0..random.usize(..2)).map(|_| Racer { agent: text(random), model: Some("a/b".into()) }).collect(),
        note: random.bool().then(|| text(random)),
    };
    match random.u8(..6) {
        0 => Operation::Claim { id: some, by: text(random) },
        1 => Operation::Remove { id: some },
        2 => Operation::Split { id: some, into: vec![new(random), new(random)] },
        3 => {
            let NewItem { agent, files, after, size, title, note, .. } = new(random);
            let status = random.bool().then(|| Status::ALL[random.usize(..5)]);
            let change = Change {
                status,
                title: Some(title),
                agent,
                files: Some(files),
                after: Some(after),
                size,
                race: None,
                note,
            };
            Operation::Update { id: some, change: Box::new(change) }
        }
        _ => {
            let parent = any(random).filter(|_| random.bool());
            let (mission, group) = (random.bool().then(|| text(random)), random.bool().then(|| text(random)));
            Operation::Add { mission, group, parent, item: Box::new(new(random)) }
        }
    }
}

/// No operation makes more items than it says, or touches one that it does not name.
fn is_operated_on(random: &mut Rng, document: &Document) {
    // Without ids that are there twice: when the first goes, the second counts.
    let document = &assign_ids(document).0;
    if document.as_str().contains("\n\u{feff}") {
        // Where the line before goes, it may become the file's byte order mark.
        return;
    }
    let operation = operation(random, document);
    let Ok((next, touched)) = apply(document, std::slice::from_ref(&operation)) else { return };
    let new = match &operation {
        Operation::Add { .. } => 1,
        Operation::Split { into, .. } => into.len(),
        _ => 0,
    };
    if !matches!(operation, Operation::Remove { .. }) {
        assert_eq!(next.items().len(), document.items().len() + new, "{operation:?}\n{next:?}");
    }
    for item in document.items().iter().filter(|item| item.id.as_ref().is_some_and(|id| !touched.contains(id))) {
        let Some(now) = next.get(item.id.as_ref().unwrap()) else {
            assert!(matches!(operation, Operation::Remove { .. }), "{item:?} is lost");
            continue;
        };
        assert_eq!(
            (&now.title, now.status, &now.notes, &now.after),
            (&item.title, item.status, &item.notes, &item.after)
        );
        assert_eq!(
            (&now.parent, &now.mission, &now.groups),
            (&item.parent, &item.mission, &item.groups),
            "{operation:?}\n{next:?}"
        );
    }
    reads_back(next.as_str());
}

/// What a side added is there afterwards, whatever the other did.
fn merges(random: &mut Rng, base: &Document) {
    let (ours, theirs) = (changed(random, base.as_str()), changed(random, base.as_str()));
    let (ours, theirs) = (Document::of(ours), Document::of(theirs));
    let kept = merge_keeping_both(base, &ours, &theirs);
    let mut results = vec![kept];
    results.extend(merge(base, &ours, &theirs));
    for result in results {
        reads_back(result.as_str());
        let old: HashSet<_> = base.as_str().lines().map(str::trim).collect();
        for line in
            ours.as_str().lines().chain(theirs.as_str().lines()).map(str::trim).filter(|line| !old.contains(line))
        {
            // An id that both sides gave out is taken off one of the items.
            let end = line.rsplit(']').next().unwrap_or_default().trim();
            let end = end.split_once(": ").map_or(end, |(_, rest)| rest).trim();
            let end = end.trim_start_matches('\u{feff}');
            assert!(result.as_str().contains(end), "{line:?} is lost\n{base:?}\n{ours:?}\n{theirs:?}\n{result:?}");
        }
    }
    assert_eq!(merge(base, base, &theirs).as_ref(), Ok(&theirs));
    assert_eq!(distance(&ours, &theirs), distance(&theirs, &ours));
}

#[test]
fn any_text_is_read_kept_operated_on_and_merged() {
    let rounds = std::env::var("SORTIE_FUZZ_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000_u64);
    let first = if rounds > 2_000 { fastrand::u64(..) } else { 0 };
    for seed in (0..rounds).map(|round| first.wrapping_add(round)) {
        let report = Report(seed);
        let mut random = Rng::with_seed(seed);
        let length = random.usize(..40);
        let text = if random.bool() { soup(&mut random, length) } else { file(&mut random) };
        let document = reads_back(&text);
        can_be_asked(&document);
        gets_ids(&document);
        is_operated_on(&mut random, &document);
        merges(&mut random, &document);
        drop(report);
    }
}

/// Names the seed of the round that failed.
struct Report(u64);

impl Drop for Report {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed of this round is {}", self.0);
        }
    }
}
