//! The store for asynchronous callers: one thread that owns it and does one call after the other.

use std::{
    any::Any,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::oneshot;

use super::{Store, StoreError};

type Call = Box<dyn FnOnce(&mut dyn Store) + Send>;

/// A handle on the store's thread. Clones share the thread; it ends with [`StoreHandle::close`] or the last handle.
#[derive(Debug, Clone)]
pub struct StoreHandle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    calls: Mutex<Option<mpsc::Sender<Call>>>,
    thread: Mutex<Option<Ending>>,
}

/// The thread, and the word that it has dropped the store.
#[derive(Debug)]
struct Ending {
    thread: JoinHandle<()>,
    done: oneshot::Receiver<()>,
}

impl StoreHandle {
    /// Starts the thread `sortie-store` and opens the store in it, so that a slow disk blocks nobody else.
    ///
    /// # Errors
    /// The errors of `open`; [`StoreError::Io`] when no thread can be started.
    pub async fn open<S: Store>(
        open: impl FnOnce() -> Result<S, StoreError> + Send + 'static,
    ) -> Result<Self, StoreError> {
        let (calls, queue) = mpsc::channel::<Call>();
        let (opened, is_open) = oneshot::channel();
        let (finished, done) = oneshot::channel();
        let work = move || {
            match guarded(open) {
                Ok(mut store) => {
                    // Nobody waits any more: the queue is closed too, and the loop ends at once.
                    let _ = opened.send(Ok(()));
                    // Blocks without a wake-up while there is nothing to do; ends when every sender is gone.
                    for call in queue {
                        call(&mut store);
                    }
                }
                Err(error) => drop(opened.send(Err(error))),
            }
            let _ = finished.send(());
        };
        let thread = thread::Builder::new().name("sortie-store".to_owned()).spawn(work).map_err(no_thread)?;
        let thread = Mutex::new(Some(Ending { thread, done }));
        let handle = Self { shared: Arc::new(Shared { calls: Mutex::new(Some(calls)), thread }) };
        is_open.await.unwrap_or(Err(StoreError::Closed))?;
        Ok(handle)
    }

    /// Does `call` on the store's thread, after all calls before it. Once this future has been polled the call is
    /// done even if the future is dropped.
    ///
    /// # Errors
    /// Those of `call`; [`StoreError::Closed`] after [`StoreHandle::close`]; [`StoreError::Internal`] when it panics:
    /// its transaction is rolled back, and the store goes on.
    pub async fn call<R: Send + 'static>(
        &self,
        call: impl FnOnce(&mut dyn Store) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        let (reply, answer) = oneshot::channel();
        let call: Call = Box::new(move |store| {
            // Nobody may be waiting for the answer.
            let _ = reply.send(guarded(|| call(store)));
        });
        lock(&self.shared.calls).as_ref().ok_or(StoreError::Closed)?.send(call).map_err(|_| StoreError::Closed)?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Takes no more calls, does those that are waiting, closes the store and ends its thread.
    ///
    /// # Errors
    /// [`StoreError::Closed`] when it is closed already; [`StoreError::Internal`] when that took longer than `limit`:
    /// then the thread goes on by itself.
    pub async fn close(&self, limit: Duration) -> Result<(), StoreError> {
        drop(lock(&self.shared.calls).take().ok_or(StoreError::Closed)?);
        let Some(Ending { thread, done }) = lock(&self.shared.thread).take() else { return Err(StoreError::Closed) };
        let late = || StoreError::Internal(format!("the store's thread did not end within {limit:?}"));
        let _ = tokio::time::timeout(limit, done).await.map_err(|_| late())?;
        // Its last act was to say that it is done.
        thread.join().map_err(|panic| StoreError::Internal(words(panic.as_ref())))
    }
}

fn guarded<R>(work: impl FnOnce() -> Result<R, StoreError>) -> Result<R, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(StoreError::Internal(words(panic.as_ref()))))
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("without a message"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn no_thread(error: io::Error) -> StoreError {
    StoreError::io(Path::new("a thread"), error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Durability, Home, SqliteStore};

    const LIMIT: Duration = Duration::from_secs(10);

    async fn handle() -> (tempfile::TempDir, StoreHandle) {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        let handle = StoreHandle::open(move || SqliteStore::open(&home, Durability::Normal)).await.unwrap();
        (dir, handle)
    }

    #[tokio::test]
    async fn calls_are_done_in_their_order_and_the_end_is_the_end() {
        let (dir, handle) = handle().await;
        let on_thread = handle.call(|_| Ok(thread::current().name().map(str::to_owned))).await.unwrap();
        assert_eq!(on_thread.as_deref(), Some("sortie-store"));
        // Queued and not waited for: they are done all the same.
        let calls: Vec<_> = (0..50)
            .map(|n| {
                let handle = handle.clone();
                tokio::spawn(
                    async move { handle.call(move |store| store.set_setting("n", Some(&format!("{n}")))).await },
                )
            })
            .collect();
        tokio::task::yield_now().await;
        handle.close(LIMIT).await.unwrap();
        for call in calls {
            call.await.unwrap().unwrap();
        }
        assert!(matches!(handle.call(|_| Ok(())).await, Err(StoreError::Closed)));
        assert!(matches!(handle.clone().close(LIMIT).await, Err(StoreError::Closed)));
        // The last connection has moved the log into the database.
        assert!(!dir.path().join("sortie.db-wal").exists());
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_that_call_only_and_its_writes_are_undone() {
        let (_dir, handle) = handle().await;
        let error = handle
            .call::<()>(|store| {
                let project = crate::store::fixture::project();
                let me = crate::store::fixture::instance(1);
                let task = crate::store::fixture::task(1, me, |_| ());
                store.launch(&[task])?;
                store.claim(
                    &project,
                    me,
                    crate::task::Timestamp(2),
                    &mut crate::store::fixture::each(|_| panic!("in the middle")),
                )?;
                Ok(())
            })
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "finish in the store: panic: in the middle");
        // A lock or a transaction that stayed open would refuse this.
        handle.call(|store| store.set_setting("a", Some("1"))).await.unwrap();
        handle.close(LIMIT).await.unwrap();
    }

    #[tokio::test]
    async fn a_store_that_cannot_be_opened_is_reported() {
        let error = StoreHandle::open(|| Err::<SqliteStore, _>(StoreError::Busy)).await.unwrap_err();
        assert!(matches!(error, StoreError::Busy));
        let error = StoreHandle::open(|| -> Result<SqliteStore, _> { panic!("no") }).await.unwrap_err();
        assert!(matches!(error, StoreError::Internal(_)));
    }

    #[tokio::test]
    async fn closing_gives_up_on_a_call_that_does_not_end() {
        let (_dir, handle) = handle().await;
        let (go, wait) = mpsc::channel::<()>();
        let other = handle.clone();
        let stuck = tokio::spawn(async move { other.call(move |_| Ok(wait.recv().is_err())).await });
        tokio::task::yield_now().await;
        assert!(matches!(handle.close(Duration::from_millis(1)).await, Err(StoreError::Internal(_))));
        drop(go);
        assert!(stuck.await.unwrap().unwrap());
    }

    #[tokio::test]
    async fn without_a_handle_the_thread_ends() {
        let (dir, handle) = handle().await;
        let thread = lock(&handle.shared.thread).take().unwrap();
        drop(handle);
        thread.thread.join().unwrap();
        assert!(!dir.path().join("sortie.db-wal").exists());
    }
}
