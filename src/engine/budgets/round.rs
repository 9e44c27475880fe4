//! One round: what was used is written, and what is used up stands still.

use std::{sync::Arc, time::Duration};

use super::{
    gate::{self, Gate, Shared},
    ledger::Seen,
};
use crate::{
    admission::{Bounds, Budget, Level, Of, SETTINGS, WhenOver},
    engine::{missions, project::Project, toasts::Note},
    store::{Account, Changed, Charge, Filter, Store, StoreError},
    task::{
        CancelReason, Change, ErrorClass, Failure, FailureKind, Guard, InstanceId, MissionId, Over, PauseReason,
        ProjectKey, Scope, Spent, StateName, TaskId, TaskState, Timestamp, What,
    },
};

/// The shortest sleep until a budget of seconds may be used up.
const SHORTEST: Duration = Duration::from_millis(250);

/// The longest sleep until the next day: a machine that slept in between would oversleep.
const LONGEST: Duration = Duration::from_secs(600);

/// What came of a round.
pub struct Round {
    /// Whether anything is bounded.
    pub is_bounded: bool,
    /// When to look again without being woken.
    pub again: Option<Duration>,
}

/// What a round is made of.
struct Input {
    key: ProjectKey,
    me: InstanceId,
    options: crate::admission::Budgets,
    missions: Vec<MissionId>,
    /// Those of them that stand still.
    halted: Vec<MissionId>,
    /// Nobody can be asked: what would pause fails.
    headless: bool,
    charges: Vec<Charge>,
    runs: Vec<Seen>,
    now: Timestamp,
}

/// What a round found.
#[derive(Default)]
struct Found {
    changed: Vec<Changed>,
    /// Tasks that fail, with the budget that is used up.
    failing: Vec<(TaskId, Over)>,
    /// Missions that stand still.
    missions: Vec<(MissionId, Over)>,
    /// What users are told.
    words: Vec<String>,
    /// Whether a shared budget holds anything back.
    holds: bool,
    /// Whether that of the day does.
    holds_day: bool,
    /// Milliseconds of running that are left where they are bounded.
    left: Option<u64>,
    is_bounded: bool,
}

/// Makes a round.
///
/// # Errors
/// The store's; then what was used is written by the next one.
pub async fn make(project: &Arc<Project>) -> Result<Round, StoreError> {
    let now = project.core.clock.now();
    let (charges, runs) = project.budgets.take(now);
    let running = runs.iter().filter(|run| !run.has_ended).count() as u64;
    let input = Input {
        key: project.key.clone(),
        me: project.core.instance,
        options: project.options.budget.clone(),
        missions: project.missions.ids(),
        halted: project.missions.halted(),
        headless: project.headless,
        charges,
        runs: runs.clone(),
        now,
    };
    let found = match project.store(move |store| look(store, &input)).await {
        Ok(found) => found,
        Err(error) => {
            project.budgets.put_back();
            return Err(error);
        }
    };
    project.budgets.forget(&runs);
    for changed in &found.changed {
        project.announce(changed);
    }
    for (task, over) in found.failing {
        fail(project, task, over).await;
    }
    for (mission, over) in found.missions {
        halt(project, mission, over).await;
    }
    for words in found.words {
        project.toaster.note(Note::Waits(words));
    }
    if project.budgets.held(found.holds) && !found.holds {
        // What waited for a budget may start.
        project.dispatch.notify_one();
    }
    let timer = found.left.map(|left| Duration::from_millis(left / running.max(1)).max(SHORTEST));
    let tomorrow = found.holds_day.then(|| now.left_of_day().min(LONGEST));
    let again = [timer.filter(|_| running > 0), tomorrow].into_iter().flatten().min();
    Ok(Round { is_bounded: found.is_bounded, again })
}

fn look(store: &mut dyn Store, input: &Input) -> Result<Found, StoreError> {
    let Input { key, charges, runs, now, .. } = input;
    if !charges.is_empty() {
        store.charge(charges, *now)?;
    }
    let ended: Vec<_> = runs.iter().filter(|run| run.has_ended).map(|run| run.task).collect();
    if !ended.is_empty() {
        store.settle_charges(&ended)?;
    }
    let bounds = Bounds::new(&input.options, store.settings(SETTINGS)?);
    let mut found = Found { is_bounded: !bounds.is_empty(), ..Found::default() };
    let shared = if found.is_bounded { gate::shared(store, &bounds, key, &input.missions, *now)? } else { Vec::new() };
    for Shared { of, budget, spent } in &shared {
        told(store, &mut found, input, of, budget, spent, "")?;
        found.left = [found.left, left(budget, spent)].into_iter().flatten().min();
        let holds = budget.refuses(spent, of.scope(), true).is_some();
        found.holds |= holds;
        found.holds_day |= holds && *of == Of::Day;
    }
    let is_mission = |shared: &&Shared| matches!(shared.of, Of::Mission(_));
    for shared in shared.iter().filter(is_mission) {
        if let (Of::Mission(id), Some(over)) = (&shared.of, shared.over()) {
            found.missions.push((*id, over));
        }
    }
    let wide = shared.iter().filter(|shared| !is_mission(shared)).find_map(Shared::over);
    let when_over = if input.headless { WhenOver::Fail } else { bounds.when_over() };
    if found.is_bounded {
        for run in runs {
            let own = own(store, &mut found, input, &bounds, run)?;
            // One that has just answered ends by itself. One that has ended may wait for another attempt.
            if let Some(over) = wide.or(own).filter(|_| !run.is_over || run.has_ended) {
                stop(store, &mut found, when_over, run.task, over, *now)?;
            }
        }
        if input.headless && found.holds {
            hopeless(store, &mut found, input, &shared)?;
        }
    }
    release(store, &mut found, input, &bounds, wide)?;
    Ok(found)
}

/// The budget that is used up of a task, or of one that it was launched by.
fn own(
    store: &mut dyn Store,
    found: &mut Found,
    input: &Input,
    bounds: &Bounds,
    run: &Seen,
) -> Result<Option<Over>, StoreError> {
    let mut over = None;
    for task in std::iter::once(run.task).chain(store.kin(run.task)?.0) {
        let of = Of::Task(task);
        let budget = bounds.of(&of, &input.key);
        if !budget.is_bounded() {
            continue;
        }
        let spent = store.spent(&Account::Task(task))?;
        found.left = [found.left, left(&budget, &spent)].into_iter().flatten().min();
        over = over.or_else(|| budget.refuses(&spent, Scope::Task, false));
        if task == run.task && !run.is_over {
            told(store, found, input, &of, &budget, &spent, &format!("{}: ", run.label))?;
        }
    }
    Ok(over)
}

/// Milliseconds of running that are left.
fn left(budget: &Budget, spent: &Spent) -> Option<u64> {
    budget.limit(What::Seconds)?.checked_sub(spent.millis).filter(|left| *left > 0)
}

/// Says once that a budget is nearly or wholly used up; who is first, in whatever process, says it.
fn told(
    store: &mut dyn Store,
    found: &mut Found,
    input: &Input,
    of: &Of,
    budget: &Budget,
    spent: &Spent,
    whose: &str,
) -> Result<(), StoreError> {
    let scope = of.scope();
    let (what, limit, mark, words) = match budget.check(spent) {
        Level::Near { what, used, limit } => {
            let compared = what.compare(used, limit);
            (what, limit, "near", format!("{whose}the {}'s budget is nearly used up: {compared}", scope.as_str()))
        }
        Level::Over { what, used, limit } => {
            (what, limit, "over", format!("{whose}{}; /budget raises it", Over { scope, what, used, limit }))
        }
        // How many tasks it may launch, a task is told when it launches them.
        Level::Fine if scope == Scope::Task => return Ok(()),
        Level::Fine => match budget.refuses(spent, scope, true) {
            Some(over) => (over.what, over.limit, "over", format!("{whose}{over}; /budget raises it")),
            None => return Ok(()),
        },
    };
    let day = if *of == Of::Day { input.now.day() } else { 0 };
    let name = format!("told {mark} {limit} {day} {}", of.setting(what));
    if store.first_setting(&name, "")? {
        found.words.push(words);
    }
    Ok(())
}

/// Stops a task, and with its own budget also what is below it.
fn stop(
    store: &mut dyn Store,
    found: &mut Found,
    when_over: WhenOver,
    task: TaskId,
    over: Over,
    now: Timestamp,
) -> Result<(), StoreError> {
    if when_over == WhenOver::Fail {
        found.failing.push((task, over));
        return Ok(());
    }
    let below = if over.scope == Scope::Task { store.kin(task)?.1 } else { Vec::new() };
    for id in std::iter::once(task).chain(below) {
        change(store, found, id, &Change::Exhaust { over }, now)?;
    }
    Ok(())
}

/// Where nobody can give more, what waits for a budget fails as well: nothing else would ever end it.
fn hopeless(store: &mut dyn Store, found: &mut Found, input: &Input, shared: &[Shared]) -> Result<(), StoreError> {
    let gate = Gate::of(shared.to_vec());
    let filter = Filter { states: vec![StateName::Pending], home: Some(input.me), ..Filter::default() };
    for task in store.tasks(&input.key, &filter)? {
        found.failing.extend(gate.holds(&task).map(|over| (task.id, over)));
    }
    Ok(())
}

/// Makes a change; a task that is elsewhere by now stays as it is.
fn change(
    store: &mut dyn Store,
    found: &mut Found,
    id: TaskId,
    change: &Change,
    now: Timestamp,
) -> Result<(), StoreError> {
    match store.change(id, Guard::Anyone, change, None, now) {
        Ok(changed) => found.changed.push(changed),
        Err(StoreError::Refused(_)) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Lets tasks go on for which there is room again: somebody has raised the budget, or a new day has begun.
fn release(
    store: &mut dyn Store,
    found: &mut Found,
    input: &Input,
    bounds: &Bounds,
    wide: Option<Over>,
) -> Result<(), StoreError> {
    if wide.is_some() {
        return Ok(());
    }
    let filter = Filter { states: vec![StateName::Paused], home: Some(input.me), ..Filter::default() };
    for task in store.tasks(&input.key, &filter)? {
        let by_budget = matches!(task.state, TaskState::Paused { reason: PauseReason::Budget(_), .. });
        // What a mission that stands still has open goes on with the mission.
        let waits = task.spec.mission.is_some_and(|mission| input.halted.contains(&mission));
        if by_budget && !waits && line_over(store, bounds, &input.key, task.id)?.is_empty() {
            change(store, found, task.id, &Change::Continue, input.now)?;
        }
    }
    Ok(())
}

/// A task, or one above it, whose budget is used up.
pub struct Spender {
    /// Which.
    pub task: TaskId,
    /// How much it may use.
    pub budget: Budget,
    /// How much it has used.
    pub spent: Spent,
}

/// Of a task and those above it, the ones whose budgets are used up.
///
/// # Errors
/// The store's.
pub fn line_over(
    store: &mut dyn Store,
    bounds: &Bounds,
    key: &ProjectKey,
    task: TaskId,
) -> Result<Vec<Spender>, StoreError> {
    let mut over = Vec::new();
    for task in std::iter::once(task).chain(store.kin(task)?.0) {
        let budget = bounds.of(&Of::Task(task), key);
        if budget.is_bounded() {
            let spent = store.spent(&Account::Task(task))?;
            if budget.refuses(&spent, Scope::Task, false).is_some() {
                over.push(Spender { task, budget, spent });
            }
        }
    }
    Ok(over)
}

/// Fails a task that has used up a budget, and cancels what is below it; one that has ended meanwhile stays as it is.
async fn fail(project: &Arc<Project>, task: TaskId, over: Over) {
    let failure = Failure { kind: FailureKind::Budget, class: ErrorClass::Limit, message: over.to_string() };
    if !project.change(task, Change::Fail { failure, retry: None }).await || over.scope != Scope::Task {
        return;
    }
    match project.store(move |store| store.kin(task)).await {
        Ok((_, below)) => {
            for id in below {
                project.change(id, Change::Cancel { reason: CancelReason::Parent { task } }).await;
            }
        }
        Err(error) => tracing::warn!(%task, %error, "what a task launched was not stopped with it"),
    }
}

/// Lets a mission stand still that has used up its budget.
async fn halt(project: &Arc<Project>, mission: MissionId, over: Over) {
    let Some(driven) = project.missions.get(mission).filter(|driven| driven.mission.pause.is_none()) else { return };
    let Ok(session) = driven.mission.session.parse() else { return };
    let reason = format!("{over}; /resume gives as much again, /budget another");
    if let Err(fault) = missions::commands::pause(project, &session, &reason).await {
        tracing::warn!(%mission, %fault, "a mission that used up its budget was not paused");
    }
}
