//! The dispatcher's looks as they happen: how long each took, how many candidates it saw and how many tasks it claimed.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// One look.
#[derive(Debug, Clone)]
pub struct Look {
    began: Instant,
    /// From its begin to the commit, on the store's thread.
    pub time: Duration,
    /// How many candidates it was shown at once.
    pub candidates: usize,
    /// How many tasks it started.
    pub claimed: usize,
}

impl Look {
    /// Its part for each task that it started.
    pub fn per_task(&self) -> Duration {
        self.time / u32::try_from(self.claimed.max(1)).unwrap()
    }
}

impl Visit for Look {
    fn record_u64(&mut self, field: &Field, value: u64) {
        let value = usize::try_from(value).unwrap();
        match field.name() {
            "candidates" => self.candidates = self.candidates.max(value),
            "claimed" => self.claimed = value,
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

/// All looks of this process since they were last taken. Only one test at a time has it.
pub struct Looks {
    seen: Arc<Seen>,
    _alone: MutexGuard<'static, ()>,
}

#[derive(Default)]
struct Seen {
    ids: AtomicU64,
    open: Mutex<Option<Look>>,
    done: Mutex<Vec<Look>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Looks {
    /// Listens from now on; waits while another test does.
    pub fn begin() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        static SEEN: OnceLock<Arc<Seen>> = OnceLock::new();
        let alone = lock(&ALONE);
        let seen = SEEN.get_or_init(|| {
            let seen = Arc::<Seen>::default();
            tracing::subscriber::set_global_default(Listener(Arc::clone(&seen))).unwrap();
            seen
        });
        let looks = Self { seen: Arc::clone(seen), _alone: alone };
        looks.take();
        looks
    }

    /// Takes those that are over.
    pub fn take(&self) -> Vec<Look> {
        std::mem::take(&mut *lock(&self.seen.done))
    }

    /// Waits until so many tasks were started.
    pub async fn until(&self, tasks: usize) {
        let deadline = Instant::now() + Duration::from_secs(300);
        while lock(&self.seen.done).iter().map(|look| look.claimed).sum::<usize>() < tasks {
            assert!(Instant::now() < deadline, "{tasks} tasks were not started");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

struct Listener(Arc<Seen>);

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        target.ends_with("engine::dispatcher") && metadata.is_span() || target.ends_with("engine::admission")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(self.0.ids.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        if let Some(look) = &mut *lock(&self.0.open) {
            values.record(look);
        }
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        if let Some(look) = &mut *lock(&self.0.open) {
            event.record(look);
        }
    }

    fn enter(&self, _: &Id) {
        let look = Look { began: Instant::now(), time: Duration::ZERO, candidates: 0, claimed: 0 };
        *lock(&self.0.open) = Some(look);
    }

    fn exit(&self, _: &Id) {
        if let Some(look) = lock(&self.0.open).take() {
            let time = look.began.elapsed();
            lock(&self.0.done).push(Look { time, ..look });
        }
    }
}
