//! The work on items: who begins, what follows from a task's end, and when an item is done.

use std::collections::{HashMap, HashSet};

use super::{
    answers::{self, Verdict},
    decide::Deciding,
    state::{Mission, Racer, RacerStep, Stage, Tree, Work},
    words,
    world::{Errand, Launch, News, TaskView},
};
use crate::{
    task::TaskId,
    todo::{self, Document, Item, ItemId, NewItem, Operation, Status},
};

/// The most parts that an item is split into.
const PARTS: usize = 10;

/// The most reviewers in one round, the follow-up of one without a verdict included.
const REVIEWERS: u32 = 2;

/// How many items are worked on.
pub(super) fn racing(mission: &Mission) -> usize {
    mission.works.values().filter(|work| matches!(work.stage, Stage::Active { .. })).count()
}

/// Begins every item that is ready.
pub(super) fn start(deciding: &mut Deciding<'_>) {
    if deciding.mission.phase == super::state::Phase::Plan {
        return;
    }
    let tag = deciding.mission.tag.clone();
    let most = deciding.world.settings.max_items.get() as usize;
    let ours: HashSet<usize> = deciding.items().map(|item| item.line).collect();
    for item in todo::ready(deciding.world.todo) {
        let Some(id) = item.id.clone().filter(|_| ours.contains(&item.line)) else { continue };
        // One more than may be: that the bound was reached must be seen.
        if deciding.mission.works.contains_key(&id) || deciding.mission.works.len() > most {
            continue;
        }
        deciding.word = "start";
        let depth = item.parent.as_ref().and_then(|parent| deciding.mission.works.get(parent));
        let depth = depth.map_or(0, |parent| parent.depth + 1);
        let racers = begin(deciding, item, &id);
        deciding.todo.push(Operation::Claim { id: id.clone(), by: tag.clone() });
        deciding.mission.works.insert(id, Work { stage: Stage::Active { racers }, tries: 1, depth });
    }
}

/// Those who work on an item from now on.
fn begin(deciding: &mut Deciding<'_>, item: &Item, id: &ItemId) -> Vec<Racer> {
    let usual = item.agent.clone().unwrap_or_else(|| deciding.world.settings.agents.worker.clone());
    let racer = |agent: String, model, tree, step| Racer { agent, model, tree, step, rounds: 0, reviewers: 0 };
    if item.race.is_empty() {
        let worker = launch_worker(deciding, item, id, &usual, None, None);
        return vec![racer(usual, None, None, RacerStep::Working { worker })];
    }
    item.race
        .iter()
        .map(|entry| {
            let (agent, model) = (entry.agent.clone(), entry.model.clone());
            let tree = Tree { path: deciding.names.tree(), base: None };
            racer(agent, model, Some(tree), RacerStep::Preparing)
        })
        .collect()
}

fn launch_worker(
    deciding: &mut Deciding<'_>,
    item: &Item,
    id: &ItemId,
    agent: &str,
    model: Option<String>,
    directory: Option<&Tree>,
) -> TaskId {
    let prompt = words::work(&deciding.mission, item);
    let task = deciding.names.task();
    deciding.launch.push(Launch {
        id: task,
        key: id.to_string(),
        title: format!("{id} {}", item.title),
        agent: agent.to_owned(),
        model,
        prompt,
        continues: None,
        directory: directory.map(|tree| tree.path.clone()),
    });
    task
}

/// A task that goes on in the session of an ended one.
fn follow_up(deciding: &mut Deciding<'_>, of: TaskId, racer: &Racer, launch: Launch) -> TaskId {
    let task = launch.id;
    let directory = racer.tree.as_ref().map(|tree| tree.path.clone());
    deciding.launch.push(Launch { continues: Some(of), directory, ..launch });
    task
}

/// What a racer's progress means for its item.
enum Progress {
    None,
    Won(TaskId),
    Split(Vec<NewItem>),
}

/// Follows up every task that has ended.
pub(super) fn advance(deciding: &mut Deciding<'_>) {
    let active: Vec<_> = deciding
        .mission
        .works
        .iter()
        .filter(|(_, work)| matches!(work.stage, Stage::Active { .. }))
        .map(|(id, work)| (id.clone(), work.clone()))
        .collect();
    for (id, mut work) in active {
        let Some(item) = deciding.item(&id) else { continue };
        let mut racers = work.stage.racers().to_vec();
        let has_rivals = racers.len() > 1;
        let mut progress = Progress::None;
        for racer in &mut racers {
            progress = advance_racer(deciding, item, &id, racer, has_rivals, work.depth);
            if !matches!(progress, Progress::None) {
                break;
            }
        }
        if matches!(progress, Progress::None) && racers == work.stage.racers() {
            continue;
        }
        deciding.word = "advance";
        let all_out = racers.iter().all(|racer| matches!(racer.step, RacerStep::Out { .. }));
        work.stage = match progress {
            Progress::Won(worker) => {
                retire(deciding, &racers, Some(worker));
                deciding.todo.push(set(&id, Status::Done));
                Stage::Accepted { worker: Some(worker) }
            }
            Progress::Split(into) => {
                deciding.todo.push(Operation::Split { id: id.clone(), into });
                Stage::Split
            }
            Progress::None if all_out => out(deciding, item, &id, &racers, &mut work.tries),
            Progress::None => Stage::Active { racers },
        };
        deciding.mission.works.insert(id, work);
    }
}

/// The end of an item nobody has done: once more, if it was not the work that was at fault, or failed.
fn out(deciding: &mut Deciding<'_>, item: &Item, id: &ItemId, racers: &[Racer], tries: &mut u32) -> Stage {
    let reasons: Vec<_> = racers
        .iter()
        .filter_map(|racer| match &racer.step {
            RacerStep::Out { reason, .. } if racers.len() > 1 => Some(format!("{}: {reason}", racer.agent)),
            RacerStep::Out { reason, .. } => Some(reason.clone()),
            _ => None,
        })
        .collect();
    retire(deciding, racers, None);
    let again = racers.iter().all(|racer| matches!(racer.step, RacerStep::Out { again: true, .. }));
    if again && *tries < deciding.world.settings.workers.get() {
        *tries += 1;
        return Stage::Active { racers: begin(deciding, item, id) };
    }
    let reason = reasons.join("; ");
    deciding.todo.push(set(id, Status::Failed));
    deciding.news.push(News::Failed { item: id.clone(), reason: reason.clone() });
    Stage::Failed { reason }
}

/// Stops whoever is still at work on an item, and gives their worktrees up.
fn retire(deciding: &mut Deciding<'_>, racers: &[Racer], but: Option<TaskId>) {
    for racer in racers {
        deciding.cancel.extend(
            racer
                .step
                .task()
                .filter(|task| Some(*task) != but)
                .filter(|task| matches!(deciding.world.tasks.get(task), Some(TaskView::Open))),
        );
        deciding.mission.litter.extend(racer.tree.as_ref().map(|tree| tree.path.clone()));
    }
}

fn set(id: &ItemId, status: Status) -> Operation {
    Operation::set(id.clone(), status)
}

fn advance_racer(
    deciding: &mut Deciding<'_>,
    item: &Item,
    id: &ItemId,
    racer: &mut Racer,
    has_rivals: bool,
    depth: u32,
) -> Progress {
    match racer.step.clone() {
        RacerStep::Preparing => {
            let Some(tree) = racer.tree.clone() else { return Progress::None };
            match deciding.errand(Errand::Make(tree.path.clone())) {
                None => {}
                Some(Ok(base)) => {
                    let tree = Tree { base: Some(base), ..tree };
                    let (agent, model) = (racer.agent.clone(), racer.model.clone());
                    let worker = launch_worker(deciding, item, id, &agent, model, Some(&tree));
                    racer.tree = Some(tree);
                    racer.step = RacerStep::Working { worker };
                }
                Some(Err(reason)) => racer.step = RacerStep::Out { reason, again: false },
            }
        }
        RacerStep::Working { worker } => match deciding.world.tasks.get(&worker) {
            None | Some(TaskView::Open) => {}
            Some(TaskView::Complete(text)) => {
                for note in answers::notes(text) {
                    deciding.mission.remember(note);
                }
                if let Some(parts) = answers::split(text) {
                    match parts_of(deciding, id, &parts, has_rivals, depth) {
                        Ok(into) => return Progress::Split(into),
                        Err(why) => reject(deciding, id, racer, worker, &why),
                    }
                } else {
                    racer.reviewers = 1;
                    let reviewer = launch_reviewer(deciding, item, id, racer, worker);
                    racer.step = RacerStep::Reviewing { worker, reviewer };
                }
            }
            Some(TaskView::Failed(reason)) => racer.step = RacerStep::Out { reason: reason.clone(), again: true },
            Some(TaskView::Cancelled(reason)) => racer.step = RacerStep::Out { reason: reason.clone(), again: false },
        },
        RacerStep::Reviewing { worker, reviewer } => match deciding.world.tasks.get(&reviewer) {
            None | Some(TaskView::Open) => {}
            Some(TaskView::Complete(text)) => match answers::verdict(text) {
                Some(Verdict::Accept) if racer.tree.is_some() => racer.step = RacerStep::Landing { worker },
                Some(Verdict::Accept) => return Progress::Won(worker),
                Some(Verdict::Reject { reasons }) => reject(deciding, id, racer, worker, &reasons),
                None if racer.reviewers < REVIEWERS => {
                    racer.reviewers += 1;
                    let ask = Launch {
                        id: deciding.names.task(),
                        key: format!("review-{id}"),
                        title: format!("review of {id}, again"),
                        agent: deciding.world.settings.agents.reviewer.clone(),
                        model: None,
                        prompt: words::NO_VERDICT.to_owned(),
                        continues: None,
                        directory: None,
                    };
                    let reviewer = follow_up(deciding, reviewer, racer, ask);
                    racer.step = RacerStep::Reviewing { worker, reviewer };
                }
                None => {
                    let reason = "its reviewer gave no verdict".to_owned();
                    racer.step = RacerStep::Out { reason, again: false };
                }
            },
            Some(TaskView::Failed(_)) if racer.reviewers < REVIEWERS => {
                racer.reviewers += 1;
                let reviewer = launch_reviewer(deciding, item, id, racer, worker);
                racer.step = RacerStep::Reviewing { worker, reviewer };
            }
            Some(TaskView::Failed(reason) | TaskView::Cancelled(reason)) => {
                let reason = format!("it could not be reviewed: {reason}");
                racer.step = RacerStep::Out { reason, again: false };
            }
        },
        RacerStep::Landing { worker } => {
            let Some(Tree { path, base: Some(base) }) = racer.tree.clone() else { return Progress::None };
            match deciding.errand(Errand::Land(path, base)) {
                None => {}
                Some(Ok(_)) => return Progress::Won(worker),
                Some(Err(reason)) => racer.step = RacerStep::Out { reason, again: false },
            }
        }
        RacerStep::Out { .. } => {}
    }
    Progress::None
}

/// The parts that a worker asks for, or why it cannot have them.
fn parts_of(
    deciding: &Deciding<'_>,
    id: &ItemId,
    parts: &[String],
    has_rivals: bool,
    depth: u32,
) -> Result<Vec<NewItem>, String> {
    let settings = deciding.world.settings;
    if has_rivals {
        return Err("others race you for this item, so it cannot be split: do it as it is".to_owned());
    }
    if depth >= settings.max_split_depth {
        return Err("this item is a part of a split one already and cannot be split again: do it as it is".to_owned());
    }
    if parts.len() > PARTS || parts.len() < 2 {
        return Err(format!("{} parts are not possible: give 2 to {PARTS}, or do the item as it is", parts.len()));
    }
    if deciding.items().count() + parts.len() > settings.max_items.get() as usize {
        return Err("the mission has no room for more items: do it as it is".to_owned());
    }
    let into: Vec<_> = parts.iter().map(|part| part_of(part)).collect();
    // It must fit to everything else that this step does.
    let mut operations = deciding.todo.clone();
    operations.push(Operation::Split { id: id.clone(), into: into.clone() });
    match todo::apply(deciding.world.todo, &operations) {
        Ok(_) => Ok(into),
        Err(error) => Err(format!("the item cannot be split so: {error}")),
    }
}

/// A part as it is written in a list: in the words and with the attributes of an item.
fn part_of(line: &str) -> NewItem {
    let document = Document::parse(&format!("- [ ] {}", line.trim_start_matches("[ ] ")));
    match document.items().first() {
        Some(item) => NewItem {
            title: item.title.clone(),
            agent: item.agent.clone(),
            files: item.files.clone(),
            after: item.after.clone(),
            size: item.size,
            ..NewItem::default()
        },
        None => NewItem { title: line.to_owned(), ..NewItem::default() },
    }
}

fn launch_reviewer(deciding: &mut Deciding<'_>, item: &Item, id: &ItemId, racer: &Racer, worker: TaskId) -> TaskId {
    let task = deciding.names.task();
    deciding.launch.push(Launch {
        id: task,
        key: format!("review-{id}"),
        title: format!("review of {id} {}", item.title),
        agent: deciding.world.settings.agents.reviewer.clone(),
        model: None,
        prompt: words::review(&deciding.mission, item, worker),
        continues: None,
        directory: racer.tree.as_ref().map(|tree| tree.path.clone()),
    });
    task
}

/// Sends work back to its worker, or gives it up.
fn reject(deciding: &mut Deciding<'_>, id: &ItemId, racer: &mut Racer, worker: TaskId, reasons: &str) {
    let most = deciding.world.settings.rounds.get();
    racer.rounds += 1;
    if racer.rounds >= most {
        let reason = format!("rejected {most} times, the last time: {}", reasons.trim());
        racer.step = RacerStep::Out { reason, again: false };
        return;
    }
    racer.reviewers = 0;
    let round = racer.rounds + 1;
    let again = Launch {
        id: deciding.names.task(),
        key: id.to_string(),
        title: format!("{id} round {round}"),
        agent: racer.agent.clone(),
        model: racer.model.clone(),
        prompt: words::again(id, round, most, reasons),
        continues: None,
        directory: None,
    };
    let worker = follow_up(deciding, worker, racer, again);
    racer.step = RacerStep::Working { worker };
}

/// An item whose parts have all ended well is done.
pub(super) fn parents(deciding: &mut Deciding<'_>) {
    let mut parts: HashMap<&ItemId, Vec<Status>> = HashMap::new();
    for item in deciding.items() {
        if let Some(parent) = &item.parent {
            parts.entry(parent).or_default().push(item.status);
        }
    }
    let ended: Vec<_> = deciding
        .items()
        .filter_map(|item| {
            let id = item.id.as_ref().filter(|_| item.status.is_open())?;
            let parts = parts.get(id)?;
            let all_ended = parts.iter().all(|status| matches!(status, Status::Done | Status::Cancelled));
            let status = if parts.contains(&Status::Done) { Status::Done } else { Status::Cancelled };
            all_ended.then(|| (id.clone(), status))
        })
        .collect();
    for (id, status) in ended {
        deciding.word = "parts";
        // Only a split one is in the book; given up, it is in it no more.
        if status == Status::Cancelled {
            deciding.mission.works.remove(&id);
        }
        deciding.todo.push(set(&id, status));
    }
}
