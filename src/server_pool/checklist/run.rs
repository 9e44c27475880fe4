//! Running a checklist.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    super::{Ask, Pool, Ran},
    Checklist, Item, Verdict,
    verdict::LINE,
};
use crate::{
    inbox::{self, one_line},
    opencode::{ModelRef, SessionId},
};

/// How many checks run at once unless set otherwise: the five terminals that people had before.
const PARALLEL: usize = 5;

/// How long a check may take unless set otherwise.
const TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// How much of a check is its session's title, in bytes.
const TITLE: usize = 80;

/// How a checklist is run.
#[derive(Debug, Clone)]
pub struct How {
    /// The project's directory.
    pub directory: String,
    /// The agent; the project's if none.
    pub agent: Option<String>,
    /// The model; the agent's if none.
    pub model: Option<ModelRef>,
    /// How long each check may take, from when it begins.
    pub timeout: Duration,
    /// How many run at once; at least one.
    pub parallel: usize,
    /// What is answered to what the agents ask for.
    pub permissions: inbox::Settings,
}

impl How {
    /// In this project, with nothing else set.
    #[must_use]
    pub fn new(directory: impl Into<String>) -> Self {
        Self {
            directory: directory.into(),
            agent: None,
            model: None,
            timeout: TIMEOUT,
            parallel: PARALLEL,
            permissions: inbox::Settings::default(),
        }
    }
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The check.
    pub item: Item,
    /// What came of it.
    pub verdict: Verdict,
    /// How long it took.
    pub took: Duration,
    /// Tokens of all kinds.
    pub tokens: u64,
    /// The session, to look into.
    pub session: Option<SessionId>,
}

/// What came of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Each check, in the order of the list.
    pub rows: Vec<Row>,
}

/// What came of all checks together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overall {
    /// All hold.
    Pass,
    /// At least one does not.
    Fail,
    /// None is known not to hold, but of some it is not known.
    Incomplete,
}

impl Report {
    /// What came of all checks together.
    #[must_use]
    pub fn overall(&self) -> Overall {
        let any = |is: fn(&Verdict) -> bool| self.rows.iter().any(|row| is(&row.verdict));
        if any(|verdict| matches!(verdict, Verdict::Fail(_))) {
            Overall::Fail
        } else if any(|verdict| !matches!(verdict, Verdict::Pass)) {
            Overall::Incomplete
        } else {
            Overall::Pass
        }
    }
}

impl Checklist {
    /// Runs all checks, each in a session of its own. `told` hears of each as it ends. Dropping the future cancels
    /// those that run.
    pub async fn run(&self, pool: &Pool, how: &How, mut told: impl FnMut(&Row)) -> Report {
        let places = Arc::new(Semaphore::new(how.parallel.max(1)));
        let mut running = JoinSet::new();
        for (at, item) in self.items.iter().enumerate() {
            let (pool, how, item, places) = (pool.clone(), how.clone(), item.clone(), Arc::clone(&places));
            running.spawn(async move {
                // It is never closed.
                let _place = places.acquire_owned().await;
                (at, check(&pool, &how, item).await)
            });
        }
        let mut rows: Vec<Option<Row>> = vec![None; self.items.len()];
        while let Some(ended) = running.join_next().await {
            match ended {
                Ok((at, row)) => {
                    told(&row);
                    rows[at] = Some(row);
                }
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => unreachable!("nobody aborts a check"),
                },
            }
        }
        Report { rows: rows.into_iter().flatten().collect() }
    }
}

async fn check(pool: &Pool, how: &How, item: Item) -> Row {
    let How { directory, agent, model, timeout, permissions, .. } = how.clone();
    let ask = Ask {
        title: one_line(&format!("check: {}", item.text), TITLE),
        agent,
        model,
        timeout,
        permissions,
        spread: true,
        ..Ask::new(directory, prompt(&item))
    };
    let Ran { session, text, usage, error, took, .. } = pool.run_command(ask).await;
    let verdict = match error {
        Some(fault) => Verdict::Error(fault.to_string()),
        None => Verdict::read(&text),
    };
    Row { item, verdict, took, tokens: usage.tokens.total(), session }
}

fn prompt(item: &Item) -> String {
    let Item { group, text } = item;
    let group = group.as_ref().map(|group| format!("It stands under the heading: {group}\n\n")).unwrap_or_default();
    format!(
        "Check whether the following holds for this project. Only look: change nothing.\n\n{text}\n\n{group}End your \
         answer with one last line, alone and exactly in one of these forms:\n{LINE} pass\n{LINE} fail: <why, in one \
         line>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(verdict: Verdict) -> Row {
        let item = Item { group: None, text: "a".to_owned() };
        Row { item, verdict, took: Duration::ZERO, tokens: 0, session: None }
    }

    #[test]
    fn one_bad_check_is_enough_and_what_is_not_known_does_not_pass() {
        let overall = |verdicts: &[Verdict]| Report { rows: verdicts.iter().cloned().map(row).collect() }.overall();
        let (fail, error) = (Verdict::Fail("x".to_owned()), Verdict::Error("y".to_owned()));
        assert_eq!(overall(&[Verdict::Pass, Verdict::Pass]), Overall::Pass);
        assert_eq!(overall(&[Verdict::Pass, Verdict::Unclear]), Overall::Incomplete);
        assert_eq!(overall(&[error.clone(), Verdict::Pass]), Overall::Incomplete);
        assert_eq!(overall(&[error, fail, Verdict::Pass]), Overall::Fail);
    }

    #[test]
    fn the_prompt_asks_for_what_the_parser_reads() {
        let item = Item { group: Some("Security".to_owned()), text: "no secrets".to_owned() };
        let prompt = prompt(&item);
        assert!(prompt.contains("no secrets") && prompt.contains("heading: Security"));
        assert_eq!(Verdict::read(prompt.rsplit_once('\n').unwrap().0), Verdict::Pass);
        assert!(matches!(Verdict::read(&prompt), Verdict::Fail(_)));
    }
}
