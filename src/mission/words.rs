//! What the engine says: prompts of a mission's tasks, messages to its commander, and the memory that they share.

use std::fmt::Write;

use super::{
    state::{End, Mission, Stage},
    world::World,
};
use crate::{
    fault::floor,
    task::TaskId,
    todo::{Document, Item, ItemId, Status},
};

/// How much of the goal goes into a task's prompt, in bytes.
const GOAL_SHORT: usize = 1_500;

/// The most bytes of memory in a system prompt.
pub const MEMORY_LIMIT: usize = 2_048;

/// The most bytes that a compaction is given.
const COMPACTION_LIMIT: usize = 6 * 1024;

/// How many items a message names.
const NAMED: usize = 40;

/// How much of one result the last message holds.
const RESULT: usize = 600;

/// A text of at most `limit` bytes.
fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit { text.to_owned() } else { format!("{} […]", &text[..floor(text, limit)]) }
}

/// A text of others inside ours: it cannot end our mark.
fn quoted(text: &str) -> String {
    text.replace("</sortie-", "<\\/sortie-")
}

/// A message to the commander, marked as ours.
fn message(mission: &Mission, body: &str) -> String {
    format!("<sortie-mission id=\"{}\">\n{}\n</sortie-mission>", mission.tag, quoted(body.trim_end()))
}

/// An item for those who work on it.
fn item_text(item: &Item) -> String {
    let mut text = format!("{}: {}\n", id_of(item), item.title);
    if !item.files.is_empty() {
        let _ = writeln!(text, "Files: {}", item.files.join(", "));
    }
    if !item.notes.trim().is_empty() {
        let _ = writeln!(text, "{}", item.notes.trim());
    }
    text
}

fn id_of(item: &Item) -> String {
    item.id.as_ref().map(ToString::to_string).unwrap_or_default()
}

/// The planner's prompt.
#[must_use]
pub fn plan(mission: &Mission) -> String {
    format!(
        "Plan mission {}. Add its items with sortie_todo, and end with a short summary.\n\nWhat was asked for:\n{}",
        mission.tag, mission.goal
    )
}

/// A worker's prompt. Results of the items before it are put in where the task starts.
#[must_use]
pub fn work(mission: &Mission, item: &Item) -> String {
    let mut text = format!("Do this one item.\n\n{}", item_text(item));
    let _ = write!(text, "\nIt is part of: {}\n", cut(&mission.goal, GOAL_SHORT));
    for before in &item.after {
        if let Some(Stage::Accepted { worker: Some(task) }) = mission.works.get(before).map(|work| &work.stage) {
            let _ = write!(text, "\nResult of {before}:\n{{{{result:{task}}}}}\n");
        }
    }
    text
}

/// What a worker is told whose work was rejected, or who asked for what it cannot have.
#[must_use]
pub fn again(item: &ItemId, round: u32, of: u32, reasons: &str) -> String {
    format!(
        "Your work on {item} was rejected (round {round} of {of}):\n{reasons}\n\nCorrect it and report again, in the \
         same way, the whole of what you did."
    )
}

/// A reviewer's prompt.
#[must_use]
pub fn review(mission: &Mission, item: &Item, worker: TaskId) -> String {
    format!(
        "Judge the work on this item.\n\n{}\nIt is part of: {}\n\nThe worker's report:\n{{{{result:{worker}}}}}\n",
        item_text(item),
        cut(&mission.goal, GOAL_SHORT)
    )
}

/// What a reviewer is told that gave no verdict.
pub const NO_VERDICT: &str = "Your answer has no verdict. Answer with one line `VERDICT: ACCEPT` or `VERDICT: REJECT`, and after it the reasons.";

/// The commander's turn was cut off.
#[must_use]
pub fn go_on(mission: &Mission) -> String {
    message(mission, &format!("OpenCode stopped in the middle of your turn. Go on.\n\nAsked was:\n{}", mission.goal))
}

/// The planner found nothing to do.
#[must_use]
pub fn no_plan(mission: &Mission, said: &str) -> String {
    let body = format!(
        "The planner ended without adding items. It said:\n{}\n\nAdd items with sortie_todo, launch tasks, or answer \
         the user yourself: when you end your turn and nothing is planned, the mission is over.",
        cut(said, 4_000)
    );
    message(mission, &body)
}

/// Items that cannot go on by themselves.
#[must_use]
pub fn decide(mission: &Mission, open: &[(String, String)], done: usize, all: usize) -> String {
    let mut body = format!("{done} of {all} items are done. These cannot go on without you:\n");
    for (item, why) in open.iter().take(NAMED) {
        let _ = writeln!(body, "- {item}: {why}");
    }
    if open.len() > NAMED {
        let _ = writeln!(body, "- and {} more: see sortie_todo", open.len() - NAMED);
    }
    body.push_str(
        "\nRepair the plan with sortie_todo: update (status pending tries again, cancelled gives up), split, add, \
         remove. Then end your turn.",
    );
    message(mission, &body)
}

/// The project's checks failed.
#[must_use]
pub fn checks(mission: &Mission, said: &str) -> String {
    let body = format!(
        "Every item is done, but the project's checks fail:\n{}\n\nAdd items that repair this with sortie_todo, and \
         end your turn.",
        cut(said, 8_000)
    );
    message(mission, &body)
}

/// All is done: the commander reports.
#[must_use]
pub fn report(mission: &Mission, world: &World<'_>) -> String {
    let mut body = String::from("Every item has ended:\n");
    let items: Vec<_> = scope(world.todo, mission).collect();
    for item in items.iter().take(NAMED) {
        let _ = writeln!(body, "- {} [{}] {}", id_of(item), item.status.as_str(), item.title);
        let work = item.id.as_ref().and_then(|id| mission.works.get(id));
        if let Some(Stage::Accepted { worker: Some(task) }) = work.map(|work| &work.stage)
            && let Some(text) = world.result(*task)
        {
            let _ = writeln!(body, "  {}", cut(text.trim(), RESULT).replace('\n', "\n  "));
        }
    }
    if items.len() > NAMED {
        let _ = writeln!(body, "- and {} more: see sortie_todo", items.len() - NAMED);
    }
    match &mission.checked {
        Some(checked) => {
            let _ = write!(body, "\nThe project's checks:\n{}\n", cut(&checked.text, 4_000));
        }
        None => body.push_str("\nNo checks of the project are configured: none were run.\n"),
    }
    body.push_str("\nReport to the user: what was done, how it was verified, what was given up and why, what is left.");
    message(mission, &body)
}

/// The items of a mission.
pub fn scope<'a>(todo: &'a Document, mission: &Mission) -> impl Iterator<Item = &'a Item> + use<'a> {
    let (tag, adopts) = (mission.tag.clone(), mission.adopts);
    todo.items().iter().filter(move |item| item.mission.as_deref().map_or(adopts, |of| of == tag))
}

/// How many items of a mission are in each state: done, open, failed, cancelled.
#[must_use]
pub fn tally(todo: &Document, mission: &Mission) -> (usize, usize, usize, usize) {
    let count = |wanted: &dyn Fn(Status) -> bool| scope(todo, mission).filter(|item| wanted(item.status)).count();
    (
        count(&|status| status == Status::Done),
        count(&Status::is_open),
        count(&|status| status == Status::Failed),
        count(&|status| status == Status::Cancelled),
    )
}

/// The memory of a mission for a system prompt: the same for all its agents but for the item at hand.
#[must_use]
pub fn memory(mission: &Mission, todo: &Document, item: Option<&ItemId>) -> String {
    let (done, open, failed, cancelled) = tally(todo, mission);
    let mut text = format!(
        "<sortie-memory>\nMission {} [{}]: {}\nItems: {done} done, {open} open, {failed} failed, {cancelled} given up.\n",
        mission.tag,
        mission.phase.as_str(),
        cut(&mission.goal.replace('\n', " "), 400)
    );
    if let Some(item) = item {
        let _ = writeln!(text, "Your item: {item}.");
    }
    // The newest notes matter most: they are chosen first, and told in their order.
    let mut chosen = Vec::new();
    let mut left = MEMORY_LIMIT.saturating_sub(text.len() + 32);
    for note in mission.memory.iter().rev() {
        let line = format!("{}: {}\n", if note.decision { "Decided" } else { "Found" }, quoted(&note.text));
        let Some(rest) = left.checked_sub(line.len()) else { break };
        left = rest;
        chosen.push(line);
    }
    text.extend(chosen.into_iter().rev());
    text.push_str("</sortie-memory>");
    text
}

/// What a compaction of the commander's session must keep.
#[must_use]
pub fn compaction(mission: &Mission, todo: &Document) -> String {
    let mut text = format!(
        "This session commands mission {} of Sortie; its state is kept outside and is true whatever the summary \
         says.\nAsked was: {}\n{}\nItems:\n",
        mission.tag,
        cut(&mission.goal, 2_000),
        memory(mission, todo, None)
    );
    for item in scope(todo, mission) {
        let line = format!("- {} [{}] {}\n", id_of(item), item.status.as_str(), item.title);
        if text.len() + line.len() > COMPACTION_LIMIT {
            text.push_str("- and more: see sortie_todo\n");
            break;
        }
        text.push_str(&line);
    }
    text
}

/// A mission for people: what `/mission` shows.
#[must_use]
pub fn status(mission: &Mission, todo: &Document) -> String {
    let (done, open, failed, cancelled) = tally(todo, mission);
    let mut text = format!("Mission {}: {}\n", mission.tag, cut(mission.goal.trim(), 300));
    let phase = match (mission.end, &mission.pause) {
        (Some(End::Complete), _) => "complete".to_owned(),
        (Some(End::Stopped), _) => "stopped".to_owned(),
        (None, Some(pause)) => format!("paused in {}: {}", mission.phase.as_str(), pause.reason),
        (None, None) => mission.phase.as_str().to_owned(),
    };
    let _ = writeln!(text, "{phase} · {done} done, {open} open, {failed} failed, {cancelled} given up");
    for item in scope(todo, mission).take(NAMED) {
        let _ = write!(text, "[{}] {} {}", item.status.mark(), id_of(item), item.title);
        if let Some(work) = item.id.as_ref().and_then(|id| mission.works.get(id)) {
            let _ = write!(text, "{}", doing(&work.stage));
        }
        text.push('\n');
    }
    text
}

/// What is done about an item just now.
fn doing(stage: &Stage) -> String {
    use super::state::RacerStep;
    let Stage::Active { racers } = stage else {
        return match stage {
            Stage::Failed { reason } => format!(" — {}", cut(reason, 200)),
            _ => String::new(),
        };
    };
    let of = |racer: &super::state::Racer| {
        let step = match &racer.step {
            RacerStep::Preparing => "gets a worktree",
            RacerStep::Working { .. } => "works",
            RacerStep::Reviewing { .. } => "is reviewed",
            RacerStep::Landing { .. } => "has won",
            RacerStep::Out { .. } => "is out",
        };
        let round = if racer.rounds > 0 { format!(" (round {})", racer.rounds + 1) } else { String::new() };
        format!("{} {step}{round}", racer.agent)
    };
    format!(" — {}", racers.iter().map(of).collect::<Vec<_>>().join(", "))
}
