//! Sessions that are made before they are needed.

use std::time::Duration;

use super::{
    flow::secs,
    rig::{Life, Rig},
};
use crate::{
    engine::{options::Options, pool::IDLE},
    opencode::{Client, MessageId, PartId, Prompt, Session, SessionId, fake::Script},
    task::{StateName, TaskId},
};

const MAKE: &str = "POST /session";
const NAME: &str = "PATCH /session/{id}";

fn one_at_a_time(pool: u32) -> Options {
    let mut options: Options = serde_json::from_str(r#"{"limits": {"default": 1}}"#).unwrap();
    options.pool = pool;
    options
}

async fn children(rig: &Rig) -> Vec<Session> {
    Client::new(rig.host.transport()).children("/p", &rig.parent).await.unwrap()
}

/// The sessions that are ready.
async fn ready(rig: &Rig) -> Vec<SessionId> {
    children(rig).await.into_iter().filter(|child| child.title == "ready").map(|child| child.id).collect()
}

async fn all_end(rig: &Rig, life: &Life, tasks: &[TaskId]) -> Vec<String> {
    let mut sessions = Vec::new();
    for task in tasks {
        let ended = rig.end_of(life, *task).await;
        assert_eq!((ended.state.name(), ended.attempt), (StateName::Complete, 1));
        sessions.push(ended.session().unwrap().to_owned());
    }
    sessions.sort_unstable();
    sessions.dedup();
    sessions
}

#[tokio::test(start_paused = true)]
async fn unless_asked_for_every_session_is_made_when_it_is_needed() {
    let rig = Rig::new(|_| Script::say_after(secs(1), "done")).await;
    let life = rig.start_as(one_at_a_time(0), rig.host.transport()).await;
    let before = rig.host.requests(MAKE);
    let tasks = rig.launch(&life, &["a", "b", "c"]).await;
    assert_eq!(all_end(&rig, &life, &tasks).await.len(), 3);
    assert_eq!((rig.host.requests(MAKE) - before, rig.host.requests(NAME)), (3, 0));
    assert_eq!(rig.host.requests("GET /session/{id}/children"), 0, "nor is anything looked for");
    life.close_cleanly(&rig).await;
}

#[tokio::test(start_paused = true)]
async fn waiting_tasks_take_what_is_ready_and_no_more_is_made_than_they_need() {
    let rig = Rig::new(|_| Script::say_after(secs(1), "done")).await;
    let life = rig.start_as(one_at_a_time(2), rig.host.transport()).await;
    let before = rig.host.requests(MAKE);
    let tasks = rig.launch(&life, &["a", "b", "c", "d"]).await;
    rig.until(&[&life], secs(1), "two to be ready", async || ready(&rig).await.len() == 2).await;
    assert_eq!(all_end(&rig, &life, &tasks).await.len(), 4, "each has its own");
    assert_eq!((rig.host.requests(MAKE) - before, rig.host.requests(NAME)), (4, 3));
    let mut titles: Vec<_> = children(&rig).await.into_iter().map(|child| child.title).collect();
    titles.sort_unstable();
    let expected: Vec<_> = ["a", "b", "c", "d"].iter().map(ToString::to_string).collect();
    assert_eq!(titles, expected);
    rig.all_told(&life).await;
    rig.check();
    life.close_cleanly(&rig).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_gone_or_was_used_by_somebody_is_not_taken() {
    let rig = Rig::new(|seen| Script::say_after(secs(if seen.text == "mine" { 0 } else { 5 }), "done")).await;
    let life = rig.start_as(one_at_a_time(2), rig.host.transport()).await;
    let tasks = rig.launch(&life, &["a", "b", "c"]).await;
    rig.until(&[&life], secs(1), "two to be ready", async || ready(&rig).await.len() == 2).await;
    let client = Client::new(rig.host.transport());
    let made = ready(&rig).await;
    let ids: (MessageId, PartId) = ("msg_mine".parse().unwrap(), "prt_mine".parse().unwrap());
    client.prompt_async("/p", &made[0], Prompt::new(ids.0, ids.1, "mine".to_owned())).await.unwrap();
    client.delete_session("/p", &made[1]).await.unwrap();
    let sessions = all_end(&rig, &life, &tasks).await;
    assert_eq!(sessions.len(), 3);
    assert!(made.iter().all(|session| !sessions.contains(&session.to_string())), "{sessions:?}");
    life.close_cleanly(&rig).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_taken_is_deleted_in_time_and_at_the_end() {
    let rig = Rig::new(|_| Script::say_after(IDLE + secs(60), "done")).await;
    let options = Options { timeout: 3_600.try_into().unwrap(), stall: 0, ..one_at_a_time(1) };
    let life = rig.start_as(options.clone(), rig.host.transport()).await;
    rig.launch(&life, &["a", "b"]).await;
    let is_ready = async || ready(&rig).await.len() == 1;
    rig.until(&[&life], secs(1), "one to be ready", is_ready).await;
    rig.until(&[&life], IDLE + secs(1), "it to be deleted", async || ready(&rig).await.is_empty()).await;
    rig.launch(&life, &["c"]).await;
    rig.until(&[&life], secs(120), "the next", is_ready).await;
    life.close_cleanly(&rig).await;
    assert_eq!(ready(&rig).await, []);
}

#[tokio::test(start_paused = true)]
async fn what_a_crash_has_left_is_deleted_by_the_next() {
    let rig = Rig::new(|_| Script::say_after(secs(30), "done")).await;
    let life = rig.start_as(one_at_a_time(2), rig.host.transport()).await;
    let tasks = rig.launch(&life, &["a", "b", "c"]).await;
    rig.until(&[&life], secs(1), "two to be ready", async || ready(&rig).await.len() == 2).await;
    let left = ready(&rig).await;
    drop(life);
    let life = rig.start_as(one_at_a_time(2), rig.host.transport()).await;
    for task in tasks {
        assert_eq!(rig.end_of(&life, task).await.state.name(), StateName::Complete);
    }
    rig.pass(&life, Duration::from_secs(1)).await;
    let children: Vec<_> = children(&rig).await.into_iter().map(|child| child.id).collect();
    assert!(left.iter().all(|session| !children.contains(session)), "{children:?}");
    life.close_cleanly(&rig).await;
}
