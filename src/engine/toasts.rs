//! Toasts: starts, ends, failures and "all done", grouped, because a toast replaces the one before it.

use std::{
    sync::{
        Weak,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    handoff::cut,
    project::Project,
    report_text::{duration, label},
};
use crate::{
    mission::News,
    opencode::{Toast, ToastVariant},
    store::{Filter, StoreError},
    task::{StateName, Task, TaskState, Waiting},
};

/// At most one toast in this time about tasks that ended well, unless everything is done. While tasks are open it
/// doubles with each toast up to [`LONGEST_GAP`]: fifty ends are a handful of toasts, also on a slow machine.
const GAP: Duration = Duration::from_secs(5);
const LONGEST_GAP: Duration = Duration::from_secs(40);

/// At most one toast in this time about anything else: starts, failures, what waits for the user.
const URGENT_GAP: Duration = Duration::from_secs(3);

/// The most bytes of a reason in a toast.
const REASON: usize = 300;

/// A task that waits for less is not told as waiting.
const QUEUED: Duration = Duration::from_secs(2);

/// How long a first note waits for company.
const GATHER: Duration = Duration::from_millis(150);

/// Something worth a toast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// Tasks were launched.
    Launched(usize),
    /// Tasks of a dead process go on.
    Resumed(usize),
    /// Tasks of a dead process wait for a decision.
    Asks(usize),
    /// A task ended.
    Ended {
        /// How.
        state: StateName,
        /// Its name.
        label: String,
    },
    /// A mission began.
    Begun(String),
    /// A mission, by its name, has news.
    Mission(String, News),
    /// A task's session waits for the user.
    Waits(String),
    /// Something is wrong with Sortie itself.
    Trouble(String),
}

impl Note {
    /// The end of a task.
    #[must_use]
    pub fn ended(task: &Task) -> Self {
        Self::Ended { state: task.state.name(), label: label(task) }
    }
}

/// Takes notes.
#[derive(Debug)]
pub struct Toaster {
    notes: Option<mpsc::UnboundedSender<Note>>,
    /// Seconds since the start at which store trouble was last noted; -1 before.
    troubled: AtomicI64,
    born: Instant,
}

impl Toaster {
    /// A toaster and the notes that [`show`] shows; it swallows them unless `enabled`.
    #[must_use]
    pub fn new(enabled: bool) -> (Self, mpsc::UnboundedReceiver<Note>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { notes: enabled.then_some(sender), troubled: AtomicI64::new(-1), born: Instant::now() }, receiver)
    }

    /// Takes a note.
    pub fn note(&self, note: Note) {
        if let Some(notes) = &self.notes {
            // The receiver is gone only while the project closes.
            let _ = notes.send(note);
        }
    }

    /// Notes that the store refuses to work, at most once a minute.
    pub fn store_trouble(&self, error: &StoreError) {
        let now = i64::try_from(self.born.elapsed().as_secs()).unwrap_or(i64::MAX);
        let last = self.troubled.load(Ordering::Relaxed);
        if (last < 0 || now - last >= 60)
            && self.troubled.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.note(Note::Trouble(format!("{error}. {}", error.code().remedy())));
        }
    }
}

/// Shows the notes until the project stops.
pub async fn show(project: Weak<Project>, mut notes: mpsc::UnboundedReceiver<Note>, stop: CancellationToken) {
    let mut group = Vec::new();
    let mut shown: Option<Instant> = None;
    let mut gap = GAP;
    loop {
        let first = tokio::select! {
            note = notes.recv() => note,
            () = stop.cancelled() => return,
        };
        let Some(first) = first else { return };
        group.push(first);
        let soon = Instant::now() + GATHER;
        let after = |gap: Duration| shown.map_or(soon, |shown| soon.max(shown + gap));
        let mut until = after(gap);
        let open = loop {
            if group.iter().any(is_urgent) {
                until = until.min(after(URGENT_GAP));
            }
            // The last end need not wait for the gap.
            if until > Instant::now() + GATHER && ends(&group) > 0 {
                let Some(project) = project.upgrade() else { return };
                if open_tasks(&project).await.is_some_and(|open| open.all == 0) {
                    until = Instant::now() + GATHER;
                }
            }
            tokio::select! {
                note = notes.recv() => match note {
                    Some(note) => group.push(note),
                    None => return,
                },
                () = sleep_until(until) => {
                    let Some(project) = project.upgrade() else { return };
                    break open_tasks(&project).await;
                },
                () = stop.cancelled() => return,
            }
        };
        let Some(project) = project.upgrade() else { return };
        let toast = text(&std::mem::take(&mut group), open);
        if let Err(error) = project.client().show_toast(&project.directory(), toast).await {
            tracing::debug!(%error, "a toast was not shown");
        }
        // All done: what comes next is a new story.
        gap = match open {
            Some(Open { all: 0, .. }) => GAP,
            _ if shown.is_none() => gap,
            _ => (gap * 2).min(LONGEST_GAP),
        };
        shown = Some(Instant::now());
    }
}

/// Whether a note tells of more than an end that went well.
fn is_urgent(note: &Note) -> bool {
    !matches!(note, Note::Ended { state, .. } if *state != StateName::Failed)
        && !matches!(note, Note::Mission(_, News::Progress { .. }))
}

/// The tasks that have not ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Open {
    /// How many.
    pub all: usize,
    /// How many of them wait for a free slot, and for nothing else.
    pub queued: usize,
    /// How long the first of these has waited.
    pub longest: Duration,
}

async fn open_tasks(project: &Project) -> Option<Open> {
    let (states, home) = (StateName::OPEN.to_vec(), Some(project.core.instance));
    let open = project.tasks(Filter { states, home, ..Filter::default() }).await.ok()?;
    let now = project.core.clock.now();
    let waits = open.iter().filter(|task| task.spec.depends_on.is_empty()).filter_map(|task| match task.state {
        TaskState::Pending { since, waiting: Waiting::Turn } => Some(now.since(since)),
        _ => None,
    });
    // One that was launched just now is about to start.
    let waits: Vec<_> = waits.filter(|wait| *wait >= QUEUED).collect();
    Some(Open { all: open.len(), queued: waits.len(), longest: waits.iter().max().copied().unwrap_or_default() })
}

fn ends(group: &[Note]) -> usize {
    group.iter().filter(|note| matches!(note, Note::Ended { .. })).count()
}

/// One toast for a group of notes.
#[must_use]
pub fn text(group: &[Note], open: Option<Open>) -> Toast {
    let count = |wanted: StateName| {
        group.iter().filter(|note| matches!(note, Note::Ended { state, .. } if *state == wanted)).count()
    };
    let (completed, failed, cancelled) =
        (count(StateName::Complete), count(StateName::Failed), count(StateName::Cancelled));
    let mut lines = Vec::new();
    let mut starts = 0;
    for note in group {
        match note {
            Note::Launched(tasks) => starts += tasks,
            Note::Resumed(tasks) => lines.push(format!("{} after a restart", counted(*tasks, "resumed"))),
            Note::Asks(tasks) => {
                lines.push(format!("{} and wait for you: /tasks", counted(*tasks, "interrupted")));
            }
            Note::Waits(what) => lines.push(what.clone()),
            Note::Trouble(what) => lines.push(what.clone()),
            Note::Begun(tag) => lines.push(format!("mission {tag} begins")),
            Note::Mission(tag, news) => lines.push(words(tag, news)),
            Note::Ended { .. } => {}
        }
    }
    if starts > 0 {
        lines.insert(0, counted(starts, "started"));
    }
    for (number, what) in [(completed, "complete"), (failed, "failed"), (cancelled, "cancelled")] {
        match number {
            0 => {}
            1 => lines.push(format!("{} {what}", name_of(group, what))),
            _ => lines.push(counted(number, what)),
        }
    }
    let all_done = ends(group) > 0 && open.is_some_and(|open| open.all == 0);
    match open {
        Some(_) if all_done => lines.push("all done".to_owned()),
        Some(open) if ends(group) > 0 => lines.push(format!("{} open", open.all)),
        _ => {}
    }
    if let Some(open) = open.filter(|open| open.queued > 0) {
        let waits = counted(open.queued, if open.queued == 1 { "waits" } else { "wait" });
        lines.push(format!("{waits} in the queue for {}", duration(open.longest)));
    }
    let any = |is_so: fn(&Note) -> bool| group.iter().any(is_so);
    let trouble = any(|note| matches!(note, Note::Trouble(_) | Note::Mission(_, News::Failed { .. })));
    let asks = any(|note| matches!(note, Note::Waits(_) | Note::Asks(_) | Note::Mission(_, News::Paused { .. })));
    let complete = any(|note| matches!(note, Note::Mission(_, News::Complete { .. })));
    let variant = if trouble || failed > 0 {
        ToastVariant::Error
    } else if asks || cancelled > 0 {
        ToastVariant::Warning
    } else if all_done || complete {
        ToastVariant::Success
    } else {
        ToastVariant::Info
    };
    Toast { title: Some("Sortie".to_owned()), message: lines.join("\n"), variant, duration: None }
}

/// What a mission tells, in a line.
fn words(tag: &str, news: &News) -> String {
    match news {
        News::Planned { items } => {
            format!("mission {tag}: the plan has {items} item{}", if *items == 1 { "" } else { "s" })
        }
        News::Progress { done, all } => format!("mission {tag}: {done} of {all} items ({}%)", done * 100 / all.max(&1)),
        News::Failed { item, reason } => format!("mission {tag}: {item} failed: {}", cut(reason, REASON)),
        News::Paused { reason } => format!("mission {tag} is paused: {}", cut(reason, REASON)),
        News::Complete { done: 0, given_up: 0 } => format!("mission {tag} is over: nothing was planned"),
        News::Complete { done, given_up: 0 } => format!("mission {tag} is complete: {done} items done"),
        News::Complete { done, given_up } => {
            format!("mission {tag} is complete: {done} items done, {given_up} given up")
        }
    }
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} task{} {what}", if number == 1 { "" } else { "s" })
}

fn name_of<'a>(group: &'a [Note], what: &str) -> &'a str {
    group
        .iter()
        .find_map(|note| match note {
            Note::Ended { state, label } if state.as_str() == what => Some(label.as_str()),
            _ => None,
        })
        .unwrap_or("a task")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(state: StateName, label: &str) -> Note {
        Note::Ended { state, label: label.to_owned() }
    }

    #[test]
    fn a_group_is_one_toast() {
        let group =
            [Note::Launched(2), ended(StateName::Complete, "a"), Note::Launched(1), ended(StateName::Failed, "b")];
        let open = Open { all: 1, ..Open::default() };
        let toast = text(&group, Some(open));
        assert_eq!(toast.message, "3 tasks started\na complete\nb failed\n1 open");
        let queued = Open { all: 3, queued: 2, longest: Duration::from_millis(12_300) };
        assert!(text(&group, Some(queued)).message.ends_with("3 open\n2 tasks wait in the queue for 12.3s"));
        assert_eq!(toast.variant, ToastVariant::Error);
    }

    #[test]
    fn the_last_end_says_so() {
        let group: Vec<_> = (0..50).map(|n| ended(StateName::Complete, &n.to_string())).collect();
        let toast = text(&group, Some(Open::default()));
        assert_eq!((toast.message.as_str(), toast.variant), ("50 tasks complete\nall done", ToastVariant::Success));
    }

    #[test]
    fn what_waits_for_the_user_is_a_warning() {
        let toast = text(&[Note::Asks(1), Note::Resumed(2)], Some(Open { all: 3, ..Open::default() }));
        assert_eq!(toast.message, "1 task interrupted and wait for you: /tasks\n2 tasks resumed after a restart");
        assert_eq!(toast.variant, ToastVariant::Warning);
    }
}
