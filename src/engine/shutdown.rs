//! Closing things in order, each with a limit, whatever the others do.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::OnceCell,
    time::{Instant, timeout},
};

/// How long one handler may take: the seed's figure, and the host's own limit for all plugins together at exit.
pub const HANDLER_LIMIT: Duration = Duration::from_secs(5);

type Work = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// When a handler runs: 0 first, 100 last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShutdownPriority(u8);

impl ShutdownPriority {
    /// A priority from 0 to 100; anything above counts as 100.
    #[must_use]
    pub const fn new(priority: u8) -> Self {
        Self(if priority > 100 { 100 } else { priority })
    }
}

/// How the closing of one thing went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// It closed.
    Cleanly,
    /// It said that it could not.
    Failed(String),
    /// It panicked.
    Panicked,
    /// It took longer than it may and was left behind.
    TimedOut,
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedLine {
    /// What was closed.
    pub name: String,
    /// How it went.
    pub closed: Closed,
    /// How long it took.
    pub took: Duration,
}

/// What was closed, in the order in which it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShutdownReport {
    /// A line for each handler.
    pub lines: Vec<ClosedLine>,
}

impl ShutdownReport {
    /// Whether everything closed.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.lines.iter().all(|line| line.closed == Closed::Cleanly)
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            let how = match &line.closed {
                Closed::Cleanly => "closed".to_owned(),
                Closed::Failed(why) => format!("failed: {why}"),
                Closed::Panicked => "panicked".to_owned(),
                Closed::TimedOut => "timed out".to_owned(),
            };
            writeln!(f, "{}: {how} ({} ms)", line.name, line.took.as_millis())?;
        }
        Ok(())
    }
}

struct Handler {
    name: String,
    priority: ShutdownPriority,
    work: Work,
}

/// Collects what has to be closed and closes it once.
pub struct ShutdownManager {
    limit: Duration,
    handlers: Mutex<Vec<Handler>>,
    report: OnceCell<ShutdownReport>,
}

impl Default for ShutdownManager {
    fn default() -> Self {
        Self::new(HANDLER_LIMIT)
    }
}

impl ShutdownManager {
    /// A manager that gives each handler `limit`.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self { limit, handlers: Mutex::default(), report: OnceCell::new() }
    }

    /// Adds something to close. Handlers of one priority run together; those of a lower number before. After the
    /// shutdown has begun nothing can be added: `false`, and `work` is dropped.
    pub fn register(
        &self,
        name: impl Into<String>,
        priority: ShutdownPriority,
        work: impl Future<Output = Result<(), String>> + Send + 'static,
    ) -> bool {
        if self.report.initialized() {
            return false;
        }
        let handler = Handler { name: name.into(), priority, work: Box::pin(work) };
        self.handlers.lock().unwrap_or_else(PoisonError::into_inner).push(handler);
        true
    }

    /// Runs every handler and reports. A further call, also one made meanwhile, waits for and gets the report of the
    /// first.
    pub async fn shutdown(&self) -> &ShutdownReport {
        self.report.get_or_init(|| self.close_all()).await
    }

    async fn close_all(&self) -> ShutdownReport {
        let mut handlers = std::mem::take(&mut *self.handlers.lock().unwrap_or_else(PoisonError::into_inner));
        handlers.sort_by_key(|handler| handler.priority);
        let mut report = ShutdownReport::default();
        while let Some(first) = handlers.first() {
            let priority = first.priority;
            let later = handlers.split_off(handlers.partition_point(|handler| handler.priority == priority));
            let together: Vec<_> = handlers.into_iter().map(|handler| self.close(handler)).collect();
            for running in together {
                report.lines.push(running.await);
            }
            handlers = later;
        }
        report
    }

    /// Starts one handler at once, as a task of its own: a panic stays there.
    fn close(&self, handler: Handler) -> impl Future<Output = ClosedLine> + use<> {
        let Handler { name, work, .. } = handler;
        let (limit, started) = (self.limit, Instant::now());
        let mut running = tokio::spawn(work);
        async move {
            let closed = match timeout(limit.saturating_sub(started.elapsed()), &mut running).await {
                Ok(Ok(Ok(()))) => Closed::Cleanly,
                Ok(Ok(Err(why))) => Closed::Failed(why),
                Ok(Err(_)) => Closed::Panicked,
                Err(_) => {
                    running.abort();
                    Closed::TimedOut
                }
            };
            ClosedLine { name, closed, took: started.elapsed() }
        }
    }
}

impl fmt::Debug for ShutdownManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShutdownManager").field("limit", &self.limit).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use super::*;

    fn at(priority: u8) -> ShutdownPriority {
        ShutdownPriority::new(priority)
    }

    fn names(report: &ShutdownReport) -> Vec<(&str, Closed)> {
        report.lines.iter().map(|line| (line.name.as_str(), line.closed.clone())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn lower_priorities_first_and_nothing_stops_the_others() {
        let manager = ShutdownManager::new(Duration::from_secs(5));
        assert!(manager.register("last", at(100), async { Ok(()) }));
        manager.register("hangs", at(10), std::future::pending());
        manager.register("fails", at(10), async { Err("no".to_owned()) });
        manager.register("panics", at(0), async { panic!("boom") });
        let began = Instant::now();
        let report = manager.shutdown().await.clone();
        let expected = [
            ("panics", Closed::Panicked),
            ("hangs", Closed::TimedOut),
            ("fails", Closed::Failed("no".into())),
            ("last", Closed::Cleanly),
        ];
        assert_eq!(names(&report), expected);
        assert_eq!(began.elapsed(), Duration::from_secs(5));
        assert!(!report.is_clean() && report.to_string().contains("hangs: timed out"));
        assert!(!manager.register("late", at(0), async { Ok(()) }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_call_gets_the_first_ones_report() {
        let manager = Arc::new(ShutdownManager::new(Duration::from_secs(5)));
        let runs = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&runs);
        manager.register("once", at(50), async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            counted.fetch_add(1, Ordering::SeqCst);
            Ok(())
        });
        let (first, second) = tokio::join!(manager.shutdown(), manager.shutdown());
        assert_eq!((first, runs.load(Ordering::SeqCst)), (second, 1));
    }
}
