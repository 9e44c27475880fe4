//! Launching under the spawn guard: how deep a caller is, and how much there is below the session at its top.

use std::{collections::HashSet, time::Duration};

use super::{ops::Caller, service::Attachment, sessions::HIGHEST};
use crate::{
    admission::{Bounds, Of, Refusal, SETTINGS, fingerprint},
    fault::{Code, Fault},
    opencode::SessionId,
    store::{self, Born, Filter, Lineage, Store, StoreError},
    task::{Over, ProjectKey, Run, Scope, Task, TaskId, TaskSpec, What},
};

/// What the rate is counted over.
const MINUTE: Duration = Duration::from_secs(60);

/// Where a caller stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Above {
    /// How deep the tasks that it launches are: 1 for a person's session.
    pub depth: u32,
    /// The session at the top, and the nearest task.
    pub lineage: Lineage,
}

impl Attachment {
    /// Where a caller stands.
    ///
    /// # Errors
    /// The store's or the host's.
    pub async fn above(&self, caller: &Caller) -> Result<Above, Fault> {
        let client = self.project.client();
        let mut session = caller.session.clone();
        let (mut extra, mut nearest) = (0, None);
        let mut seen: HashSet<SessionId> = HashSet::new();
        while seen.len() < HIGHEST && seen.insert(session.clone()) {
            let filter = Filter { session: Some(session.to_string()), newest: Some(1), ..Filter::default() };
            let parent = if let Some(task) = self.find(filter).await?.pop() {
                let parent = task.spec.parent.session.parse().ok();
                nearest.get_or_insert((task.spec.depth + extra, task.id));
                parent
            } else {
                // A child made by the host's own task tool is one level deeper than its parent.
                let parent = self.project.sessions.parent(&client, &caller.directory, &session).await?;
                parent.inspect(|_| extra += u32::from(nearest.is_none()))
            };
            match parent {
                Some(parent) => session = parent,
                None => break,
            }
        }
        let depth = nearest.map_or(extra, |(depth, _)| depth) + 1;
        Ok(Above { depth, lineage: Lineage { root: session.to_string(), parent: nearest.map(|(_, task)| task) } })
    }

    /// Launches tasks, unless the spawn guard refuses: on disk when this returns. One that continues or repeats another
    /// may be the same as an open one.
    ///
    /// # Errors
    /// [`Code::TreeFull`], [`Code::TooFast`], [`Code::DuplicateTask`], [`Code::BudgetSpent`], or the store's; then none
    /// was launched.
    pub async fn launch_below(
        &self,
        above: &Above,
        specs: Vec<(TaskId, TaskSpec, Option<Run>)>,
    ) -> Result<Vec<Task>, Fault> {
        let project = &self.project;
        let (home, now) = (project.core.instance, project.core.clock.now());
        let born: Vec<Born> = specs
            .into_iter()
            .map(|(id, spec, run)| Born {
                fingerprint: fingerprint(&spec),
                task: Task { run, ..Task::new(id, spec, home, now) },
            })
            .collect();
        let tasks: Vec<Task> = born.iter().map(|born| born.task.clone()).collect();
        let is_new = |spec: &TaskSpec| spec.continues.is_none() && spec.retry_of.is_none();
        let prints: Vec<_> =
            born.iter().map(|born| is_new(&born.task.spec).then(|| born.fingerprint.clone())).collect();
        let (limits, budgets) = (project.options.spawn.clone(), project.options.budget.clone());
        let (lineage, key) = (above.lineage.clone(), project.key.clone());
        let launched = project
            .store(move |store| {
                if let Some(parent) = lineage.parent {
                    let bounds = Bounds::new(&budgets, store.settings(SETTINGS)?);
                    if let Some(over) = no_room(store, &bounds, &key, parent, born.len() as u64)? {
                        return Ok(Err(No::Budget(over)));
                    }
                }
                let mut refusal = None;
                let since = now.before(MINUTE);
                store.launch_below(&lineage, &born, since, &mut |brood: &store::Brood| {
                    refusal = limits.check(brood, &prints).err();
                    refusal.is_none()
                })?;
                Ok(refusal.map_or(Ok(()), |refusal| Err(No::Guard(refusal))))
            })
            .await?;
        if let Err(no) = launched {
            return Err(fault(&no, tasks.len()));
        }
        project.launched(&tasks);
        Ok(tasks)
    }
}

/// Why a launch is refused.
enum No {
    Guard(Refusal),
    Budget(Over),
}

/// Whether a task, or one above it, may not bring about so many more.
fn no_room(
    store: &mut dyn Store,
    bounds: &Bounds,
    key: &ProjectKey,
    parent: TaskId,
    more: u64,
) -> Result<Option<Over>, StoreError> {
    for task in std::iter::once(parent).chain(store.kin(parent)?.0) {
        let Some(limit) = bounds.of(&Of::Task(task), key).limit(What::Tasks) else { continue };
        let used = store.tree_size(task)?;
        if used + more > limit {
            return Ok(Some(Over { scope: Scope::Task, what: What::Tasks, used, limit }));
        }
    }
    Ok(None)
}

fn fault(no: &No, batch: usize) -> Fault {
    match no {
        No::Guard(Refusal::Tree { have, most }) => Fault::new(
            Code::TreeFull,
            format!(
                "{batch} more would be too many: {have} were launched below this session, at most {most} (option spawn.tree)"
            ),
        ),
        No::Guard(Refusal::Rate { have, most }) => Fault::new(
            Code::TooFast,
            format!(
                "{batch} more would be too many: {have} were launched in the last minute, at most {most} (option spawn.perMinute)"
            ),
        ),
        No::Guard(Refusal::Duplicate { at, of }) => Fault::new(
            Code::DuplicateTask,
            format!(
                "`tasks[{at}]` is what the open task {of} does already: the same prompt, agent, model and directory"
            ),
        ),
        No::Budget(over) => Fault::new(Code::BudgetSpent, format!("{batch} more would be too many: {over}")),
    }
}

impl Attachment {
    /// The budget that keeps a pending task from starting.
    #[must_use]
    pub fn held_by(&self, task: &Task) -> Option<Over> {
        self.project.budgets.gate().holds(task)
    }
}
