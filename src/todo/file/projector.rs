//! One look at the file, and what follows from it.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    import::{Accident, Edit, Taken, looks_unfinished, take_in},
    olds::{Changed, Fate, Olds},
    replace::{Old, Replaced, keep_aside, leftovers, rename, replace},
    seen::{Bad, Seen, Stamp, Text, observe, resolve},
};
use crate::{
    clock::Clock,
    store::{Home, Known, Snapshot, Store, StoreError, TodoFile, Turn, todo_hash},
    task::ProjectKey,
};

/// How long a file must have stayed as it is before it is taken in: who writes it may not have finished.
pub const QUIET: Duration = Duration::from_millis(30);

/// The same for a file that looks unfinished or damaged.
const LONG_QUIET: Duration = Duration::from_secs(1);

/// The pause before the next look when another process has the turn. It holds it for milliseconds.
const OTHERS_TURN: Duration = Duration::from_millis(5);

/// How often a round looks again because somebody wrote meanwhile, before it leaves that to the next one.
const LOOKS: u32 = 8;

/// The way to the store.
pub trait Access {
    /// Does `work` on the store.
    ///
    /// # Errors
    /// Those of `work`.
    fn with<R: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut dyn Store) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError>;
}

impl<S: Store> Access for S {
    fn with<R: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut dyn Store) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        work(self)
    }
}

/// Which file.
#[derive(Debug, Clone)]
pub struct Config {
    /// Of which project.
    pub project: ProjectKey,
    /// The project's root.
    pub root: PathBuf,
    /// The file, from the root.
    pub file: PathBuf,
    /// Where the locks are.
    pub home: Home,
}

/// Something that people should hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// An edit was taken in as this revision.
    Imported(u64),
    /// What stood in the file was no edit, and was kept.
    KeptAside {
        /// Why.
        why: Accident,
        /// Where it is; nowhere when there was nothing in it.
        path: Option<PathBuf>,
    },
    /// The file is not what it should be and cannot be made so. Told once.
    Trouble(String),
}

/// What a round did.
#[derive(Debug, Default)]
pub struct Round {
    /// When to come again, even if nothing happens.
    pub wait: Option<Duration>,
    /// What to tell.
    pub notes: Vec<Note>,
    /// Whether it replaced the file.
    pub showed: bool,
    /// Whether the head is to be shown, but was not allowed to be.
    pub later: bool,
}

impl Round {
    fn again(&mut self, wait: Duration) {
        self.wait = Some(self.wait.map_or(wait, |earlier| earlier.min(wait)));
    }
}

/// Looks after one file for one process.
#[derive(Debug)]
pub struct Projector {
    config: Config,
    /// What is known of the file is kept under this name.
    name: String,
    turn: String,
    olds: Olds,
    /// What stands in the file and is not settled yet, and since when; no stamp for a file that is gone.
    unsettled: Option<(Option<Stamp>, Duration)>,
    trouble: Option<String>,
}

/// What is to come to stand in the file.
enum Step {
    /// Nothing.
    Settled,
    /// The head, in the place of a file of this content or of none.
    Show(Option<String>),
    /// The head, in the place of what is no edit.
    PutAside(Accident, String),
    /// Something was taken in: look again.
    Again,
}

impl Projector {
    /// A projector that has not looked yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let name = config.file.to_string_lossy().into_owned();
        let turn = format!("todo-{}", &todo_hash(format!("{}\0{name}", config.project.as_str()).as_bytes())[..32]);
        Self { config, name, turn, olds: Olds::default(), unsettled: None, trouble: None }
    }

    /// Where the file really is.
    ///
    /// # Errors
    /// [`Bad`]: it may not be touched.
    pub fn path(&self) -> Result<PathBuf, Bad> {
        resolve(&self.config.root, &self.config.file)
    }

    /// The name of the turn that it takes.
    #[cfg(test)]
    pub(super) fn turn(&self) -> String {
        self.turn.clone()
    }

    /// Looks, takes in what somebody else wrote, and shows the head if `may_show`. `now` is the time since any fixed
    /// instant. A round that asks to come again must be given another one.
    ///
    /// # Errors
    /// The store's. Nothing is lost: the next round begins anew.
    pub fn round(
        &mut self,
        access: &mut impl Access,
        clock: &dyn Clock,
        now: Duration,
        may_show: bool,
    ) -> Result<Round, StoreError> {
        let mut round = Round::default();
        let path = match self.path() {
            Ok(path) => path,
            Err(Bad::Unreadable(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(round),
            Err(bad) => {
                self.trouble(&mut round, format!("{} is left alone: {bad}", self.name));
                return Ok(round);
            }
        };
        let Some(_turn) = Turn::take(&self.config.home, &self.turn)? else {
            round.again(OTHERS_TURN);
            return Ok(round);
        };
        let mut looker = Looker { access, clock, now, path: &path };
        // Each time: a process may end at any moment, and somebody may still write into what it replaced.
        match leftovers(&path) {
            Ok(left) => self.olds.find(left, now),
            Err(error) => tracing::warn!(%error, "what other processes left beside TODO.md was not found"),
        }
        self.look_after_olds(&mut looker, &mut round)?;
        for _ in 0..LOOKS {
            let head = looker.head(&self.config.project)?;
            let file = looker.file(&self.config.project, &self.name)?;
            match self.look(&mut looker, &head, &file, &mut round)? {
                Step::Again => {}
                Step::Settled => break,
                _ if !may_show => {
                    round.later = true;
                    break;
                }
                step => {
                    if !self.show(&mut looker, &head, file, step, &mut round)? {
                        break;
                    }
                }
            }
        }
        // A file that was just replaced may have been written to at the same moment.
        if round.showed {
            self.look_after_olds(&mut looker, &mut round)?;
        }
        if let Some(next) = self.olds.next() {
            round.again(next.saturating_sub(now).max(QUIET));
        }
        Ok(round)
    }

    /// Tells of a trouble unless it is the one that was told last.
    fn trouble(&mut self, round: &mut Round, trouble: String) {
        if self.trouble.as_ref() != Some(&trouble) {
            round.notes.push(Note::Trouble(trouble.clone()));
            self.trouble = Some(trouble);
        }
    }

    /// How long what stands in the file has stood there.
    fn settling(&mut self, stamp: Option<&Stamp>, now: Duration) -> Duration {
        match &self.unsettled {
            Some((seen, since)) if seen.as_ref() == stamp => now.saturating_sub(*since),
            _ => {
                self.unsettled = Some((stamp.cloned(), now));
                Duration::ZERO
            }
        }
    }

    /// Whether what stands in the file has stood there for long enough; if not, the round is to be repeated.
    fn is_quiet(&mut self, stamp: Option<&Stamp>, needed: Duration, now: Duration, round: &mut Round) -> bool {
        let stood = self.settling(stamp, now);
        if stood < needed {
            round.again(needed.saturating_sub(stood));
        }
        stood >= needed
    }

    fn look(
        &mut self,
        looker: &mut Looker<'_, impl Access>,
        head: &Snapshot,
        file: &TodoFile,
        round: &mut Round,
    ) -> Result<Step, StoreError> {
        let known = |hash: &str| [&file.shown, &file.next].into_iter().flatten().any(|known| known.hash == hash);
        let text = match observe(looker.path) {
            // An editor that renames the old file away makes the new one at once.
            Seen::Missing if head.rev == 0 => return Ok(Step::Settled),
            Seen::Missing => {
                let is_quiet = file.shown.is_none() || self.is_quiet(None, QUIET, looker.now, round);
                return Ok(if is_quiet { Step::Show(None) } else { Step::Settled });
            }
            Seen::Binary(stamp) => {
                let is_quiet = self.is_quiet(Some(&stamp), LONG_QUIET, looker.now, round);
                let step = Step::PutAside(Accident::Binary, stamp.hash);
                return Ok(if is_quiet { step } else { Step::Settled });
            }
            Seen::Bad(bad) => {
                self.trouble(round, format!("{} is left alone: {bad}", self.name));
                return Ok(Step::Settled);
            }
            Seen::Text(text) => text,
        };
        if text.stamp.hash == head.hash {
            (self.unsettled, self.trouble) = (None, None);
            let shown = TodoFile { shown: Some(Known { rev: head.rev, hash: head.hash.clone() }), next: None };
            if *file != shown && head.rev > 0 {
                looker.set_file(&self.config.project, &self.name, shown)?;
            }
            return Ok(Step::Settled);
        }
        if known(&text.stamp.hash) {
            self.unsettled = None;
            return Ok(Step::Show(Some(text.stamp.hash)));
        }
        self.take_in(looker, head, file, text, round)
    }

    /// Deals with a text that is not known.
    fn take_in(
        &mut self,
        looker: &mut Looker<'_, impl Access>,
        head: &Snapshot,
        file: &TodoFile,
        text: Text,
        round: &mut Round,
    ) -> Result<Step, StoreError> {
        let Text { text, stamp } = text;
        let needed = if looks_unfinished(&text, &head.text) { LONG_QUIET } else { QUIET };
        if !self.is_quiet(Some(&stamp), needed, looker.now, round) {
            return Ok(Step::Settled);
        }
        let edit = Edit { project: &self.config.project, path: &self.name, file, text: &text };
        match take_in(looker.access, &edit, looker.clock.now())? {
            Taken::In(revision) => {
                round.notes.push(Note::Imported(revision.rev));
                Ok(Step::Again)
            }
            // An empty file of a project that has never used it.
            Taken::Nothing if text.trim().is_empty() => Ok(Step::Settled),
            Taken::Nothing => Ok(Step::Again),
            Taken::Not(why) => {
                let is_quiet = self.is_quiet(Some(&stamp), LONG_QUIET, looker.now, round);
                Ok(if is_quiet { Step::PutAside(why, stamp.hash) } else { Step::Settled })
            }
        }
    }

    /// Shows the head in the place of what was seen; says whether to look again.
    fn show(
        &mut self,
        looker: &mut Looker<'_, impl Access>,
        head: &Snapshot,
        file: TodoFile,
        step: Step,
        round: &mut Round,
    ) -> Result<bool, StoreError> {
        let (expected, accident) = match step {
            Step::Show(expected) => (expected, None),
            Step::PutAside(why, hash) => (Some(hash), Some(why)),
            Step::Settled | Step::Again => return Ok(false),
        };
        // What stands there stays known until the other does.
        let TodoFile { shown, next } = file;
        let shown = next.filter(|next| expected.as_ref() == Some(&next.hash)).or(shown);
        let known_head = Known { rev: head.rev, hash: head.hash.clone() };
        let about = TodoFile { shown, next: Some(known_head.clone()) };
        looker.set_file(&self.config.project, &self.name, about)?;
        match replace(looker.path, head.text.as_bytes(), expected.as_deref()) {
            Ok(Replaced::Done(old)) => {
                (self.unsettled, self.trouble) = (None, None);
                round.showed = true;
                match (old, accident) {
                    (Some(old), Some(why)) => self.put_aside(looker, old, why, expected.as_deref(), round),
                    (Some(old), None) => self.olds.add(old, looker.now),
                    (None, _) => {}
                }
                let shown = TodoFile { shown: Some(known_head), next: None };
                looker.set_file(&self.config.project, &self.name, shown)?;
                Ok(false)
            }
            Ok(Replaced::Moved) => Ok(true),
            Err(error) => {
                self.trouble(round, format!("{} cannot be written: {error}", self.name));
                Ok(false)
            }
        }
    }

    /// Keeps what is no edit. If it is not what it was any more, it is looked after like any other.
    fn put_aside(
        &mut self,
        looker: &Looker<'_, impl Access>,
        old: Old,
        why: Accident,
        hash: Option<&str>,
        round: &mut Round,
    ) {
        let hash = hash.unwrap_or_default();
        let is_same = match observe(&old.path) {
            Seen::Text(Text { stamp, .. }) | Seen::Binary(stamp) => stamp.hash == hash,
            _ => false,
        };
        if why == Accident::Empty || !is_same {
            self.olds.add(old, looker.now);
            if why == Accident::Empty {
                round.notes.push(Note::KeptAside { why, path: None });
            }
            return;
        }
        self.keep(looker.path, &old, why, hash, round);
    }

    fn keep(&mut self, path: &Path, old: &Old, why: Accident, hash: &str, round: &mut Round) {
        match keep_aside(&old.path, path, hash) {
            Ok(aside) => round.notes.push(Note::KeptAside { why, path: Some(aside) }),
            Err(error) => {
                self.olds.leave(&old.path);
                self.trouble(round, format!("{} could not be renamed: {error}", old.path.display()));
            }
        }
    }

    /// Looks at the files that were replaced, and takes in what was written into them since.
    fn look_after_olds(&mut self, looker: &mut Looker<'_, impl Access>, round: &mut Round) -> Result<(), StoreError> {
        for Changed { old, found, fate, since } in self.olds.look(looker.now) {
            let text = match fate {
                Fate::Text(text) => text,
                Fate::Other(_) if since < LONG_QUIET => {
                    round.again(QUIET);
                    continue;
                }
                Fate::Other(hash) => {
                    self.olds.forget(&old.path);
                    self.keep(looker.path, &old, Accident::Binary, &hash, round);
                    continue;
                }
            };
            let head = looker.head(&self.config.project)?;
            let file = looker.file(&self.config.project, &self.name)?;
            // One that died between two steps left a text of ours under the name of what it was to replace, or one that
            // is taken in already.
            let name = old.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let is_ours = found
                && (looker.is_revision(&self.config.project, &text.stamp.hash)?
                    || looker
                        .file(&self.config.project, &name)?
                        .shown
                        .is_some_and(|seen| seen.hash == text.stamp.hash));
            let needed = if looks_unfinished(&text.text, &head.text) { LONG_QUIET } else { QUIET };
            if since < needed && !is_ours {
                round.again(QUIET);
                continue;
            }
            let taken = if is_ours {
                Taken::Nothing
            } else {
                let edit = Edit { project: &self.config.project, path: &name, file: &file, text: &text.text };
                take_in(looker.access, &edit, looker.clock.now())?
            };
            self.olds.forget(&old.path);
            match taken {
                Taken::Not(why) if why != Accident::Empty => {
                    self.keep(looker.path, &old, why, &text.stamp.hash, round);
                    continue;
                }
                Taken::In(revision) => round.notes.push(Note::Imported(revision.rev)),
                Taken::Nothing | Taken::Not(_) => {}
            }
            // It is looked after as if it had been replaced just now: who wrote into it may go on.
            match rename(&old, looker.path, &text.stamp.hash) {
                Ok(old) => self.olds.add(old, looker.now),
                Err(error) => {
                    self.olds.leave(&old.path);
                    tracing::warn!(%error, "a replaced file stays until the next start");
                }
            }
            looker.set_file(&self.config.project, &name, TodoFile::default())?;
        }
        Ok(())
    }
}

/// What a round looks with.
struct Looker<'a, A> {
    access: &'a mut A,
    clock: &'a dyn Clock,
    now: Duration,
    path: &'a Path,
}

impl<A: Access> Looker<'_, A> {
    fn head(&mut self, project: &ProjectKey) -> Result<Snapshot, StoreError> {
        let project = project.clone();
        self.access.with(move |store| store.todo(&project, None))
    }

    fn file(&mut self, project: &ProjectKey, name: &str) -> Result<TodoFile, StoreError> {
        let (project, name) = (project.clone(), name.to_owned());
        self.access.with(move |store| store.todo_file(&project, &name))
    }

    fn set_file(&mut self, project: &ProjectKey, name: &str, file: TodoFile) -> Result<(), StoreError> {
        let (project, name) = (project.clone(), name.to_owned());
        self.access.with(move |store| store.set_todo_file(&project, &name, &file))
    }

    fn is_revision(&mut self, project: &ProjectKey, hash: &str) -> Result<bool, StoreError> {
        let (project, hash) = (project.clone(), hash.to_owned());
        self.access.with(move |store| Ok(store.todo_with_hash(&project, &hash)?.is_some()))
    }
}
