//! A task that reads a table.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::Poll;

use arrow::array::AsArray;
use arrow::compute;
use arrow::datatypes::Int64Type;
use tidemill_state::{Epoch, EventTime};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Chain, Demand, Reports, Skips, Tail, finish};
use crate::connect::{Reader, SplitBatch, SplitId};
use crate::coordinator::Signal;
use crate::error::Result;
use crate::exchange::Aligned;
use crate::graph::WatermarkStrategy;
use crate::message::{Barrier, Batch};
use crate::operator::{Input, Output};
use crate::runtime::catch_panic;

/// Reads until the source ends, the chain has all it needs, or nobody wants its rows; passes barriers on as they are handed in.
pub async fn run_source(
    mut reader: Box<dyn Reader>,
    watermark: Option<WatermarkStrategy>,
    mut barriers: mpsc::UnboundedReceiver<Barrier>,
    mut chain: Chain,
    mut tail: Tail,
    reports: &Reports,
    table: &str,
) -> Result<()> {
    let mut watermarks = watermark.map(Watermarks::new);
    let mut skips = Skips::new(table, |note| reports.note(note));
    let mut output = Output::default();
    let mut open = Barrier { epoch: Epoch(1), checkpoint: None };
    let mut active = false;
    loop {
        // Barriers first: under load the reader always has something.
        let event = match barriers.try_recv() {
            Ok(barrier) => Event::Barrier(barrier),
            Err(_) => match next_event(reader.as_mut(), &mut barriers, &mut active, &mut skips, reports).await {
                Ok(event) => event,
                Err(error) => {
                    tail.abandon(open.epoch).await?;
                    return Err(error);
                }
            },
        };
        match event {
            Event::Barrier(barrier) => {
                active = false;
                open = Barrier { epoch: barrier.epoch.next(), checkpoint: None };
                chain.feed(Aligned::Barrier(barrier), open, &mut output)?;
                let demand = tail.deliver(&mut output).await?;
                reports.signal(Signal::Acknowledged(reports.task, barrier.epoch));
                if demand == Demand::Nothing {
                    return Ok(());
                }
            }
            Event::Rows(read) => {
                if let Some(skipped) = read.skipped {
                    reports.metrics.rows_skipped.fetch_add(skipped.records, Ordering::Relaxed);
                    skips.add(skipped, Instant::now());
                }
                if read.rows.is_empty() {
                    continue;
                }
                if !active {
                    active = true;
                    reports.signal(Signal::Active(reports.task));
                }
                reports.metrics.rows_read.fetch_add(read.rows.len() as u64, Ordering::Relaxed);
                let time = match &mut watermarks {
                    Some(watermarks) => watermarks.observe(&read.split, &read.rows)?,
                    None => None,
                };
                chain.feed(Aligned::Batch(Input(0), read.rows), open, &mut output)?;
                if let Some(time) = time {
                    chain.feed(Aligned::Watermark(time), open, &mut output)?;
                }
                let demand = tail.deliver(&mut output).await?;
                if chain.is_finished() {
                    return finish(chain, tail, open).await;
                }
                if demand == Demand::Nothing {
                    return Ok(());
                }
            }
            Event::End => return finish(chain, tail, open).await,
        }
    }
}

enum Event {
    Rows(SplitBatch),
    Barrier(Barrier),
    End,
}

/// The next rows or barrier; says so when the reader has nothing for now.
async fn next_event(
    reader: &mut dyn Reader,
    barriers: &mut mpsc::UnboundedReceiver<Barrier>,
    active: &mut bool,
    skips: &mut Skips<impl Fn(String)>,
    reports: &Reports,
) -> Result<Event> {
    let read = |read: Result<Option<SplitBatch>>| Ok(read?.map_or(Event::End, Event::Rows));
    let mut next = pin!(catch_panic(reader.next()));
    if let Poll::Ready(ready) = futures::poll!(&mut next) {
        return ready.and_then(read);
    }
    if *active {
        reports.signal(Signal::CaughtUp(reports.task));
    }
    loop {
        let due = skips.due();
        tokio::select! {
            biased;
            Some(barrier) = barriers.recv() => return Ok(Event::Barrier(barrier)),
            ready = &mut next => {
                // The coordinator believes we are caught up: tell it that rows came after all.
                *active = false;
                return ready.and_then(read);
            }
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => skips.tell(),
        }
    }
}

/// Watermarks of the splits one task reads, merged by their minimum.
struct Watermarks {
    strategy: WatermarkStrategy,
    splits: BTreeMap<SplitId, EventTime>,
    current: EventTime,
}

impl Watermarks {
    fn new(strategy: WatermarkStrategy) -> Watermarks {
        Watermarks { strategy, splits: BTreeMap::new(), current: EventTime::MIN }
    }

    /// Takes in the rows of a split; the new watermark, if it has risen.
    fn observe(&mut self, split: &SplitId, rows: &Batch) -> Result<Option<EventTime>> {
        let times = self.strategy.expression.evaluate(rows.rows())?.into_array(rows.len())?;
        let Some(latest) = compute::max(times.as_primitive::<Int64Type>()) else { return Ok(None) };
        let of_split = self.splits.entry(split.clone()).or_insert(EventTime::MIN);
        *of_split = (*of_split).max(EventTime(latest));
        let merged = self.splits.values().copied().min().unwrap_or(EventTime::MIN);
        if merged <= self.current {
            return Ok(None);
        }
        self.current = merged;
        Ok(Some(merged))
    }
}
