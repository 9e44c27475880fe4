//! One side of a merge: a document as a tree of items, each with its own text, and the lines between them.

use std::{
    collections::HashMap,
    hash::{Hash, Hasher},
};

use super::weave::Element;
use crate::todo::{Document, Item, document::Kind, line};

/// What an item is known by on all sides: its id, or its title and the how-manieth of that title it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Key<'a> {
    /// An item with an id.
    Id(&'a str),
    /// An item without.
    Title(&'a str, u32),
}

impl Key<'_> {
    /// Whether it is an id.
    pub fn is_id(self) -> bool {
        matches!(self, Self::Id(_))
    }

    /// What a message calls it.
    pub fn name(self) -> String {
        match self {
            Self::Id(text) | Self::Title(text, _) => text.to_owned(),
        }
    }
}

/// An item's number over all sides of a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Name(pub usize);

/// The numbers of all items.
#[derive(Default)]
pub(super) struct Names<'a> {
    numbers: HashMap<Key<'a>, Name>,
    /// What each number stands for.
    pub keys: Vec<Key<'a>>,
}

impl<'a> Names<'a> {
    /// The number of an item: its own, or a new one.
    pub fn number(&mut self, key: Key<'a>) -> Name {
        let next = Name(self.keys.len());
        *self.numbers.entry(key).or_insert_with(|| {
            self.keys.push(key);
            next
        })
    }

    /// The number of an item that has one.
    pub fn known(&self, key: Key<'_>) -> Option<Name> {
        self.numbers.get(&key).copied()
    }
}

/// What stands directly under an item, or under none.
#[derive(Debug, Clone, Copy)]
pub(super) enum Node<'a> {
    /// A line, with its end, which does not count.
    Line(&'a str),
    /// An item with all that stands under it.
    Item(Name),
}

impl Node<'_> {
    fn same(&self) -> (Option<Name>, &str) {
        match self {
            Self::Line(text) => (None, line::content(text)),
            Self::Item(name) => (Some(*name), ""),
        }
    }
}

impl PartialEq for Node<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.same() == other.same()
    }
}

impl Eq for Node<'_> {}

impl Hash for Node<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.same().hash(state);
    }
}

impl Element for Node<'_> {
    fn parts(&self) -> bool {
        matches!(self, Self::Line(text) if line::heading(text).is_some())
    }

    fn is_gap(&self) -> bool {
        matches!(self, Self::Line(text) if text.trim().is_empty())
    }
}

/// A document as a tree.
pub(super) struct Side<'a> {
    pub document: &'a Document,
    /// Its items in the order of the file.
    pub names: Vec<Name>,
    /// Where the item of each number is.
    places: Vec<Option<usize>>,
    /// What stands under no item.
    pub roots: Vec<Node<'a>>,
    under: Vec<Vec<Node<'a>>>,
    texts: Vec<&'a str>,
}

impl<'a> Side<'a> {
    pub fn new(document: &'a Document, mut number: impl FnMut(Key<'a>) -> Name) -> Self {
        let items = document.items();
        let mut titles: HashMap<&str, u32> = HashMap::new();
        let mut key = |item: &'a Item| {
            let Some(id) = &item.id else {
                let number = titles.entry(&item.title).or_default();
                *number += 1;
                return Key::Title(&item.title, *number);
            };
            Key::Id(id.as_str())
        };
        let names: Vec<_> = items.iter().map(|item| number(key(item))).collect();
        let mut places = vec![None; names.iter().map(|name| name.0 + 1).max().unwrap_or(0)];
        for (at, name) in names.iter().enumerate() {
            places[name.0] = Some(at);
        }
        let mut side = Self {
            document,
            names,
            places,
            roots: Vec::new(),
            under: vec![Vec::new(); items.len()],
            texts: Vec::with_capacity(items.len()),
        };
        side.read();
        side
    }

    fn read(&mut self) {
        let document = self.document;
        // The item whose own text goes on, where that begins, and the blank lines that may belong to it.
        let mut open: Option<(usize, usize)> = None;
        let mut blank: Vec<Node<'a>> = Vec::new();
        for read in document.lines() {
            let text = document.text(read);
            let is_blank = text.trim().is_empty();
            if let (Some((item, start)), Kind::Detail(owner)) = (open, read.kind)
                && item == owner
            {
                if is_blank {
                    blank.push(Node::Line(text));
                } else {
                    blank.clear();
                    self.texts[item] = &document.as_str()[start..read.at.end];
                }
                continue;
            }
            if let Some((item, _)) = open.take() {
                self.under[item].append(&mut blank);
            }
            match read.kind {
                Kind::Item(item) => {
                    let node = Node::Item(self.names[item]);
                    document.items()[item].above.map_or(&mut self.roots, |above| &mut self.under[above]).push(node);
                    self.texts.push(document.text(read));
                    open = Some((item, read.at.start));
                }
                Kind::Detail(owner) => self.under[owner].push(Node::Line(text)),
                Kind::Free | Kind::Heading(_) => self.roots.push(Node::Line(text)),
            }
        }
    }

    /// The item's own text: its line, and the lines under it up to its first sub-item.
    pub fn text(&self, name: Name) -> Option<&'a str> {
        self.place(name).map(|at| self.texts[at])
    }

    /// What stands directly under an item that this side has.
    pub fn under(&self, name: Name) -> &[Node<'a>] {
        self.place(name).map_or(&[], |at| &self.under[at])
    }

    /// The lines under an item that are neither its own text nor an item's, without the blank ones.
    pub fn lines_under(&self, name: Name) -> Vec<Node<'a>> {
        let is_line = |node: &&Node<'_>| matches!(node, Node::Line(_)) && !node.is_gap();
        self.under(name).iter().filter(is_line).copied().collect()
    }

    /// The item that one stands under.
    pub fn above(&self, name: Name) -> Option<Name> {
        let at = self.place(name)?;
        self.document.items()[at].above.map(|above| self.names[above])
    }

    fn place(&self, name: Name) -> Option<usize> {
        self.places.get(name.0).copied().flatten()
    }

    /// Every line that is no item's own text, with how often it is there.
    pub fn lines(&self) -> HashMap<&'a str, isize> {
        let mut lines = HashMap::new();
        for node in self.under.iter().flatten().chain(&self.roots) {
            if let Node::Line(text) = node {
                *lines.entry(line::content(text)).or_default() += 1;
            }
        }
        lines
    }
}

/// Whether two texts are the same but for the ends of their lines.
pub(super) fn same(a: &str, b: &str) -> bool {
    a == b || a.split_inclusive('\n').map(line::content).eq(b.split_inclusive('\n').map(line::content))
}
