//! Server-sent events, read piece by piece as the bytes come.
//!
//! Follows the WHATWG grammar as far as OpenCode's streams use it: `data` is kept, `event`, `id` and `retry` are
//! skipped. What is too long is given up as an error; nothing is buffered beyond the limits.

/// The longest line and the longest event that are taken, in bytes: room for a tool part with a large output.
pub const MAX_EVENT: usize = 16 * 1024 * 1024;

/// A stream that cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// An event is larger than is taken.
    #[error("event larger than {0} bytes")]
    TooLarge(usize),
    /// An event is not UTF-8.
    #[error("event that is not UTF-8")]
    NotUtf8,
}

/// The state between two pieces of a stream.
#[derive(Debug)]
pub struct SseParser {
    limit: usize,
    /// The line that has begun.
    line: Vec<u8>,
    /// The data of the event that has begun.
    data: Vec<u8>,
    has_data: bool,
    /// The last piece ended with CR: an LF to begin with belongs to it.
    after_cr: bool,
    first_line: bool,
}

impl Default for SseParser {
    fn default() -> Self {
        Self::new(MAX_EVENT)
    }
}

impl SseParser {
    /// At the start of a stream whose lines and events have at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, line: Vec::new(), data: Vec::new(), has_data: false, after_cr: false, first_line: true }
    }

    /// Takes the next bytes in and adds the data of each event that they complete to `events`. After an error the
    /// parser is of no more use; what was complete before it is in `events`.
    ///
    /// # Errors
    /// [`SseError`].
    pub fn push(&mut self, mut bytes: &[u8], events: &mut Vec<String>) -> Result<(), SseError> {
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_cr) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            let piece = &bytes[..end.unwrap_or(bytes.len())];
            if self.line.len() + piece.len() > self.limit {
                return Err(SseError::TooLarge(self.limit));
            }
            self.line.extend_from_slice(piece);
            let Some(end) = end else { return Ok(()) };
            self.after_cr = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            self.end_line(events)?;
        }
        Ok(())
    }

    fn end_line(&mut self, events: &mut Vec<String>) -> Result<(), SseError> {
        let line = std::mem::take(&mut self.line);
        let mut rest = line.as_slice();
        if std::mem::take(&mut self.first_line) {
            rest = rest.strip_prefix(b"\xef\xbb\xbf").unwrap_or(rest);
        }
        if rest.is_empty() {
            self.end_event(events)?;
        } else if let Some(data) = field(rest) {
            // One more for the newline between two lines of data.
            if self.data.len() + data.len() + 1 > self.limit {
                return Err(SseError::TooLarge(self.limit));
            }
            if self.has_data {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(data);
            self.has_data = true;
        }
        // The buffer is used again for the next line, unless it has grown large.
        if line.capacity() <= 64 * 1024 {
            self.line = line;
            self.line.clear();
        }
        Ok(())
    }

    fn end_event(&mut self, events: &mut Vec<String>) -> Result<(), SseError> {
        if std::mem::take(&mut self.has_data) {
            let data = std::mem::take(&mut self.data);
            events.push(String::from_utf8(data).map_err(|_| SseError::NotUtf8)?);
        }
        Ok(())
    }
}

/// The value of a `data` line; none for a comment or another field.
fn field(line: &[u8]) -> Option<&[u8]> {
    match line.strip_prefix(b"data")? {
        [] => Some(&[]),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(chunks: &[&[u8]]) -> (Vec<String>, Result<(), SseError>) {
        let (mut parser, mut events) = (SseParser::new(64), Vec::new());
        let result = chunks.iter().try_for_each(|chunk| parser.push(chunk, &mut events));
        (events, result)
    }

    fn events(text: &str) -> Vec<String> {
        let (events, result) = read(&[text.as_bytes()]);
        result.unwrap();
        events
    }

    #[test]
    fn reads_the_grammar() {
        for (text, expected) in [
            ("data: a\n\n", &["a"][..]),
            ("data:a\r\n\r\n", &["a"]),
            ("data: a\rdata: b\r\r", &["a\nb"]),
            ("\u{feff}data: a\n\n", &["a"]),
            ("data: a\n\n\u{feff}data: b\n\n", &["a"]),
            (": comment\n\ndata: a\n: more\ndata:  b\n\n", &["a\n b"]),
            ("event: x\nid: 7\nretry: 5\ndata: a\n\n", &["a"]),
            ("data\n\n", &[""]),
            ("data\ndata\n\n", &["\n"]),
            ("database: a\n\n", &[]),
            ("data: unfinished\n", &[]),
            ("\n\n\n", &[]),
            ("data: ü\n\ndata: {\"a\":1}\n\n", &["ü", "{\"a\":1}"]),
        ] {
            assert_eq!(events(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_too_long_is_given_up() {
        let long = [b"data: ".as_slice(), &[b'a'; 64]].concat();
        assert_eq!(read(&[&long]).1, Err(SseError::TooLarge(64)));
        let many = "data: 0123456789\n".repeat(7);
        assert_eq!(read(&[b"data: a\n\n", many.as_bytes()]), (vec!["a".to_owned()], Err(SseError::TooLarge(64))));
    }

    #[test]
    fn what_is_not_utf8_is_an_error() {
        assert_eq!(read(&[b"data: \xff\n\n"]).1, Err(SseError::NotUtf8));
    }

    fn cut<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same(
            lines in prop::collection::vec("(data: ?|data|:|event: )?[aé\u{feff}]{0,9}(\r\n|\n|\r|\n\n)", 0..40),
            cuts in prop::collection::vec(any::<usize>(), 0..20),
        ) {
            let text = lines.concat();
            prop_assert_eq!(read(&cut(text.as_bytes(), &cuts)), read(&[text.as_bytes()]));
        }

        #[test]
        fn arbitrary_bytes_never_panic_and_any_cut_gives_the_same(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"data: \r\n".to_vec())], 0..400),
            cuts in prop::collection::vec(any::<usize>(), 0..20),
        ) {
            prop_assert_eq!(read(&cut(&bytes, &cuts)), read(&[&bytes]));
        }
    }
}
