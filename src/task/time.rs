//! Instants as the store keeps them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

const MILLIS_OF_A_DAY: i64 = 86_400_000;

/// Milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This instant moved later by `by`, saturating at the end of time.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This instant moved earlier by `by`, saturating at the beginning of time.
    #[must_use]
    pub fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The time from `earlier` to this instant; zero when the clock stepped back.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The day in UTC, counted from that of the Unix epoch.
    #[must_use]
    pub fn day(self) -> i64 {
        self.0.div_euclid(MILLIS_OF_A_DAY)
    }

    /// How long this day in UTC still lasts.
    #[must_use]
    pub fn left_of_day(self) -> Duration {
        Duration::from_millis((MILLIS_OF_A_DAY - self.0.rem_euclid(MILLIS_OF_A_DAY)).unsigned_abs())
    }

    /// The instant as unsigned milliseconds; zero before the epoch.
    #[must_use]
    pub fn millis(self) -> u64 {
        u64::try_from(self.0).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        assert_eq!(Timestamp(i64::MAX).after(Duration::from_secs(1)), Timestamp(i64::MAX));
        assert_eq!(Timestamp(5).since(Timestamp(9)), Duration::ZERO);
        assert_eq!(Timestamp(9).since(Timestamp(5)), Duration::from_millis(4));
        assert_eq!(Timestamp(-1).millis(), 0);
        assert_eq!(Timestamp(i64::MIN).before(Duration::from_secs(1)), Timestamp(i64::MIN));
        assert_eq!(Timestamp(9_000).before(Duration::from_secs(5)), Timestamp(4_000));
    }

    #[test]
    fn a_day_ends_when_the_next_begins() {
        for (at, day) in [(-1, -1), (0, 0), (MILLIS_OF_A_DAY - 1, 0), (MILLIS_OF_A_DAY, 1)] {
            assert_eq!(Timestamp(at).day(), day);
            assert_eq!(Timestamp(at).after(Timestamp(at).left_of_day()), Timestamp((day + 1) * MILLIS_OF_A_DAY));
        }
    }
}
