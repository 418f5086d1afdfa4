//! Reads ahead beside the source's task, so that waiting and decoding do not hold it up.
//!
//! A reader here is a producer (a task, or a thread if it blocks) and a channel of two batches. That is what makes
//! [`Reader::next`] cancel-safe: a dropped future leaves the batch in the channel. Batches that were never taken were never
//! counted either, because each carries its own offset.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use crate::connect::{Reader, SplitBatch};
use crate::error::{Error, Result};

/// Two: one being consumed's successor, and one being made.
const BATCHES_AHEAD: usize = 2;

/// The receiving end. Dropping it stops the producer.
pub(super) struct Pump {
    /// `Ok(None)` is the regular end. A channel that closes without it means that the producer died.
    batches: mpsc::Receiver<Result<Option<SplitBatch>>>,
    task: Option<AbortHandle>,
    ended: bool,
    /// See [`Reader::backlog`].
    backlog: watch::Receiver<bool>,
    gathering: Gathering,
}

/// See [`Reader::gather`]. In microseconds.
type Gathering = Arc<AtomicU64>;

impl Pump {
    /// Runs an asynchronous producer as a task.
    pub fn spawn<F>(produce: impl FnOnce(Feed) -> F) -> Pump
    where
        F: Future<Output = Result<(), Halt>> + Send + 'static,
    {
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        let (is_read, backlog) = watch::channel(true);
        let gathering = Gathering::default();
        let producer = produce(Feed { batches: sender.clone(), backlog: is_read, gathering: Arc::clone(&gathering) });
        let task = tokio::spawn(async move {
            // A closed channel means that nobody wants to know.
            let _ = sender.send(last_word(producer.await)).await;
        });
        Pump { batches, task: Some(task.abort_handle()), ended: false, backlog, gathering }
    }

    /// Runs a blocking producer on a thread of its own, which neither waits for a free worker nor holds up a runtime that
    /// shuts down while it blocks in a read. `has_backlog`: it says when it has read what was there ([`Feed::backlog_is_read`]).
    pub fn thread(
        name: &str,
        has_backlog: bool,
        produce: impl FnOnce(&Feed) -> Result<(), Halt> + Send + 'static,
    ) -> Result<Pump> {
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        let (is_read, backlog) = watch::channel(!has_backlog);
        let gathering = Gathering::default();
        let feed = Feed { batches: sender, backlog: is_read, gathering: Arc::clone(&gathering) };
        std::thread::Builder::new().name(name.to_string()).spawn(move || {
            let ended = produce(&feed);
            let _ = feed.batches.blocking_send(last_word(ended));
        })?;
        Ok(Pump { batches, task: None, ended: false, backlog, gathering })
    }
}

fn last_word(ended: Result<(), Halt>) -> Result<Option<SplitBatch>> {
    match ended {
        Ok(()) | Err(Halt::Unwanted) => Ok(None),
        Err(Halt::Failed(error)) => Err(error),
    }
}

#[async_trait]
impl Reader for Pump {
    async fn next(&mut self) -> Result<Option<SplitBatch>> {
        if self.ended {
            return Ok(None);
        }
        let next = match self.batches.recv().await {
            Some(next) => next,
            None => Err(Error::new("reading stopped without a reason").why("the thread that reads has died")),
        };
        self.ended = !matches!(next, Ok(Some(_)));
        next
    }

    fn backlog(&self) -> Option<watch::Receiver<bool>> {
        Some(self.backlog.clone())
    }

    fn gather(&mut self, time: Duration) {
        self.gathering.store(time.as_micros() as u64, Ordering::Relaxed);
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// The producer's end.
#[derive(Clone)]
pub(super) struct Feed {
    batches: mpsc::Sender<Result<Option<SplitBatch>>>,
    backlog: watch::Sender<bool>,
    gathering: Gathering,
}

/// Why a producer stopped early.
#[derive(Debug)]
pub(super) enum Halt {
    /// The reader was dropped.
    Unwanted,
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Halt {
        Halt::Failed(error)
    }
}

impl Feed {
    /// Waits while the consumer is behind.
    pub async fn send(&self, batch: SplitBatch) -> Result<(), Halt> {
        self.batches.send(Ok(Some(batch))).await.map_err(|_| Halt::Unwanted)
    }

    /// As `send`, from a thread that may block.
    pub fn send_blocking(&self, batch: SplitBatch) -> Result<(), Halt> {
        self.batches.blocking_send(Ok(Some(batch))).map_err(|_| Halt::Unwanted)
    }

    /// All has been sent that was there when reading began.
    pub fn backlog_is_read(&self) {
        self.backlog.send_replace(true);
    }

    /// How long little may be kept back to gather more, if nobody minds.
    pub fn gathers(&self) -> Option<Duration> {
        Some(Duration::from_micros(self.gathering.load(Ordering::Relaxed))).filter(|time| !time.is_zero())
    }

    /// Lets time pass on a thread that may block, in steps short enough to notice that the reader was dropped.
    pub fn wait_blocking(&self, duration: Duration) -> Result<(), Halt> {
        let until = Instant::now() + duration;
        loop {
            if self.batches.is_closed() {
                return Err(Halt::Unwanted);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::numbered;
    use super::*;

    #[tokio::test]
    async fn a_dropped_next_loses_nothing() {
        let mut pump = Pump::spawn(|feed| async move {
            for number in 0..20 {
                tokio::task::yield_now().await;
                feed.send(numbered(number)).await?;
            }
            Ok(())
        });
        let mut seen = Vec::new();
        loop {
            // A future that is polled once and dropped, as a barrier does it.
            if let Some(next) = futures::FutureExt::now_or_never(pump.next()) {
                match next.unwrap() {
                    Some(batch) => seen.push(batch.rows.len() as u64),
                    None => break,
                }
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(seen, (0..20).collect::<Vec<_>>());
        assert!(pump.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_producer_that_dies_is_an_error_and_not_the_end_of_the_table() {
        let mut pump = Pump::spawn(|_feed| async move {
            std::panic::resume_unwind(Box::new("a defect"));
        });
        let error = pump.next().await.map(|_| ()).unwrap_err();
        assert_eq!(error.what(), "reading stopped without a reason");
    }

    #[tokio::test]
    async fn dropping_the_reader_ends_a_thread_that_waits() {
        let (ended, has_ended) = tokio::sync::oneshot::channel();
        let pump = Pump::thread("test", false, move |feed| {
            let result = feed.wait_blocking(Duration::from_secs(3600));
            let _ = ended.send(matches!(result, Err(Halt::Unwanted)));
            result
        })
        .unwrap();
        drop(pump);
        assert!(has_ended.await.unwrap());
    }
}
