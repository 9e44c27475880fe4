//! When a server that died is started again.

use std::time::Duration;

/// The pause after the first death: doubled with each that follows.
const FIRST: Duration = Duration::from_millis(250);

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(30);

/// How many deaths in a row are too many.
const GIVE_UP: u32 = 6;

/// A server that lived so long did not die of its start.
const STABLE: Duration = Duration::from_secs(60);

/// The deaths of a server in a row.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    deaths: u32,
}

impl Backoff {
    /// Notes a death after a life of `lived`. The pause before the next start, or none if there should be no next one.
    pub(super) fn died(&mut self, lived: Duration) -> Option<Duration> {
        if lived >= STABLE {
            self.deaths = 0;
        }
        self.deaths += 1;
        (self.deaths < GIVE_UP).then(|| (FIRST * 2_u32.pow(self.deaths - 1)).min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_an_end_and_a_long_life_begins_anew() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..6).map(|_| backoff.died(STABLE / 2).map(|pause| pause.as_millis())).collect();
        assert_eq!(pauses, [Some(250), Some(500), Some(1_000), Some(2_000), Some(4_000), None]);
        assert_eq!(backoff.died(Duration::ZERO), None);
        assert_eq!(backoff.died(STABLE), Some(FIRST));
        assert_eq!(backoff.died(Duration::ZERO), Some(FIRST * 2));
    }
}
