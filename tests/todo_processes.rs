//! Eight processes change TODO.md while a ninth edits the file by hand: no update is lost, no edit is lost, every
//! revision is what its hash says, and in the end the file is the last one.
//!
//! `SORTIE_TODO_UPDATES` says how many updates each process makes, `SORTIE_SEED` repeats a run's choices.

#![expect(clippy::print_stdout, reason = "a worker tells its parent what it did, and the test its figures")]
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use sortie::{
    clock::Clock,
    store::{Durability, Home, Snapshot, SqliteStore, Todos},
    sys::SystemClock,
    task::ProjectKey,
    todo::{
        Change, Document, Operation, Status, TodoError,
        board::{self, BoardError},
        file::{Config, Projector},
    },
};

const WORKERS: u64 = 8;
const UPDATES: u64 = 40;
/// Items that all of them change, by reading them first.
const SHARED: u64 = 4;
/// Items that each may have, once.
const CLAIMS: u64 = 60;
const DIR: &str = "SORTIE_TEST_TODO_DIR";
const NUMBER: &str = "SORTIE_TEST_TODO_WORKER";
const COUNT: &str = "SORTIE_TODO_UPDATES";
const SEED: &str = "SORTIE_SEED";

/// As the engine does it: while commits follow one another, the file is replaced at most once in this time.
const GAP: Duration = Duration::from_millis(100);

fn project() -> ProjectKey {
    ProjectKey::new("/project")
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// A process's hold on the store and the file.
struct Hand {
    store: SqliteStore,
    projector: Projector,
    path: PathBuf,
    born: Instant,
    shown: Option<Instant>,
    /// When the projector wants to look again.
    due: Option<Instant>,
}

impl Hand {
    fn new(dir: &Path) -> Self {
        let home = Home::open(&dir.join("home")).unwrap();
        let mut store = SqliteStore::open(&home, Durability::Full).unwrap();
        // More writers than processors: one may have to wait for its turn for longer than people would.
        store.set_busy_timeout(Duration::from_secs(60)).unwrap();
        let (root, file) = (dir.join("root"), PathBuf::from(".opencode/todo.md"));
        let path = root.join(&file);
        let projector = Projector::new(Config { project: project(), root, file, home });
        Self { store, projector, path, born: Instant::now(), shown: None, due: None }
    }

    /// A look at the file; whether there is nothing more to do.
    fn look(&mut self) -> bool {
        let may_show = self.shown.is_none_or(|shown| shown.elapsed() >= GAP);
        let round = self.projector.round(&mut self.store, &SystemClock, self.born.elapsed(), may_show).unwrap();
        for note in &round.notes {
            println!("note {note:?}");
        }
        if round.showed {
            self.shown = Some(Instant::now());
        }
        self.due = round.wait.or(round.later.then_some(GAP)).map(|wait| Instant::now() + wait);
        self.due.is_none()
    }

    /// Looks until the file and the store agree.
    fn settle(&mut self) {
        let begun = Instant::now();
        while !self.look() {
            assert!(begun.elapsed() < Duration::from_secs(60), "the file does not settle");
            let wait = self.due.map_or(Duration::ZERO, |due| due.saturating_duration_since(Instant::now()));
            thread::sleep(wait.min(GAP));
        }
    }

    fn count(&mut self, title: &str) -> (u64, u64) {
        let head = self.store.todo(&project(), None).unwrap();
        (head.rev, counter(&Document::parse(&head.text), title))
    }
}

/// The number behind an item's title.
fn counter(document: &Document, id: &str) -> u64 {
    let item = document.get(&id.parse().unwrap()).unwrap_or_else(|| panic!("{id} is gone:\n{document}"));
    item.title.rsplit(' ').next().unwrap().parse().unwrap()
}

/// The same change by two is an agreement: so each says who it is.
fn count_up(id: &str, me: u64, count: u64) -> Operation {
    let (title, status) = (Some(format!("worker {me} counted {count}")), Some(Status::InProgress));
    let change = Change { title, status, ..Change::default() };
    Operation::Update { id: id.parse().unwrap(), change: Box::new(change) }
}

fn spawn(dir: &Path, worker: u64, updates: u64, seed: u64) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "worker", "--nocapture"])
        .env(DIR, dir)
        .env(NUMBER, worker.to_string())
        .env(COUNT, updates.to_string())
        .env(SEED, (seed + worker).to_string())
        // Files, not pipes: a process that waits for its reader would hold up all others.
        .stdout(File::create(said(dir, worker)).unwrap())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

fn said(dir: &Path, worker: u64) -> PathBuf {
    dir.join(format!("said-{worker}"))
}

#[test]
fn eight_processes_and_a_person_lose_nothing() {
    let (updates, seed) = (number(COUNT).unwrap_or(UPDATES), number(SEED).unwrap_or_else(|| fastrand::u64(..1 << 32)));
    println!("{SEED}={seed} {COUNT}={updates}");
    let dir = tempfile::tempdir().unwrap();
    let text = file();
    let mut hand = Hand::new_in(dir.path(), &text);
    hand.settle();
    assert_eq!(hand.store.todo(&project(), None).unwrap().text.as_ref(), text);

    let begun = Instant::now();
    let mut workers: Vec<_> = (0..WORKERS).map(|n| spawn(dir.path(), n, updates, seed)).collect();
    let edits = edit_by_hand(&mut hand, seed, &mut workers);
    let took = begun.elapsed();
    for mut worker in workers {
        assert!(worker.wait().unwrap().success());
    }
    hand.settle();

    let head = hand.store.todo(&project(), None).unwrap();
    let document = Document::parse(&head.text);
    assert_eq!(fs::read_to_string(&hand.path).unwrap(), head.text.as_ref());
    // Every update of every process.
    assert_eq!(taken_back(&mut hand.store, head.rev), [""; 0]);
    for n in 0..WORKERS {
        assert_eq!(counter(&document, &format!("own{n}")), updates / 2);
    }
    let shared: u64 = (0..SHARED).map(|n| counter(&document, &format!("shared{n}"))).sum();
    assert_eq!(shared, WORKERS * (updates - updates / 2));
    let (mut claims, mut times, mut conflicts) = (BTreeMap::<String, u64>::new(), Vec::new(), 0);
    for n in 0..WORKERS {
        for line in fs::read_to_string(said(dir.path(), n)).unwrap().lines() {
            match line.split_once(' ') {
                Some(("claimed", id)) => *claims.entry(id.to_owned()).or_default() += 1,
                Some(("took", micros)) => times.push(micros.parse::<u64>().unwrap()),
                Some(("conflict", _)) => conflicts += 1,
                _ => {}
            }
        }
    }
    assert!(claims.len() as u64 == CLAIMS && claims.values().all(|&claims| claims == 1), "{claims:?}");
    // Every edit by hand, once.
    for edit in &edits.made {
        assert_eq!(head.text.matches(edit.as_str()).count(), 1, "{edit}\n{}", head.text);
    }
    assert!(!head.text.contains("outside:"), "a merge took an update for a conflict:\n{}", head.text);
    // Every revision.
    assert_eq!(hand.store.check().unwrap(), [""; 0]);
    let history = hand.store.todo_history(&project(), None, u32::MAX).unwrap();
    assert_eq!(history.len() as u64, head.rev);
    let outside = history.iter().filter(|revision| revision.author == "outside").count();
    let left: Vec<_> =
        fs::read_dir(hand.path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["todo.md"]);
    times.sort_unstable();
    let (mut imports, at) = (edits.took.clone(), |sorted: &[u64], part: usize| sorted[(sorted.len() - 1) * part / 100]);
    imports.sort_unstable();
    println!(
        "{} revisions in {took:?}, of which {outside} from outside ({} edits by hand); {conflicts} conflicts repeated; \
         commit p50 {} us, p99 {} us; from an edit to its revision p50 {} ms, p99 {} ms",
        head.rev,
        edits.made.len(),
        at(&times, 50),
        at(&times, 99),
        at(&imports, 50),
        at(&imports, 99),
    );
}

impl Hand {
    /// A hold on a file that was there before.
    fn new_in(dir: &Path, text: &str) -> Self {
        let hand = Self::new(dir);
        fs::create_dir_all(hand.path.parent().unwrap()).unwrap();
        fs::write(&hand.path, text).unwrap();
        hand
    }
}

/// The revisions after which a counter is not what it was or one more, with what they and those before them say of it.
fn taken_back(store: &mut SqliteStore, head: u64) -> Vec<String> {
    let mut found = Vec::new();
    let ids: Vec<_> =
        (0..SHARED).map(|n| format!("shared{n}")).chain((0..WORKERS).map(|n| format!("own{n}"))).collect();
    let mut before: Option<Snapshot> = None;
    for revision in store.todo_history(&project(), None, u32::MAX).unwrap().into_iter().rev() {
        let Ok(now) = store.todo(&project(), Some(revision.rev)) else { continue };
        if let Some(before) = &before {
            let (old, new) = (Document::parse(&before.text), Document::parse(&now.text));
            for id in &ids {
                if counter(&new, id).wrapping_sub(counter(&old, id)) > 1 {
                    found.push(format!(
                        "{id} in {} of {head} by {}: {}\n{}\n--- was\n{}",
                        revision.rev, revision.author, revision.operations, now.text, before.text
                    ));
                }
            }
        }
        before = Some(now);
    }
    found
}

/// The file that they begin with.
fn file() -> String {
    let own = (0..WORKERS).map(|n| format!("- [ ] own{n}: counter 0"));
    let shared = (0..SHARED).map(|n| format!("- [ ] shared{n}: counter 0"));
    let counters: Vec<_> = own.chain(shared).collect();
    let claims: Vec<_> = (0..CLAIMS).map(|n| format!("- [ ] claim{n}: take it once")).collect();
    let by_hand = "- [ ] hand: what people write stands below";
    let (counters, claims) = (counters.join("\n"), claims.join("\n"));
    format!("# TODO\n\n## Counters\n\n{counters}\n\n## To claim\n\n{claims}\n\n## By hand\n\n{by_hand}\n")
}

struct Edits {
    made: Vec<String>,
    /// Milliseconds from each edit to the revision with it.
    took: Vec<u64>,
}

/// Edits the file as people, editors and scripts do, until the workers have ended. Each edit is made when the one before
/// is in the store: two buffers of one person would overwrite each other.
fn edit_by_hand(hand: &mut Hand, seed: u64, workers: &mut [Child]) -> Edits {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut edits = Edits { made: Vec::new(), took: Vec::new() };
    let mut stale = fs::read_to_string(&hand.path).unwrap();
    while workers.iter_mut().any(|worker| worker.try_wait().unwrap().is_none()) || edits.made.len() < 10 {
        let line = format!("- [ ] hand{}: written by hand", edits.made.len());
        let how = random.u32(..4);
        let fresh = fs::read_to_string(&hand.path).unwrap_or_default();
        // A buffer that knows of the person's own edits; what the others did since is not in it.
        let knows = edits.made.last().is_none_or(|last| stale.contains(last.as_str()));
        let buffer = if how == 3 && knows { stale.clone() } else { fresh.clone() };
        // A file that is just replaced, or just written, is no buffer.
        if buffer.is_empty() || edits.made.last().is_some_and(|last| !buffer.contains(last.as_str())) {
            hand.look();
            continue;
        }
        let text = format!("{buffer}{line}\n");
        match how {
            0 => fs::write(&hand.path, &text).unwrap(),
            1 => {
                let temporary = hand.path.with_file_name("editor.tmp");
                fs::write(&temporary, &text).unwrap();
                fs::rename(temporary, &hand.path).unwrap();
            }
            2 => match OpenOptions::new().append(true).open(&hand.path) {
                Ok(mut file) => {
                    // As a shell's `>>` does: opened, and written a little later.
                    thread::sleep(Duration::from_millis(random.u64(..5)));
                    file.write_all(format!("{line}\n").as_bytes()).unwrap();
                }
                Err(_) => continue,
            },
            _ => fs::write(&hand.path, &text).unwrap(),
        }
        let begun = Instant::now();
        loop {
            hand.look();
            if hand.store.todo(&project(), None).unwrap().text.contains(&line) {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "lost ({how}): {line}");
            thread::sleep(Duration::from_millis(2));
        }
        edits.took.push(u64::try_from(begun.elapsed().as_millis()).unwrap());
        edits.made.push(line);
        if random.bool() {
            stale = fs::read_to_string(&hand.path).unwrap_or(stale);
        }
    }
    edits
}

#[test]
fn worker() {
    let (Some(dir), Some(me)) = (env::var_os(DIR), number(NUMBER)) else { return };
    let (updates, mut random) = (number(COUNT).unwrap(), fastrand::Rng::with_seed(number(SEED).unwrap()));
    let mut hand = Hand::new(Path::new(&dir));
    let author = format!("worker{me}");
    let mut own = 0;
    for update in 0..updates {
        let begun = Instant::now();
        if update % 2 == 0 && own < updates / 2 {
            own += 1;
            let operation = count_up(&format!("own{me}"), me, own);
            board::commit(&mut hand.store, &project(), &author, None, &[operation], SystemClock.now()).unwrap();
            println!("took {}", begun.elapsed().as_micros());
        } else {
            let id = format!("shared{}", random.u64(..SHARED));
            loop {
                let (read, count) = hand.count(&id);
                let operation = count_up(&id, me, count + 1);
                let now = SystemClock.now();
                match board::commit(&mut hand.store, &project(), &author, Some(read), &[operation], now) {
                    Ok(_) => break,
                    Err(BoardError::Todo(TodoError::Conflict(_))) => println!("conflict {id}"),
                    Err(error) => panic!("{error}"),
                }
            }
        }
        if update % (updates / 10).max(1) == 0 {
            claim(&mut hand, &author);
        }
        if hand.due.is_none_or(|due| due <= Instant::now()) {
            hand.look();
        }
    }
    while claim(&mut hand, &author) {}
    hand.settle();
}

/// Claims an item that is free; `false` when there is none.
fn claim(hand: &mut Hand, author: &str) -> bool {
    let head = hand.store.todo(&project(), None).unwrap();
    let document = Document::parse(&head.text);
    let is_free = |item: &&sortie::todo::Item| {
        let is_claim = item.id.as_ref().is_some_and(|id| id.as_str().starts_with("claim"));
        is_claim && item.status == Status::Pending
    };
    let Some(id) = document.items().iter().find(is_free).and_then(|item| item.id.clone()) else { return false };
    let operation = Operation::Claim { id: id.clone(), by: author.to_owned() };
    match board::commit(&mut hand.store, &project(), author, Some(head.rev), &[operation], SystemClock.now()) {
        Ok(_) => println!("claimed {id}"),
        Err(BoardError::Todo(TodoError::Claimed { .. })) => {}
        Err(error) => panic!("{error}"),
    }
    true
}
