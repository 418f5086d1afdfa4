//! One shard of a stage: reads its source or its inbox, runs the chain, delivers what comes out.
//!
//! Everything that waits is here; operators only compute.

mod alignment;
mod chain;
mod lateness;
mod skips;
mod source;
mod tail;
mod watermarks;

use std::sync::Arc;

use tokio::sync::mpsc;

pub use alignment::{Alignments, Member};
pub use chain::Chain;
pub use skips::Skips;
pub use source::{SourceTask, run_source};
pub use tail::{Demand, Outgoing, Tail};
pub use watermarks::Watermarks;

use crate::coordinator::{Signal, TaskId};
use crate::error::{Error, Result};
use crate::exchange::{Align, Inbox, LaneStart};
use crate::message::Barrier;
use crate::operator::Output;
use crate::runtime::Metrics;
use tidemill_state::Epoch;

/// What a task tells the outside.
#[derive(Clone)]
pub struct Reports {
    pub task: TaskId,
    pub signals: mpsc::UnboundedSender<Report>,
    pub metrics: Arc<Metrics>,
}

pub enum Report {
    Signal(Signal),
    /// Something the user should know, but no failure.
    Note(String),
    Failed(Error),
}

impl Reports {
    pub fn signal(&self, signal: Signal) {
        self.send(Report::Signal(signal));
    }

    pub fn note(&self, note: String) {
        self.send(Report::Note(note));
    }

    fn send(&self, report: Report) {
        // The driver only goes away when the job is being torn down; then nobody is left to listen.
        let _ = self.signals.send(report);
    }
}

/// Runs a task that reads from other tasks, until its inputs end, its chain has all it needs, or nobody wants its rows.
pub async fn run_inputs(
    mut inbox: Inbox,
    lanes: Vec<LaneStart>,
    mut chain: Chain,
    mut tail: Tail,
    reports: &Reports,
) -> Result<()> {
    let mut align = Align::new(lanes);
    let mut output = Output::default();
    let mut open = Barrier::at_end(Epoch(1));
    while let Some(delivery) = inbox.receive().await {
        let (lane, message) = (delivery.lane, delivery.message.clone());
        let mut passed = Vec::new();
        let mut ended = false;
        align.push(lane, message, delivery, &mut |aligned| {
            match &aligned {
                crate::exchange::Aligned::Barrier(barrier) => {
                    open = Barrier::at_end(barrier.epoch.next());
                    passed.push(barrier.epoch);
                }
                crate::exchange::Aligned::End => ended = true,
                _ => {}
            }
            chain.feed(aligned, open, &mut output)
        })?;
        let demand = tail.deliver(&mut output).await?;
        if !passed.is_empty() {
            reports.metrics.progress.operators(reports.task, chain.time());
        }
        passed.into_iter().for_each(|epoch| reports.signal(Signal::Acknowledged(reports.task, epoch)));
        if ended {
            reports.metrics.progress.operators(reports.task, chain.time());
            return Ok(());
        }
        if chain.is_finished() {
            return finish(chain, tail, open, reports).await;
        }
        if demand == Demand::Nothing {
            return Ok(());
        }
    }
    // The senders are gone without an end: the job is failing.
    tail.abandon(open.epoch).await
}

/// Ends a task of its own accord.
async fn finish(mut chain: Chain, mut tail: Tail, open: Barrier, reports: &Reports) -> Result<()> {
    let mut output = Output::default();
    chain.feed(crate::exchange::Aligned::End, open, &mut output)?;
    reports.metrics.progress.operators(reports.task, chain.time());
    tail.deliver(&mut output).await.map(drop)
}
