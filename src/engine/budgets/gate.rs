//! What budgets say to a task that is about to start.

use crate::{
    admission::{Bounds, Budget, Budgets, Of, SETTINGS},
    store::{Account, Charge, Store, StoreError},
    task::{MissionId, Over, ProjectKey, Scope, Spent, Task, TaskId, Timestamp},
};

/// The budgets that several tasks share, and what of them was used.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    shared: Vec<Shared>,
    started: Vec<TaskId>,
}

/// A budget that several tasks share.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Whose.
    pub of: Of,
    /// How much there is.
    pub budget: Budget,
    /// How much was used.
    pub spent: Spent,
}

impl Shared {
    fn concerns(&self, mission: Option<MissionId>) -> bool {
        match self.of {
            Of::Mission(id) => mission == Some(id),
            _ => true,
        }
    }

    /// Whether nothing is left for what runs.
    pub fn over(&self) -> Option<Over> {
        self.budget.refuses(&self.spent, self.of.scope(), false)
    }
}

/// The shared budgets that are bounded.
pub fn shared(
    store: &mut dyn Store,
    bounds: &Bounds,
    project: &ProjectKey,
    missions: &[MissionId],
    now: Timestamp,
) -> Result<Vec<Shared>, StoreError> {
    let mut shared = Vec::new();
    let mut add = |of: Of, account: &Account| {
        let budget = bounds.of(&of, project);
        if budget.is_bounded() {
            shared.push(Shared { of, budget, spent: store.spent(account)? });
        }
        Ok::<_, StoreError>(())
    };
    add(Of::Day, &Account::Day(now))?;
    add(Of::Project(project.clone()), &Account::Project(project.clone()))?;
    for id in missions {
        add(Of::Mission(*id), &Account::Mission(*id))?;
    }
    Ok(shared)
}

impl Gate {
    /// Of budgets as they stand.
    pub(super) fn of(shared: Vec<Shared>) -> Self {
        Self { shared, started: Vec::new() }
    }

    /// Reads how the budgets stand.
    ///
    /// # Errors
    /// The store's.
    pub fn read(
        store: &mut dyn Store,
        options: &Budgets,
        project: &ProjectKey,
        missions: &[MissionId],
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let bounds = Bounds::new(options, store.settings(SETTINGS)?);
        if bounds.is_empty() {
            return Ok(Self::default());
        }
        Ok(Self::of(shared(store, &bounds, project, missions, now)?))
    }

    /// The budget that keeps a task from starting.
    #[must_use]
    pub fn holds(&self, task: &Task) -> Option<Over> {
        let of_it = self.shared.iter().filter(|shared| shared.concerns(task.spec.mission));
        let mut over =
            of_it.filter_map(|shared| shared.budget.refuses(&shared.spent, scope(shared), task.attempt == 0));
        over.next()
    }

    /// A task starts: it counts from now on.
    pub fn start(&mut self, task: &Task) {
        if self.shared.is_empty() || task.attempt > 0 {
            return;
        }
        for shared in self.shared.iter_mut().filter(|shared| shared.concerns(task.spec.mission)) {
            shared.spent.tasks += 1;
        }
        self.started.push(task.id);
    }

    /// Writes what has started, so that the next look counts it.
    ///
    /// # Errors
    /// The store's.
    pub fn write(&mut self, store: &mut dyn Store, now: Timestamp) -> Result<(), StoreError> {
        let start = |task| Charge { task, item: "start".to_owned(), spent: Spent { tasks: 1, ..Spent::default() } };
        let charges: Vec<_> = self.started.drain(..).map(start).collect();
        if charges.is_empty() { Ok(()) } else { store.charge(&charges, now) }
    }
}

fn scope(shared: &Shared) -> Scope {
    shared.of.scope()
}
