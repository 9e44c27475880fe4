//! Slots: the right to run one task, counted over all projects of a process.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::decide::Own;
use crate::{store::Lane, task::ProjectKey};

type Counts = HashMap<(ProjectKey, Lane), u32>;

/// The slots that the tasks of this process hold.
#[derive(Clone, Default)]
pub struct Slots {
    held: Arc<Mutex<Counts>>,
}

/// A taken slot. Dropping it, on whatever path, gives it back.
pub struct Slot {
    slots: Slots,
    key: (ProjectKey, Lane),
    freed: Arc<dyn Fn() + Send + Sync>,
}

impl Slots {
    /// Takes a slot. `freed` is called after its return, so that waiting work is looked at again.
    #[must_use]
    pub fn take(&self, project: &ProjectKey, lane: &Lane, freed: Arc<dyn Fn() + Send + Sync>) -> Slot {
        let key = (project.clone(), lane.clone());
        *self.held().entry(key.clone()).or_default() += 1;
        Slot { slots: self.clone(), key, freed }
    }

    /// What is held, as a project sees it.
    #[must_use]
    pub fn own(&self, project: &ProjectKey) -> Vec<Own> {
        let held = self.held();
        held.iter()
            .map(|((of, lane), count)| Own { same_project: of == project, lane: lane.clone(), count: *count })
            .collect()
    }

    /// The counts. A panic elsewhere cannot leave them half changed, so a poisoned lock is used as it is.
    fn held(&self) -> MutexGuard<'_, Counts> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        {
            let mut held = self.slots.held();
            if let Some(count) = held.get_mut(&self.key) {
                *count -= 1;
                if *count == 0 {
                    held.remove(&self.key);
                }
            }
        }
        (self.freed)();
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slots").field(&*self.held()).finish()
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slot").field(&self.key.1).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_slot_comes_back_on_drop_and_on_panic() {
        let (slots, freed) = (Slots::default(), Arc::new(AtomicU32::new(0)));
        let (here, there) = (ProjectKey::new("/a"), ProjectKey::new("/b"));
        let lane = Lane { agent: "a".into(), ..Lane::default() };
        let take = |project| {
            let freed = Arc::clone(&freed);
            slots.take(
                project,
                &lane,
                Arc::new(move || {
                    freed.fetch_add(1, Ordering::SeqCst);
                }),
            )
        };
        drop(take(&here));
        let (moved, other) = (take(&here), take(&there));
        let counts = |slots: &Slots| {
            let mut own = slots.own(&here);
            own.sort_by_key(|own| !own.same_project);
            own.into_iter().map(|own| (own.same_project, own.count)).collect::<Vec<_>>()
        };
        assert_eq!(counts(&slots), [(true, 1), (false, 1)]);
        let panicked = std::thread::spawn(move || {
            let _slot = moved;
            panic!("a runner dies");
        });
        assert!(panicked.join().is_err());
        drop(other);
        assert_eq!((counts(&slots), freed.load(Ordering::SeqCst)), (vec![], 3));
    }
}
