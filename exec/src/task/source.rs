//! A task that reads a table.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::Poll;

use tidemill_state::Epoch;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::watermarks::{Observed, TimeNews, Watermarks};
use super::{Chain, Demand, Member, Reports, Skips, Tail, finish};
use crate::connect::{Reader, SplitBatch};
use crate::coordinator::Signal;
use crate::error::Result;
use crate::exchange::Aligned;
use crate::message::Barrier;
use crate::operator::{Input, Output};
use crate::runtime::catch_panic;

/// What one source task reads, and how it tells time.
pub struct SourceTask {
    pub table: String,
    pub reader: Box<dyn Reader>,
    pub watermarks: Option<Watermarks>,
    /// The source ends by itself. Then no watermark depends on when a barrier came: the same input gives the same output.
    pub bounded: bool,
    pub alignment: Option<Member>,
}

/// Reads until the source ends, the chain has all it needs, or nobody wants its rows; passes barriers on as they are handed in.
pub async fn run_source(
    source: SourceTask,
    mut barriers: mpsc::UnboundedReceiver<Barrier>,
    mut chain: Chain,
    mut tail: Tail,
    reports: &Reports,
) -> Result<()> {
    let SourceTask { table, mut reader, mut watermarks, bounded, mut alignment } = source;
    let tell_time = |watermarks: &Option<Watermarks>, chain: &Chain| {
        let progress = &reports.metrics.progress;
        if let Some(watermarks) = watermarks {
            progress.source(reports.task, watermarks.time(&table));
        }
        progress.operators(reports.task, chain.time());
    };
    let mut skips = Skips::new(&table, |note| reports.note(note));
    let mut output = Output::default();
    tell_time(&watermarks, &chain);
    let mut open = Barrier::at_end(Epoch(1));
    let mut active = false;
    loop {
        // Barriers first: under load the reader always has something.
        let event = match barriers.try_recv() {
            Ok(barrier) => Event::Barrier(barrier),
            Err(_) => {
                let waits = Waits { barriers: &mut barriers, skips: &mut skips, watermarks: watermarks.as_ref() };
                match next_event(reader.as_mut(), alignment.as_mut(), waits, &mut active, reports).await {
                    Ok(event) => event,
                    Err(error) => {
                        tail.abandon(open.epoch).await?;
                        return Err(error);
                    }
                }
            }
        };
        match event {
            Event::Barrier(barrier) => {
                active = false;
                if let Some(time) = watermarks.as_mut().filter(|_| !bounded).and_then(Watermarks::flush) {
                    chain.feed(Aligned::Watermark(time), open, &mut output)?;
                }
                open = Barrier::at_end(barrier.epoch.next());
                chain.feed(Aligned::Barrier(barrier), open, &mut output)?;
                let demand = tail.deliver(&mut output).await?;
                tell_time(&watermarks, &chain);
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
                let observed = match &mut watermarks {
                    Some(watermarks) => watermarks.observe(&read.split, read.rows, read.ended, Instant::now())?,
                    None => Observed { rows: read.rows, failure: None },
                };
                // A split that has ended may have been the one that held time back.
                let risen = watermarks.as_mut().filter(|_| read.ended).and_then(Watermarks::flush);
                if observed.rows.is_empty() && observed.failure.is_none() && risen.is_none() {
                    continue;
                }
                if !active {
                    active = true;
                    reports.signal(Signal::Active(reports.task));
                }
                reports.metrics.rows_read.fetch_add(observed.rows.len() as u64, Ordering::Relaxed);
                if !observed.rows.is_empty() {
                    chain.feed(Aligned::Batch(Input(0), observed.rows), open, &mut output)?;
                }
                let silent = watermarks.as_mut().and_then(|watermarks| watermarks.tick(Instant::now()));
                for news in risen.map(TimeNews::Watermark).into_iter().chain(silent) {
                    chain.feed(news.into(), open, &mut output)?;
                }
                if let (Some(member), Some(watermarks)) = (&alignment, &watermarks) {
                    member.report(watermarks.reached());
                }
                let demand = tail.deliver(&mut output).await?;
                if let Some(error) = observed.failure {
                    tail.abandon(open.epoch).await?;
                    return Err(error);
                }
                if chain.is_finished() {
                    return finish(chain, tail, open, reports).await;
                }
                if demand == Demand::Nothing {
                    return Ok(());
                }
            }
            Event::Clock => {
                let Some(news) = watermarks.as_mut().and_then(|watermarks| watermarks.tick(Instant::now())) else {
                    continue;
                };
                if !active {
                    active = true;
                    reports.signal(Signal::Active(reports.task));
                }
                chain.feed(news.into(), open, &mut output)?;
                if let (Some(member), Some(watermarks)) = (&alignment, &watermarks) {
                    member.report(watermarks.reached());
                }
                tell_time(&watermarks, &chain);
                if tail.deliver(&mut output).await? == Demand::Nothing {
                    return Ok(());
                }
            }
            Event::End => return finish(chain, tail, open, reports).await,
        }
    }
}

enum Event {
    Rows(SplitBatch),
    Barrier(Barrier),
    /// It may be time to call a split idle.
    Clock,
    End,
}

impl From<TimeNews> for Aligned {
    fn from(news: TimeNews) -> Aligned {
        match news {
            TimeNews::Watermark(time) => Aligned::Watermark(time),
            TimeNews::Idle => Aligned::Idle,
        }
    }
}

/// What may come while a reader has nothing.
struct Waits<'a, F: Fn(String)> {
    barriers: &'a mut mpsc::UnboundedReceiver<Barrier>,
    skips: &'a mut Skips<F>,
    watermarks: Option<&'a Watermarks>,
}

/// The next rows or barrier; says so when the reader has nothing for now.
async fn next_event(
    reader: &mut dyn Reader,
    alignment: Option<&mut Member>,
    waits: Waits<'_, impl Fn(String)>,
    active: &mut bool,
    reports: &Reports,
) -> Result<Event> {
    let Waits { barriers, skips, watermarks } = waits;
    let read = |read: Result<Option<SplitBatch>>| Ok(read?.map_or(Event::End, Event::Rows));
    let mut next = pin!(catch_panic(async {
        if let Some(member) = alignment {
            member.aligned().await;
        }
        reader.next().await
    }));
    if let Poll::Ready(ready) = futures::poll!(&mut next) {
        return ready.and_then(read);
    }
    if *active {
        reports.signal(Signal::CaughtUp(reports.task));
    }
    loop {
        let due = skips.due();
        let clock = watermarks.and_then(Watermarks::due);
        tokio::select! {
            biased;
            Some(barrier) = barriers.recv() => return Ok(Event::Barrier(barrier)),
            ready = &mut next => {
                // The coordinator believes we are caught up: tell it that rows came after all.
                *active = false;
                return ready.and_then(read);
            }
            () = tokio::time::sleep_until(clock.unwrap_or_else(Instant::now)), if clock.is_some() => return Ok(Event::Clock),
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => skips.tell(),
        }
    }
}
