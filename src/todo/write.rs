//! How items and headings are written: each function changes the bytes that it must and no others.

use std::fmt::Write;

use super::{
    ItemId, NewItem, Size, Status, TodoError,
    attributes::{escape, list},
    draft::{Draft, START, Section},
    line, text,
};

/// The checked texts of a new item.
pub(super) struct Fields {
    title: String,
    attributes: Vec<(&'static str, String)>,
    /// The lines under it.
    pub note: Option<Vec<String>>,
}

impl Fields {
    /// # Errors
    /// [`TodoError::BadItem`].
    pub fn of(item: &NewItem) -> Result<Self, TodoError> {
        let agent = item.agent.as_deref().map(|agent| text::value("agent", agent)).transpose()?;
        text::values("files", &item.files)?;
        text::ids(&item.after)?;
        text::racers(&item.race)?;
        let mut attributes = vec![
            ("agent", agent.map(escape).unwrap_or_default()),
            ("files", list(item.files.iter().map(|file| file.trim()))),
            ("after", list(item.after.iter().map(ItemId::as_str))),
            ("size", item.size.map(Size::as_str).unwrap_or_default().to_owned()),
            ("race", list(item.race.iter().map(ToString::to_string))),
        ];
        attributes.retain(|(_, value)| !value.is_empty());
        let note = item.note.as_deref().map(|note| text::note("note", note)).transpose()?;
        Ok(Self { title: text::title("title", &item.title)?, attributes, note })
    }

    /// The item's line behind this much indentation and bullet.
    pub fn line(&self, lead: &str, id: &ItemId) -> String {
        let attributes: Vec<_> = self.attributes.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        let line = format!("{lead} [ ] {id}: {}", self.title);
        if attributes.is_empty() { closed(line, &self.title) } else { format!("{line} {{{}}}", attributes.join("; ")) }
    }
}

/// The line, with an empty block behind it where the end of its title would be read as one.
fn closed(line: String, title: &str) -> String {
    let is_block = line::item(&line).is_some_and(|header| line[header.title] != *title);
    if is_block { line + " {}" } else { line }
}

/// The indentation and bullet of a new item: those of its neighbour, else one step in from what it goes under.
pub(super) fn lead(draft: &Draft<'_>, neighbour: Option<usize>, above: Option<usize>) -> String {
    let Some(model) = neighbour.or(above) else { return "-".to_owned() };
    let (line, header) = draft.header(model);
    let (_, start) = line::indent(line);
    let bullet = &line[start..start + header.width];
    let inner = if neighbour.is_none() { " ".repeat(header.width + 1) } else { String::new() };
    let bullet = match bullet.trim_end_matches(['.', ')']).parse::<u32>() {
        Ok(number) if neighbour.is_some() && number < 999_999_999 => {
            format!("{}{}", number + 1, &bullet[header.width - 1..])
        }
        Ok(_) => "-".to_owned(),
        Err(_) => bullet.to_owned(),
    };
    format!("{}{inner}{bullet}", &line[..start])
}

/// Writes the character in the box.
pub(super) fn status(draft: &mut Draft<'_>, item: usize, status: Status) {
    let (line, header) = draft.header(item);
    if Status::of_mark(char::from(line.as_bytes()[header.mark])) != Some(status) {
        let mut content = line::content(line).to_owned();
        content.replace_range(header.mark..=header.mark, status.mark().encode_utf8(&mut [0; 4]));
        draft.set_line(item, &content);
    }
}

/// Writes the title.
pub(super) fn title(draft: &mut Draft<'_>, item: usize, title: &str) {
    let (line, header) = draft.header(item);
    if line[header.title.clone()] == *title {
        return;
    }
    let content = line::content(line);
    let (before, behind) = (&content[..header.title.start], &content[header.title.end..]);
    let gap = if before.ends_with([' ', '\t']) { "" } else { " " };
    let space = if behind.starts_with('{') { " " } else { "" };
    let has_block = header.block.is_some();
    let content = format!("{before}{gap}{title}{space}{behind}");
    let content = if has_block { content } else { closed(content.trim_end().to_owned(), title) };
    draft.set_line(item, &content);
}

/// Writes an attribute's value; an empty one takes the attribute away.
pub(super) fn attribute(draft: &mut Draft<'_>, item: usize, key: &str, value: &str) {
    let (line, header) = draft.header(item);
    let mut content = line::content(line).to_owned();
    let Some((block, entries)) = header.block else {
        if !value.is_empty() {
            content.truncate(content.trim_end_matches([' ', '\t']).len());
            let _ = write!(content, " {{{key}: {value}}}");
            draft.set_line(item, &content);
        }
        return;
    };
    let entry = entries.iter().find(|entry| content[entry.key.clone()] == *key);
    match entry {
        Some(entry) if !value.is_empty() => {
            let gap = if content[..entry.value.start].ends_with([' ', '\t']) { "" } else { " " };
            content.replace_range(entry.value.clone(), &format!("{gap}{value}"));
        }
        // The block goes with its last entry, unless the title would then end in one.
        Some(_) if entries.len() == 1 => {
            let title = content[header.title.clone()].to_owned();
            let behind = content.split_off(block.end);
            content.truncate(content[..block.start].trim_end_matches([' ', '\t']).len());
            content = closed(content, &title) + &behind;
        }
        Some(entry) => {
            let is_last = content.as_bytes()[entry.whole.end] == b'}';
            let whole =
                if is_last { entry.whole.start - 1..entry.whole.end } else { entry.whole.start..entry.whole.end + 1 };
            content.replace_range(whole, "");
        }
        None if value.is_empty() => return,
        None => {
            let inside = content[block.start + 1..block.end - 1].trim_end_matches([' ', '\t', ';']).len();
            let at = block.start + 1 + inside;
            let separator = if entries.is_empty() { "" } else { "; " };
            content.replace_range(at..block.end - 1, &format!("{separator}{key}: {value}"));
        }
    }
    draft.set_line(item, &content);
}

/// Adds lines to an item's notes.
pub(super) fn note(draft: &mut Draft<'_>, item: usize, lines: &[String]) {
    let (line, header) = draft.header(item);
    let (_, start) = line::indent(line);
    let lead = format!("{}{}", &line[..start], " ".repeat(header.width + 1));
    let mut at = draft.own_end(item);
    for line in lines {
        let content = if line.is_empty() { String::new() } else { format!("{lead}{line}") };
        at = draft.insert_detail(at, item, &content);
    }
}

/// Keeps a new item from taking the indented line behind it, which is none of its notes: such as a heading after two
/// spaces. An empty comment is how Markdown parts lists.
pub(super) fn part(draft: &mut Draft<'_>, item: usize) {
    let (_, header) = draft.header(item);
    let end = draft.end(item);
    if draft.next_line(end).is_some_and(|next| line::indent(next).0 > header.indent) {
        draft.insert_free(end, "<!-- -->");
    }
}

/// The section that an item of this mission and group goes into; its heading is made if there is none.
pub(super) fn section(draft: &mut Draft<'_>, mission: Option<&str>, group: Option<&str>) -> usize {
    // In a mission's section it would become the mission's.
    let is_of = |section: &Section| section.mission.as_deref() == mission;
    let is_named = |section: &Section| section.level > 0 && Some(section.title.as_str()) == group;
    let own = draft.sections().iter().position(|section| mission.is_some() && section.is_own && is_of(section));
    let named = draft.sections().iter().position(|section| is_of(section) && is_named(section));
    match (mission, group, own) {
        (None, None, _) => plain_section(draft),
        (Some(_), None, Some(own)) => own,
        (Some(id), None, None) => end_section(draft, &format!("Mission {id}"), mission),
        (_, Some(title), own) => named.unwrap_or_else(|| {
            let Some(own) = own else { return end_section(draft, title, mission) };
            let level = draft.sections()[own].level + 1;
            let last = draft.last_under(own);
            heading(draft, last, level.min(6), title, mission.filter(|_| level > 6), mission)
        }),
    }
}

/// The last section that belongs to no mission, of those with items if there are any.
fn plain_section(draft: &Draft<'_>) -> usize {
    let plain = |at: &usize| draft.sections()[*at].mission.is_none();
    let numbers = || (0..draft.sections().len()).rev().filter(plain);
    numbers().find(|at| draft.section_end(*at).1.is_some()).or_else(|| numbers().next()).unwrap_or(0)
}

/// A new heading at the end of the file, under no other mission.
fn end_section(draft: &mut Draft<'_>, title: &str, mission: Option<&str>) -> usize {
    let own = draft.sections().iter().filter(|section| section.is_own);
    let level = own.map(|section| section.level).min().map_or(2, |level| level.min(2));
    let last = draft.sections().len() - 1;
    heading(draft, last, level, title, mission, mission)
}

fn heading(
    draft: &mut Draft<'_>,
    before: usize,
    level: usize,
    title: &str,
    own: Option<&str>,
    mission: Option<&str>,
) -> usize {
    let mut content = format!("{} {title}", "#".repeat(level));
    if let Some(id) = own {
        let _ = write!(content, " {{mission: {}}}", escape(id));
    } else if line::heading(&content).is_none_or(|read| read.title != title || read.mission.is_some()) {
        content.push_str(" {}");
    }
    let after = draft.last_line(before);
    let after = if after == START { after } else { draft.insert_free(after, "") };
    draft.insert_heading(after, before, &content, mission.map(str::to_owned))
}
