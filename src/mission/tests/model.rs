//! Whatever agents, people and the world do: a mission ends or says why it stands still, after a bounded number of
//! steps, and never calls done what nobody accepted.

use proptest::prelude::*;

use super::cast::{Play, answered, complete};
use crate::{
    mission::{Commander, End, Errand, MessageKind, Stage, TaskView, Turn},
    todo::{NewItem, Operation, Status},
};

const ANSWERS: [&str; 8] = [
    "done",
    "VERDICT: ACCEPT",
    "VERDICT: REJECT\nno",
    "VERDICT: perhaps",
    "SPLIT:\n- a\n- b {after: t1}",
    "FINDING: x",
    "!failed",
    "!stopped",
];

fn view(answer: &str) -> TaskView {
    match answer {
        "!failed" => TaskView::Failed("failed".into()),
        "!stopped" => TaskView::Cancelled("stopped".into()),
        text => complete(text),
    }
}

/// What somebody does to the file.
#[derive(Debug, Clone)]
enum Edit {
    Set(usize, Status),
    Add(String, usize),
    Remove(usize),
}

fn edits() -> impl Strategy<Value = Edit> {
    prop_oneof![
        3 => (0_usize..12, 0_usize..5).prop_map(|(at, status)| Edit::Set(at, Status::ALL[status])),
        1 => ("[a-z]{1,5}", 0_usize..12).prop_map(|(title, after)| Edit::Add(title, after)),
        1 => (0_usize..12).prop_map(Edit::Remove),
    ]
}

fn apply(play: &mut Play, edit: &Edit) {
    let ids: Vec<_> = play.todo.items().iter().filter_map(|item| item.id.clone()).collect();
    let id = |at: usize| (!ids.is_empty()).then(|| ids[at % ids.len()].clone());
    let operation = match edit {
        Edit::Set(at, status) => id(*at).map(|id| Operation::set(id, *status)),
        Edit::Add(title, after) => {
            let after = id(*after).into_iter().collect();
            let item = Box::new(NewItem { title: title.clone(), after, ..NewItem::default() });
            Some(Operation::Add { mission: Some("m1".into()), group: None, parent: None, item })
        }
        Edit::Remove(at) => id(*at).map(|id| Operation::Remove { id }),
    };
    if let Some(operation) = operation
        && crate::todo::apply(&play.todo, std::slice::from_ref(&operation)).is_ok()
    {
        play.edit(&[operation]);
    }
}

fn holds(play: &Play) {
    let mission = &play.mission;
    for (id, work) in &mission.works {
        if let Stage::Accepted { worker: Some(worker) } = work.stage {
            let key = format!("review-{id}");
            let accepted = play.of(&key).iter().any(|review| {
                matches!(play.tasks.get(&review.id), Some(TaskView::Complete(text)) if text == "VERDICT: ACCEPT")
            });
            assert!(accepted && play.tasks.contains_key(&worker), "{id} was accepted by nobody");
        }
    }
    if mission.end == Some(End::Complete) {
        let left = play.todo.items().iter().filter(|item| item.mission.as_deref() == Some("m1"));
        for item in left {
            assert!(matches!(item.status, Status::Done | Status::Cancelled), "complete with {item:?}");
        }
        assert!(mission.litter.is_empty());
        if !play.settings.checks.is_empty() && !mission.works.is_empty() {
            let checks = play.asked.iter().filter(|errand| matches!(errand, Errand::Check(_)));
            assert!(checks.count() > 0, "complete without a check");
        }
    }
    // Nobody works for an item that is not in progress.
    for (id, work) in &mission.works {
        if matches!(work.stage, Stage::Active { .. }) && mission.pause.is_none() {
            assert_eq!(play.item(id.as_str()).status, Status::InProgress);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn a_mission_is_bounded_and_truthful(
        answers in prop::collection::vec(0_usize..ANSWERS.len(), 1..40),
        decisions in prop::collection::vec(prop::option::of(edits()), 1..10),
        outside in prop::collection::vec((1_usize..12, edits()), 0..8),
        race in any::<bool>(),
        checks in prop::collection::vec(any::<bool>(), 0..4),
        turns in prop::collection::vec(0_u8..4, 1..6),
    ) {
        let race = if race { " {race: a, b@p/m}" } else { "" };
        let mut play =
            Play::new(&format!("## x {{mission: m1}}\n- [ ] t1: one{race}\n- [ ] t2: two {{after: t1}}\n- [ ] t3: three\n"));
        // A commander who never comes back can let it wait for ever.
        let turns = [turns, vec![0]].concat();
        let mut at = 0;
        play.cast = Box::new(move |launch, _| {
            at += 1;
            let answer = ANSWERS[answers[at % answers.len()]];
            // A reviewer says more often what it should.
            view(if launch.key.starts_with("review-") && at % 2 == 0 { "VERDICT: ACCEPT" } else { answer })
        });
        if !checks.is_empty() {
            play.settings.checks = vec![vec!["make".into()]];
        }
        let mut check = 0;
        play.fate = Box::new(move |errand| match errand {
            Errand::Check(_) => {
                check += 1;
                if checks[check % checks.len()] { Ok("fine".into()) } else { Err("boom".into()) }
            }
            Errand::Land(..) if check % 2 == 1 => Err("does not fit".into()),
            _ => Ok(String::new()),
        });
        let mut decided = 0;
        let mut outside = outside.into_iter().peekable();
        let mut until = outside.peek().map_or(usize::MAX, |(pause, _)| *pause);
        for tick in 0..2_000 {
            play.commander = match turns[tick % turns.len()] {
                0 | 1 => answered(),
                2 => Commander::Busy,
                _ => Commander::Idle(Turn { answered: tick % 3 == 0, trouble: None, person: Some("msg_p".into()) }),
            };
            let mut steps = 0;
            while play.decide() {
                steps += 1;
                prop_assert!(steps < 300, "endless steps");
            }
            holds(&play);
            if play.mission.is_over() || play.mission.pause.is_some() {
                break;
            }
            until = until.saturating_sub(1);
            if until == 0 && let Some((_, edit)) = outside.next() {
                apply(&mut play, &edit);
                until = outside.peek().map_or(usize::MAX, |(pause, _)| *pause);
                continue;
            }
            let before = play.messages.len();
            let moved = play.happen();
            if play.messages.len() > before && play.messages.last().is_some_and(|it| it.kind != MessageKind::Report) {
                decided += 1;
                if let Some(edit) = decisions[decided % decisions.len()].clone() {
                    apply(&mut play, &edit);
                }
            }
            // Only a commander who is not there can let it wait.
            prop_assert!(moved || tick < 1_990, "it neither ends nor stands still: {:?}\n{}", play.mission, play.todo);
        }
        prop_assert!(play.mission.is_over() || play.mission.pause.is_some(), "{:?}\n{}", play.mission, play.todo);
        prop_assert!(play.launched.len() < 400 && play.messages.len() <= 60);
    }
}
