//! Where rows go to.

use std::fmt::Debug;

use async_trait::async_trait;
use tidemill_state::Epoch;

use crate::changelog::ChangeBatch;
use crate::error::Result;
use crate::operator::ShardContext;

/// A place rows go to.
#[async_trait]
pub trait Sink: Debug + Send + Sync {
    /// Whether it can take rows back (`-U`, `-D`). The planner refuses an updating query into a sink that cannot.
    fn accepts_updates(&self) -> bool;

    /// At most how many shards may write at once, if it matters (1 for a terminal or a socket).
    fn max_parallelism(&self) -> Option<u16> {
        None
    }

    /// Starts one writer per shard of the sink's stage.
    async fn open(&self, context: &ShardContext) -> Result<Box<dyn Writer>>;
}

/// Writes the rows of one shard.
#[async_trait]
pub trait Writer: Send {
    /// Takes rows in order. May keep them until `flush`.
    async fn write(&mut self, changes: ChangeBatch) -> Result<()>;

    /// The epoch is complete: everything written so far goes out now.
    async fn flush(&mut self, epoch: Epoch) -> Result<()>;

    /// The stream has ended, nothing follows. Not called if the job fails or is cancelled.
    async fn finish(&mut self) -> Result<()>;
}
