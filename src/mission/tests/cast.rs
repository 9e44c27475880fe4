//! The stage: a world that does what the tests' script says.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
};

use crate::{
    mission::{
        Commander, Errand, Launch, Message, Mission, Names, News, Own, Phase, Settings, Step, TaskView, Turn, World,
        next,
    },
    task::{MissionId, ProjectKey, TaskId, Timestamp},
    todo::{self, Document, Item, Operation, Status},
};

/// What a task answers.
pub type Cast = Box<dyn FnMut(&Launch, usize) -> TaskView>;

/// What an errand comes to.
pub type Fate = Box<dyn FnMut(&Errand) -> Result<String, String>>;

/// What the commander does about a message.
pub type Commands = Box<dyn FnMut(&Message, &Document) -> Vec<Operation>>;

/// A mission on its stage.
pub struct Play {
    pub mission: Mission,
    pub todo: Document,
    pub rev: u64,
    pub tasks: HashMap<TaskId, TaskView>,
    pub launched: Vec<Launch>,
    pub cancelled: Vec<TaskId>,
    pub errands: HashMap<Errand, Result<String, String>>,
    pub asked: Vec<Errand>,
    pub settings: Settings,
    pub commander: Commander,
    pub own: Own,
    pub messages: Vec<Message>,
    pub news: Vec<News>,
    pub tokens: u64,
    pub now: Timestamp,
    pub cast: Cast,
    pub commands: Commands,
    /// What an errand comes to.
    pub fate: Fate,
    pub steps: usize,
}

/// Names by number.
struct Numbers(u64);

impl Names for Numbers {
    fn task(&mut self) -> TaskId {
        self.0 += 1;
        let mut bytes = [0; 10];
        bytes[2..].copy_from_slice(&self.0.to_be_bytes());
        TaskId::new(Timestamp(1), &bytes)
    }

    fn message(&mut self) -> (String, String) {
        self.0 += 1;
        (format!("msg_{}", self.0), format!("prt_{}", self.0))
    }

    fn tree(&mut self) -> PathBuf {
        self.0 += 1;
        PathBuf::from(format!("/trees/{}", self.0))
    }
}

pub fn complete(text: &str) -> TaskView {
    TaskView::Complete(text.to_owned())
}

/// Workers report, reviewers accept, planners have planned.
pub fn diligent(launch: &Launch, _: usize) -> TaskView {
    complete(if launch.key.starts_with("review-") { "fine\nVERDICT: ACCEPT" } else { "done as told" })
}

pub fn answered() -> Commander {
    Commander::Idle(Turn { answered: true, ..Turn::default() })
}

impl Play {
    /// A mission over this file; items under its heading are its own.
    pub fn new(todo: &str) -> Self {
        let mission = Mission {
            id: MissionId::new(Timestamp(1), &[1; 10]),
            project: ProjectKey::new("/p"),
            tag: "m1".into(),
            session: "ses_1".into(),
            directory: "/p".into(),
            goal: "make it so".into(),
            adopts: false,
            planned: 0,
            phase: Phase::Plan,
            pause: None,
            end: None,
            planner: None,
            works: BTreeMap::new(),
            message: None,
            turns: 0,
            stale: 0,
            fingerprint: None,
            heard: None,
            checked: None,
            memory: Vec::new(),
            litter: Vec::new(),
            told: 0,
            spent: 0,
            since: Timestamp(0),
            created_at: Timestamp(0),
        };
        Self {
            mission,
            todo: Document::parse(todo),
            rev: 1,
            tasks: HashMap::new(),
            launched: Vec::new(),
            cancelled: Vec::new(),
            errands: HashMap::new(),
            asked: Vec::new(),
            settings: Settings::default(),
            commander: answered(),
            own: Own::default(),
            messages: Vec::new(),
            news: Vec::new(),
            tokens: 0,
            now: Timestamp(0),
            cast: Box::new(diligent),
            commands: Box::new(|_, _| Vec::new()),
            fate: Box::new(|_| Ok(String::new())),
            steps: 0,
        }
    }

    /// One decision, done; whether there was a step.
    pub fn decide(&mut self) -> bool {
        let world = World {
            now: self.now,
            todo: &self.todo,
            rev: self.rev,
            tasks: &self.tasks,
            own: self.own,
            commander: &self.commander,
            tokens: self.tokens,
            errands: &self.errands,
            settings: &self.settings,
        };
        let number = 1_000 * (self.steps as u64 + 1);
        let decision = next(&self.mission, &world, &mut Numbers(number));
        assert_eq!(decision, next(&self.mission, &world, &mut Numbers(number)), "the same world, another step");
        let mut moved = false;
        for errand in decision.errands {
            if !self.errands.contains_key(&errand) {
                let came = (self.fate)(&errand);
                self.asked.push(errand.clone());
                self.errands.insert(errand, came);
                moved = true;
            }
        }
        let Some(step) = decision.step else { return moved };
        self.steps += 1;
        assert!(!step.word.is_empty(), "a step without a word: {step:?}");
        self.take(step);
        true
    }

    fn take(&mut self, step: Step) {
        if !step.todo.is_empty() {
            let (todo, _) = todo::apply(&self.todo, &step.todo).expect("a mission's operations fit");
            self.todo = todo;
            self.rev += 1;
        }
        for launch in step.launch {
            if let Some(before) = launch.continues {
                assert_ne!(self.tasks[&before], TaskView::Open, "a task that runs is continued");
            }
            self.tasks.insert(launch.id, TaskView::Open);
            self.launched.push(launch);
        }
        for task in step.cancel {
            self.cancelled.push(task);
            self.tasks.insert(task, TaskView::Cancelled("cancelled on request".into()));
        }
        self.news.extend(step.news);
        // What is stored is all that is known after a crash.
        let stored = serde_json::to_string(&step.mission).unwrap();
        self.mission = serde_json::from_str(&stored).unwrap();
        assert_eq!(self.mission, step.mission);
    }

    /// Something happens in the world: the first open task ends, or the commander gets its message.
    pub fn happen(&mut self) -> bool {
        if let Some(message) = self.mission.message.as_mut().filter(|message| !message.sent) {
            message.sent = true;
            let message = message.clone();
            let operations = (self.commands)(&message, &self.todo);
            self.messages.push(message);
            self.edit(&operations);
            return true;
        }
        let open: Vec<_> =
            self.launched.iter().filter(|launch| self.tasks[&launch.id] == TaskView::Open).cloned().collect();
        // One whose answer is that it is open goes on.
        open.iter().any(|launch| {
            self.end(launch);
            self.tasks[&launch.id] != TaskView::Open
        })
    }

    /// Ends a task as the cast says.
    pub fn end(&mut self, launch: &Launch) {
        let before = self.launched.iter().filter(|other| other.key == launch.key && other.id != launch.id).count();
        let view = (self.cast)(launch, before);
        self.tasks.insert(launch.id, view);
    }

    /// Somebody else edits the file.
    pub fn edit(&mut self, operations: &[Operation]) {
        if operations.is_empty() {
            return;
        }
        let (todo, _) = todo::apply(&self.todo, operations).unwrap();
        self.todo = todo;
        self.rev += 1;
    }

    /// Plays to the end, or to where nothing happens any more.
    pub fn play(&mut self) {
        for _ in 0..5_000 {
            while self.decide() {
                assert!(self.steps < 5_000, "endless steps");
            }
            if self.mission.is_over() || self.mission.pause.is_some() || !self.happen() {
                return;
            }
        }
        panic!("an endless mission");
    }

    pub fn item(&self, id: &str) -> &Item {
        self.todo.get(&id.parse().unwrap()).unwrap_or_else(|| panic!("no item {id} in\n{}", self.todo))
    }

    pub fn status(&self, id: &str) -> Status {
        self.item(id).status
    }

    /// The launches of a key, in their order.
    pub fn of(&self, key: &str) -> Vec<&Launch> {
        self.launched.iter().filter(|launch| launch.key == key).collect()
    }

    pub fn pause(&self) -> &str {
        self.mission.pause.as_ref().map_or("", |pause| &pause.reason)
    }
}
