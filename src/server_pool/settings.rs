//! What may be set of a pool.

use std::{fmt, ops::RangeInclusive, path::PathBuf, time::Duration};

use crate::fault::{Code, Fault};

/// The most servers of a pool: each has some 330 MB, and one serves many directories.
pub const MAX_SERVERS: usize = 5;

/// How long a server may take until it listens, unless set otherwise. With a plugin in its configuration it asks the
/// registry first, which took over a minute where that did not answer.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// Settings of a pool.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where servers come from.
    pub source: Source,
    /// How many there may be at once, from 1 to [`MAX_SERVERS`].
    pub max_servers: usize,
}

/// Where servers come from.
#[derive(Clone)]
pub enum Source {
    /// They are started.
    Start(Start),
    /// One runs already, which is used and left as it is.
    Reuse {
        /// Its address, such as `http://127.0.0.1:4096`.
        url: String,
        /// Its password, if it has one.
        password: Option<String>,
    },
}

/// How servers are started.
#[derive(Clone)]
pub struct Start {
    /// The executable, as [`super::find_opencode`] finds it.
    pub program: PathBuf,
    /// The ports to choose from; any free one if none.
    pub ports: Option<RangeInclusive<u16>>,
    /// Whether each server keeps its sessions in a database of its own, below Sortie's home. The user's logins and
    /// configuration stay shared: a copy of a login that refreshes itself would end the user's own.
    pub isolate: bool,
    /// Variables set for the servers, over those of this process.
    pub env: Vec<(String, String)>,
    /// How long a server may take until it listens.
    pub start_timeout: Duration,
}

impl Start {
    /// Starts this program with no further wishes.
    #[must_use]
    pub fn new(program: PathBuf) -> Self {
        Self { program, ports: None, isolate: false, env: Vec::new(), start_timeout: START_TIMEOUT }
    }
}

impl Settings {
    /// One server at most, from this source.
    #[must_use]
    pub fn new(source: Source) -> Self {
        Self { source, max_servers: 1 }
    }

    /// Checks what the types do not.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let bad = |message: String| Err(Fault::new(Code::BadPool, message));
        if !(1..=MAX_SERVERS).contains(&self.max_servers) {
            return bad(format!("{} servers were asked for: expected 1 to {MAX_SERVERS}", self.max_servers));
        }
        if let Source::Start(Start { ports: Some(ports), .. }) = &self.source
            && (ports.is_empty() || *ports.start() == 0)
        {
            let (from, to) = (ports.start(), ports.end());
            return bad(format!("ports {from} to {to} are no range: expected two from 1 to 65535, the lower first"));
        }
        Ok(())
    }
}

impl fmt::Debug for Source {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(start) => f.debug_tuple("Start").field(start).finish(),
            Self::Reuse { url, .. } => f.debug_struct("Reuse").field("url", url).finish_non_exhaustive(),
        }
    }
}

impl fmt::Debug for Start {
    /// Without the variables: there may be keys among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { program, ports, isolate, env: _, start_timeout } = self;
        let mut shown = f.debug_struct("Start");
        shown.field("program", program).field("ports", ports).field("isolate", isolate);
        shown.field("start_timeout", start_timeout).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let with = |max_servers, ports| {
            let start = Start { ports, ..Start::new("opencode".into()) };
            Settings { source: Source::Start(start), max_servers }.check()
        };
        for good in [(1, None), (MAX_SERVERS, Some(4096..=4100)), (2, Some(1..=1))] {
            with(good.0, good.1).unwrap();
        }
        #[expect(clippy::reversed_empty_ranges, reason = "that is what is refused")]
        let empty = 5..=4;
        for (max, ports, words) in [
            (0, None, "0 servers were asked for"),
            (MAX_SERVERS + 1, None, "6 servers were asked for: expected 1 to 5"),
            (1, Some(empty), "ports 5 to 4 are no range"),
            (1, Some(0..=4), "ports 0 to 4 are no range"),
        ] {
            let fault = with(max, ports).unwrap_err();
            assert!(fault.code == Code::BadPool && fault.message.starts_with(words), "{fault}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let env = vec![("OPENAI_API_KEY".to_owned(), "geheim".to_owned())];
        for source in [
            Source::Start(Start { env, ..Start::new("opencode".into()) }),
            Source::Reuse { url: "http://127.0.0.1:1".to_owned(), password: Some("geheim".to_owned()) },
        ] {
            assert!(!format!("{:?}", Settings::new(source)).contains("geheim"));
        }
    }
}
