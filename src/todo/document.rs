//! A file as lines, of which some are items.

use std::{collections::HashMap, fmt, ops::Range, sync::Arc};

use super::{
    Item, ItemId, Racer, Size, Status,
    attributes::{unescape, unlist},
    line::{self, Block, Header, Heading},
};

/// Some editors begin a file with it.
const BOM: &str = "\u{feff}";

/// A TODO file: its text, and what is understood of it. Cheap to clone.
#[derive(Clone)]
pub struct Document(Arc<Parsed>);

struct Parsed {
    text: Arc<str>,
    /// Every byte behind a byte order mark is in exactly one line.
    lines: Vec<Line>,
    items: Vec<Item>,
    headings: Vec<(usize, Heading)>,
    by_id: HashMap<ItemId, usize>,
    unclosed: Option<usize>,
}

/// A line of a document.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// Where it is in the text, with its end.
    pub at: Range<usize>,
    /// What it is.
    pub kind: Kind,
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Neither of the others.
    Free,
    /// The heading of this number.
    Heading(usize),
    /// The first line of the item of this number.
    Item(usize),
    /// Indented under the item of this number, and belongs to it.
    Detail(usize),
}

impl Document {
    /// Reads a text. What is not understood is kept.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self::of(text)
    }

    /// Reads a text, and keeps it without a copy when it is shared already.
    #[must_use]
    pub fn of(text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        let mut reader = Reader::default();
        let mut at = if text.starts_with(BOM) { BOM.len() } else { 0 };
        for line in text[at..].split_inclusive('\n') {
            reader.line(line, at);
            at += line.len();
        }
        let unclosed = reader.block.filter(|block| block.owner.is_none()).map(|block| block.line);
        let Reader { lines, items, headings, by_id, .. } = reader;
        Self(Arc::new(Parsed { text, lines, items, headings, by_id, unclosed }))
    }

    /// The whole text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// The whole text, to be kept elsewhere too.
    #[must_use]
    pub fn shared_text(&self) -> Arc<str> {
        Arc::clone(&self.0.text)
    }

    /// The items in the order of the file.
    #[must_use]
    pub fn items(&self) -> &[Item] {
        &self.0.items
    }

    /// The item of this id.
    #[must_use]
    pub fn get(&self, id: &ItemId) -> Option<&Item> {
        self.place(id).map(|at| &self.0.items[at])
    }

    /// The items that stand directly under this one.
    pub fn sub_items<'a>(&'a self, item: &Item) -> impl Iterator<Item = &'a Item> + use<'a> {
        let (first, depth) = (self.after(item), item.depth);
        self.0.items[first..].iter().take_while(move |sub| sub.depth > depth).filter(move |sub| sub.depth == depth + 1)
    }

    fn after(&self, item: &Item) -> usize {
        self.0.items.partition_point(|other| other.line <= item.line)
    }

    /// Its number among the items.
    pub(super) fn place(&self, id: &ItemId) -> Option<usize> {
        self.0.by_id.get(id).copied()
    }

    pub(super) fn lines(&self) -> &[Line] {
        &self.0.lines
    }

    /// The text of a line, with its end.
    pub(super) fn text(&self, line: &Line) -> &str {
        &self.0.text[line.at.clone()]
    }

    /// Each heading with the number of its line.
    pub(super) fn headings(&self) -> &[(usize, Heading)] {
        &self.0.headings
    }

    /// The line of a code fence or comment that nothing ends: what stands behind it is no item.
    pub(super) fn unclosed(&self) -> Option<usize> {
        self.0.unclosed
    }

    /// A byte order mark, or nothing.
    pub(super) fn prefix(&self) -> &str {
        if self.0.text.starts_with(BOM) { BOM } else { "" }
    }

    /// How this file ends its lines: as its first line does.
    pub(super) fn newline(&self) -> &'static str {
        let first = self.0.lines.first().map_or("", |line| self.text(line));
        if first.ends_with("\r\n") { "\r\n" } else { "\n" }
    }
}

impl Default for Document {
    fn default() -> Self {
        Self::parse("")
    }
}

impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.as_str() == other.as_str()
    }
}

impl Eq for Document {}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Document").field(&self.as_str()).finish()
    }
}

/// What is known while the lines are read.
#[derive(Default)]
struct Reader {
    lines: Vec<Line>,
    items: Vec<Item>,
    headings: Vec<(usize, Heading)>,
    by_id: HashMap<ItemId, usize>,
    /// The headings that are open, the outermost first: level, title, mission.
    under: Vec<(usize, String, Option<Arc<str>>)>,
    groups: Arc<[String]>,
    /// The items that the next line may stand under, the outermost first.
    open: Vec<usize>,
    block: Option<OpenBlock>,
    /// How many of the last lines are blank: what follows decides whose they are.
    blank: usize,
}

/// A fence or comment that has not ended.
struct OpenBlock {
    what: Block,
    /// The item that it is written under. It ends where that item's lines end.
    owner: Option<usize>,
    line: usize,
}

impl Reader {
    fn line(&mut self, line: &str, at: usize) {
        let kind = if line::content(line).trim_matches([' ', '\t']).is_empty() {
            self.blank += 1;
            Kind::Free
        } else {
            let kind = self.kind(line);
            self.settle_blanks(kind);
            if let Kind::Detail(owner) = kind {
                let header = &self.items[owner].header;
                let text = dedent(line::content(line).trim_end_matches('\r'), header.content());
                self.note(owner, text);
            }
            self.blank = 0;
            kind
        };
        self.lines.push(Line { at: at..at + line.len(), kind });
    }

    fn kind(&mut self, line: &str) -> Kind {
        let (indent, _) = line::indent(line);
        if let Some(block) = &self.block {
            if block.owner.is_none_or(|owner| indent > self.items[owner].header.indent) {
                let kind = block.owner.map_or(Kind::Free, Kind::Detail);
                if block.what.ends(line) {
                    self.block = None;
                }
                return kind;
            }
            self.block = None;
        }
        if let Some(header) = line::item(line) {
            return self.item(header, line);
        }
        self.close(indent);
        let owner = self.open.last().copied();
        if let Some(what) = Block::begins(line) {
            self.block = Some(OpenBlock { what, owner, line: self.lines.len() });
        } else if let Some(heading) = owner.is_none().then(|| line::heading(line)).flatten() {
            return self.heading(heading);
        }
        owner.map_or(Kind::Free, Kind::Detail)
    }

    /// Only what is indented more stands under an item. So whatever is taken out between, the rest stands where it did.
    fn close(&mut self, indent: usize) {
        while self.open.last().is_some_and(|above| self.items[*above].header.indent >= indent) {
            self.open.pop();
        }
    }

    /// Blank lines between two lines of one item belong to it.
    fn settle_blanks(&mut self, next: Kind) {
        let owner = match next {
            Kind::Detail(owner) => Some(owner),
            Kind::Item(item) => self.items[item].above,
            _ => None,
        };
        if let Some(owner) = owner {
            let from = self.lines.len() - self.blank;
            for line in &mut self.lines[from..] {
                line.kind = Kind::Detail(owner);
            }
        }
    }

    fn note(&mut self, owner: usize, text: &str) {
        let notes = &mut self.items[owner].notes;
        if !notes.is_empty() {
            let is_next = self.lines.len().checked_sub(self.blank + 1).map(|last| self.lines[last].kind);
            let blanks = if is_next == Some(Kind::Detail(owner)) { self.blank } else { 0 };
            notes.extend(std::iter::repeat_n('\n', blanks + 1));
        }
        notes.push_str(text);
    }

    fn heading(&mut self, heading: Heading) -> Kind {
        self.under.retain(|(level, ..)| *level < heading.level);
        let mission = heading.mission.as_deref().map(Arc::from).or_else(|| self.mission());
        self.under.push((heading.level, heading.title.clone(), mission));
        self.groups = self.under.iter().map(|(_, title, _)| title.clone()).collect();
        self.headings.push((self.lines.len(), heading));
        Kind::Heading(self.headings.len() - 1)
    }

    fn mission(&self) -> Option<Arc<str>> {
        self.under.last().and_then(|(.., mission)| mission.clone())
    }

    fn item(&mut self, mut header: Header, line: &str) -> Kind {
        self.close(header.indent);
        let above = self.open.last().copied();
        let place = self.items.len();
        let mut id = header.id.clone().and_then(|at| line[at].parse::<ItemId>().ok());
        if id.as_ref().is_some_and(|id| self.by_id.contains_key(id)) {
            id = None;
            line::read_body(&mut header, line, false);
        }
        if let Some(id) = &id {
            self.by_id.insert(id.clone(), place);
        }
        let mut item = Item {
            id,
            status: Status::of_mark(char::from(line.as_bytes()[header.mark])).unwrap_or(Status::Pending),
            title: line[header.title.clone()].to_owned(),
            agent: None,
            files: Vec::new(),
            after: Vec::new(),
            after_unread: Vec::new(),
            size: None,
            race: Vec::new(),
            notes: String::new(),
            depth: self.open.len(),
            parent: above.and_then(|above| self.items[above].id.clone()),
            mission: self.mission(),
            groups: self.groups.clone(),
            line: self.lines.len() + 1,
            above,
            header,
        };
        read_attributes(&mut item, line);
        self.items.push(item);
        self.open.push(place);
        Kind::Item(place)
    }
}

/// Takes the attributes that are known. Of a key that is there twice the first counts.
fn read_attributes(item: &mut Item, line: &str) {
    let Some((_, entries)) = &item.header.block else { return };
    let mut seen: Vec<&str> = Vec::with_capacity(entries.len());
    for entry in entries {
        let (key, value) = (&line[entry.key.clone()], &line[entry.value.clone()]);
        if seen.contains(&key) {
            continue;
        }
        seen.push(key);
        match key {
            "agent" => item.agent = Some(unescape(value)).filter(|agent| !agent.is_empty()),
            "files" => item.files = unlist(value).collect(),
            "size" => item.size = Size::read(value),
            "race" => item.race = unlist(value).filter_map(|racer| racer.parse::<Racer>().ok()).collect(),
            "after" => {
                for name in unlist(value) {
                    match name.parse() {
                        Ok(id) => item.after.push(id),
                        Err(_) => item.after_unread.push(name),
                    }
                }
            }
            _ => {}
        }
    }
}

/// The text without this many columns of its indentation.
fn dedent(text: &str, columns: usize) -> &str {
    let (mut at, mut column) = (0, 0);
    for byte in text.bytes() {
        match byte {
            b' ' if column < columns => column += 1,
            b'\t' if column < columns => column += 4 - column % 4,
            _ => break,
        }
        at += 1;
    }
    &text[at..]
}
