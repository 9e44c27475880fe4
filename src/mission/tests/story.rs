//! One story each.

use super::cast::{Play, answered, complete, diligent};
use crate::{
    mission::{Commander, End, Errand, MessageKind, News, Note, Own, Phase, Stage, TaskView, Turn, words},
    task::Timestamp,
    todo::{NewItem, Operation, Status},
};

const PLAN: &str = "# TODO\n## Make it so {mission: m1}\n- [ ] t1: one\n- [ ] t2: two {after: t1}\n- [ ] t3: three\n";

fn set(id: &str, status: Status) -> Operation {
    Operation::set(id.parse().unwrap(), status)
}

fn add(title: &str) -> Operation {
    let item = Box::new(NewItem { title: title.into(), ..NewItem::default() });
    Operation::Add { mission: Some("m1".into()), group: None, parent: None, item }
}

#[test]
fn a_plan_is_worked_through_reviewed_and_reported() {
    let mut play = Play::new(PLAN);
    play.decide();
    assert_eq!((play.mission.phase, &play.news[..]), (Phase::Execute, &[News::Planned { items: 3 }][..]));
    play.decide();
    let first: Vec<_> = play.launched.iter().map(|launch| (launch.key.as_str(), launch.title.as_str())).collect();
    assert_eq!(first, [("t1", "t1 one"), ("t3", "t3 three")]);
    assert_eq!((play.status("t1"), play.status("t2")), (Status::InProgress, Status::Pending));
    play.play();
    assert_eq!((play.mission.end, play.mission.phase), (Some(End::Complete), Phase::Done));
    for id in ["t1", "t2", "t3"] {
        assert_eq!(play.status(id), Status::Done);
        assert_eq!((play.of(id).len(), play.of(&format!("review-{id}")).len()), (1, 1));
    }
    // What came before is handed on, and the reviewer reads the worker's report.
    let before = play.of("t1")[0].id;
    assert!(play.of("t2")[0].prompt.contains(&format!("{{{{result:{before}}}}}")));
    assert!(play.of("review-t1")[0].prompt.contains(&format!("{{{{result:{before}}}}}")));
    assert_eq!(play.messages.len(), 1);
    let report = &play.messages[0];
    assert_eq!(report.kind, MessageKind::Report);
    assert!(report.text.contains("- t2 [done] two\n  done as told"), "{}", report.text);
    assert!(report.text.contains("none were run"), "{}", report.text);
    assert_eq!(play.news.last(), Some(&News::Complete { done: 3, given_up: 0 }));
}

#[test]
fn a_planner_is_sent_when_the_commander_has_planned_nothing() {
    let mut play = Play::new("");
    play.decide();
    let planner = play.launched[0].clone();
    assert_eq!((planner.agent.as_str(), planner.key.as_str()), ("planner", "plan-m1"));
    assert!(planner.prompt.contains("make it so"));
    // Items begin when the plan is whole.
    play.edit(&[add("first")]);
    assert!(!play.decide());
    play.edit(&[add("second")]);
    play.cast = Box::new(|launch, before| match launch.key.as_str() {
        "plan-m1" => complete("planned\nDECISION: keep it small"),
        _ => diligent(launch, before),
    });
    play.play();
    assert_eq!(play.mission.end, Some(End::Complete));
    assert_eq!(play.mission.memory, [Note { decision: true, text: "keep it small".into() }]);
    assert!(words::memory(&play.mission, &play.todo, None).contains("Decided: keep it small"));
}

#[test]
fn a_planner_that_finds_nothing_leaves_it_to_the_commander() {
    let mut play = Play::new("");
    play.play();
    assert_eq!(play.messages.iter().map(|message| message.kind).collect::<Vec<_>>(), [MessageKind::NoPlan]);
    assert!(play.messages[0].text.contains("done as told"));
    assert_eq!((play.mission.end, play.mission.phase), (Some(End::Complete), Phase::Done));
}

#[test]
fn errands_of_the_commanders_own_need_no_plan() {
    let mut play = Play::new("");
    play.own = Own { all: 2, open: 1 };
    play.play();
    assert!(!play.mission.is_over() && play.launched.is_empty());
    play.own.open = 0;
    play.play();
    assert!(play.mission.is_over() && play.launched.is_empty() && play.messages.is_empty());
}

#[test]
fn nothing_new_planned_leaves_what_was_planned_before() {
    for own in [Own::default(), Own { all: 1, open: 0 }] {
        let mut play = Play::new(PLAN);
        play.decide();
        play.decide();
        assert_eq!(play.mission.phase, Phase::Execute);
        // As asked again: what stands there was planned before.
        play.own = own;
        play.mission.planned = 3;
        play.mission.phase = Phase::Plan;
        play.play();
        assert_eq!(play.mission.end, Some(End::Complete));
        assert_eq!(play.news.last(), Some(&News::Complete { done: 3, given_up: 0 }));
    }
}

#[test]
fn a_rejection_goes_back_to_the_same_session_with_the_reasons() {
    let mut play = Play::new(PLAN);
    play.cast = Box::new(|launch, before| match (launch.key.as_str(), before) {
        ("review-t1", 0) => complete("VERDICT: REJECT\n1. no test for zero"),
        _ => diligent(launch, before),
    });
    play.play();
    assert_eq!(play.mission.end, Some(End::Complete));
    let (workers, reviews) = (play.of("t1"), play.of("review-t1"));
    assert_eq!((workers.len(), reviews.len(), play.of("t3").len()), (2, 2, 1));
    assert_eq!(workers[1].continues, Some(workers[0].id));
    assert!(workers[1].prompt.contains("1. no test for zero") && workers[1].prompt.contains("round 2 of 3"));
    assert!(reviews[1].prompt.contains(&workers[1].id.to_string()));
}

#[test]
fn what_is_rejected_too_often_goes_to_the_commander() {
    let mut play = Play::new(PLAN);
    play.cast = Box::new(|launch, before| match launch.key.as_str() {
        "review-t1" => complete("VERDICT: REJECT\nstill wrong"),
        _ => diligent(launch, before),
    });
    play.commands = Box::new(|message, _| match message.kind {
        MessageKind::Decide => {
            assert!(message.text.contains("- t1 one: failed: rejected 3 times, the last time: still wrong"));
            assert!(message.text.contains("- t2 two: ") && message.text.contains("1 of 3 items are done"));
            vec![set("t1", Status::Cancelled), Operation::Remove { id: "t2".parse().unwrap() }]
        }
        _ => Vec::new(),
    });
    play.play();
    assert_eq!((play.of("t1").len(), play.mission.end), (3, Some(End::Complete)));
    assert_eq!(play.news.last(), Some(&News::Complete { done: 1, given_up: 1 }));
    assert!(
        matches!(&play.news[..], [.., News::Failed { .. }, _, _] | [.., News::Failed { .. }, _]),
        "{:?}",
        play.news
    );
}

#[test]
fn a_worker_that_dies_is_replaced_once() {
    let mut play = Play::new(PLAN);
    play.cast = Box::new(|launch, before| match (launch.key.as_str(), before) {
        ("t3", 0) => TaskView::Failed("provider said 400".into()),
        _ => diligent(launch, before),
    });
    play.play();
    let workers = play.of("t3");
    assert_eq!((workers.len(), workers[1].continues, play.mission.end), (2, None, Some(End::Complete)));

    let mut play = Play::new(PLAN);
    play.cast = Box::new(|launch, before| match launch.key.as_str() {
        "t3" => TaskView::Failed("provider said 400".into()),
        _ => diligent(launch, before),
    });
    play.play();
    assert_eq!((play.of("t3").len(), play.status("t3")), (2, Status::Failed));
    assert!(
        play.pause().contains("no progress after 3 messages: t3 three: failed: provider said 400"),
        "{}",
        play.pause()
    );
}

#[test]
fn a_commander_that_brings_nothing_forward_is_asked_three_times() {
    let mut play = Play::new("## x {mission: m1}\n- [ ] t1: one {after: t9}\n");
    play.play();
    assert_eq!(play.messages.len(), 3);
    assert!(play.messages.iter().all(|message| message.kind == MessageKind::Decide));
    assert!(play.pause().starts_with("no progress after 3 messages: t1 one: "), "{}", play.pause());
    assert_eq!(play.news.last(), Some(&News::Paused { reason: play.pause().to_owned() }));
    assert!(!play.decide(), "a paused mission moves");
}

#[test]
fn a_persons_word_and_any_progress_begin_the_count_anew() {
    let mut play = Play::new("## x {mission: m1}\n- [ ] t1: one {after: t9}\n");
    let person = |n: u32| Commander::Idle(Turn { answered: true, trouble: None, person: Some(format!("msg_{n}")) });
    for n in 0..8 {
        play.commander = person(n);
        while play.decide() {}
        assert!(play.happen(), "no message after the person's word {n}");
    }
    assert!(play.mission.pause.is_none() && play.mission.stale <= 1);
    play.commander = answered();
    play.fate = Box::new({
        let mut looks = 0;
        move |_| {
            looks += 1;
            Ok(format!("files {looks}"))
        }
    });
    for _ in 0..8 {
        while play.decide() {}
        assert!(play.happen());
    }
    assert!(play.mission.pause.is_none(), "the files change: that is progress");
}

#[test]
fn a_commander_in_a_turn_is_left_alone_while_work_goes_on() {
    let mut play = Play::new(PLAN);
    play.commander = answered();
    while play.decide() {}
    play.commander = Commander::Busy;
    play.play();
    assert!(play.messages.is_empty() && ["t1", "t2", "t3"].iter().all(|id| play.status(id) == Status::Done));
    play.commander = answered();
    play.play();
    assert_eq!((play.messages.len(), play.mission.end), (1, Some(End::Complete)));
}

#[test]
fn a_turn_that_was_cut_off_gets_the_same_message_again() {
    let mut play = Play::new(PLAN);
    while !play.messages.iter().any(|message| message.kind == MessageKind::Report) {
        while play.decide() {}
        play.happen();
    }
    play.commander = Commander::Idle(Turn::default());
    let before = play.mission.message.clone().unwrap();
    assert!(play.decide());
    let again = play.mission.message.clone().unwrap();
    assert!(!again.sent && again.message == before.message && again.text == before.text);
    play.play();
    assert_eq!(play.pause(), "the commander does not answer");

    let mut play = Play::new("");
    play.commander = Commander::Idle(Turn::default());
    play.play();
    assert!(play.messages[0].text.contains("Go on.") && play.messages[0].text.contains("make it so"));
    assert!(play.mission.pause.is_some() && play.launched.is_empty());
}

#[test]
fn a_provider_that_fails_the_commander_ends_in_a_pause_that_says_so() {
    let mut play = Play::new(PLAN);
    let failing =
        || Commander::Idle(Turn { answered: false, trouble: Some("APIError: no credit".into()), person: None });
    while play.mission.message.is_none() {
        if !play.decide() {
            play.happen();
        }
    }
    play.commander = failing();
    play.play();
    assert!(play.pause().contains("no credit"), "{}", play.pause());
}

#[test]
fn without_a_verdict_nothing_is_accepted() {
    let mut play = Play::new("## x {mission: m1}\n- [ ] t1: one\n");
    play.cast = Box::new(|launch, before| match launch.key.as_str() {
        "review-t1" => complete("looks all clean to me"),
        _ => diligent(launch, before),
    });
    play.play();
    let reviews = play.of("review-t1");
    assert_eq!((reviews.len(), reviews[1].continues), (2, Some(reviews[0].id)));
    assert_eq!(play.status("t1"), Status::Failed);
    assert!(play.pause().contains("gave no verdict") && !play.mission.is_over());
}

#[test]
fn a_reviewer_that_dies_is_replaced_and_does_not_cost_the_work() {
    let mut play = Play::new("## x {mission: m1}\n- [ ] t1: one\n");
    play.cast = Box::new(|launch, before| match (launch.key.as_str(), before) {
        ("review-t1", 0) => TaskView::Failed("timeout".into()),
        _ => diligent(launch, before),
    });
    play.play();
    assert_eq!((play.of("t1").len(), play.mission.end), (1, Some(End::Complete)));
}

#[test]
fn an_item_that_is_too_large_is_split_into_parts_of_its_own() {
    let mut play = Play::new("## x {mission: m1}\n- [ ] t1: one\n- [ ] t2: two {after: t1}\n");
    play.cast = Box::new(|launch, before| match launch.key.as_str() {
        "t1" => complete("SPLIT:\n- left {files: a.rs}\n- right {files: b.rs; after: t1.1}"),
        _ => diligent(launch, before),
    });
    play.play();
    assert_eq!(play.mission.end, Some(End::Complete));
    assert_eq!(play.item("t1.1").files, ["a.rs"]);
    assert!(["t1", "t1.1", "t1.2", "t2"].iter().all(|id| play.status(id) == Status::Done), "{}", play.todo);
    let order: Vec<_> =
        play.launched.iter().filter(|it| !it.key.starts_with("rev")).map(|it| it.key.as_str()).collect();
    assert_eq!(order, ["t1", "t1.1", "t1.2", "t2"]);
}

#[test]
fn splits_are_bounded_in_depth_and_number() {
    let mut play = Play::new("## x {mission: m1}\n- [ ] t1: one\n");
    play.cast = Box::new(|launch, before| {
        if launch.key.starts_with("review-") { diligent(launch, before) } else { complete("SPLIT:\n- a\n- b") }
    });
    play.play();
    // 1 + 2 + 4: those of the deepest level are told to do it as it is.
    assert_eq!(play.mission.works.len(), 7);
    let told = play.of("t1.1.1");
    assert!(told[1].prompt.contains("cannot be split again"), "{}", told[1].prompt);

    let mut play = Play::new("## x {mission: m1}\n- [ ] t1: one\n");
    let many = "- part\n".repeat(11);
    play.cast = Box::new(move |launch, before| match (launch.key.as_str(), before) {
        ("t1", 0) => complete(&format!("SPLIT:\n{many}")),
        _ => diligent(launch, before),
    });
    play.play();
    assert_eq!((play.mission.works.len(), play.mission.end), (1, Some(End::Complete)));
}

#[test]
fn the_first_accepted_racer_wins_and_the_others_stop() {
    let mut play = Play::new("## x {mission: m1}\n- [ ] t1: one {race: fast, slow@p/m}\n");
    play.cast = Box::new(|launch, before| match launch.agent.as_str() {
        "slow" => TaskView::Open,
        _ => diligent(launch, before),
    });
    while play.of("t1").len() < 2 {
        play.decide();
    }
    let (fast, slow) = (play.of("t1")[0].clone(), play.of("t1")[1].clone());
    assert_eq!((slow.model.as_deref(), slow.agent.as_str()), (Some("p/m"), "slow"));
    assert!(fast.directory.is_some() && fast.directory != slow.directory);
    play.play();
    assert_eq!((play.mission.end, &play.cancelled[..]), (Some(End::Complete), &[slow.id][..]));
    let trees: Vec<_> = [&fast, &slow].map(|racer| racer.directory.clone().unwrap()).into();
    let count = |wanted: &dyn Fn(&Errand) -> bool| play.asked.iter().filter(|errand| wanted(errand)).count();
    assert_eq!(count(&|errand| matches!(errand, Errand::Make(_))), 2);
    assert_eq!(count(&|errand| matches!(errand, Errand::Land(path, _) if *path == trees[0])), 1);
    assert_eq!(count(&|errand| matches!(errand, Errand::Land(..))), 1);
    for tree in trees {
        assert!(play.asked.contains(&Errand::Drop(tree)));
    }
}

#[test]
fn a_race_that_cannot_land_or_begin_fails_with_the_reason() {
    let mut play = Play::new("## x {mission: m1}\n- [ ] t1: one {race: a, b}\n");
    play.fate = Box::new(|errand| match errand {
        Errand::Land(..) => Err("it does not fit".into()),
        _ => Ok(String::new()),
    });
    play.play();
    assert!(play.pause().contains("a: it does not fit; b: it does not fit"), "{}", play.pause());
    let mut play = Play::new("## x {mission: m1}\n- [ ] t1: one {race: a, b}\n");
    play.fate = Box::new(|errand| match errand {
        Errand::Make(_) => Err("no repository".into()),
        _ => Ok(String::new()),
    });
    play.play();
    assert!(play.pause().contains("no repository") && play.launched.is_empty(), "{}", play.pause());
}

#[test]
fn what_people_change_in_the_file_stands() {
    let mut play = Play::new(PLAN);
    while play.decide() {}
    let t1 = play.of("t1")[0].id;
    // Ticked by hand: its worker is not needed any more, and what waits for it begins.
    play.edit(&[set("t1", Status::Done)]);
    while play.decide() {}
    assert_eq!(play.cancelled, [t1]);
    assert!(matches!(play.mission.works["t1"].stage, Stage::Accepted { worker: None }));
    assert_eq!(play.of("t2").len(), 1);
    // Given up by hand.
    let t3 = play.of("t3")[0].id;
    play.edit(&[set("t3", Status::Cancelled)]);
    while play.decide() {}
    assert_eq!(play.cancelled, [t1, t3]);
    // Unticked: once more, from the beginning.
    play.edit(&[set("t1", Status::Pending)]);
    while play.decide() {}
    assert_eq!((play.of("t1").len(), play.status("t1")), (2, Status::InProgress));
    // Taken away in the middle.
    let id = "t2".parse().unwrap();
    play.edit(&[Operation::Remove { id }]);
    play.play();
    assert_eq!((play.mission.end, play.cancelled.len()), (Some(End::Complete), 3));
}

#[test]
fn an_item_added_later_is_done_before_the_report() {
    let mut play = Play::new(PLAN);
    while play.mission.message.is_none() {
        if !play.decide() {
            play.happen();
        }
    }
    assert_eq!(play.mission.phase, Phase::Report);
    play.edit(&[add("one more thing")]);
    play.happen();
    play.play();
    assert_eq!((play.mission.end, play.status("t4")), (Some(End::Complete), Status::Done));
    assert_eq!(play.messages.iter().filter(|message| message.kind == MessageKind::Report).count(), 2);
}

#[test]
fn failing_checks_are_for_the_commander_and_run_again() {
    let mut play = Play::new(PLAN);
    play.settings.checks = vec![vec!["make".into()]];
    let mut runs = 0;
    play.fate = Box::new(move |errand| match errand {
        Errand::Check(_) => {
            runs += 1;
            if runs == 1 { Err("$ make (exit code 2)\nboom".into()) } else { Ok("$ make (exit code 0)".into()) }
        }
        _ => Ok(String::new()),
    });
    play.commands = Box::new(|message, _| match message.kind {
        MessageKind::Checks => {
            assert!(message.text.contains("boom"));
            vec![add("repair it")]
        }
        _ => Vec::new(),
    });
    play.play();
    assert_eq!((play.mission.end, play.status("t4")), (Some(End::Complete), Status::Done));
    let last = play.messages.last().unwrap();
    assert!(last.text.contains("$ make (exit code 0)") && !last.text.contains("none were run"));

    let mut play = Play::new(PLAN);
    play.settings.checks = vec![vec!["make".into()]];
    play.fate = Box::new(|errand| match errand {
        Errand::Check(_) => Err("boom".into()),
        _ => Ok(String::new()),
    });
    play.play();
    assert!(play.pause().contains("the project's checks fail"), "{}", play.pause());
    assert_eq!(play.asked.iter().filter(|errand| matches!(errand, Errand::Check(_))).count(), 4);
}

#[test]
fn turns_tokens_time_and_items_are_bounded() {
    let mut play = Play::new(PLAN);
    play.tokens = 50_000_001;
    play.play();
    assert!(play.pause().contains("mission.maxTokens"));
    let mut play = Play::new(PLAN);
    play.now = Timestamp(86_401_000);
    play.play();
    assert!(play.pause().contains("mission.maxTime"));
    let mut play = Play::new(PLAN);
    play.settings.max_items = std::num::NonZeroU32::MIN;
    play.play();
    assert!(play.pause().contains("mission.maxItems"), "{}", play.pause());
    let mut play = Play::new("## x {mission: m1}\n- [ ] t1: one {after: t9}\n");
    let mut looks = 0;
    play.fate = Box::new(move |_| {
        looks += 1;
        Ok(format!("{looks}"))
    });
    play.play();
    assert!(play.pause().contains("mission.maxTurns") && play.messages.len() == 50, "{}", play.messages.len());
}

#[test]
fn items_of_others_are_left_alone_unless_they_are_adopted() {
    let text = "- [ ] t1: mine\n## other {mission: m7}\n- [ ] t2: theirs\n## x {mission: m1}\n- [ ] t3: own\n";
    let mut play = Play::new(text);
    play.play();
    assert_eq!(
        (play.status("t1"), play.status("t2"), play.status("t3")),
        (Status::Pending, Status::Pending, Status::Done)
    );
    let mut play = Play::new(text);
    play.mission.adopts = true;
    play.play();
    assert_eq!(
        (play.status("t1"), play.status("t2"), play.status("t3")),
        (Status::Done, Status::Pending, Status::Done)
    );
}

#[test]
fn quarters_are_told_once() {
    let items = (1..=8).map(|n| format!("- [ ] t{n}: item")).collect::<Vec<_>>().join("\n");
    let mut play = Play::new(&format!("## x {{mission: m1}}\n{items}"));
    play.play();
    let progress: Vec<_> = play.news.iter().filter(|news| matches!(news, News::Progress { .. })).collect();
    assert_eq!(progress.len(), 3, "{progress:?}");
}
