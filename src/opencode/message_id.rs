//! Message and part ids that we choose before sending, so that sending again after a crash is harmless.
//!
//! They are built as the host builds its own: prefix, the low 48 bits of `milliseconds × 4096 + counter` as twelve
//! hexadecimal digits, fourteen characters of base 62. As in the host, 48 bits wrap about every 795 days (next in
//! October 2028): order by text holds between two wraps only.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{MessageId, PartId};

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Makes ids, each greater than all before it, also when the clock steps back or stands still.
#[derive(Debug, Default)]
pub struct AscendingIds {
    last: AtomicU64,
}

impl AscendingIds {
    /// Has made none yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { last: AtomicU64::new(0) }
    }

    /// A message id of the instant `now_ms` (since the Unix epoch) and fourteen random bytes. The host knows one
    /// name space for all sessions: the randomness is what keeps two processes apart.
    #[must_use]
    pub fn message(&self, now_ms: u64, random: &[u8; 14]) -> MessageId {
        parsed(&self.text(MessageId::PREFIX, now_ms, random))
    }

    /// The same for a part.
    #[must_use]
    pub fn part(&self, now_ms: u64, random: &[u8; 14]) -> PartId {
        parsed(&self.text(PartId::PREFIX, now_ms, random))
    }

    fn text(&self, prefix: &str, now_ms: u64, random: &[u8; 14]) -> String {
        // The host counts from 1 within a millisecond.
        let fresh = now_ms.wrapping_mul(0x1000).wrapping_add(1);
        let after = |last: u64| fresh.max(last.wrapping_add(1));
        // The closure never declines, so both arms hold the value before.
        let last = match self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(after(last))) {
            Ok(last) | Err(last) => last,
        };
        let stamp = after(last) & 0xffff_ffff_ffff;
        let tail: String = random.iter().map(|byte| char::from(BASE62[usize::from(*byte) % BASE62.len()])).collect();
        format!("{prefix}{stamp:012x}{tail}")
    }
}

fn parsed<T: std::str::FromStr>(text: &str) -> T {
    match text.parse() {
        Ok(id) => id,
        Err(_) => unreachable!("prefix, hexadecimal digits and base 62 make an id"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn built_as_the_host_builds_them() {
        let ids = AscendingIds::new();
        // The stamp of a real id: `msg_1fcf2da07001…` is made of these low bits.
        let now = (0x27_1fcf_2da0_7000_u64) / 0x1000;
        assert_eq!(ids.message(now, &[0; 14]).as_str(), "msg_1fcf2da0700100000000000000");
        assert_eq!(ids.part(now, &[61; 14]).as_str(), "prt_1fcf2da07002zzzzzzzzzzzzzz");
    }

    #[test]
    fn threads_get_different_ids() {
        let ids = AscendingIds::new();
        let mut all: Vec<MessageId> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..500).map(|_| ids.message(5, &[0; 14])).collect::<Vec<_>>()))
                .collect();
            makers.into_iter().flat_map(|maker| maker.join().unwrap()).collect()
        });
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 2_000);
    }

    proptest! {
        #[test]
        fn ascend_whatever_the_clock_does(steps in prop::collection::vec((-5_i64..5, any::<[u8; 14]>()), 1..200)) {
            let ids = AscendingIds::new();
            let (mut now, mut before) = (1_795_000_000_000_u64, None);
            for (step, random) in steps {
                now = now.saturating_add_signed(step);
                let id = ids.message(now, &random);
                prop_assert!(before.is_none_or(|before| before < id));
                before = Some(id);
            }
        }
    }
}
