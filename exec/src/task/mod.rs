//! One shard of a stage: reads its source or its inbox, runs the chain, delivers what comes out.
//!
//! Everything that waits is here; operators only compute.

mod alignment;
mod chain;
mod head;
mod lateness;
mod lookup;
mod shard;
mod skips;
mod source;
mod tail;
mod watermarks;

use std::sync::Arc;

use tidemill_state::CheckpointId;
use tokio::sync::mpsc;

pub use alignment::{Alignments, Member};
pub use chain::Chain;
pub use head::{HeadTask, run_head};
pub use lookup::{LookupTask, run_lookup};
use shard::{Next, Shard};
pub use skips::Skips;
pub use source::{Positions, SourceTask, run_source};
pub use tail::{Demand, Outgoing, Tail};
pub use watermarks::Watermarks;

use crate::checkpoint::{Checkpointer, Published, TaskSnapshot};
use crate::coordinator::{Signal, TaskId};
use crate::error::{Error, Result};
use crate::exchange::{Align, Aligned, Inbox, LaneStart};
use crate::runtime::Metrics;

/// What a task tells the outside.
#[derive(Clone)]
pub struct Reports {
    pub task: TaskId,
    pub signals: mpsc::UnboundedSender<Report>,
    pub metrics: Arc<Metrics>,
    /// The job takes checkpoints.
    pub checkpoints: bool,
}

pub enum Report {
    Signal(Signal),
    /// What a task knows at a checkpoint, or at its end. Comes before the signal that it has passed it, or has ended.
    Snapshot(TaskId, Option<CheckpointId>, TaskSnapshot),
    /// Something the user should know, but no failure.
    Note(String),
    Failed(Error),
    /// A checkpoint has been published, or has failed.
    Checkpoint(Box<Checkpointer>, Published),
}

impl Reports {
    /// Tells the coordinator, and lets it run: the scheduler may have put it on this very thread, behind this task, which would otherwise
    /// go on for as long as it has rows.
    pub async fn signal(&self, signal: Signal) {
        self.send(Report::Signal(signal));
        tokio::task::yield_now().await;
    }

    pub fn snapshot(&self, checkpoint: Option<CheckpointId>, snapshot: TaskSnapshot) {
        self.send(Report::Snapshot(self.task, checkpoint, snapshot));
    }

    pub fn note(&self, note: String) {
        self.send(Report::Note(note));
    }

    fn send(&self, report: Report) {
        // The driver only goes away when the job is being torn down; then nobody is left to listen.
        let _ = self.signals.send(report);
    }
}

/// Runs a task that reads from other tasks, until its inputs end, its chain has all it needs, nobody wants its rows, or the job stops.
pub async fn run_inputs(
    mut inbox: Inbox,
    lanes: Vec<LaneStart>,
    chain: Chain,
    tail: Tail,
    reports: &Reports,
) -> Result<()> {
    let mut align = Align::new(lanes, chain.watermark());
    let mut shard = Shard::new(chain, tail, reports);
    shard.resume();
    shard.deliver().await?;
    while let Some(delivery) = shard.until(inbox.receive()).await? {
        let (lane, message) = (delivery.lane, delivery.message.clone());
        let mut ended = false;
        align.push(lane, message, delivery, &mut |aligned| {
            ended |= matches!(aligned, Aligned::End);
            shard.feed(aligned)
        })?;
        match shard.deliver().await? {
            Next::Stopped => return Ok(()),
            _ if ended => return shard.close(Vec::new()),
            Next::More if shard.is_finished() => {
                shard.finish().await?;
                return shard.close(Vec::new());
            }
            Next::More => {}
            Next::Ended => return shard.close(Vec::new()),
        }
    }
    // The senders are gone without an end: the job is failing.
    shard.abandon().await
}
