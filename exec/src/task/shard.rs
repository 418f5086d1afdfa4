//! What is the same for every task: a chain, where its rows go, and who hears of both.

use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use tidemill_state::checkpoint::SplitState;
use tidemill_state::{Epoch, EventTime};

use super::{Chain, Demand, Reports, Tail};
use crate::checkpoint::TaskSnapshot;
use crate::coordinator::Signal;
use crate::error::Result;
use crate::exchange::Aligned;
use crate::message::{Barrier, Message};
use crate::operator::{Output, TableSnapshot};

pub struct Shard<'a> {
    chain: Chain,
    tail: Tail,
    output: Output,
    /// The barrier that would come next.
    open: Barrier,
    /// The barrier whose output is to be delivered, and the state at it if it is a checkpoint.
    passing: Option<(Barrier, Option<TaskSnapshot>)>,
    /// The open epoch was asked to end.
    asked: bool,
    reports: &'a Reports,
}

/// While rows come, so long behind each batch goes into copying what is left of a snapshot.
const COPYING_AT_ONCE: Duration = Duration::from_millis(1);

/// Whether a task goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    More,
    /// It has done all it ever will.
    Ended,
    /// It ends where it is, because the job does.
    Stopped,
}

impl<'a> Shard<'a> {
    pub fn new(chain: Chain, tail: Tail, reports: &'a Reports) -> Shard<'a> {
        let open = Barrier::at_end(Epoch(1));
        Shard { chain, tail, output: Output::default(), open, passing: None, asked: false, reports }
    }

    /// Runs the chain. What comes out waits for `deliver`.
    pub fn feed(&mut self, aligned: Aligned) -> Result<()> {
        let Aligned::Barrier(barrier) = aligned else {
            return self.chain.feed(aligned, self.open, &mut self.output);
        };
        self.pass(barrier, Vec::new())
    }

    /// Runs the chain up to a barrier, at which `splits` have been read so far.
    pub fn pass(&mut self, barrier: Barrier, splits: Vec<SplitState>) -> Result<()> {
        debug_assert!(self.passing.is_none(), "one barrier is under way at a time");
        self.open = Barrier::at_end(barrier.epoch.next());
        self.asked = false;
        self.chain.feed(Aligned::Barrier(barrier), self.open, &mut self.output)?;
        // Now, before anything behind the barrier changes it.
        let snapshot = match barrier.checkpoint {
            None => None,
            Some(_) => {
                let begun = Instant::now();
                let operators = self.chain.snapshot()?;
                Some(TaskSnapshot { splits, operators, prepared: Vec::new(), stall: begun.elapsed() })
            }
        };
        self.passing = Some((barrier, snapshot));
        Ok(())
    }

    /// Tells those behind, after a restart, how far event time had come before it.
    pub fn resume(&mut self) {
        if self.chain.watermark() > EventTime::MIN {
            self.output.push(Message::Watermark(self.chain.watermark()));
        }
    }

    /// Hands on what came out. If that was a barrier, it counts as passed.
    pub async fn deliver(&mut self) -> Result<Next> {
        let demand = self.send().await?;
        if self.acknowledge(None).await? == Next::Stopped {
            return Ok(Next::Stopped);
        }
        self.ask_for_barrier().await;
        Ok(demand)
    }

    /// Hands on what came out, and says nothing of it.
    pub async fn send(&mut self) -> Result<Next> {
        let demand = self.chain.until(self.tail.deliver(&mut self.output)).await??;
        // The barrier itself does not wait for copies.
        if self.chain.is_copying() && self.passing.is_none() {
            self.chain.copy_for(COPYING_AT_ONCE)?;
        }
        Ok(if demand == Demand::Nothing { Next::Ended } else { Next::More })
    }

    /// The barrier that was sent on, if one was, counts as passed. With the state of the first operator goes `beside`.
    pub async fn acknowledge(&mut self, beside: Option<TableSnapshot>) -> Result<Next> {
        if let Some((barrier, snapshot)) = self.passing.take() {
            self.reports.metrics.progress.operators(self.reports.task, self.chain.time());
            if let Some(mut snapshot) = snapshot {
                snapshot.operators.iter_mut().take(1).for_each(|first| first.extend(beside.clone()));
                let prepared = self.tail.take_prepared();
                self.reports.snapshot(barrier.checkpoint, TaskSnapshot { prepared, ..snapshot });
            }
            self.reports.signal(Signal::Acknowledged(self.reports.task, barrier.epoch)).await;
            if barrier.stops {
                self.chain.copy_for(Duration::MAX)?;
                return Ok(Next::Stopped);
            }
        }
        Ok(Next::More)
    }

    /// Waits for what comes; until it does, copies what is left of the last snapshot.
    pub async fn until<T>(&mut self, coming: impl Future<Output = T>) -> Result<T> {
        self.chain.until(coming).await
    }

    /// Says so if memory is short and only the end of the epoch helps.
    pub async fn ask_for_barrier(&mut self) {
        if !self.asked && self.chain.wants_barrier() {
            self.asked = true;
            self.reports.signal(Signal::WantsBarrier(self.open.epoch)).await;
        }
    }

    /// Rows that came out and are still to be handed on.
    pub fn rows(&self) -> usize {
        self.output.rows()
    }

    /// Rows that were in flight when the state was taken that the chain was restored from.
    pub fn take_in_flight(&mut self) -> Vec<RecordBatch> {
        self.chain.take_in_flight()
    }

    /// Some operator has all it needs.
    pub fn is_finished(&self) -> bool {
        self.chain.is_finished()
    }

    /// The input has ended, or nobody needs more of it.
    pub async fn finish(&mut self) -> Result<Next> {
        self.feed(Aligned::End)?;
        self.tail.deliver(&mut self.output).await?;
        Ok(Next::Ended)
    }

    /// The job is failing: lets go of rows that came before what it fails of.
    pub async fn abandon(&mut self) -> Result<()> {
        self.tail.abandon(self.open.epoch).await
    }

    /// What its operators wait for, and have dropped.
    pub fn tell_time(&self) {
        self.reports.metrics.progress.operators(self.reports.task, self.chain.time());
    }

    /// The last word of a task that has ended, for all checkpoints to come.
    pub fn close(self, splits: Vec<SplitState>) -> Result<()> {
        self.close_with(splits, None)
    }

    /// The same, with a table beside the state of the first operator.
    pub fn close_with(mut self, splits: Vec<SplitState>, beside: Option<TableSnapshot>) -> Result<()> {
        self.tell_time();
        if self.reports.checkpoints {
            let (mut operators, prepared) = (self.chain.snapshot()?, self.tail.take_last());
            operators.iter_mut().take(1).for_each(|first| first.extend(beside.clone()));
            self.reports.snapshot(None, TaskSnapshot { splits, operators, prepared, stall: Duration::ZERO });
            self.chain.copy_for(Duration::MAX)?;
        }
        Ok(())
    }
}
