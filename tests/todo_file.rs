//! An engine and the file that it keeps in step with TODO.md, while somebody else edits it.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use sortie::{
    engine::{
        options::Options,
        service::{Attach, Attachment, Engine},
    },
    fault::Code,
    opencode::fake::{FakeHost, Script},
    store::{Durability, Home},
    sys::SystemClock,
    task::ProjectKey,
    todo::{Change, NewItem, Operation, Status},
};

/// How long anything may take; it takes milliseconds.
const LIMIT: Duration = Duration::from_secs(20);

struct Place {
    dir: tempfile::TempDir,
    host: FakeHost,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("project")).unwrap();
        Self { dir, host: FakeHost::new(|_| Script::say("done")) }
    }

    fn root(&self) -> PathBuf {
        fs::canonicalize(self.dir.path().join("project")).unwrap()
    }

    fn path(&self) -> PathBuf {
        self.root().join(".opencode/todo.md")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap_or_default()
    }

    /// An engine as a process of its own has one.
    async fn start(&self, options: Options) -> Attachment {
        let home = Home::open(&self.dir.path().join("home")).unwrap();
        let engine = Engine::open(home, Arc::new(SystemClock), Durability::Full, Arc::new(|_| ())).await.unwrap();
        let directory = self.root().to_str().unwrap().to_owned();
        let project = ProjectKey::new(&directory);
        let transport = self.host.transport();
        let at = engine.attach(Attach { project, directory, transport, options, headless: false, program: None });
        at.start();
        at
    }
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < LIMIT, "{what} did not happen within {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    begun.elapsed()
}

fn add(title: &str) -> Vec<Operation> {
    let item = Box::new(NewItem { title: title.to_owned(), ..NewItem::default() });
    vec![Operation::Add { mission: None, group: None, parent: None, item }]
}

fn done(id: &str) -> Vec<Operation> {
    let change = Box::new(Change { status: Some(Status::Done), ..Change::default() });
    vec![Operation::Update { id: id.parse().unwrap(), change }]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_come_to_the_file_and_edits_to_the_store() {
    let place = Place::new();
    let at = place.start(Options::default()).await;
    let first = at.todo_commit("me", None, add("one")).await.unwrap();
    until("the file", async || place.text() == first.document.as_str()).await;

    fs::write(place.path(), format!("{}- [ ] by hand\n", place.text())).unwrap();
    let took = until("the import", async || at.todo_head().await.unwrap().rev == 2).await;
    println!("from the write to the revision: {took:?}");
    until("the ids", async || place.text().contains("t2: by hand")).await;
    let history = at.todo_history(None, 9).await.unwrap();
    let authors: Vec<_> = history.iter().map(|revision| revision.author.as_str()).collect();
    assert_eq!(authors, ["outside", "me"]);
    assert_eq!(at.todo_snapshot(1).await.unwrap().text, first.document.shared_text());
    assert_eq!(at.todo_snapshot(9).await.unwrap_err().code, Code::TodoNoRevision);

    // The directory goes, with the watch on it; the next edit is noticed all the same.
    fs::remove_dir_all(place.path().parent().unwrap()).unwrap();
    until("the file again", async || place.text().contains("by hand")).await;
    fs::write(place.path(), place.text().replace("[ ] t1", "[x] t1")).unwrap();
    until("the second import", async || at.todo_head().await.unwrap().text.contains("[x] t1")).await;
    assert!(at.detach().await.is_clean());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_there_is_taken_in_at_the_start_and_a_project_without_one_gets_none() {
    let place = Place::new();
    let at = place.start(Options::default()).await;
    // Another project's commit, so that something has happened since.
    at.todo_head().await.unwrap();
    assert!(at.detach().await.is_clean());
    assert!(!place.root().join(".opencode").exists());

    let options = Options::parse(r#"{"todo": "docs/PLAN.md"}"#).unwrap();
    let path = place.root().join("docs/PLAN.md");
    fs::create_dir(path.parent().unwrap()).unwrap();
    fs::write(&path, "- [ ] one\n").unwrap();
    let at = place.start(options.clone()).await;
    until("the import", async || at.todo_head().await.unwrap().text.as_ref() == "- [ ] t1: one\n").await;
    until("the ids", async || fs::read_to_string(&path).unwrap() == "- [ ] t1: one\n").await;
    assert!(at.detach().await.is_clean());

    // What was written while nobody looked.
    fs::write(&path, "- [x] t1: one\n- [ ] two\n").unwrap();
    let at = place.start(options).await;
    until("the import", async || at.todo_head().await.unwrap().text.as_ref() == "- [x] t1: one\n- [ ] t2: two\n").await;
    assert!(at.detach().await.is_clean());
    assert!(!place.root().join(".opencode").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_show_the_same_head() {
    let place = Place::new();
    let (here, there) = (place.start(Options::default()).await, place.start(Options::default()).await);
    here.todo_commit("here", None, add("one")).await.unwrap();
    let read = there.todo_head().await.unwrap().rev;
    there.todo_commit("there", Some(read), add("two")).await.unwrap();
    here.todo_commit("here", Some(read), done("t1")).await.unwrap();
    let conflict = there.todo_commit("there", Some(read), {
        let change = Box::new(Change { status: Some(Status::Failed), ..Change::default() });
        vec![Operation::Update { id: "t1".parse().unwrap(), change }]
    });
    assert_eq!(conflict.await.unwrap_err().code, Code::TodoConflict);
    let head = here.todo_head().await.unwrap();
    assert!(head.text.contains("[x] t1: one") && head.text.contains("[ ] t2: two"));
    until("the file", async || place.text() == head.text.as_ref()).await;
    assert!(here.detach().await.is_clean() && there.detach().await.is_clean());
    assert_eq!(place.text(), head.text.as_ref());
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_runs_while_nothing_happens_and_nothing_is_left_at_the_end() {
    let names = || -> Vec<String> {
        let threads = fs::read_dir("/proc/self/task").unwrap();
        threads.filter_map(|thread| fs::read_to_string(thread.unwrap().path().join("comm")).ok()).collect()
    };
    let of_ours = || {
        let names = names();
        names.iter().filter(|name| name.starts_with("sortie-todo")).count()
            + names.iter().filter(|name| name.starts_with("notify-rs")).count()
    };
    let before = of_ours();
    let place = Place::new();
    let at = place.start(Options::default()).await;
    at.todo_commit("me", None, add("one")).await.unwrap();
    until("the file", async || place.text().contains("one")).await;
    // Two watches, and no look.
    until("rest", async || of_ours() == before + 2).await;
    assert!(at.detach().await.is_clean());
    until("the end of the threads", async || of_ours() == before).await;
}
