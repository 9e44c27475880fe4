//! What budgets say to a task that is about to start.

use crate::{
    admission::{Bounds, Budget, Budgets, Of, SETTINGS},
    store::{Account, Charge, Store, StoreError, Wanted},
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

    /// Which tasks there is no need to look at, as the budgets hold them.
    #[must_use]
    pub fn wanted(&self, depth: u32) -> Wanted {
        let mut wanted = Wanted::first(depth);
        for Shared { of, budget, spent } in &self.shared {
            let refuses = |is_new| budget.refuses(spent, of.scope(), is_new).is_some();
            match of {
                Of::Mission(id) if refuses(false) => wanted.without.push(*id),
                Of::Mission(id) if refuses(true) => wanted.without_fresh.push(*id),
                Of::Mission(_) => {}
                _ if refuses(false) => wanted.depth = 0,
                _ => wanted.fresh &= !refuses(true),
            }
        }
        wanted
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::Budgets;

    #[test]
    fn what_is_used_up_keeps_no_more_from_being_looked_at_than_it_holds() {
        let used = |what: &str| -> Budget {
            let budgets: Budgets = serde_json::from_str(&format!(r#"{{"day": {{"{what}": 1}}}}"#)).unwrap();
            budgets.day
        };
        let spent = Spent { tokens: 1, tasks: 1, ..Spent::default() };
        let (one, two) = (MissionId::new(Timestamp(1), &[1; 10]), MissionId::new(Timestamp(1), &[2; 10]));
        let wanted = |of: &[(Of, &str)]| {
            let shared = of.iter().map(|(of, what)| Shared { of: of.clone(), budget: used(what), spent });
            Gate::of(shared.collect()).wanted(5)
        };
        let day = || Of::Day;
        assert_eq!(wanted(&[(day(), "toolCalls"), (Of::Mission(one), "toolCalls")]), Wanted::first(5));
        assert_eq!(wanted(&[(day(), "tokens")]), Wanted::first(0));
        assert_eq!(wanted(&[(day(), "tasks")]), Wanted { fresh: false, ..Wanted::first(5) });
        let (without, without_fresh) = (vec![one], vec![two]);
        let of_missions = wanted(&[(Of::Mission(one), "tokens"), (Of::Mission(two), "tasks")]);
        assert_eq!(of_missions, Wanted { without, without_fresh, ..Wanted::first(5) });
    }
}
