//! From plan to report: what happens when no work is to be done just now.

use super::{
    answers,
    decide::Deciding,
    state::{Checked, End, MessageKind, Phase, Stage},
    words,
    work::racing,
    world::{Errand, Launch, News, TaskView},
};
use crate::todo::{self, Status};

/// The last layer.
pub(super) fn go(deciding: &mut Deciding<'_>) {
    sweep(deciding);
    progress(deciding);
    hear(deciding);
    if !deciding.news.is_empty() || cut_off(deciding) {
        return;
    }
    match deciding.mission.phase {
        Phase::Plan => plan(deciding),
        Phase::Execute => execute(deciding),
        Phase::Verify => verify(deciding),
        Phase::Report => report(deciding),
        Phase::Done => {}
    }
}

/// Removes the worktrees that nobody needs any more.
fn sweep(deciding: &mut Deciding<'_>) {
    let litter = std::mem::take(&mut deciding.mission.litter);
    // One that cannot be removed is logged by whoever tried, and left.
    deciding.mission.litter =
        litter.into_iter().filter(|path| deciding.errand(Errand::Drop(path.clone())).is_none()).collect();
    if deciding.word.is_empty() {
        deciding.word = "sweep";
    }
}

/// Tells of each further quarter.
fn progress(deciding: &mut Deciding<'_>) {
    let (done, open, failed, cancelled) = words::tally(deciding.world.todo, &deciding.mission);
    let (ended, all) = (done + cancelled, done + open + failed + cancelled);
    if all == 0 {
        return;
    }
    let quarter = u32::try_from(ended * 4 / all).unwrap_or(4) * 25;
    if quarter > deciding.mission.told && quarter < 100 {
        deciding.word = "progress";
        deciding.mission.told = quarter;
        deciding.news.push(News::Progress { done: ended, all });
    }
}

/// A message of a person's begins the count anew: it is no failure of the commander's.
fn hear(deciding: &mut Deciding<'_>) {
    let Some(turn) = deciding.turn() else { return };
    if turn.person.is_some() && turn.person != deciding.mission.heard {
        deciding.word = "hear";
        deciding.mission.heard.clone_from(&turn.person);
        deciding.mission.stale = 0;
    }
}

/// A message of ours whose turn was cut off is sent again, under the same ids.
fn cut_off(deciding: &mut Deciding<'_>) -> bool {
    let Some(turn) = deciding.turn() else { return false };
    let Some(message) = deciding.mission.message.as_mut() else { return false };
    if turn.answered || turn.trouble.is_some() || !message.sent {
        return false;
    }
    let most = deciding.world.settings.continuations.get();
    if deciding.mission.stale > most || deciding.mission.turns >= deciding.world.settings.max_turns.get() {
        deciding.pause("the commander does not answer".to_owned());
    } else {
        message.sent = false;
        deciding.word = "again";
        deciding.mission.stale += 1;
        deciding.mission.turns += 1;
    }
    true
}

/// Whether the latest message of this kind has been answered, or has failed.
fn is_answered(deciding: &Deciding<'_>, kind: MessageKind) -> bool {
    let sent = deciding.mission.message.as_ref().is_some_and(|message| message.kind == kind && message.sent);
    sent && deciding.turn().is_some_and(|turn| turn.answered)
}

/// Whether a message waits to be sent.
fn is_outgoing(deciding: &Deciding<'_>) -> bool {
    deciding.mission.message.as_ref().is_some_and(|message| !message.sent)
}

fn plan(deciding: &mut Deciding<'_>) {
    let planner = deciding.mission.planner.and_then(|task| deciding.world.tasks.get(&task));
    if matches!(planner, Some(TaskView::Open)) || (deciding.mission.planner.is_some() && planner.is_none()) {
        return;
    }
    let items = deciding.items().count();
    if items > deciding.mission.planned && (planner.is_some() || deciding.turn().is_some()) {
        if let Some(TaskView::Complete(text)) = planner {
            for note in answers::notes(text) {
                deciding.mission.remember(note);
            }
        }
        deciding.word = "planned";
        deciding.mission.phase = Phase::Execute;
        deciding.news.push(News::Planned { items });
        return;
    }
    let Some(turn) = deciding.turn().filter(|_| !is_outgoing(deciding)) else { return };
    let own = deciding.world.own;
    match planner {
        _ if own.open > 0 => {}
        None if !turn.answered => {
            let why = "the commander has not answered yet";
            deciding.say(MessageKind::GoOn, why, words::go_on);
        }
        // Errands that needed no plan, and were told of.
        None if own.all > 0 => no_plan(deciding),
        None => launch_planner(deciding),
        Some(_) if is_answered(deciding, MessageKind::NoPlan) => no_plan(deciding),
        Some(planner) => {
            let said = match planner {
                TaskView::Complete(text) | TaskView::Failed(text) | TaskView::Cancelled(text) => text.clone(),
                TaskView::Open => String::new(),
            };
            deciding.say(MessageKind::NoPlan, "nothing is planned", |mission| words::no_plan(mission, &said));
        }
    }
}

/// Nothing came to the plan: what was planned before goes on, and without that the mission is over.
fn no_plan(deciding: &mut Deciding<'_>) {
    let (_, open, failed, _) = words::tally(deciding.world.todo, &deciding.mission);
    if open + failed > 0 {
        deciding.word = "planned";
        deciding.mission.phase = Phase::Execute;
    } else {
        finish(deciding);
    }
}

fn launch_planner(deciding: &mut Deciding<'_>) {
    let task = deciding.names.task();
    deciding.word = "plan";
    deciding.mission.planner = Some(task);
    deciding.launch.push(Launch {
        id: task,
        key: format!("plan-{}", deciding.mission.tag),
        title: format!("plan of {}", deciding.mission.tag),
        agent: deciding.world.settings.agents.planner.clone(),
        model: None,
        prompt: words::plan(&deciding.mission),
        continues: None,
        directory: None,
    });
}

/// Items that have neither ended well nor are worked on, each with the reason.
fn stuck(deciding: &Deciding<'_>) -> Vec<(String, String)> {
    let mission = &deciding.mission;
    let blocked = todo::blocked(deciding.world.todo);
    let why = |item: &todo::Item| {
        let id = item.id.as_ref()?;
        let work = mission.works.get(id).map(|work| &work.stage);
        Some(match (item.status, work) {
            (Status::Done | Status::Cancelled, _) | (_, Some(Stage::Active { .. })) => return None,
            (Status::Failed, Some(Stage::Failed { reason })) => format!("failed: {reason}"),
            (Status::Failed, _) => "failed".to_owned(),
            (Status::InProgress, Some(Stage::Split)) => "its parts are not done".to_owned(),
            (Status::InProgress, _) => "is marked as in progress, but no task works on it".to_owned(),
            (Status::Pending, _) => {
                let blocked = blocked.iter().find(|(blocked, _)| blocked.id.as_ref() == Some(id));
                blocked.map_or_else(|| "waits".to_owned(), |(_, why)| why.to_string())
            }
        })
    };
    deciding
        .items()
        .filter_map(|item| {
            let name = format!("{} {}", item.id.as_ref()?, item.title);
            Some((name, why(item)?))
        })
        .collect()
}

fn execute(deciding: &mut Deciding<'_>) {
    if racing(&deciding.mission) > 0 || deciding.world.own.open > 0 {
        return;
    }
    let stuck = stuck(deciding);
    if stuck.is_empty() {
        deciding.word = "verify";
        deciding.mission.phase = Phase::Verify;
        return;
    }
    if deciding.turn().is_none() || is_outgoing(deciding) {
        return;
    }
    let (done, open, failed, cancelled) = words::tally(deciding.world.todo, &deciding.mission);
    let all = done + open + failed + cancelled;
    let (first, why) = &stuck[0];
    let more = if stuck.len() > 1 { format!(" and {} more", stuck.len() - 1) } else { String::new() };
    let summary = format!("{first}{more}: {why}");
    deciding.say(MessageKind::Decide, &summary, |mission| words::decide(mission, &stuck, done, all));
}

fn verify(deciding: &mut Deciding<'_>) {
    if !stuck(deciding).is_empty() || racing(&deciding.mission) > 0 {
        deciding.word = "execute";
        deciding.mission.phase = Phase::Execute;
        return;
    }
    if deciding.mission.checked.is_none() && !deciding.world.settings.checks.is_empty() {
        if let Some(said) = deciding.errand(Errand::Check(deciding.mission.turns)) {
            deciding.word = "checked";
            let passed = said.is_ok();
            let (Ok(text) | Err(text)) = said;
            deciding.mission.checked = Some(Checked { rev: deciding.world.rev, passed, text });
        }
        return;
    }
    if deciding.turn().is_none() || is_outgoing(deciding) {
        return;
    }
    match deciding.mission.checked.clone().filter(|checked| !checked.passed) {
        Some(failed) => {
            deciding
                .say(MessageKind::Checks, "the project's checks fail", |mission| words::checks(mission, &failed.text));
            if deciding.word == "message" {
                // They run again once the commander has answered.
                deciding.mission.checked = None;
                deciding.mission.phase = Phase::Execute;
            }
        }
        None => ask_for_report(deciding),
    }
}

fn ask_for_report(deciding: &mut Deciding<'_>) {
    let world = deciding.world;
    deciding.say(MessageKind::Report, "the commander gives no report", |mission| words::report(mission, world));
    if deciding.word == "message" {
        deciding.mission.phase = Phase::Report;
    }
}

fn report(deciding: &mut Deciding<'_>) {
    if !stuck(deciding).is_empty() || racing(&deciding.mission) > 0 {
        deciding.word = "execute";
        deciding.mission.phase = Phase::Execute;
        deciding.mission.checked = None;
        return;
    }
    if is_outgoing(deciding) || deciding.world.own.open > 0 {
        return;
    }
    match deciding.turn() {
        None => {}
        Some(turn) if turn.answered => finish(deciding),
        Some(_) => ask_for_report(deciding),
    }
}

/// Ends the mission, once nothing of it is left lying about.
fn finish(deciding: &mut Deciding<'_>) {
    if !deciding.mission.litter.is_empty() {
        return;
    }
    let (done, _, _, given_up) = words::tally(deciding.world.todo, &deciding.mission);
    deciding.word = "complete";
    deciding.mission.end = Some(End::Complete);
    deciding.mission.phase = Phase::Done;
    deciding.news.push(News::Complete { done, given_up });
}
