//! What is kept of a command's output: the newest part, by offsets that count from its beginning.

use std::collections::VecDeque;

use crate::engine::report_text::PAGE_LINES;

/// The newest bytes of a stream.
#[derive(Debug)]
pub struct Window {
    ring: VecDeque<u8>,
    most: usize,
    /// Bytes before the ring.
    gone: u64,
}

/// A part of the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Where it begins, in bytes from the beginning of the output.
    pub from: u64,
    /// Where it ends.
    pub to: u64,
    /// It, as a text: what is no UTF-8 is replaced, and what would steer a terminal is left out.
    pub text: String,
}

impl Window {
    /// Keeps at most so many bytes.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { ring: VecDeque::new(), most, gone: 0 }
    }

    /// How many bytes there were in all.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.gone + self.ring.len() as u64
    }

    /// The offset of the oldest byte that is kept.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.gone
    }

    /// Adds what was written.
    pub fn push(&mut self, bytes: &[u8]) {
        let newest = &bytes[bytes.len() - bytes.len().min(self.most)..];
        let too_many = (self.ring.len() + newest.len()).saturating_sub(self.most);
        self.ring.drain(..too_many);
        self.ring.extend(newest);
        self.gone += (bytes.len() - newest.len() + too_many) as u64;
    }

    /// At most so many bytes from an offset on, or from the oldest that is kept. While more may come (`open`), a
    /// character that is not there as a whole is left for the next time.
    #[must_use]
    pub fn from(&self, offset: u64, most: usize, open: bool) -> Part {
        let from = offset.clamp(self.gone, self.length());
        let skip = usize::try_from(from - self.gone).unwrap_or(self.ring.len());
        let mut bytes: Vec<u8> = self.ring.iter().skip(skip).take(most).copied().collect();
        if let Some((at, _)) = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(LINES - 1) {
            bytes.truncate(at + 1);
        }
        let is_last = skip + bytes.len() == self.ring.len();
        if (open && is_last) || (!is_last && most > 3) {
            bytes.truncate(bytes.len() - unfinished(&bytes));
        }
        Part { from, to: from + bytes.len() as u64, text: plain(&String::from_utf8_lossy(&bytes)) }
    }

    /// The newest bytes, at most so many, but none before an offset.
    #[must_use]
    pub fn newest(&self, since: u64, most: usize, open: bool) -> Part {
        let mut from = since.max(self.length().saturating_sub(most as u64)).clamp(self.gone, self.length());
        let skip = |from: u64| usize::try_from(from - self.gone).unwrap_or_default();
        let mut ends = self.ring.iter().enumerate().skip(skip(from)).rev().filter(|(_, byte)| **byte == b'\n');
        if let Some((at, _)) = ends.nth(LINES) {
            from = self.gone + at as u64 + 1;
        } else if from > since {
            // Begins with a whole character, and with a whole line if one begins soon.
            let start: Vec<u8> = self.ring.iter().skip(skip(from)).take(most.min(LINE)).copied().collect();
            let line = start.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            let character = start.iter().take(3).take_while(|byte| (0x80..0xc0).contains(*byte)).count();
            from += line.unwrap_or(character) as u64;
        }
        self.from(from, most, open)
    }

    /// Whether a text was written at or after an offset, as far as that is kept.
    #[must_use]
    pub fn holds(&self, text: &str, offset: u64) -> bool {
        let skip = usize::try_from(offset.saturating_sub(self.gone)).unwrap_or(self.ring.len());
        let bytes: Vec<u8> = self.ring.iter().skip(skip).copied().collect();
        let text = text.as_bytes();
        text.is_empty() || bytes.windows(text.len()).any(|part| part == text)
    }
}

/// The most lines of a part: the host hides what is longer.
const LINES: usize = PAGE_LINES;

/// How far the next line's beginning is looked for.
const LINE: usize = 512;

/// How many bytes at the end are the beginning of a character.
fn unfinished(bytes: &[u8]) -> usize {
    let Some(last) = bytes.utf8_chunks().last() else { return 0 };
    let broken = last.invalid();
    if std::str::from_utf8(broken).is_err_and(|error| error.error_len().is_none()) { broken.len() } else { 0 }
}

/// A text without colours, movements of a cursor and other control characters; of a line that was written over and
/// over, as progress is, only the last state.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut line = 0;
    while let Some(char) = chars.next() {
        match char {
            '\u{1b}' => escape(&mut chars),
            '\r' if chars.peek() == Some(&'\n') => {}
            '\r' => out.truncate(line),
            '\n' => {
                out.push(char);
                line = out.len();
            }
            '\t' => out.push(char),
            char if char.is_control() => {}
            char => out.push(char),
        }
    }
    out
}

/// Skips what follows an escape: a sequence that steers, up to its last letter, or a title, up to its end.
fn escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.next() {
        Some('[') => while chars.next_if(|char| !('\u{40}'..='\u{7e}').contains(char) && *char != '\n').is_some() {},
        Some(']') => {
            while chars.next_if(|char| !matches!(char, '\u{7}' | '\u{1b}' | '\n')).is_some() {}
            if chars.peek() == Some(&'\u{1b}') {
                chars.next();
            }
        }
        _ => return,
    }
    chars.next_if(|char| *char != '\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(most: usize, pieces: &[&str]) -> Window {
        let mut window = Window::new(most);
        for piece in pieces {
            window.push(piece.as_bytes());
        }
        window
    }

    fn part(from: u64, to: u64, text: &str) -> Part {
        Part { from, to, text: text.to_owned() }
    }

    #[test]
    fn offsets_count_from_the_beginning_however_it_comes() {
        let all: String = ('a'..='z').collect();
        for size in 1..=26 {
            let pieces: Vec<String> =
                all.as_bytes().chunks(size).map(|piece| String::from_utf8_lossy(piece).into_owned()).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let window = of(10, &pieces);
            assert_eq!((window.length(), window.oldest()), (26, 16), "{size}");
            assert_eq!(window.from(0, 100, true), part(16, 26, "qrstuvwxyz"));
            assert_eq!(window.from(20, 3, true), part(20, 23, "uvw"));
            assert_eq!(window.from(26, 3, true), part(26, 26, ""));
            assert_eq!(window.from(99, 3, true), part(26, 26, ""));
            assert_eq!(window.newest(0, 4, true), part(22, 26, "wxyz"));
            assert_eq!(window.newest(24, 4, true), part(24, 26, "yz"));
            assert_eq!(of(100, &pieces).from(0, 100, false), part(0, 26, &all));
        }
    }

    #[test]
    fn the_newest_part_begins_with_a_line_where_one_begins() {
        let window = of(100, &["first line\nsecond line\nthird"]);
        assert_eq!(window.newest(0, 20, false), part(11, 28, "second line\nthird"));
        assert_eq!(window.newest(3, 100, false), part(3, 28, "st line\nsecond line\nthird"));
    }

    #[test]
    fn a_part_has_no_more_lines_than_are_shown() {
        let window = of(10_000, &["x\n".repeat(2_000).as_str()]);
        let (newest, first) = (window.newest(0, 10_000, true), window.from(0, 10_000, true));
        assert_eq!((newest.from, newest.to), (4_000 - 2 * LINES as u64, 4_000));
        assert_eq!((first.from, first.to), (0, 2 * LINES as u64));
        assert_eq!(newest.text.lines().count(), LINES);
    }

    #[test]
    fn a_character_is_shown_when_it_is_whole() {
        let mut window = of(100, &["abc"]);
        window.push(&"€".as_bytes()[..2]);
        assert_eq!(window.from(0, 100, true), part(0, 3, "abc"));
        assert_eq!(window.from(0, 100, false), part(0, 5, "abc\u{fffd}"));
        window.push(&"€".as_bytes()[2..]);
        assert_eq!(window.from(0, 100, true), part(0, 6, "abc€"));
        assert_eq!(window.from(0, 5, false), part(0, 3, "abc"));
        assert_eq!(window.newest(0, 2, true), part(6, 6, ""));
    }

    #[test]
    fn what_steers_a_terminal_is_left_out() {
        for (written, shown) in [
            ("\u{1b}[1;31mred\u{1b}[0m \u{1b}[2Kx", "red x"),
            ("\u{1b}]0;title\u{7}a\u{1b}]8;;u\u{1b}\\b", "ab"),
            ("10 %\r20 %\r30 %\ndone\r\n", "30 %\ndone\n"),
            ("a\tb\u{7}\u{8}\0c\u{9b}d", "a\tbcd"),
            ("end\u{1b}", "end"),
            ("cut\u{1b}[31", "cut"),
            ("\u{1b}[3\nline", "\nline"),
        ] {
            assert_eq!(plain(written), shown, "{written:?}");
        }
    }

    #[test]
    fn a_text_is_found_across_pieces_and_only_where_it_is_kept() {
        let window = of(12, &["one read", "y two"]);
        assert!(window.holds("ready", 0) && window.holds("ready", 4) && window.holds("", 99));
        assert!(!window.holds("ready", 5) && !window.holds("one", 0) && !window.holds("three", 0));
    }

    #[test]
    fn memory_is_bounded() {
        let mut window = Window::new(1_000);
        for _ in 0..1_000 {
            window.push(&[b'x'; 10_000]);
        }
        assert!(window.ring.capacity() <= 4_000);
        assert_eq!((window.length(), window.oldest()), (10_000_000, 9_999_000));
    }
}
