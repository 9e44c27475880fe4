//! Missions over the fake host: driven to their end, steered by people, and through the death of the process at any
//! moment.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

use super::{
    flow::secs,
    rig::{DIR, Life, Rig, runtime},
    steps::Dying,
};
use crate::{
    engine::options::Options,
    mission::{End, Mission},
    opencode::{
        Prompt,
        fake::{PromptSeen, Script, Step},
    },
    store::{Filter, MissionFilter, Spending as _, TodoCommit},
    task::{ProjectKey, StateName},
    todo::{Document, Status},
};

const PLAN: &str = "## goal {mission: m1}\n- [ ] t1: one\n- [ ] t2: two {after: t1}\n";

/// Workers report, reviewers accept but for the first time `t2`, and the commander answers.
fn model(seen: &PromptSeen) -> Script {
    let text = match seen.agent.as_str() {
        "worker" => "did it",
        "reviewer" if seen.text.contains("\nt2: two") && seen.text.contains("did it") => "VERDICT: REJECT\n1. again",
        "reviewer" => "VERDICT: ACCEPT",
        _ => "understood",
    };
    // The second round says something else, which the reviewer accepts.
    let text = if seen.text.contains("rejected (round 2") { "now it is right" } else { text };
    Script::new().then(Step::Wait(secs(1))).then_say(text)
}

impl Rig {
    /// TODO.md as somebody has written it.
    async fn write_todo(&self, life: &Life, text: &str) {
        let text = text.into();
        let write = move |store: &mut dyn crate::store::Store| {
            let project = ProjectKey::new(DIR);
            let parent = store.todo(&project, None)?.rev;
            let (author, operations) = ("outside".to_owned(), "[]".to_owned());
            store.commit_todo(&TodoCommit { project, parent, text, author, operations }, crate::task::Timestamp(1))
        };
        life.at.project.store(write).await.unwrap();
        life.at.project.stir();
    }

    /// `/task <goal>`, as the host does it: the command first, then its prompt.
    async fn begin(&self, life: &Life, goal: &str) {
        life.at.begin_mission(&self.parent, DIR, goal).await.unwrap();
        self.say(life, goal).await;
    }

    /// A person's prompt in the commander's session.
    async fn say(&self, life: &Life, text: &str) {
        let (message, part) = life.at.project.core.prompt_ids();
        let prompt = Prompt { agent: Some("commander".to_owned()), ..Prompt::new(message, part, text.to_owned()) };
        self.host.client().prompt_async(DIR, &self.parent, prompt).await.unwrap();
    }

    fn mission(&self) -> Mission {
        use crate::store::Missions as _;
        let mut store = self.open_store();
        let row = store.missions(&ProjectKey::new(DIR), &MissionFilter::default()).unwrap().pop().unwrap();
        serde_json::from_str(&row.body).unwrap()
    }

    fn todo(&self) -> Document {
        use crate::store::Todos as _;
        Document::parse(&self.open_store().todo(&ProjectKey::new(DIR), None).unwrap().text)
    }

    fn statuses(&self) -> Vec<Status> {
        self.todo().items().iter().map(|item| item.status).collect()
    }

    async fn over(&self, life: &Life) {
        self.until(&[life], secs(300), "the mission's end", async || self.mission().is_over()).await;
    }

    /// The mission's messages that the commander has got, as texts.
    fn told_commander(&self) -> Vec<String> {
        let prompts = self.host.messages(&self.parent).into_iter().filter(|message| message["info"]["role"] == "user");
        let texts = prompts.filter_map(|message| Some(message["parts"][0]["text"].as_str()?.to_owned()));
        texts.filter(|text| text.starts_with("<sortie-mission")).collect()
    }

    /// The titles of the sessions of tasks.
    async fn titles(&self) -> Vec<String> {
        let mut titles = Vec::new();
        for session in self.sessions() {
            titles.push(self.host.client().session(DIR, &session).await.unwrap().title);
        }
        titles.sort();
        titles
    }
}

#[tokio::test(start_paused = true)]
async fn a_mission_is_driven_to_its_end_and_the_commander_is_asked_once() {
    let rig = Rig::new(model).await;
    let life = rig.start().await;
    rig.write_todo(&life, PLAN).await;
    rig.begin(&life, "make it so").await;
    rig.over(&life).await;
    assert_eq!((rig.mission().end, rig.statuses()), (Some(End::Complete), vec![Status::Done; 2]));
    // A rejection goes to the same session; each review has its own.
    assert_eq!(rig.titles().await, ["review of t1 one", "review of t2 two", "review of t2 two", "t1 one", "t2 two"]);
    let told = rig.told_commander();
    assert_eq!((told.len(), rig.reports().len()), (1, 0), "{told:?}");
    assert!(told[0].contains("now it is right") && told[0].contains("none were run"), "{}", told[0]);
    let complete =
        async || rig.host.toasts().iter().any(|toast| toast["message"].to_string().contains("m1 is complete: 2"));
    rig.until(&[&life], secs(10), "the last toast", complete).await;
    let toasts: Vec<_> = rig.host.toasts().iter().map(|toast| toast["message"].to_string()).collect();
    assert!(toasts.len() <= 6, "{toasts:?}");
    let requests = rig.host.total_requests();
    rig.pass(&life, secs(60)).await;
    assert_eq!(rig.host.total_requests(), requests, "an idle mission asks the host");
    life.close_cleanly(&rig).await;
    rig.check();
}

#[tokio::test(start_paused = true)]
async fn a_mission_that_uses_up_its_budget_pauses_and_resumed_gets_as_much_again() {
    let rig = Rig::new(|seen| match seen.agent.as_str() {
        "worker" => Script::new()
            .then(Step::Wait(secs(1)))
            .then(Step::Use(900, 0, 0.0))
            .then(Step::Tool("read".to_owned(), secs(1)))
            .then(Step::Wait(secs(1)))
            .then_say("did it"),
        _ => model(seen),
    })
    .await;
    let options = Options::parse(r#"{"budget": {"mission": {"tokens": 800}}}"#).unwrap();
    let life = rig.start_as(options, rig.host.transport()).await;
    rig.write_todo(&life, "## goal {mission: m1}\n- [ ] t1: one\n").await;
    rig.begin(&life, "make it so").await;
    rig.until(&[&life], secs(60), "the pause", async || rig.mission().pause.is_some()).await;
    let reason = rig.mission().pause.unwrap().reason;
    assert!(reason.starts_with("the mission's budget is used up: 9") && reason.contains("/resume gives"), "{reason}");
    rig.until(&[&life], secs(5), "that the session stops", async || rig.host.busy().is_empty()).await;
    let runs = rig.host.model_runs();
    rig.pass(&life, secs(60)).await;
    assert_eq!(rig.host.model_runs(), runs);
    let text = life.at.budget(&rig.parent, "").await.unwrap();
    assert!(text.contains("mission m1, tokens: 9") && text.contains("each mission, tokens: 800"), "{text}");
    life.at.resume_mission(&rig.parent).await.unwrap();
    let limit = rig.open_store().settings("budget tokens mission ").unwrap().remove(0).1;
    assert!((1_700..1_800).contains(&limit.parse::<u64>().unwrap()), "{limit}");
    life.at.budget(&rig.parent, "m1 tokens off").await.unwrap();
    rig.over(&life).await;
    assert_eq!(rig.mission().end, Some(End::Complete));
    rig.check();
}

#[tokio::test(start_paused = true)]
async fn what_a_budget_paused_does_not_go_on_in_a_mission_that_stands_still() {
    let rig = Rig::new(|seen| match (seen.agent.as_str(), seen.asked_before) {
        ("worker", 0) => {
            Script::new().then(Step::Use(900, 0, 0.0)).then(Step::Tool("read".to_owned(), secs(1))).then(Step::Hang)
        }
        _ => model(seen),
    })
    .await;
    let life = rig.start().await;
    life.at.budget(&rig.parent, "project tokens 800").await.unwrap();
    rig.write_todo(&life, "## goal {mission: m1}\n- [ ] t1: one\n").await;
    rig.begin(&life, "make it so").await;
    let paused = Filter { states: vec![StateName::Paused], ..Filter::default() };
    let is_paused = async || !life.at.find(paused.clone()).await.unwrap().is_empty();
    rig.until(&[&life], secs(30), "the pause", is_paused).await;
    life.at.pause_mission(&rig.parent, "you paused it").await.unwrap();
    life.at.budget(&rig.parent, "project tokens off").await.unwrap();
    rig.pass(&life, secs(10)).await;
    assert_eq!(life.at.find(paused.clone()).await.unwrap().len(), 1);
    life.at.resume_mission(&rig.parent).await.unwrap();
    rig.over(&life).await;
    assert_eq!(rig.mission().end, Some(End::Complete));
    rig.check();
}

#[tokio::test(start_paused = true)]
async fn pausing_stops_the_sessions_and_resuming_goes_on_in_them() {
    let rig = Rig::new(|seen| match (seen.agent.as_str(), seen.asked_before) {
        ("worker", 0) => Script::hang(),
        _ => model(seen),
    })
    .await;
    let life = rig.start().await;
    rig.write_todo(&life, "## goal {mission: m1}\n- [ ] t1: one\n").await;
    rig.begin(&life, "make it so").await;
    let works = async || rig.sessions().iter().any(|session| rig.host.busy().contains(session));
    rig.until(&[&life], secs(20), "the work", works).await;
    life.at.pause_mission(&rig.parent, "you paused it").await.unwrap();
    rig.until(&[&life], secs(10), "the standstill", async || rig.host.busy().is_empty()).await;
    let runs = rig.host.model_runs();
    rig.pass(&life, secs(60)).await;
    assert_eq!(rig.host.model_runs(), runs);
    let text = life.at.missions_text(&rig.parent).await.unwrap();
    assert!(text.contains("paused in execute: you paused it"), "{text}");
    life.at.resume_mission(&rig.parent).await.unwrap();
    rig.over(&life).await;
    assert_eq!((rig.mission().end, rig.sessions().len()), (Some(End::Complete), 2));
    rig.check();
}

#[tokio::test(start_paused = true)]
async fn a_person_who_stops_the_commander_stops_the_mission_until_it_is_resumed() {
    let rig = Rig::new(|seen| match (seen.agent.as_str(), seen.asked_before, seen.text.as_str()) {
        ("worker", 0, _) | (_, _, "talk") => Script::hang(),
        _ => model(seen),
    })
    .await;
    let life = rig.start().await;
    rig.write_todo(&life, "## goal {mission: m1}\n- [ ] t1: one\n").await;
    rig.begin(&life, "make it so").await;
    let works = async || rig.sessions().iter().any(|session| rig.host.busy().contains(session));
    rig.until(&[&life], secs(20), "the work", works).await;
    rig.say(&life, "talk").await;
    rig.until(&[&life], secs(5), "the talk", async || rig.host.busy().contains(&rig.parent)).await;
    rig.host.client().abort(DIR, &rig.parent).await.unwrap();
    rig.until(&[&life], secs(10), "the standstill", async || rig.host.busy().is_empty()).await;
    let pause = rig.mission().pause.unwrap();
    assert!(pause.by_person && pause.reason.contains("you stopped the commander"));
    life.at.resume_mission(&rig.parent).await.unwrap();
    rig.over(&life).await;
    assert_eq!(rig.mission().end, Some(End::Complete));
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_everything_at_once_and_leaves_the_items_open() {
    let rig = Rig::new(|seen| if seen.agent == "worker" { Script::hang() } else { model(seen) }).await;
    let life = rig.start().await;
    rig.write_todo(&life, PLAN).await;
    rig.begin(&life, "make it so").await;
    let works = async || rig.sessions().iter().any(|session| rig.host.busy().contains(session));
    rig.until(&[&life], secs(20), "the work", works).await;
    let said = life.at.stop_mission(&rig.parent).await.unwrap();
    assert!(said.contains("Mission m1 is stopped, 1 task cancelled"), "{said}");
    rig.until(&[&life], secs(10), "the end", async || rig.host.busy().is_empty()).await;
    assert_eq!((rig.mission().end, rig.statuses()), (Some(End::Stopped), vec![Status::Pending; 2]));
    let text = life.at.missions_text(&rig.parent).await.unwrap();
    assert!(text.contains("\nstopped · ") && !text.contains("works"), "{text}");
    let runs = rig.host.model_runs();
    rig.pass(&life, secs(60)).await;
    assert_eq!((rig.host.model_runs(), rig.told_commander().len()), (runs, 0));
    let fault = life.at.stop_mission(&rig.parent).await.unwrap_err();
    assert_eq!(fault.code, crate::fault::Code::NoMission);
    rig.check();
}

#[tokio::test(start_paused = true)]
async fn a_commander_whose_prompt_never_came_is_told_what_was_asked() {
    let rig = Rig::new(model).await;
    let life = rig.start().await;
    rig.write_todo(&life, "## goal {mission: m1}\n- [ ] t1: one\n").await;
    // The host dies between the command and its prompt.
    life.at.begin_mission(&rig.parent, DIR, "make it so").await.unwrap();
    rig.over(&life).await;
    assert_eq!(rig.mission().end, Some(End::Complete));
    let spoke = rig.host.messages(&rig.parent).iter().all(|message| message["info"]["agent"] == "commander");
    assert!(spoke, "{:?}", rig.host.messages(&rig.parent));
}

#[tokio::test(start_paused = true)]
async fn without_a_request_the_open_items_of_the_file_are_the_mission() {
    let rig = Rig::new(model).await;
    let life = rig.start().await;
    let nothing = life.at.begin_mission(&rig.parent, DIR, "  ").await.unwrap_err();
    assert_eq!(nothing.code, crate::fault::Code::NothingOpen);
    rig.write_todo(&life, "- [ ] t1: one\n- [x] t2: two\n").await;
    rig.begin(&life, "").await;
    rig.over(&life).await;
    assert_eq!(rig.statuses(), [Status::Done; 2]);
    assert_eq!(rig.titles().await, ["review of t1 one", "t1 one"]);
}

#[tokio::test(start_paused = true)]
async fn a_further_request_of_the_same_session_joins_its_mission() {
    let planners = Arc::new(AtomicUsize::new(0));
    let seen_planners = Arc::clone(&planners);
    let rig = Rig::new(move |seen| {
        seen_planners.fetch_add(usize::from(seen.agent == "planner"), Ordering::SeqCst);
        model(seen)
    })
    .await;
    let life = rig.start().await;
    rig.write_todo(&life, "## goal {mission: m1}\n- [ ] t1: one\n").await;
    rig.begin(&life, "make it so").await;
    let accepted = async || rig.statuses() == [Status::Done];
    rig.until(&[&life], secs(60), "the first item", accepted).await;
    rig.begin(&life, "and this as well").await;
    let planned = async || planners.load(Ordering::SeqCst) == 1;
    rig.until(&[&life], secs(30), "a planner for the rest", planned).await;
    rig.write_todo(&life, "## goal {mission: m1}\n- [x] t1: one\n- [ ] t2: more\n").await;
    rig.over(&life).await;
    let mission = rig.mission();
    assert!(mission.goal.contains("make it so") && mission.goal.contains("and this as well"));
    assert_eq!((mission.tag.as_str(), mission.end, rig.statuses()), ("m1", Some(End::Complete), vec![Status::Done; 2]));
}

#[tokio::test(start_paused = true)]
async fn a_session_of_a_mission_gets_its_memory_and_a_foreign_agent_its_part() {
    let rig = Rig::new(|seen| if seen.agent == "build" { Script::hang() } else { model(seen) }).await;
    let life = rig.start().await;
    rig.write_todo(&life, "## goal {mission: m1}\n- [ ] t1: one {agent: build}\n").await;
    rig.begin(&life, "make it so").await;
    let works = async || rig.sessions().iter().any(|session| rig.host.busy().contains(session));
    rig.until(&[&life], secs(20), "the work", works).await;
    let worker = rig.sessions()[0].clone();
    let blocks = life.at.system(worker.as_str());
    assert_eq!(blocks.len(), 2, "{blocks:?}");
    assert_eq!(blocks[0], crate::agent::Role::Worker.prompt().trim());
    assert!(blocks[1].contains("Your item: t1.") && blocks[1].contains("make it so"), "{}", blocks[1]);
    let commander = life.at.system(rig.parent.as_str());
    assert!(commander.len() == 1 && commander[0].contains("0 done, 1 open"), "{commander:?}");
    // What is remembered follows the plan by a step.
    let remembered = async || life.at.compaction(rig.parent.as_str()).unwrap().contains("- t1 [in_progress] one");
    rig.until(&[&life], secs(5), "the item at work in the memory", remembered).await;
    assert_eq!((life.at.system("ses_other").len(), life.at.compaction("ses_other")), (0, None));
}

/// One death; returns whether there was any before the end.
fn die_at(number: usize, seen: bool) -> bool {
    let dead = Arc::new(Notify::new());
    let first = runtime();
    let (rig, died) = first.block_on(async {
        let rig = Rig::new(model).await;
        let life = rig.start_as(Options::default(), Dying::after(number, rig.host.transport(), seen, &dead)).await;
        rig.write_todo(&life, PLAN).await;
        rig.begin(&life, "make it so").await;
        let died = tokio::select! {
            () = dead.notified() => true,
            () = rig.over(&life) => false,
        };
        (rig, died)
    });
    drop(first);
    rig.host.crash();
    let all = runtime().block_on(async {
        let life = rig.start().await;
        rig.over(&life).await;
        rig.titles().await
    });
    let about = format!("died at {number}, seen {seen}");
    assert_eq!((rig.mission().end, rig.statuses()), (Some(End::Complete), vec![Status::Done; 2]), "{about}");
    let titles = ["review of t1 one", "review of t2 two", "review of t2 two", "t1 one", "t2 two"];
    assert_eq!(all, titles, "{about}");
    // Whatever was cut off, the report is asked for once.
    let reports = rig.told_commander().iter().filter(|text| text.contains("Report to the user")).count();
    assert_eq!(reports, 1, "{about}: {:?}", rig.told_commander());
    rig.check();
    died
}

/// One death at each fifth request, or at each with `SORTIE_MISSION_DEATHS=1`.
fn die_at_many(seen: bool, first: usize) {
    let stride = std::env::var("SORTIE_MISSION_DEATHS").ok().and_then(|stride| stride.parse().ok()).unwrap_or(5);
    let deaths = (first..300).step_by(stride).take_while(|number| die_at(*number, seen)).count();
    assert!(deaths * stride >= 20, "{deaths}");
}

#[test]
fn a_mission_survives_a_death_before_its_requests() {
    die_at_many(false, 0);
}

#[test]
fn a_mission_survives_a_death_after_its_requests() {
    die_at_many(true, 2);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_for_a_while_delays_a_mission_and_breaks_nothing() {
    let rig = Rig::new(model).await;
    let left = Arc::new(std::sync::atomic::AtomicU32::new(4));
    let life = rig.start_refusing("mission", &left).await;
    rig.write_todo(&life, PLAN).await;
    while life.at.begin_mission(&rig.parent, DIR, "make it so").await.is_err() {}
    rig.say(&life, "make it so").await;
    left.store(6, Ordering::SeqCst);
    rig.over(&life).await;
    assert_eq!((rig.mission().end, left.load(Ordering::SeqCst)), (Some(End::Complete), 0));
    assert!(rig.told_commander().len() == 1);
    rig.check();
}
