//! The stream of events is open only while something depends on it: with nothing running, not even the host's
//! heartbeat wakes us.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long the stream stays open after the last need: the next task often comes soon.
const LINGER: Duration = Duration::from_secs(20);

/// How long a run waits for the stream before it begins without: polling is the net.
const PATIENCE: Duration = Duration::from_secs(1);

/// Opens (`true`) and closes the stream.
pub type Switch = Arc<dyn Fn(bool) + Send + Sync>;

/// Who needs the stream, and whether it is open.
#[derive(Debug)]
pub struct Listening {
    needs: watch::Sender<usize>,
    open: watch::Sender<bool>,
}

/// A need for the stream; over when dropped.
#[derive(Debug)]
pub struct Need(watch::Sender<usize>);

impl Default for Listening {
    fn default() -> Self {
        Self { needs: watch::channel(0).0, open: watch::channel(false).0 }
    }
}

impl Listening {
    /// Says that the stream is needed.
    #[must_use]
    pub fn need(&self) -> Need {
        self.needs.send_modify(|needs| *needs += 1);
        Need(self.needs.clone())
    }

    /// Waits until the stream is open, but not for ever.
    pub async fn opened(&self) {
        let mut open = self.open.subscribe();
        // A stream that does not open is followed by polling.
        let _ = tokio::time::timeout(PATIENCE, open.wait_for(|open| *open)).await;
    }

    /// Notes that the stream has opened or closed.
    pub fn changed(&self, open: bool) {
        self.open.send_replace(open);
    }

    /// Switches the stream as it is needed, until `stop`.
    pub fn run(&self, switch: Switch, stop: CancellationToken) -> impl Future<Output = ()> + use<> {
        let mut needs = self.needs.subscribe();
        async move {
            let mut on = false;
            let work = async {
                loop {
                    if needs.wait_for(|needs| *needs > 0).await.is_err() {
                        return;
                    }
                    if !on {
                        on = true;
                        switch(true);
                    }
                    if needs.wait_for(|needs| *needs == 0).await.is_err() {
                        return;
                    }
                    let again = tokio::time::timeout(LINGER, needs.wait_for(|needs| *needs > 0)).await;
                    if again.is_err() {
                        on = false;
                        switch(false);
                    }
                }
            };
            tokio::select! {
                () = work => {}
                () = stop.cancelled() => {}
            }
            if on {
                switch(false);
            }
        }
    }
}

impl Drop for Need {
    fn drop(&mut self) {
        self.0.send_modify(|needs| *needs -= 1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_stream_is_open_while_needed_and_a_little_longer() {
        let listening = Listening::default();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, stop) = (Arc::clone(&seen), CancellationToken::new());
        let running = tokio::spawn(listening.run(Arc::new(move |on| log.lock().unwrap().push(on)), stop.clone()));
        let settled = || tokio::time::sleep(Duration::from_millis(1));
        let need = listening.need();
        settled().await;
        assert_eq!(*seen.lock().unwrap(), [true]);
        drop(need);
        tokio::time::sleep(LINGER / 2).await;
        let need = listening.need();
        settled().await;
        drop(need);
        tokio::time::sleep(LINGER / 2).await;
        assert_eq!(*seen.lock().unwrap(), [true]);
        tokio::time::sleep(LINGER).await;
        assert_eq!(*seen.lock().unwrap(), [true, false]);
        let _need = listening.need();
        settled().await;
        stop.cancel();
        running.await.unwrap();
        assert_eq!(*seen.lock().unwrap(), [true, false, true, false]);
    }
}
