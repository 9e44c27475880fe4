//! Three-way merge by item.
//!
//! An item is the same on all sides by its id, wherever it stands. What only one side changed, moved, added or removed is
//! taken; so is what both did alike. An item that both changed, each in its own way, is a conflict, and so is one that a
//! side removed while the other changed it or put something under it. Lines between items are never a conflict: where
//! both changed the same place, theirs come first, and ours behind what they followed.

mod keep;
mod side;
mod weave;

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use self::{
    side::{Name, Names, Node, Side, same},
    weave::{Element, weave},
};
use super::{Conflict, Document, line};

/// Merges two changes of `base`.
///
/// # Errors
/// Every item that both sides changed, each in its own way.
pub fn merge(base: &Document, ours: &Document, theirs: &Document) -> Result<Document, Vec<Conflict>> {
    if let Some(document) = one_sided(base, ours, theirs) {
        return Ok(document);
    }
    let mut merge = Merge::new(base, ours, theirs);
    merge.decide(false);
    if !merge.conflicts.is_empty() {
        return Err(merge.conflicts);
    }
    let document = merge.print();
    merge.verify(&document);
    if merge.conflicts.is_empty() { Ok(document) } else { Err(merge.conflicts) }
}

/// Merges two changes of `base` so that nothing of either is lost: of an item in conflict ours stays, and theirs stands
/// under it, each line with `outside:` before it. One that a side removed and the other changed stays.
#[must_use]
pub fn merge_keeping_both(base: &Document, ours: &Document, theirs: &Document) -> Document {
    if let Some(document) = one_sided(base, ours, theirs) {
        return document;
    }
    let mut merge = Merge::new(base, ours, theirs);
    merge.decide(true);
    let document = merge.print();
    if merge.has_all(&document) { document } else { keep::appended(ours, theirs) }
}

/// How many items and lines between items differ. 0 exactly if there is no difference but in the ends of lines and the
/// order.
#[must_use]
pub fn distance(a: &Document, b: &Document) -> usize {
    if a == b {
        return 0;
    }
    let mut names = Names::default();
    let a = Side::new(a, |key| names.number(key));
    let b = Side::new(b, |key| names.number(key));
    let changed = a.names.iter().filter(|name| !both_same(a.text(**name), b.text(**name))).count();
    let added = b.names.iter().filter(|name| a.text(**name).is_none()).count();
    let mut lines = a.lines();
    for (line, number) in b.lines() {
        *lines.entry(line).or_default() -= number;
    }
    changed + added + lines.values().map(|number| number.unsigned_abs()).sum::<usize>()
}

fn one_sided(base: &Document, ours: &Document, theirs: &Document) -> Option<Document> {
    if ours == base || ours == theirs {
        return Some(theirs.clone());
    }
    (theirs == base).then(|| ours.clone())
}

fn both_same(a: Option<&str>, b: Option<&str>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => same(a, b),
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// Of a value on three sides the one that was changed; ours where both were.
fn changed<T: PartialEq>(base: &T, ours: T, theirs: T) -> T {
    if ours == *base { theirs } else { ours }
}

struct Merge<'a> {
    base: Side<'a>,
    ours: Side<'a>,
    theirs: Side<'a>,
    /// The items of all sides: ours first, in the order of the file.
    names: Names<'a>,
    /// What becomes of each: its own text, or that it goes.
    chosen: Vec<Option<Cow<'a, str>>>,
    conflicts: Vec<Conflict>,
}

impl<'a> Merge<'a> {
    fn new(base: &'a Document, ours: &'a Document, theirs: &'a Document) -> Self {
        let mut names = Names::default();
        let [ours, theirs, base] = [ours, theirs, base].map(|document| Side::new(document, |key| names.number(key)));
        Self { base, ours, theirs, names, chosen: Vec::new(), conflicts: Vec::new() }
    }

    /// Every item of any side.
    fn all(&self) -> impl Iterator<Item = Name> + use<> {
        (0..self.names.keys.len()).map(Name)
    }

    fn texts(&self, name: Name) -> [Option<&'a str>; 3] {
        [self.base.text(name), self.ours.text(name), self.theirs.text(name)]
    }

    fn conflict(&mut self, name: Name, texts: [Option<String>; 3]) {
        let [base, ours, theirs] = texts;
        self.conflicts.push(Conflict { item: self.names.keys[name.0].name(), base, ours, theirs });
    }

    /// Chooses each item's text. `keeping` chooses one that holds both where there is a conflict.
    fn decide(&mut self, keeping: bool) {
        for name in self.all() {
            let [base, ours, theirs] = self.texts(name);
            // What goes takes the lines under it along: they must be those that were there.
            let is_whole = |side: &Side<'_>, other: Option<&str>| {
                other.is_some() || base.is_none() || side.lines_under(name) == self.base.lines_under(name)
            };
            let choice = if both_same(ours, theirs) || (both_same(ours, base) && is_whole(&self.ours, theirs)) {
                theirs.map(Cow::Borrowed)
            } else if both_same(theirs, base) && is_whole(&self.theirs, ours) {
                ours.map(Cow::Borrowed)
            } else if keeping {
                Some(self.both(base, ours, theirs))
            } else {
                self.conflict(name, [base, ours, theirs].map(|text| text.map(str::to_owned)));
                ours.or(theirs).map(Cow::Borrowed)
            };
            self.chosen.push(choice);
        }
        self.hold_parents(keeping);
    }

    fn both(&self, base: Option<&'a str>, ours: Option<&'a str>, theirs: Option<&'a str>) -> Cow<'a, str> {
        let newline = self.ours.document.newline();
        match (base, ours, theirs) {
            (None, Some(ours), Some(theirs)) => keep::beside(ours, theirs, newline).into(),
            (_, Some(ours), theirs) => keep::noted(ours, theirs, newline).into(),
            (_, None, theirs) => theirs.unwrap_or_default().into(),
        }
    }

    /// An item does not go while something that stays stands under it.
    fn hold_parents(&mut self, keeping: bool) {
        let mut told = HashSet::new();
        for name in self.all() {
            let mut under = name;
            while self.stays(under)
                && let Some(above) = self.above(under).filter(|above| !self.stays(*above))
            {
                let texts = self.texts(above);
                if !keeping {
                    if told.insert(above) {
                        let below = self.texts(under);
                        let with = |at: usize| texts[at].map(|text| format!("{text}{}", below[at].unwrap_or_default()));
                        self.conflict(above, [with(0), with(1), with(2)]);
                    }
                    break;
                }
                let [base, ours, theirs] = texts;
                self.chosen[above.0] = ours.or(theirs).or(base).map(Cow::Borrowed);
                under = above;
            }
        }
    }

    fn stays(&self, name: Name) -> bool {
        self.chosen[name.0].is_some()
    }

    /// The item that one will stand under.
    fn above(&self, name: Name) -> Option<Name> {
        match self.texts(name) {
            [Some(_), Some(_), Some(_)] => {
                changed(&self.base.above(name), self.ours.above(name), self.theirs.above(name))
            }
            [_, Some(_), _] => self.ours.above(name),
            [_, None, Some(_)] => self.theirs.above(name),
            [_, None, None] => self.base.above(name),
        }
    }

    /// What stands directly under an item, or under none.
    fn under(&self, name: Option<Name>) -> Vec<Node<'a>> {
        let lists =
            [&self.base, &self.ours, &self.theirs].map(|side| name.map_or(&*side.roots, |name| side.under(name)));
        if lists.iter().all(|list| list.is_empty()) {
            return Vec::new();
        }
        let mut nodes = weave(lists[0], lists[1], lists[2]);
        for list in [lists[1], lists[2]] {
            nodes = self.held(list, nodes);
        }
        nodes
    }

    /// Puts in what a side took out, but what stays because the other changed it, behind what it follows there.
    fn held(&self, list: &[Node<'a>], nodes: Vec<Node<'a>>) -> Vec<Node<'a>> {
        let is_gone = |name| self.ours.text(name).is_none() || self.theirs.text(name).is_none();
        let is_held = |name| self.stays(name) && is_gone(name);
        let held = |node: &&Node<'a>| matches!(node, Node::Item(name) if is_held(*name));
        if !list.iter().any(|node| held(&node)) {
            return nodes;
        }
        let present: HashSet<Node<'a>> = nodes.iter().copied().collect();
        let mut behind: HashMap<Option<Node<'a>>, Vec<Node<'a>>> = HashMap::new();
        let mut anchor = None;
        for node in list {
            if present.contains(node) {
                anchor = Some(*node).filter(|node| node.parts() || matches!(node, Node::Item(_))).or(anchor);
            } else if held(&node) {
                behind.entry(anchor).or_default().push(*node);
            }
        }
        let mut all = behind.remove(&None).unwrap_or_default();
        for node in nodes {
            all.push(node);
            all.append(&mut behind.remove(&Some(node)).unwrap_or_default());
        }
        all
    }

    fn print(&self) -> Document {
        let documents = [self.base.document, self.ours.document, self.theirs.document];
        let [base, ours, theirs] = documents.map(Document::prefix);
        let mut printer = Printer { text: changed(&base, ours, theirs).to_owned(), ends: ends(documents) };
        let start = printer.text.len();
        let mut seen = vec![false; self.chosen.len()];
        let mut open = vec![self.under(None).into_iter()];
        while let Some(nodes) = open.last_mut() {
            match nodes.next() {
                None => drop(open.pop()),
                Some(Node::Line(text)) => printer.line(text),
                Some(Node::Item(name)) => {
                    let is_new = !std::mem::replace(&mut seen[name.0], true);
                    if let Some(text) = self.chosen[name.0].as_ref().filter(|_| is_new) {
                        printer.lines(text);
                        open.push(self.under(Some(name)).into_iter());
                    }
                }
            }
        }
        // Items that were put under each other, each by another side.
        for name in self.all().filter(|name| !seen[name.0]) {
            self.chosen[name.0].iter().for_each(|text| printer.lines(text));
        }
        let [base, ours, theirs] =
            documents.map(|document| document.as_str().ends_with('\n') || document.as_str().is_empty());
        if printer.text.len() > start {
            printer.finish(changed(&base, ours, theirs));
        }
        Document::of(printer.text)
    }

    /// A merged text that does not say what was chosen is a conflict of what it does not say: such as an item behind a
    /// code fence that the other side opened.
    fn verify(&mut self, document: &Document) {
        let merged = self.read(document);
        let mut untitled: HashMap<&str, usize> = HashMap::new();
        for (item, name) in document.items().iter().zip(&merged.names) {
            if item.id.is_none() {
                *untitled.entry(first_line(merged.text(*name).unwrap_or_default())).or_default() += 1;
            }
        }
        let mut lost = Vec::new();
        for name in self.all() {
            let Some(text) = &self.chosen[name.0] else { continue };
            let is_there = if self.names.keys[name.0].is_id() {
                merged.text(name).is_some_and(|found| same(found, text)) && merged.above(name) == self.above(name)
            } else {
                let left = untitled.get_mut(first_line(text)).filter(|left| **left > 0);
                left.map(|left| *left -= 1).is_some()
            };
            if !is_there {
                lost.push(name);
            }
        }
        for name in lost {
            let texts = self.texts(name).map(|text| text.map(str::to_owned));
            self.conflict(name, texts);
        }
    }

    /// A merged document with the numbers of the sides; what none of them has gets others.
    fn read<'d>(&self, document: &'d Document) -> Side<'d> {
        let mut next = self.names.keys.len();
        Side::new(document, |key| {
            self.names.known(key).unwrap_or_else(|| {
                next += 1;
                Name(next)
            })
        })
    }

    /// Whether every item that stays is in the document.
    fn has_all(&self, document: &Document) -> bool {
        let merged = self.read(document);
        let mut staying = self.all().filter(|name| self.stays(*name));
        document.items().len() >= self.chosen.iter().flatten().count()
            && staying.all(|name| !self.names.keys[name.0].is_id() || merged.text(name).is_some())
    }
}

fn first_line(text: &str) -> &str {
    line::content(text.split_inclusive('\n').next().unwrap_or_default())
}

/// How all lines of all sides end, after the change; `None` if they do not end alike.
fn ends(documents: [&Document; 3]) -> (Option<&'static str>, &'static str) {
    let [base, ours, theirs] = documents.map(|document| {
        let text = document.as_str();
        let (all, long) = (text.matches('\n').count(), text.matches("\r\n").count());
        let end = if long == 0 { Some("\n") } else { Some("\r\n").filter(|_| long == all) };
        end.filter(|_| all > 0)
    });
    let default = documents[1].newline();
    match (base, ours, theirs) {
        (Some(base), Some(ours), Some(theirs)) => (Some(changed(&base, ours, theirs)), default),
        _ => (None, default),
    }
}

/// Puts lines together.
struct Printer {
    text: String,
    /// How every line ends, if all do so; and how one ends that had no end.
    ends: (Option<&'static str>, &'static str),
}

impl Printer {
    fn lines(&mut self, text: &str) {
        text.split_inclusive('\n').for_each(|line| self.line(line));
    }

    fn line(&mut self, line: &str) {
        let content = line::content(line);
        self.text.push_str(content);
        let own = Some(&line[content.len()..]).filter(|end| end.ends_with('\n'));
        self.text.push_str(self.ends.0.or(own).unwrap_or(self.ends.1));
    }

    /// Ends the last line, or leaves it without an end.
    fn finish(&mut self, with_end: bool) {
        if !with_end {
            self.text.truncate(line::content(&self.text).len());
        }
    }
}
