//! The next step of a mission: one function of its state and the world. The same state and world always give the same
//! step, so that a mission goes on after a crash where it stood.
//!
//! The layers are tried in their order, and the first that finds something to do makes the step: bounds, what people
//! changed in TODO.md, what has ended, what may start, and only then the commander.

use super::{
    phases, reconcile,
    state::{Message, MessageKind, Mission, Pause},
    words,
    work::{self, racing},
    world::{Commander, Decision, Errand, Launch, Names, News, Step, Turn, World},
};
use crate::{
    task::TaskId,
    todo::{Item, ItemId, Operation},
};

/// Decides what a mission does next; nothing if it waits.
pub fn next(mission: &Mission, world: &World<'_>, names: &mut dyn Names) -> Decision {
    if mission.is_over() || mission.pause.is_some() {
        return Decision::default();
    }
    let mut deciding = Deciding::new(mission, world, names);
    let layers = [bounds, reconcile::obey, work::advance, work::parents, work::start, phases::go];
    for layer in layers {
        layer(&mut deciding);
        if deciding.has_changed() {
            break;
        }
    }
    deciding.decision()
}

/// A decision being made.
pub(super) struct Deciding<'a> {
    before: &'a Mission,
    pub mission: Mission,
    pub world: &'a World<'a>,
    pub names: &'a mut dyn Names,
    pub word: &'static str,
    pub launch: Vec<Launch>,
    pub todo: Vec<Operation>,
    pub cancel: Vec<TaskId>,
    pub news: Vec<News>,
    errands: Vec<Errand>,
    halt: bool,
}

impl<'a> Deciding<'a> {
    fn new(before: &'a Mission, world: &'a World<'a>, names: &'a mut dyn Names) -> Self {
        Self {
            before,
            mission: before.clone(),
            world,
            names,
            word: "",
            launch: Vec::new(),
            todo: Vec::new(),
            cancel: Vec::new(),
            news: Vec::new(),
            errands: Vec::new(),
            halt: false,
        }
    }

    fn has_changed(&self) -> bool {
        self.mission != *self.before
            || !(self.launch.is_empty() && self.todo.is_empty() && self.cancel.is_empty() && self.news.is_empty())
    }

    fn decision(self) -> Decision {
        let changed = self.has_changed();
        let Self { mission, word, launch, todo, cancel, news, errands, halt, .. } = self;
        let step = changed.then_some(Step { mission, word, launch, todo, cancel, halt, news });
        Decision { step, errands }
    }

    /// The items of the mission.
    pub fn items(&self) -> impl Iterator<Item = &'a Item> + use<'a> {
        words::scope(self.world.todo, self.before)
    }

    /// An item of the mission.
    pub fn item(&self, id: &ItemId) -> Option<&'a Item> {
        self.items().find(|item| item.id.as_ref() == Some(id))
    }

    /// What came of an errand; none as long as it is under way.
    pub fn errand(&mut self, errand: Errand) -> Option<Result<String, String>> {
        let done = self.world.errands.get(&errand).cloned();
        if done.is_none() {
            self.errands.push(errand);
        }
        done
    }

    /// The commander's latest turn, if it is between two.
    pub fn turn(&self) -> Option<&'a Turn> {
        match self.world.commander {
            Commander::Idle(turn) => Some(turn),
            Commander::Busy => None,
        }
    }

    /// Lets the mission stand still, and its tasks with it.
    pub fn pause(&mut self, reason: String) {
        self.word = "pause";
        self.halt = true;
        self.news.push(News::Paused { reason: reason.clone() });
        self.mission.pause = Some(Pause { reason, by_person: false });
    }

    /// Sends the commander a message, or pauses when the last ones brought nothing. Waits if the world's fingerprint
    /// is not known yet.
    pub fn say(&mut self, kind: MessageKind, why: &str, text: impl FnOnce(&Mission) -> String) {
        let Some(looked) = self.errand(Errand::Look(self.mission.turns)) else { return };
        let ended = self.world.tasks.values().filter(|task| !matches!(task, super::world::TaskView::Open)).count();
        let own = self.world.own;
        let fingerprint = format!("{} {} {} {}", self.world.rev, ended, own.all - own.open, looked.unwrap_or_default());
        if self.mission.fingerprint.as_ref() != Some(&fingerprint) {
            self.mission.stale = 0;
            self.mission.fingerprint = Some(fingerprint);
        }
        let turns = self.world.settings.max_turns;
        if self.mission.turns >= turns.get() {
            return self.pause(format!("the commander got {turns} messages (option mission.maxTurns): {why}"));
        }
        let most = self.world.settings.continuations.get();
        if self.mission.stale >= most {
            let trouble = self.turn().and_then(|turn| turn.trouble.clone());
            let trouble = trouble.map(|trouble| format!("; the commander's last turn failed: {trouble}"));
            return self.pause(format!("no progress after {most} messages: {why}{}", trouble.unwrap_or_default()));
        }
        self.mission.stale += 1;
        self.mission.turns += 1;
        let (message, part) = self.names.message();
        self.word = "message";
        self.mission.message = Some(Message { kind, text: text(&self.mission), message, part, sent: false });
    }
}

/// What a mission may use.
fn bounds(deciding: &mut Deciding<'_>) {
    let (mission, world) = (&deciding.mission, deciding.world);
    let settings = world.settings;
    let took = world.now.since(mission.since).as_secs();
    let used = world.tokens.saturating_sub(mission.spent);
    let reason = if used > settings.max_tokens.get() {
        format!("its tasks used {used} tokens (option mission.maxTokens: {})", settings.max_tokens)
    } else if took > u64::from(settings.max_time.get()) {
        format!("it took longer than {} s (option mission.maxTime)", settings.max_time)
    } else if racing(&deciding.mission) == 0 && mission.works.len() > settings.max_items.get() as usize {
        format!("it has more than {} items (option mission.maxItems)", settings.max_items)
    } else {
        return;
    };
    deciding.pause(reason);
}
