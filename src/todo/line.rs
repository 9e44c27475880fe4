//! What one line is, seen alone.

use std::ops::Range;

use super::{ItemId, Status, attributes};

/// What is trimmed off a title. A carriage return alone at the end of a file becomes a part of the line's end when
/// something follows.
const SPACE: [char; 3] = [' ', '\t', '\r'];

/// Where the parts of an item's line are; the ranges are places in the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The columns before its bullet; a tab reaches to the next multiple of four.
    pub indent: usize,
    /// The bytes of its bullet.
    pub width: usize,
    /// The character in its box.
    pub mark: usize,
    /// Where the text behind the box begins.
    pub body: usize,
    /// The id without its colon.
    pub id: Option<Range<usize>>,
    /// The title, without the space around it.
    pub title: Range<usize>,
    /// The block of attributes with its braces, and what it holds.
    pub block: Option<(Range<usize>, Vec<attributes::Entry>)>,
}

impl Header {
    /// The column at which a line of the item's own text begins: its text's, with one space behind the bullet.
    pub fn content(&self) -> usize {
        self.indent + self.width + 1
    }
}

/// What a heading says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heading {
    /// The number of its `#`.
    pub level: usize,
    /// Its text.
    pub title: String,
    /// The mission that its items belong to.
    pub mission: Option<String>,
}

/// The line without its end.
pub fn content(line: &str) -> &str {
    line.strip_suffix("\r\n").or_else(|| line.strip_suffix('\n')).unwrap_or(line)
}

/// The columns and the bytes of the space that a line begins with.
pub fn indent(line: &str) -> (usize, usize) {
    let (mut columns, mut bytes) = (0, 0);
    for byte in line.bytes() {
        match byte {
            b' ' => columns += 1,
            b'\t' => columns += 4 - columns % 4,
            _ => break,
        }
        bytes += 1;
    }
    (columns, bytes)
}

/// Reads a line as an item, if it is one: a bullet, a box, and what follows.
pub fn item(line: &str) -> Option<Header> {
    let line = content(line);
    let (indent, start) = indent(line);
    let rest = &line[start..];
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let bullet = match rest.as_bytes().get(digits)? {
        b'-' | b'*' | b'+' if digits == 0 => 1,
        b'.' | b')' if (1..=9).contains(&digits) => digits + 1,
        _ => return None,
    };
    let gap = rest[bullet..].bytes().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let at = start + bullet + gap;
    let mark = *line.as_bytes().get(at + 1)?;
    if gap == 0 || line.as_bytes()[at] != b'[' || line.as_bytes().get(at + 2) != Some(&b']') {
        return None;
    }
    Status::of_mark(char::from(mark))?;
    let body = at + 3;
    let gap = line[body..].bytes().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    if gap == 0 && body < line.len() {
        return None;
    }
    let mut header =
        Header { indent, width: bullet, mark: at + 1, body: body + gap, id: None, title: 0..0, block: None };
    read_body(&mut header, line, true);
    Some(header)
}

/// Finds id, title and attributes behind the box. An id that an earlier item has is a part of the title.
pub fn read_body(header: &mut Header, line: &str, with_id: bool) {
    let line = content(line);
    let mut from = header.body;
    header.id = None;
    if let Some(end) = with_id.then(|| line[from..].find(':')).flatten() {
        let rest = &line[from + end + 1..];
        if (rest.is_empty() || rest.starts_with([' ', '\t'])) && line[from..from + end].parse::<ItemId>().is_ok() {
            header.id = Some(from..from + end);
            from += end + 1;
        }
    }
    header.block = attributes::find(line, from, line.len());
    let to = header.block.as_ref().map_or(line.len(), |(block, _)| block.start);
    let title = line[from..to].trim_matches(SPACE);
    let start = from + (line[from..to].len() - line[from..to].trim_start_matches(SPACE).len());
    header.title = start..start + title.len();
}

/// Reads a line as a heading, if it is one: up to three spaces, one to six `#`, and space.
pub fn heading(line: &str) -> Option<Heading> {
    let line = content(line);
    let rest = line.trim_start_matches(' ');
    let level = rest.bytes().take_while(|byte| *byte == b'#').count();
    let text = &rest[level..];
    if line.len() - rest.len() > 3 || !(1..=6).contains(&level) || !(text.is_empty() || text.starts_with([' ', '\t'])) {
        return None;
    }
    let text = text.trim_matches([' ', '\t']);
    // `## Title ##` is how some close a heading.
    let open = text.trim_end_matches('#');
    let text = if open.is_empty() || open.ends_with([' ', '\t']) { open.trim_end_matches([' ', '\t']) } else { text };
    let block = attributes::find(text, 0, text.len());
    let mission = block.iter().flat_map(|(_, entries)| entries).find(|entry| &text[entry.key.clone()] == "mission");
    let mission = mission.map(|entry| attributes::unescape(&text[entry.value.clone()])).filter(|id| !id.is_empty());
    let end = block.map_or(text.len(), |(block, _)| block.start);
    Some(Heading { level, title: text[..end].trim_matches([' ', '\t']).to_owned(), mission })
}

/// What keeps the lines after it from being read, until it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// A code fence of so many of these characters.
    Fence(u8, usize),
    /// An HTML comment.
    Comment,
}

impl Block {
    /// The block that a line begins and does not end.
    pub fn begins(line: &str) -> Option<Self> {
        let text = content(line).trim_start_matches([' ', '\t']);
        if let Some(rest) = text.strip_prefix("<!--") {
            return (!rest.contains("-->")).then_some(Self::Comment);
        }
        let char = *text.as_bytes().first()?;
        let length = text.bytes().take_while(|byte| *byte == char).count();
        let is_fence = match char {
            b'`' => !text[length..].contains('`'),
            b'~' => true,
            _ => false,
        };
        (is_fence && length >= 3).then_some(Self::Fence(char, length))
    }

    /// Whether a line is the block's last.
    pub fn ends(self, line: &str) -> bool {
        let text = content(line).trim_matches([' ', '\t']);
        match self {
            Self::Comment => text.contains("-->"),
            Self::Fence(char, length) => text.len() >= length && text.bytes().all(|byte| byte == char),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(line: &str) -> Option<(usize, &str, &str, bool)> {
        let header = item(line)?;
        let id = header.id.map_or("", |id| &line[id]);
        Some((header.indent, id, &line[header.title], header.block.is_some()))
    }

    #[test]
    fn an_item_is_a_bullet_and_a_box() {
        assert_eq!(parts("- [ ] t1: Do it {a: b}\r\n"), Some((0, "t1", "Do it", true)));
        assert_eq!(parts("\t* [x]\tno id  \n"), Some((4, "", "no id", false)));
        assert_eq!(parts("  12. [~] t1.2:"), Some((2, "t1.2", "", false)));
        assert_eq!(parts(" \t+ [!]"), Some((4, "", "", false)));
        assert_eq!(parts("1) [-] http://x: y"), Some((0, "", "http://x: y", false)));
        assert_eq!(parts("- [X] T1: big"), Some((0, "", "T1: big", false)));
        for none in [
            "-[ ] a",
            "- [] a",
            "- [y] a",
            "- [ ]a",
            "[ ] a",
            "> - [ ] a",
            "- [é] a",
            "1234567890. [ ] a",
            "-",
            "- [",
            "",
            "- x",
        ] {
            assert_eq!(parts(none), None, "{none}");
        }
    }

    #[test]
    fn a_heading_may_name_a_mission() {
        let read =
            |line| heading(line).map(|heading| (heading.level, heading.title, heading.mission.unwrap_or_default()));
        let of = |level, title: &str, mission: &str| Some((level, title.to_owned(), mission.to_owned()));
        assert_eq!(read("## Add a parser {mission: m3}\n"), of(2, "Add a parser", "m3"));
        assert_eq!(read("   # A ##"), of(1, "A", ""));
        assert_eq!(read("# C#"), of(1, "C#", ""));
        assert_eq!(read("### A {mission: a%3Bb; x: y} ###"), of(3, "A", "a;b"));
        assert_eq!((read("#"), read("# {}")), (of(1, "", ""), of(1, "", "")));
        for none in ["#a", "    # a", "####### a", "a # b", "\t# a"] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    #[test]
    fn a_block_begins_and_ends() {
        assert_eq!(Block::begins("  ```rust\n"), Some(Block::Fence(b'`', 3)));
        assert_eq!(Block::begins("~~~~ `a`"), Some(Block::Fence(b'~', 4)));
        assert_eq!((Block::begins("``` `a`"), Block::begins("``"), Block::begins("~~")), (None, None, None));
        assert_eq!((Block::begins("<!-- a"), Block::begins("<!-- a --> b")), (Some(Block::Comment), None));
        let fence = Block::Fence(b'`', 4);
        assert!(fence.ends("  `````  \r\n") && !fence.ends("```") && !fence.ends("```` a") && !fence.ends("~~~~"));
        assert!(Block::Comment.ends("b --> c"));
    }
}
