//! A process that dies before or after each single request: the next one goes on, and nothing is done twice.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

use super::{
    flow::secs,
    rig::{Rig, runtime},
};
use crate::{
    engine::options::Options,
    opencode::{
        BoxFuture, Request, Response, Transport, TransportError,
        fake::{PromptSeen, Script, Step},
    },
    task::{StateName, TaskId},
};

/// Brings so many requests; then the process is as good as dead.
pub struct Dying {
    inner: Arc<dyn Transport>,
    left: AtomicUsize,
    /// Whether the host sees the request over which the process dies.
    seen: bool,
    dead: Arc<Notify>,
}

impl Dying {
    /// Dies over the request number `left`, from zero.
    pub fn after(left: usize, inner: Arc<dyn Transport>, seen: bool, dead: &Arc<Notify>) -> Arc<Self> {
        Arc::new(Self { inner, left: AtomicUsize::new(left), seen, dead: Arc::clone(dead) })
    }
}

impl Transport for Dying {
    fn request(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(async move {
            let toast = request.path == "/tui/show-toast";
            if toast || self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
                return self.inner.request(request).await;
            }
            if self.seen {
                let _ = self.inner.request(request).await;
            }
            self.dead.notify_one();
            std::future::pending().await
        })
    }
}

fn model(seen: &PromptSeen) -> Script {
    let text = seen.text.clone();
    let step = Step::Tool("read".to_owned(), secs(1));
    Script::new().then(Step::Wait(secs(1))).then(step).then_say(&format!("did {text}"))
}

/// One death; returns whether there was any before the end.
fn die_at(number: usize, seen: bool, silent: bool) -> bool {
    let dead = Arc::new(Notify::new());
    let first = runtime();
    let (rig, tasks, died) = first.block_on(async {
        let rig = Rig::new(model).await;
        rig.host.silence_events(silent);
        let transport = Dying::after(number, rig.host.transport(), seen, &dead);
        let life = rig.start_as(Options::default(), transport).await;
        let a = rig.launch(&life, &["a"]).await[0];
        let mut after = rig.spec(&format!("b {{{{result:{a}}}}}"));
        after.depends_on = vec![a];
        let tasks = vec![a, life.launch(vec![after]).await[0]];
        let died = tokio::select! {
            () = dead.notified() => true,
            () = rig.all_told(&life) => false,
        };
        (rig, tasks, died)
    });
    drop(first);
    rig.host.crash();
    runtime().block_on(async {
        let life = rig.start().await;
        rig.all_told(&life).await;
        for (task, result) in tasks.iter().zip(["did a", "did b did a"]) {
            assert_eq!((life.state(*task).await, life.result(*task).await.as_str()), (StateName::Complete, result));
        }
    });
    let told: Vec<usize> = tasks.iter().map(|task: &TaskId| rig.told(*task)).collect();
    assert_eq!((told, rig.sessions().len()), (vec![1, 1], 2), "died at {number}, seen {seen}, silent {silent}");
    assert!(rig.sessions().iter().all(|session| rig.host.prompts(session).len() == 1));
    assert_answered_once(&rig);
    rig.check();
    died
}

/// No finished answer is followed by another one.
fn assert_answered_once(rig: &Rig) {
    for session in rig.sessions() {
        let finished = rig.host.messages(&session).iter().filter(|message| message["info"]["finish"] == "stop").count();
        assert_eq!(finished, 1, "{session}");
    }
}

fn die_at_each(seen: bool, silent: bool) {
    let deaths = (0..200).take_while(|number| die_at(*number, seen, silent)).count();
    assert!(deaths >= 10, "{deaths}");
}

#[test]
fn a_death_before_each_request_loses_and_doubles_nothing() {
    die_at_each(false, false);
}

#[test]
fn a_death_after_each_request_loses_and_doubles_nothing() {
    die_at_each(true, false);
}

#[test]
fn a_death_at_each_request_loses_and_doubles_nothing_without_events_too() {
    die_at_each(true, true);
}
