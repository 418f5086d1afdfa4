//! Where rows go to.

use std::fmt::{self, Debug, Display};

use async_trait::async_trait;
use bytes::Bytes;
use tidemill_state::{CheckpointId, Epoch};

use super::options::{OptionKind, OptionSpec};
use crate::changelog::ChangeBatch;
use crate::error::Result;
use crate::operator::ShardContext;
use crate::write_ahead::WriteAhead;

/// A place rows go to.
#[async_trait]
pub trait Sink: Debug + Send + Sync {
    /// Whether it can take rows back (`-U`, `-D`). The planner refuses an updating query into a sink that cannot.
    fn accepts_updates(&self) -> bool;

    /// At most how many shards may write at once, if it matters (1 for a terminal or a socket).
    fn max_parallelism(&self) -> Option<u16> {
        None
    }

    /// What a reader may count on when the job fails and goes on from a checkpoint; `None`: there is no reader then.
    fn guarantee(&self) -> Option<Guarantee> {
        Some(Guarantee::AtLeastOnce)
    }

    /// Second phase: makes visible what writers have prepared, in that order. Called once the checkpoint it belongs to is there, and
    /// again after a restart from it: what is visible already stays as it is, and so does what somebody has removed since.
    ///
    /// A sink that cannot tell is made [exactly once](Guarantee::ExactlyOnce) by a [write-ahead log](WriteAhead), whose parts are committed one
    /// by one, and each recorded in the job's directory when it is. So only what was being committed, or was not recorded yet, when the process
    /// ended is committed again.
    async fn commit(&self, _prepared: &[Bytes]) -> Result<()> {
        Ok(())
    }

    /// Removes what an earlier run of the same job has left that is not part of any checkpoint up to this one. Called after `commit`,
    /// before `open`.
    async fn recover(&self, _job: u64, _checkpoint: CheckpointId) -> Result<()> {
        Ok(())
    }

    /// The log that this sink is, if it is one.
    fn write_ahead(&self) -> Option<&WriteAhead> {
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

    /// First phase of a commit, in jobs that take checkpoints: after the `flush` of a checkpoint's barrier, or after `finish`, brings
    /// what was written since the last call to where it is safe, and says what [`Sink::commit`] needs to make it visible. What is
    /// written later belongs to a later checkpoint than this one.
    async fn prepare(&mut self, _checkpoint: CheckpointId) -> Result<Vec<Bytes>> {
        Ok(Vec::new())
    }
}

/// What every table that is written can be told, whatever its connector.
pub const DELIVERY_OPTIONS: &[OptionSpec] = &[OptionSpec::with_default(
    "sink.delivery-guarantee",
    OptionKind::OneOf(&["at-least-once", "exactly-once", "none"]),
    "at-least-once",
    "exactly-once: rows are held back until the checkpoint that has them is there, and are not written again after a restart",
)];

/// What becomes of rows when a job fails and goes on from a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    /// Each is seen once: they become visible with the checkpoint.
    ExactlyOnce,
    /// Rows since the checkpoint come again.
    AtLeastOnce,
}

impl Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Guarantee::ExactlyOnce => "exactly once",
            Guarantee::AtLeastOnce => "at least once",
        })
    }
}
