//! Output in bounded memory: its beginning and its end.

use std::collections::VecDeque;

/// What is kept of a stream.
#[derive(Debug)]
pub struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    half: usize,
    left_out: u64,
}

impl Kept {
    /// Keeps at most this many bytes.
    #[must_use]
    pub fn new(keep: usize) -> Self {
        Self { head: Vec::new(), tail: VecDeque::new(), half: keep / 2, left_out: 0 }
    }

    /// How many bytes were left out between the beginning and the end.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// All bytes, if none was left out.
    #[must_use]
    pub fn whole(self) -> Option<Vec<u8>> {
        let Self { mut head, tail, left_out, .. } = self;
        head.extend(tail);
        (left_out == 0).then_some(head)
    }

    /// As a text.
    #[must_use]
    pub fn text(self) -> String {
        let (left_out, head_length) = (self.left_out, self.head.len());
        let Self { mut head, tail, .. } = self;
        head.extend(tail);
        if left_out == 0 {
            return String::from_utf8_lossy(&head).into_owned();
        }
        // A character that was cut in two is not shown as two broken ones.
        let (head, tail) = head.split_at(head_length);
        let cut = head.utf8_chunks().last().map_or(0, |last| {
            let broken = last.invalid();
            if std::str::from_utf8(broken).is_err_and(|error| error.error_len().is_none()) { broken.len() } else { 0 }
        });
        let begin = tail.iter().take(3).take_while(|byte| (0x80..0xc0).contains(*byte)).count();
        let left_out = left_out + (cut + begin) as u64;
        let (head, tail) = (&head[..head.len() - cut], &tail[begin..]);
        format!("{}\n[… {left_out} bytes left out …]\n{}", String::from_utf8_lossy(head), String::from_utf8_lossy(tail))
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let into_head = bytes.len().min(self.half - self.head.len());
        let (head, bytes) = bytes.split_at(into_head);
        self.head.extend_from_slice(head);
        let newest = &bytes[bytes.len() - bytes.len().min(self.half)..];
        let too_many = (self.tail.len() + newest.len()).saturating_sub(self.half);
        self.tail.drain(..too_many);
        self.tail.extend(newest);
        self.left_out += (bytes.len() - newest.len() + too_many) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(keep: usize, pieces: &[&str]) -> Kept {
        let mut kept = Kept::new(keep);
        for piece in pieces {
            kept.push(piece.as_bytes());
        }
        kept
    }

    #[test]
    fn both_ends_are_kept_however_it_comes() {
        let all: String = ('a'..='z').collect();
        for size in 1..=26 {
            let pieces: Vec<String> =
                all.as_bytes().chunks(size).map(|piece| String::from_utf8_lossy(piece).into_owned()).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            assert_eq!(kept(8, &pieces).text(), "abcd\n[… 18 bytes left out …]\nwxyz", "{size}");
            assert_eq!(kept(8, &pieces).left_out(), 18);
            assert_eq!(kept(8, &pieces).whole(), None);
            assert_eq!(kept(26, &pieces).text(), all, "{size}");
            assert_eq!(kept(52, &pieces).whole().unwrap(), all.as_bytes(), "{size}");
        }
        assert_eq!(kept(0, &["abc"]).text(), "\n[… 3 bytes left out …]\n");
    }

    #[test]
    fn a_character_at_the_cut_is_left_out_whole() {
        assert_eq!(kept(8, &["aaa€", "bbbbbb", "€zz"]).text(), "aaa\n[… 12 bytes left out …]\nzz");
        let mut broken = Kept::new(100);
        broken.push(b"a\xffb");
        assert_eq!(broken.text(), "a\u{fffd}b");
    }

    #[test]
    fn memory_is_bounded() {
        let mut kept = Kept::new(1_000);
        for _ in 0..1_000 {
            kept.push(&[b'x'; 10_000]);
        }
        assert!(kept.head.capacity() + kept.tail.capacity() <= 4_000);
        assert_eq!(kept.left_out(), 10_000_000 - 1_000);
    }
}
