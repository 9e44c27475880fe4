//! What is known of a model's provider, shared by all processes: whether it asks for patience (the gate), whether it
//! fails (the circuit breaker), and how many tasks it bears at once (the scale).
//!
//! Pure: news and instants in, the next state out.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::task::{TaskId, Timestamp};

/// So many failures within [`WINDOW`] open the circuit: the seed's figures.
pub const FAILURES: usize = 5;
/// See [`FAILURES`].
pub const WINDOW: Duration = Duration::from_secs(30);
/// How long an open circuit lets nothing through: the seed's figure.
pub const COOL: Duration = Duration::from_secs(30);
/// So many successes close it again: the seed's figure.
pub const SUCCESSES: u32 = 2;
/// So many successes in a row let one more task run on the provider: the seed's figure.
pub const GROW: u32 = 3;
/// So many failures in a row let one fewer run: the seed's figure.
pub const SHRINK: u32 = 2;
/// The first pause where a provider does not say for how long; it doubles with each refusal in a row.
pub const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// The first pause where a provider says that a quota is used up.
pub const QUOTA_PAUSE: Duration = Duration::from_secs(60);
/// How long one task may try a provider out before another may.
pub const PROBE: Duration = Duration::from_secs(60);

/// What a user may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Setting {
    /// The longest pause in seconds, whatever a provider asks for.
    pub longest_pause: u32,
    /// The fewest tasks that a provider is taken to bear.
    pub floor: u32,
}

impl Default for Setting {
    fn default() -> Self {
        Self { longest_pause: 900, floor: 1 }
    }
}

/// What a run told of its provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It answered.
    Answered,
    /// It asks for patience, for so long if it said so.
    Limited {
        /// What it asked for.
        wait: Option<Duration>,
        /// Whether a quota is used up, rather than a rate too high.
        quota: bool,
    },
    /// It failed.
    Failed,
}

/// Whether something may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
enum Gate {
    /// Everything.
    #[default]
    Open,
    /// Nothing until then; after that one task tries it out.
    Closed { since: Timestamp, until: Timestamp, strikes: u32, why: Why },
    /// This task tries it out.
    Probing { by: TaskId, since: Timestamp, strikes: u32, why: Why },
}

/// Why a gate is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The rate is too high.
    RateLimit,
    /// A quota is used up.
    Quota,
    /// It has failed too often: the circuit is open.
    Circuit,
}

impl Why {
    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RateLimit => "rate limit",
            Self::Quota => "quota",
            Self::Circuit => "circuit open",
        }
    }
}

/// What is known of one provider.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Provider {
    gate: Gate,
    /// Answers since the gate was last closed; after a circuit was open it takes more than one to open it.
    answers: u32,
    /// The instants of failures, the oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failures: Vec<Timestamp>,
    /// How many tasks it bears; everything the limits allow if it never failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    scale: Option<u32>,
    /// Successes in a row, or failures as a negative number.
    row: i32,
}

/// What a provider lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// Everything.
    Free,
    /// One task, which tries it out.
    Probe,
    /// Nothing until then.
    Closed {
        /// Until when.
        until: Timestamp,
        /// Why.
        why: Why,
    },
    /// Nothing until the one that tries it out has an answer.
    Tried {
        /// Which one.
        by: TaskId,
        /// Why.
        why: Why,
    },
}

impl Provider {
    /// Reads a stored record; one that does not read is taken for none.
    #[must_use]
    pub fn read(body: &str) -> Self {
        serde_json::from_str(body).unwrap_or_default()
    }

    /// What it lets through now.
    #[must_use]
    pub fn passage(&self, now: Timestamp) -> Passage {
        match self.gate {
            Gate::Open => Passage::Free,
            Gate::Closed { until, why, .. } if now < until => Passage::Closed { until, why },
            Gate::Closed { .. } => Passage::Probe,
            // Whoever tried it may have died.
            Gate::Probing { since, .. } if now >= since.after(PROBE) => Passage::Probe,
            Gate::Probing { by, why, .. } => Passage::Tried { by, why },
        }
    }

    /// How many tasks it bears, where fewer than the limits allow.
    #[must_use]
    pub fn scale(&self) -> Option<u32> {
        self.scale
    }

    /// The task that tries it out.
    #[must_use]
    pub fn trier(&self) -> Option<TaskId> {
        if let Gate::Probing { by, .. } = self.gate { Some(by) } else { None }
    }

    /// A task tries it out.
    pub fn probe(&mut self, by: TaskId, now: Timestamp) {
        if let Gate::Closed { strikes, why, .. } | Gate::Probing { strikes, why, .. } = self.gate {
            self.gate = Gate::Probing { by, since: now, strikes, why };
        }
    }

    /// Forgets what it did.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Takes news in. `started` is when the run that tells them began: what was asked before the gate was closed says
    /// nothing new. `running` is how many tasks run on it, `jitter` in `0.0..=1.0` spreads the end of a pause.
    pub fn hear(
        &mut self,
        news: News,
        started: Timestamp,
        running: u32,
        jitter: f64,
        setting: Setting,
        now: Timestamp,
    ) {
        match news {
            News::Answered => self.answered(started, now),
            News::Limited { wait, quota } => {
                self.failed(running, setting);
                let why = if quota { Why::Quota } else { Why::RateLimit };
                self.close(wait, why, started, jitter, setting, now);
            }
            News::Failed => {
                self.failed(running, setting);
                self.failures.retain(|at| now.since(*at) < WINDOW);
                self.failures.push(now);
                let is_trial = matches!(self.gate, Gate::Probing { .. });
                if self.failures.len() >= FAILURES || is_trial {
                    self.failures.clear();
                    self.close(Some(COOL), Why::Circuit, started, jitter, setting, now);
                }
            }
        }
    }

    fn answered(&mut self, started: Timestamp, now: Timestamp) {
        if self.gate == Gate::Open && self.scale.is_none() {
            // All is well, which is nothing to note.
            self.row = 0;
            return;
        }
        self.row = self.row.max(0) + 1;
        if self.row.unsigned_abs().is_multiple_of(GROW)
            && let Some(scale) = &mut self.scale
        {
            *scale += 1;
        }
        let (since, why) = match self.gate {
            Gate::Open => return,
            Gate::Closed { since, why, .. } | Gate::Probing { since, why, .. } => (since, why),
        };
        // An answer to what was asked before says nothing of now.
        if started < since {
            return;
        }
        self.answers += 1;
        let enough = if why == Why::Circuit { SUCCESSES } else { 1 };
        if self.answers >= enough {
            self.gate = Gate::Open;
            self.failures.clear();
        } else if let Gate::Probing { strikes, .. } = self.gate {
            // The next may try.
            self.gate = Gate::Closed { since, until: now, strikes, why };
        }
    }

    fn failed(&mut self, running: u32, setting: Setting) {
        self.row = self.row.min(0) - 1;
        if self.row.unsigned_abs().is_multiple_of(SHRINK) {
            let scale = self.scale.unwrap_or(running).min(running.max(1));
            self.scale = Some(scale.saturating_sub(1).max(setting.floor.max(1)));
        }
    }

    fn close(
        &mut self,
        wait: Option<Duration>,
        why: Why,
        started: Timestamp,
        jitter: f64,
        setting: Setting,
        now: Timestamp,
    ) {
        let (before, known) = match self.gate {
            Gate::Open => (0, None),
            // Asked before it was closed, and refused like the others: no strike of its own.
            Gate::Closed { since, until, strikes, .. } if started < since || now < until => (strikes, Some(until)),
            Gate::Closed { strikes, .. } | Gate::Probing { strikes, .. } => (strikes, None),
        };
        let strikes = if known.is_some() { before } else { before + 1 };
        let first = if why == Why::Quota { QUOTA_PAUSE } else { FIRST_PAUSE };
        let doubled = first * 2_u32.pow(strikes.saturating_sub(1).min(16));
        let longest = Duration::from_secs(u64::from(setting.longest_pause.max(1)));
        let pause = wait.unwrap_or(doubled).min(longest);
        // Only ever later than it asked for: by a tenth, so that processes do not come back at once.
        let until = now.after(pause.mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 10.0));
        self.answers = 0;
        self.gate = Gate::Closed { since: now, until: known.map_or(until, |known| known.max(until)), strikes, why };
    }
}

/// What the host's words of a retry say: it passes on no status.
#[must_use]
pub fn said(words: &str, wait: Option<Duration>) -> News {
    const QUOTA: [&str; 5] = ["quota", "insufficient", "billing", "credit", "usage limit"];
    const RATE: [&str; 7] =
        ["429", "rate limit", "rate_limit", "too many requests", "overloaded", "capacity", "exhausted"];
    let words = words.to_lowercase();
    let has = |known: &[&str]| known.iter().any(|word| words.contains(word));
    if has(&QUOTA) {
        News::Limited { wait, quota: true }
    } else if has(&RATE) {
        News::Limited { wait, quota: false }
    } else {
        News::Failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: Timestamp = Timestamp(1_000_000);

    fn at(seconds: u64) -> Timestamp {
        ZERO.after(Duration::from_secs(seconds))
    }

    fn task(n: u8) -> TaskId {
        TaskId::new(Timestamp(1), &[n; 10])
    }

    fn hear(provider: &mut Provider, news: News, started: u64, now: u64) {
        provider.hear(news, at(started), 10, 0.0, Setting::default(), at(now));
    }

    fn limited(wait: Option<u64>) -> News {
        News::Limited { wait: wait.map(Duration::from_secs), quota: false }
    }

    #[test]
    fn a_gate_is_closed_for_as_long_as_was_asked_then_one_tries_and_an_answer_opens_it() {
        let mut provider = Provider::default();
        hear(&mut provider, limited(Some(3)), 0, 1);
        assert_eq!(provider.passage(at(3)), Passage::Closed { until: at(4), why: Why::RateLimit });
        assert_eq!(provider.passage(at(4)), Passage::Probe);
        provider.probe(task(1), at(4));
        assert_eq!(provider.passage(at(5)), Passage::Tried { by: task(1), why: Why::RateLimit });
        // What was asked before it closed says nothing.
        hear(&mut provider, News::Answered, 0, 5);
        assert!(matches!(provider.passage(at(5)), Passage::Tried { .. }));
        hear(&mut provider, News::Answered, 4, 5);
        assert_eq!(provider.passage(at(5)), Passage::Free);
    }

    #[test]
    fn pauses_double_with_each_refused_trial_up_to_the_longest() {
        let mut provider = Provider::default();
        let (mut now, mut pauses) = (0, Vec::new());
        for n in 0..11 {
            hear(&mut provider, limited(None), now, now);
            let Passage::Closed { until, .. } = provider.passage(at(now)) else { panic!("open") };
            pauses.push(until.since(at(now)).as_secs());
            now += pauses.last().unwrap();
            provider.probe(task(n), at(now));
        }
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
        hear(&mut provider, limited(Some(1_000_000)), now, now);
        assert_eq!(provider.passage(at(now)), Passage::Closed { until: at(now + 900), why: Why::RateLimit });
    }

    #[test]
    fn those_that_were_refused_together_count_once() {
        let mut provider = Provider::default();
        for _ in 0..50 {
            hear(&mut provider, limited(None), 0, 1);
        }
        assert_eq!(provider.passage(at(2)), Passage::Closed { until: at(3), why: Why::RateLimit });
        // One that asks for more gets it.
        hear(&mut provider, limited(Some(9)), 0, 2);
        assert_eq!(provider.passage(at(2)), Passage::Closed { until: at(11), why: Why::RateLimit });
    }

    #[test]
    fn whoever_tries_and_says_nothing_is_not_waited_for_for_ever() {
        let mut provider = Provider::default();
        hear(&mut provider, limited(Some(1)), 0, 0);
        provider.probe(task(1), at(1));
        assert!(matches!(provider.passage(at(60)), Passage::Tried { .. }));
        assert_eq!(provider.passage(at(61)), Passage::Probe);
    }

    #[test]
    fn five_failures_in_half_a_minute_open_the_circuit_and_two_answers_close_it() {
        let mut provider = Provider::default();
        for now in [0, 10, 20, 31, 41] {
            hear(&mut provider, News::Failed, 0, now);
        }
        assert_eq!(provider.passage(at(41)), Passage::Free, "never five within thirty seconds");
        for now in [45, 46, 47] {
            hear(&mut provider, News::Failed, 0, now);
        }
        assert_eq!(provider.passage(at(48)), Passage::Closed { until: at(76), why: Why::Circuit });
        for (n, now) in [(1, 77), (2, 78)] {
            assert_eq!(provider.passage(at(now)), Passage::Probe);
            provider.probe(task(n), at(now));
            hear(&mut provider, News::Answered, now, now);
        }
        assert_eq!(provider.passage(at(78)), Passage::Free);
        // A trial that fails opens it again at once.
        for _ in 0..5 {
            hear(&mut provider, News::Failed, 80, 80);
        }
        provider.probe(task(3), at(110));
        hear(&mut provider, News::Failed, 110, 111);
        assert_eq!(provider.passage(at(112)), Passage::Closed { until: at(141), why: Why::Circuit });
        provider.reset();
        assert_eq!(provider.passage(at(112)), Passage::Free);
    }

    #[test]
    fn the_scale_falls_by_one_after_two_failures_and_grows_by_one_after_three_successes() {
        let mut provider = Provider::default();
        let mut scales = Vec::new();
        for news in [News::Failed, News::Failed, News::Failed, News::Failed] {
            hear(&mut provider, news, 0, 0);
            scales.push(provider.scale());
        }
        for _ in 0..6 {
            hear(&mut provider, News::Answered, 0, 0);
            scales.push(provider.scale());
        }
        let known = [None, Some(9), Some(9), Some(8), Some(8), Some(8), Some(9), Some(9), Some(9), Some(10)];
        assert_eq!(scales, known);
        for _ in 0..100 {
            provider.hear(News::Failed, ZERO, 3, 0.0, Setting { floor: 2, ..Setting::default() }, ZERO);
        }
        assert_eq!(provider.scale(), Some(2));
    }

    #[test]
    fn jitter_only_lengthens_a_pause() {
        for (jitter, most) in [(0.0, 10_000), (1.0, 11_000), (9.0, 11_000)] {
            let mut provider = Provider::default();
            provider.hear(limited(Some(10)), ZERO, 1, jitter, Setting::default(), ZERO);
            let Passage::Closed { until, .. } = provider.passage(ZERO) else { panic!("open") };
            assert_eq!(until.since(ZERO), Duration::from_millis(most));
        }
    }

    #[test]
    fn a_record_comes_back_and_a_damaged_one_is_none() {
        let mut provider = Provider::default();
        hear(&mut provider, limited(Some(3)), 0, 1);
        assert_eq!(Provider::read(&serde_json::to_string(&provider).unwrap()), provider);
        assert_eq!(Provider::read("{"), Provider::default());
    }

    #[test]
    fn words_tell_a_rate_from_a_quota_and_from_trouble() {
        for (words, rate, quota) in [
            ("scripted 429", true, false),
            ("Too Many Requests", true, false),
            ("Provider is overloaded", true, false),
            ("You exceeded your current quota", true, true),
            ("Internal server error", false, false),
        ] {
            let expected = if rate { News::Limited { wait: None, quota } } else { News::Failed };
            assert_eq!(said(words, None), expected, "{words}");
        }
    }
}
