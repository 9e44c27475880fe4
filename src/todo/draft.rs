//! A document's lines while they are edited: what is not edited is neither copied nor looked at again.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use super::{
    Document, ItemId,
    document::Kind,
    line::{self, Header, Heading},
};

/// The place of a line among all lines ever drafted; the first stands before all.
pub(super) type At = usize;

/// What stands before the first line.
pub(super) const START: At = 0;

struct Entry<'a> {
    text: Cow<'a, str>,
    prev: At,
    next: Option<At>,
    kind: Kind,
}

/// An item's line and what it stands under.
#[derive(Clone, Copy)]
struct Place {
    at: At,
    depth: usize,
}

/// A heading's line.
pub(super) struct Section {
    /// Its line.
    pub at: At,
    /// Its level; 0 is what stands before the first heading.
    pub level: usize,
    /// Its title.
    pub title: String,
    /// Whether it names the mission itself.
    pub is_own: bool,
    /// The mission of what stands under it.
    pub mission: Option<String>,
}

/// The lines, linked, so that one goes in or out without moving the others.
pub(super) struct Draft<'a> {
    document: &'a Document,
    newline: &'static str,
    entries: Vec<Entry<'a>>,
    items: Vec<Place>,
    /// The sections in the order of the file.
    sections: Vec<Section>,
    added: HashMap<ItemId, usize>,
    removed: HashSet<ItemId>,
    /// A fence or comment without an end: nothing goes behind it.
    wall: Option<At>,
    /// How many items there are.
    pub count: usize,
}

impl<'a> Draft<'a> {
    pub fn new(document: &'a Document) -> Self {
        let lines = document.lines();
        let mut entries = Vec::with_capacity(lines.len() + 8);
        entries.push(Entry { text: document.prefix().into(), prev: START, next: None, kind: Kind::Free });
        let mut items = Vec::with_capacity(document.items().len());
        for (number, line) in lines.iter().enumerate() {
            entries[number].next = Some(number + 1);
            entries.push(Entry { text: document.text(line).into(), prev: number, next: None, kind: line.kind });
            if let Kind::Item(item) = line.kind {
                items.push(Place { at: number + 1, depth: document.items()[item].depth });
            }
        }
        let mut draft = Self {
            document,
            newline: document.newline(),
            count: items.len(),
            entries,
            items,
            sections: Vec::new(),
            added: HashMap::new(),
            removed: HashSet::new(),
            wall: document.unclosed().map(|line| line + 1),
        };
        draft.sections = sections(document);
        draft
    }

    /// The text as it is now.
    pub fn print(&self) -> String {
        let mut text = String::with_capacity(self.document.as_str().len() + 256);
        let mut next = Some(START);
        while let Some(at) = next {
            text.push_str(&self.entries[at].text);
            next = self.entries[at].next;
        }
        text
    }

    /// What it was begun from.
    pub fn document(&self) -> &'a Document {
        self.document
    }

    /// The number of the item of this id.
    pub fn place(&self, id: &ItemId) -> Option<usize> {
        let old = || self.document.place(id).filter(|_| !self.removed.contains(id));
        self.added.get(id).copied().or_else(old)
    }

    /// The ids that items got since the draft was begun.
    pub fn added(&self) -> impl Iterator<Item = &ItemId> {
        self.added.keys()
    }

    /// The ids that were there and are no more.
    pub fn removed(&self) -> impl Iterator<Item = &ItemId> {
        self.removed.iter().filter(|id| !self.added.contains_key(*id))
    }

    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// An item's line.
    pub fn line(&self, item: usize) -> &str {
        &self.entries[self.items[item].at].text
    }

    /// An item's line, and where its parts are.
    pub fn header(&self, item: usize) -> (&str, Header) {
        let line = self.line(item);
        let header = line::item(line).unwrap_or_else(|| unreachable!("the line of an item: {line:?}"));
        (line, header)
    }

    /// Writes an item's line anew; its end stays.
    pub fn set_line(&mut self, item: usize, content: &str) {
        let entry = &mut self.entries[self.items[item].at];
        let end = entry.text[line::content(&entry.text).len()..].to_owned();
        entry.text = Cow::Owned(content.to_owned() + &end);
    }

    /// Where an item's own lines end, before its first sub-item.
    pub fn own_end(&self, item: usize) -> At {
        self.last_while(self.items[item].at, |kind| kind == Kind::Detail(item))
    }

    /// Where everything under an item ends.
    pub fn end(&self, item: usize) -> At {
        let depth = self.items[item].depth;
        self.last_while(self.items[item].at, |kind| match kind {
            Kind::Item(other) => self.items[other].depth > depth,
            Kind::Detail(owner) => owner == item || self.items[owner].depth > depth,
            _ => false,
        })
    }

    fn last_while(&self, from: At, belongs: impl Fn(Kind) -> bool) -> At {
        let mut at = from;
        while let Some(next) = self.entries[at].next.filter(|next| belongs(self.entries[*next].kind)) {
            at = next;
        }
        // A blank line at the end parts it from what follows.
        while at != from && self.is_blank(at) {
            at = self.entries[at].prev;
        }
        at
    }

    fn is_blank(&self, at: At) -> bool {
        line::content(&self.entries[at].text).trim_matches([' ', '\t']).is_empty()
    }

    /// The numbers of the items directly under one.
    pub fn sub_items(&self, item: usize) -> Vec<usize> {
        let (depth, end) = (self.items[item].depth, self.end(item));
        let (mut subs, mut at) = (Vec::new(), self.items[item].at);
        while at != end {
            let Some(next) = self.entries[at].next else { break };
            at = next;
            match self.entries[at].kind {
                Kind::Item(sub) if self.items[sub].depth == depth + 1 => subs.push(sub),
                _ => {}
            }
        }
        subs
    }

    /// The end of what stands directly under a heading: behind its last item, or its last line that is not blank. With
    /// the number of its last item that stands under no other.
    pub fn section_end(&self, section: usize) -> (At, Option<usize>) {
        let (mut last_item, mut at) = (None, self.sections[section].at);
        while let Some(next) = self.entries[at].next.filter(|next| !self.is_over(*next)) {
            match self.entries[next].kind {
                Kind::Item(item) if self.items[item].depth == 0 => last_item = Some(item),
                _ => {}
            }
            at = next;
        }
        (last_item.map_or_else(|| self.last_line(section), |item| self.end(item)), last_item)
    }

    /// Whether a section ends before this line.
    fn is_over(&self, at: At) -> bool {
        self.wall == Some(at) || matches!(self.entries[at].kind, Kind::Heading(_))
    }

    /// The last line up to the next heading that is not blank.
    pub fn last_line(&self, section: usize) -> At {
        let from = self.sections[section].at;
        let (mut last, mut at) = (from, from);
        while let Some(next) = self.entries[at].next.filter(|next| !self.is_over(*next)) {
            at = next;
            last = if self.is_blank(at) { last } else { at };
        }
        last
    }

    /// Whether this line is a heading's, or there is none.
    pub fn is_heading(&self, at: At) -> bool {
        at == START || matches!(self.entries[at].kind, Kind::Heading(_))
    }

    /// Whether a line of an item stands there.
    pub fn is_items(&self, at: At) -> bool {
        matches!(self.entries[at].kind, Kind::Item(_) | Kind::Detail(_))
    }

    /// The last section that is still under this one, or this one.
    pub fn last_under(&self, section: usize) -> usize {
        let level = self.sections[section].level;
        let under = self.sections[section + 1..].iter().take_while(|next| next.level > level).count();
        section + under
    }

    /// The next line that is not blank.
    pub fn next_line(&self, at: At) -> Option<&str> {
        let mut next = self.entries[at].next;
        while let Some(at) = next.filter(|at| self.is_blank(*at)) {
            next = self.entries[at].next;
        }
        next.map(|at| &*self.entries[at].text)
    }

    /// Puts a line behind another.
    fn insert(&mut self, after: At, content: &str, kind: Kind) -> At {
        let at = self.entries.len();
        let before = &mut self.entries[after];
        let mut text = content.to_owned();
        if after == START || before.text.ends_with('\n') {
            text.push_str(self.newline);
        } else {
            // The last line had no end: now the new one has none.
            before.text.to_mut().push_str(self.newline);
        }
        let next = before.next.replace(at);
        if let Some(next) = next {
            self.entries[next].prev = at;
        }
        self.entries.push(Entry { text: Cow::Owned(text), prev: after, next, kind });
        at
    }

    /// Puts a line that is nothing special behind another.
    pub fn insert_free(&mut self, after: At, content: &str) -> At {
        self.insert(after, content, Kind::Free)
    }

    /// Puts a line of an item's notes behind another.
    pub fn insert_detail(&mut self, after: At, item: usize, content: &str) -> At {
        self.insert(after, content, Kind::Detail(item))
    }

    /// Puts an item's line behind another, under so many others.
    pub fn insert_item(&mut self, after: At, depth: usize, id: &ItemId, content: &str) -> usize {
        let item = self.items.len();
        let at = self.insert(after, content, Kind::Item(item));
        self.items.push(Place { at, depth });
        self.added.insert(id.clone(), item);
        self.count += 1;
        item
    }

    /// Puts a heading behind another line, as the section after `before`; its number.
    pub fn insert_heading(&mut self, after: At, before: usize, content: &str, mission: Option<String>) -> usize {
        let at = self.insert(after, content, Kind::Heading(0));
        let Heading { level, title, mission: own } =
            line::heading(content).unwrap_or_else(|| unreachable!("{content}"));
        self.sections.insert(before + 1, Section { at, level, title, is_own: own.is_some(), mission });
        before + 1
    }

    pub fn depth(&self, item: usize) -> usize {
        self.items[item].depth
    }

    /// Takes an item out with everything under it.
    pub fn remove(&mut self, item: usize) {
        let (first, end) = (self.items[item].at, self.end(item));
        let mut at = first;
        loop {
            if let Kind::Item(item) = self.entries[at].kind {
                let old = self.document.items().get(item).and_then(|item| item.id.clone());
                let gone: Vec<_> =
                    self.added.iter().filter(|(_, place)| **place == item).map(|it| it.0.clone()).collect();
                for id in gone {
                    self.added.remove(&id);
                }
                self.removed.extend(old);
                self.count -= 1;
            }
            if at == end {
                break;
            }
            let Some(next) = self.entries[at].next else { break };
            at = next;
        }
        let (prev, next) = (self.entries[first].prev, self.entries[end].next);
        self.entries[prev].next = next;
        if let Some(next) = next {
            self.entries[next].prev = prev;
        }
    }
}

/// What stands before the first heading, and each heading, with the mission that holds there.
fn sections(document: &Document) -> Vec<Section> {
    let first = Section { at: START, level: 0, title: String::new(), is_own: false, mission: None };
    let mut sections = vec![first];
    let mut open: Vec<(usize, Option<String>)> = Vec::new();
    for (line, heading) in document.headings() {
        open.retain(|(level, _)| *level < heading.level);
        let above = open.last().and_then(|(_, mission)| mission.clone());
        let mission = heading.mission.clone().or(above);
        open.push((heading.level, mission.clone()));
        let (title, is_own) = (heading.title.clone(), heading.mission.is_some());
        sections.push(Section { at: line + 1, level: heading.level, title, is_own, mission });
    }
    sections
}
