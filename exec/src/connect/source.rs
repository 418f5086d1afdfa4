//! Where rows come from.

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use crate::error::Result;
use crate::message::Batch;

/// A place rows come from: a socket, a directory, a generator.
#[async_trait]
pub trait Source: Debug + Send + Sync {
    /// Whether reading ends by itself.
    fn bounded(&self) -> bool;

    /// Whether it can be read again from an offset. If not, rows read since the last checkpoint are lost when the job fails.
    fn can_be_replayed(&self) -> bool {
        true
    }

    /// Whether there are rows before they are read. If not, it makes them then, and may always have some.
    fn has_backlog(&self) -> bool {
        true
    }

    /// Whether it takes rows back: its batches have weights. The rows of any other source only ever appear.
    fn retracts(&self) -> bool {
        false
    }

    /// Whether this split gives no rows of its own, but only finds others. Beside a task that has real ones, it does not hold event
    /// time back.
    fn only_discovers(&self, _split: &SplitId) -> bool {
        false
    }

    /// The independently readable parts that exist now, in a stable order.
    ///
    /// Called whenever the job begins, before anything is read; a place that does not exist is an error here.
    async fn splits(&self) -> Result<Vec<SplitId>>;

    /// Starts reading `splits`, each from just after its offset, or from the configured
    /// start where the offset is `None`.
    async fn open(&self, splits: Vec<(SplitId, Option<Offset>)>) -> Result<Box<dyn Reader>>;
}

/// Reads some splits for one shard.
#[async_trait]
pub trait Reader: Send {
    /// The next rows of one split, or `None` once every split is exhausted.
    ///
    /// Gives what is there: it does not wait for a batch to fill, so that a slow source is seen at once.
    /// Cancel-safe: dropping the future loses nothing, because barriers interrupt it.
    async fn next(&mut self) -> Result<Option<SplitBatch>>;

    /// Turns true once all that was there when reading began is there for `next` to give. `None`: all that is there is given at once, so it
    /// has been read when there is nothing to give.
    fn backlog(&self) -> Option<watch::Receiver<bool>> {
        None
    }

    /// From now on nobody waits for single rows: where only few come at a time, more may be gathered for so long.
    fn gather(&mut self, _time: Duration) {}
}

/// Names a split within its source: a path, a partition number. Stable across restarts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SplitId(pub Arc<str>);

impl SplitId {
    pub fn new(id: impl Into<Arc<str>>) -> SplitId {
        SplitId(id.into())
    }
}

impl fmt::Display for SplitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where reading a split resumes. Opaque to everything but its connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offset(pub Bytes);

/// Rows of one split, and where reading resumes after them.
#[derive(Debug)]
pub struct SplitBatch {
    pub split: SplitId,
    /// May be empty, to report a new offset or skipped records.
    pub rows: Batch,
    /// Small: it is stored in every checkpoint.
    pub resume_at: Offset,
    /// Records that could not be decoded and that the table's policy says to skip.
    pub skipped: Option<Skipped>,
    /// Nothing more comes from this split, although others go on: it no longer holds event time back.
    pub ended: bool,
}

/// Bad records that were left out, so that nothing is lost in silence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    pub records: u64,
    /// The first of them, shortened, and what is wrong with it.
    pub example: String,
}
