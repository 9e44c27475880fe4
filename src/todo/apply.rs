//! Operations on a document. All of a call are done, or none.

use std::collections::HashSet;

use super::{
    Change, Document, ItemId, NewItem, Operation, Status, TodoError, Why,
    attributes::{escape, list},
    blocked,
    draft::{At, Draft},
    hindrance, line, text,
    write::{self, Fields},
};

/// The most items that a file may come to have by operations.
pub const MAX_ITEMS: usize = 20_000;

/// Applies operations in their order. The answer names each item that was added or changed, in the order of the
/// operations, once.
///
/// # Errors
/// The first operation's that cannot be done; then nothing was.
pub fn apply(document: &Document, operations: &[Operation]) -> Result<(Document, Vec<ItemId>), TodoError> {
    let is_add = |operation: &Operation| matches!(operation, Operation::Add { .. });
    let is_new = document.as_str().is_empty() && operations.iter().any(is_add);
    let mut document = if is_new { Document::parse("# TODO\n") } else { document.clone() };
    let mut work = Work::default();
    let mut rest = operations;
    while !rest.is_empty() {
        // A claim looks at the whole document, so what was done before is read first.
        if let [Operation::Claim { id, .. }, ..] = rest {
            document = claim(&document, id)?;
            work.touched.push(id.clone());
            rest = &rest[1..];
            continue;
        }
        let until = rest.iter().position(|one| matches!(one, Operation::Claim { .. })).unwrap_or(rest.len());
        let mut draft = Draft::new(&document);
        for operation in &rest[..until] {
            work.one(&mut draft, operation)?;
        }
        let next = Document::of(draft.print());
        // Where it is not what was drafted, a line got where it means something else.
        if next.items().len() != draft.count || draft.added().any(|id| next.get(id).is_none()) {
            let problem = "goes into a code block or comment that nothing ends".to_owned();
            return Err(TodoError::BadItem { field: "parent", problem });
        }
        work.removed.extend(draft.removed().cloned());
        document = next;
        rest = &rest[until..];
    }
    work.check(&document)?;
    let mut seen = HashSet::new();
    work.touched.retain(|id| seen.insert(id.clone()));
    Ok((document, work.touched))
}

/// Gives each item without an id the next free `t<n>`; these ids, in the order of the file.
#[must_use]
pub fn assign_ids(document: &Document) -> (Document, Vec<ItemId>) {
    let mut draft = Draft::new(document);
    let mut next = next_number(document);
    let mut given = Vec::new();
    for (at, item) in document.items().iter().enumerate().filter(|(_, item)| item.id.is_none()) {
        let id = free(&mut next, |id| document.get(id).is_some());
        let content = line::content(draft.line(at));
        let (before, behind) = content.split_at(item.header.body);
        let gap = if before.ends_with(']') { " " } else { "" };
        let space = if behind.is_empty() { "" } else { " " };
        let content = format!("{before}{gap}{id}:{space}{behind}");
        draft.set_line(at, &content);
        given.push(id);
    }
    if given.is_empty() { (document.clone(), given) } else { (Document::of(draft.print()), given) }
}

/// One more than the highest number of an id that is there or is named under `after`.
fn next_number(document: &Document) -> u64 {
    let ids = document.items().iter().flat_map(|item| item.id.iter().chain(&item.after));
    ids.filter_map(ItemId::number).max().map_or(1, |number| number + 1)
}

fn free(next: &mut u64, is_taken: impl Fn(&ItemId) -> bool) -> ItemId {
    loop {
        let id = ItemId::numbered(*next);
        *next += 1;
        if !is_taken(&id) {
            return id;
        }
    }
}

fn claim(document: &Document, id: &ItemId) -> Result<Document, TodoError> {
    let item = document.get(id).ok_or_else(|| TodoError::NoItem(id.clone()))?;
    if item.status != Status::Pending {
        return Err(TodoError::Claimed { id: id.clone(), status: item.status });
    }
    if let Some(why) = hindrance(document, item) {
        return Err(TodoError::NotReady { id: id.clone(), why });
    }
    let mut draft = Draft::new(document);
    if let Some(at) = draft.place(id) {
        write::status(&mut draft, at, Status::InProgress);
    }
    Ok(Document::of(draft.print()))
}

/// What the operations of one call have done so far.
#[derive(Default)]
struct Work {
    touched: Vec<ItemId>,
    removed: HashSet<ItemId>,
    /// The items that were told to wait, and for what.
    waiting: Vec<(ItemId, Vec<ItemId>)>,
    next: Option<u64>,
}

impl Work {
    fn one(&mut self, draft: &mut Draft<'_>, operation: &Operation) -> Result<(), TodoError> {
        match operation {
            Operation::Add { parent: Some(parent), item, .. } => {
                let at = place(draft, parent)?;
                self.add_under(draft, parent, at, item)
            }
            Operation::Add { mission, group, parent: None, item } => {
                let mission = mission.as_deref().map(|id| text::value("mission", id)).transpose()?;
                let group = group.as_deref().map(|title| text::title("group", title)).transpose()?;
                let fields = Fields::of(item)?;
                let id = self.id(draft, item, |work, draft| work.numbered(draft))?;
                let section = write::section(draft, mission, group.as_deref());
                let (end, neighbour) = draft.section_end(section);
                let lead = write::lead(draft, neighbour, None);
                let end = if draft.is_heading(end) || draft.is_items(end) { end } else { draft.insert_free(end, "") };
                let at = self.insert(draft, end, 0, &lead, id, &fields, item)?;
                write::part(draft, at);
                Ok(())
            }
            Operation::Update { id, change } => self.update(draft, id, change),
            Operation::Split { id, into } => {
                let at = place(draft, id)?;
                let (line, header) = draft.header(at);
                let status = Status::of_mark(char::from(line.as_bytes()[header.mark])).unwrap_or(Status::Pending);
                if !status.is_open() {
                    return Err(TodoError::NotOpen { id: id.clone(), status });
                }
                if into.is_empty() {
                    return Err(TodoError::BadItem { field: "items", problem: "is empty".to_owned() });
                }
                self.touched.push(id.clone());
                into.iter().try_for_each(|item| self.add_under(draft, id, at, item))
            }
            Operation::Remove { id } => {
                draft.remove(place(draft, id)?);
                self.touched.push(id.clone());
                Ok(())
            }
            Operation::Claim { .. } | Operation::Outside { .. } => {
                let problem = "is not an operation that can be applied".to_owned();
                Err(TodoError::BadItem { field: "op", problem })
            }
        }
    }

    fn add_under(
        &mut self,
        draft: &mut Draft<'_>,
        parent: &ItemId,
        at: usize,
        item: &NewItem,
    ) -> Result<(), TodoError> {
        let fields = Fields::of(item)?;
        let id = self.id(draft, item, |_, draft| numbered_under(draft, parent))?;
        let lead = write::lead(draft, draft.sub_items(at).last().copied(), Some(at));
        self.insert(draft, draft.end(at), draft.depth(at) + 1, &lead, id, &fields, item).map(drop)
    }

    #[expect(clippy::too_many_arguments, reason = "where it goes, how it looks, and what it is")]
    fn insert(
        &mut self,
        draft: &mut Draft<'_>,
        after: At,
        depth: usize,
        lead: &str,
        id: ItemId,
        fields: &Fields,
        item: &NewItem,
    ) -> Result<usize, TodoError> {
        if draft.count >= MAX_ITEMS {
            return Err(TodoError::Full);
        }
        let at = draft.insert_item(after, depth, &id, &fields.line(lead, &id));
        if let Some(note) = &fields.note {
            write::note(draft, at, note);
        }
        if !item.after.is_empty() {
            self.waiting.push((id.clone(), item.after.clone()));
        }
        self.removed.remove(&id);
        self.touched.push(id);
        Ok(at)
    }

    fn update(&mut self, draft: &mut Draft<'_>, id: &ItemId, change: &Change) -> Result<(), TodoError> {
        let at = place(draft, id)?;
        if let Some(status) = change.status {
            write::status(draft, at, status);
        }
        if let Some(title) = &change.title {
            write::title(draft, at, &text::title("title", title)?);
        }
        if let Some(agent) = &change.agent {
            let agent = if agent.trim().is_empty() { "" } else { text::value("agent", agent)? };
            write::attribute(draft, at, "agent", &escape(agent));
        }
        if let Some(files) = &change.files {
            text::values("files", files)?;
            write::attribute(draft, at, "files", &list(files.iter().map(|file| file.trim())));
        }
        if let Some(after) = &change.after {
            text::ids(after)?;
            write::attribute(draft, at, "after", &list(after.iter().map(ItemId::as_str)));
            self.waiting.push((id.clone(), after.clone()));
        }
        if let Some(size) = change.size {
            write::attribute(draft, at, "size", size.as_str());
        }
        if let Some(race) = &change.race {
            text::racers(race)?;
            write::attribute(draft, at, "race", &list(race.iter().map(ToString::to_string)));
        }
        if let Some(note) = &change.note {
            write::note(draft, at, &text::note("note", note)?);
        }
        self.touched.push(id.clone());
        Ok(())
    }

    /// The id of a new item: the one given, if it is free, or a new one.
    fn id<'a>(
        &mut self,
        draft: &Draft<'a>,
        item: &NewItem,
        new: impl Fn(&mut Self, &Draft<'a>) -> ItemId,
    ) -> Result<ItemId, TodoError> {
        match &item.id {
            Some(id) if draft.place(id).is_some() => Err(TodoError::IdTaken(id.clone())),
            Some(id) => Ok(id.clone()),
            None => Ok(new(self, draft)),
        }
    }

    fn numbered(&mut self, draft: &Draft<'_>) -> ItemId {
        let next = self.next.get_or_insert_with(|| next_number(draft.document()));
        free(next, |id| draft.place(id).is_some())
    }

    /// What only the whole can tell: what items wait for is there, and not themselves.
    fn check(&self, document: &Document) -> Result<(), TodoError> {
        for (_, after) in self.waiting.iter().filter(|(id, _)| document.get(id).is_some()) {
            if let Some(unknown) =
                after.iter().find(|name| document.get(name).is_none() && !self.removed.contains(*name))
            {
                return Err(TodoError::NoItem(unknown.clone()));
            }
        }
        if !self.removed.is_empty() {
            for item in document.items() {
                if let Some(id) = item.after.iter().find(|id| self.removed.contains(*id) && document.get(id).is_none())
                {
                    return Err(TodoError::InUse { id: id.clone(), by: item.label() });
                }
            }
        }
        if self.waiting.is_empty() {
            return Ok(());
        }
        let told: HashSet<&ItemId> = self.waiting.iter().map(|(id, _)| id).collect();
        for (item, why) in blocked(document) {
            match (why, &item.id) {
                (Why::Cycle(names), Some(id)) if told.contains(id) => return Err(TodoError::Cycle(names)),
                _ => {}
            }
        }
        Ok(())
    }
}

fn place(draft: &Draft<'_>, id: &ItemId) -> Result<usize, TodoError> {
    draft.place(id).ok_or_else(|| TodoError::NoItem(id.clone()))
}

/// The next free `<parent>.<n>`.
fn numbered_under(draft: &Draft<'_>, parent: &ItemId) -> ItemId {
    let mut number = 1;
    loop {
        match parent.sub(number) {
            Some(id) if draft.place(&id).is_some() => number += 1,
            Some(id) => return id,
            None => {
                let mut next = next_number(draft.document());
                return free(&mut next, |id| draft.place(id).is_some());
            }
        }
    }
}
