//! The file against the store. Time is a number here.

mod cases;
mod model;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use super::{Config, Note, Projector, QUIET, Round, import::Accident};
use crate::{
    clock::Clock,
    store::{Durability, Home, Known, SqliteStore, Store, TodoCommit, TodoFile, Todos, Turn, todo_hash},
    task::{ProjectKey, Timestamp},
};

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

struct Bench {
    dir: tempfile::TempDir,
    store: SqliteStore,
    projector: Projector,
    clock: TestClock,
    now: Duration,
}

fn project() -> ProjectKey {
    ProjectKey::new("/project")
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        let home = Home::open(&dir.path().join("home")).unwrap();
        let store = SqliteStore::open(&home, Durability::Normal).unwrap();
        let projector = projector(dir.path());
        Self { dir, store, projector, clock: TestClock(AtomicI64::new(1_000_000)), now: Duration::ZERO }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("root/.opencode/todo.md")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    /// Somebody else writes the file.
    fn write(&self, text: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path().parent().unwrap()).unwrap();
        fs::write(self.path(), text).unwrap();
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.clock.0.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    fn look(&mut self) -> Round {
        self.projector.round(&mut self.store, &self.clock, self.now, true).unwrap()
    }

    /// Rounds until nothing is to come; what they told.
    fn settle(&mut self) -> Vec<Note> {
        let mut notes = Vec::new();
        for _ in 0..100 {
            let round = self.look();
            notes.extend(round.notes);
            assert!(!round.later);
            match round.wait {
                Some(wait) => self.pass(wait),
                None => return notes,
            }
        }
        panic!("it does not settle");
    }

    /// Rounds that may not show, until nothing is to come but that.
    fn settle_unshown(&mut self) {
        for _ in 0..100 {
            let round = self.projector.round(&mut self.store, &self.clock, self.now, false).unwrap();
            match round.wait {
                Some(wait) => self.pass(wait),
                None => return,
            }
        }
        panic!("it does not settle");
    }

    fn head(&mut self) -> (u64, String) {
        let head = self.store.todo(&project(), None).unwrap();
        (head.rev, head.text.to_string())
    }

    /// An agent's commit.
    fn commit(&mut self, text: &str) -> u64 {
        let parent = self.head().0;
        let commit = TodoCommit {
            project: project(),
            parent,
            text: text.into(),
            author: "agent".into(),
            operations: "[]".into(),
        };
        self.store.commit_todo(&commit, self.clock.now()).unwrap().rev
    }

    fn commit_and_show(&mut self, text: &str) {
        self.commit(text);
        assert_eq!(self.settle(), []);
        assert_eq!(self.text(), text);
    }

    fn author(&mut self) -> String {
        self.store.todo_history(&project(), None, 1).unwrap().remove(0).author
    }

    /// The other files beside it.
    fn others(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path().parent().unwrap()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "todo.md").collect()
    }
}

fn projector(dir: &Path) -> Projector {
    Projector::new(Config {
        project: project(),
        root: dir.join("root"),
        file: ".opencode/todo.md".into(),
        home: Home::open(&dir.join("home")).unwrap(),
    })
}

const FOUR: &str = "# TODO\n\n- [ ] t1: one\n- [ ] t2: two\n- [ ] t3: three\n- [ ] t4: four\n";
