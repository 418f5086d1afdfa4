//! A task that reads a table.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::Poll;

use tidemill_state::checkpoint::{SplitState, hex};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::watermarks::{Observed, TimeNews, Watermarks};
use super::{Chain, Member, Next, Reports, Shard, Skips, Tail};
use crate::checkpoint::Begin;
use crate::connect::{Offset, Reader, SplitBatch, SplitId};
use crate::coordinator::Signal;
use crate::error::Result;
use crate::exchange::Aligned;
use crate::message::Barrier;
use crate::operator::Input;
use crate::runtime::catch_panic;

/// What one source task reads, and how it tells time.
pub struct SourceTask {
    pub table: String,
    pub reader: Box<dyn Reader>,
    pub positions: Positions,
    pub watermarks: Option<Watermarks>,
    /// The source ends by itself. Then no watermark depends on when a barrier came: the same input gives the same output.
    pub bounded: bool,
    /// There was something before it is read.
    pub has_backlog: bool,
    pub alignment: Option<Member>,
}

/// How far splits are read.
#[derive(Default)]
pub struct Positions(BTreeMap<SplitId, Position>);

#[derive(Default)]
struct Position {
    offset: Option<Offset>,
    ended: bool,
}

impl Positions {
    /// Of splits that begin, or go on.
    pub fn new(splits: &[Begin]) -> Positions {
        let position = |begin: &Begin| {
            let ended = begin.state.as_ref().is_some_and(|state| state.ended);
            (begin.split.clone(), Position { offset: begin.offset.clone(), ended })
        };
        Positions(splits.iter().map(position).collect())
    }

    fn advance(&mut self, read: &SplitBatch) {
        let position = match self.0.get_mut(&read.split) {
            Some(position) => position,
            None => self.0.entry(read.split.clone()).or_default(),
        };
        position.offset = Some(read.resume_at.clone());
        position.ended |= read.ended;
    }

    fn state(&self, watermarks: Option<&Watermarks>) -> Vec<SplitState> {
        let state = |(split, Position { offset, ended }): (&SplitId, &Position)| SplitState {
            split: split.to_string(),
            offset: offset.as_ref().map(|offset| hex(&offset.0)),
            watermark: watermarks.and_then(|watermarks| watermarks.of_split(split)).map(|time| time.0),
            sent: watermarks.and_then(Watermarks::sent).map(|time| time.0),
            ended: *ended,
        };
        self.0.iter().map(state).collect()
    }
}

/// Reads until the source ends, the chain has all it needs, nobody wants its rows, or the job stops; passes barriers on as they are
/// handed in. When nobody can hand in any more, the source has come to its end.
pub async fn run_source(
    mut source: SourceTask,
    barriers: mpsc::UnboundedReceiver<Barrier>,
    chain: Chain,
    tail: Tail,
    reports: &Reports,
) -> Result<()> {
    let mut shard = Shard::new(chain, tail, reports);
    shard.resume();
    if let Some(time) = source.watermarks.as_ref().and_then(Watermarks::sent) {
        shard.feed(Aligned::Watermark(time))?;
        if source.watermarks.as_ref().is_some_and(Watermarks::is_idle) {
            shard.feed(Aligned::Idle)?;
        }
    }
    shard.deliver().await?;
    match source.read(barriers, &mut shard, reports).await? {
        Next::Stopped => Ok(()),
        _ => shard.close(source.positions.state(source.watermarks.as_ref())),
    }
}

impl SourceTask {
    fn tell_time(&self, shard: &Shard<'_>, reports: &Reports) {
        if let Some(watermarks) = &self.watermarks {
            reports.metrics.progress.source(reports.task, watermarks.time(&self.table));
        }
        shard.tell_time();
    }

    async fn read(
        &mut self,
        mut barriers: mpsc::UnboundedReceiver<Barrier>,
        shard: &mut Shard<'_>,
        reports: &Reports,
    ) -> Result<Next> {
        let table = self.table.clone();
        let mut skips = Skips::new(&table, |note| reports.note(note));
        self.tell_time(shard, reports);
        let mut active = false;
        // If it is bounded, that is its end.
        let mut backlog = Backlog { is_read: self.bounded, given: self.reader.backlog() };
        loop {
            // Barriers first: under load the reader always has something.
            let event = match barriers.try_recv() {
                Ok(barrier) => Event::Barrier(barrier),
                Err(TryRecvError::Disconnected) => Event::End,
                Err(TryRecvError::Empty) => {
                    let watermarks = self.watermarks.as_ref();
                    let waits = Waits { barriers: &mut barriers, skips: &mut skips, watermarks, backlog: &mut backlog };
                    let coming = next_event(self.reader.as_mut(), self.alignment.as_mut(), waits, &mut active, reports);
                    match shard.until(coming).await? {
                        Ok(event) => event,
                        Err(error) => {
                            shard.abandon().await?;
                            return Err(error);
                        }
                    }
                }
            };
            let next = match event {
                Event::Barrier(barrier) => {
                    active = false;
                    let bounded = self.bounded;
                    if let Some(time) = self.watermarks.as_mut().filter(|_| !bounded).and_then(Watermarks::flush) {
                        shard.feed(Aligned::Watermark(time))?;
                    }
                    shard.pass(barrier, self.positions.state(self.watermarks.as_ref()))?;
                    let next = shard.deliver().await?;
                    self.tell_time(shard, reports);
                    next
                }
                Event::Rows(read) => {
                    self.positions.advance(&read);
                    if let Some(skipped) = read.skipped {
                        reports.metrics.rows_skipped.fetch_add(skipped.records, Ordering::Relaxed);
                        skips.add(skipped, Instant::now());
                    }
                    let observed = match &mut self.watermarks {
                        Some(watermarks) => watermarks.observe(&read.split, read.rows, read.ended, Instant::now())?,
                        None => Observed { rows: read.rows, failure: None },
                    };
                    // A split that has ended may have been the one that held time back.
                    let risen = self.watermarks.as_mut().filter(|_| read.ended).and_then(Watermarks::flush);
                    if observed.rows.is_empty() && observed.failure.is_none() && risen.is_none() {
                        continue;
                    }
                    begin(&mut active, reports).await;
                    if !self.has_backlog {
                        backlog.is_read(reports).await;
                    }
                    reports.metrics.rows_read.fetch_add(observed.rows.len() as u64, Ordering::Relaxed);
                    if !observed.rows.is_empty() {
                        shard.feed(Aligned::Batch(Input(0), observed.rows))?;
                    }
                    let silent = self.watermarks.as_mut().and_then(|watermarks| watermarks.tick(Instant::now()));
                    for news in risen.map(TimeNews::Watermark).into_iter().chain(silent) {
                        shard.feed(news.into())?;
                    }
                    self.report_alignment();
                    let next = shard.deliver().await?;
                    if let Some(error) = observed.failure {
                        shard.abandon().await?;
                        return Err(error);
                    }
                    next
                }
                Event::Clock => {
                    let Some(news) = self.watermarks.as_mut().and_then(|watermarks| watermarks.tick(Instant::now()))
                    else {
                        continue;
                    };
                    begin(&mut active, reports).await;
                    shard.feed(news.into())?;
                    self.report_alignment();
                    self.tell_time(shard, reports);
                    shard.deliver().await?
                }
                Event::End => return shard.finish().await,
            };
            match next {
                Next::More if shard.is_finished() => return shard.finish().await,
                Next::More => {}
                next => return Ok(next),
            }
        }
    }

    fn report_alignment(&self) {
        if let (Some(member), Some(watermarks)) = (&self.alignment, &self.watermarks) {
            member.report(watermarks.reached());
        }
    }
}

/// The first rows since the last barrier have come.
async fn begin(active: &mut bool, reports: &Reports) {
    if !std::mem::replace(active, true) {
        reports.signal(Signal::Active(reports.task)).await;
    }
}

/// What was there when the job began.
struct Backlog {
    /// It has been read, and the coordinator knows.
    is_read: bool,
    /// As [`Reader::backlog`].
    given: Option<watch::Receiver<bool>>,
}

impl Backlog {
    /// Whether the reader is at work on it: what is missing will be there without the world's doing.
    fn is_coming(&self) -> bool {
        self.given.as_ref().is_some_and(|given| given.has_changed().is_ok() && !*given.borrow())
    }

    /// Waits until all of it is there for the reader to give.
    async fn given(&mut self) {
        if let Some(given) = &mut self.given {
            let _ = given.wait_for(|given| *given).await; // Who gives nothing any more has given all.
        }
    }

    async fn is_read(&mut self, reports: &Reports) {
        if !std::mem::replace(&mut self.is_read, true) {
            reports.signal(Signal::ReadBacklog(reports.task)).await;
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
    backlog: &'a mut Backlog,
}

/// The next rows or barrier; says so when the reader has nothing for now.
async fn next_event(
    reader: &mut dyn Reader,
    alignment: Option<&mut Member>,
    waits: Waits<'_, impl Fn(String)>,
    active: &mut bool,
    reports: &Reports,
) -> Result<Event> {
    let Waits { barriers, skips, watermarks, backlog } = waits;
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
    let mut is_caught_up = false;
    loop {
        if *active && !is_caught_up && !backlog.is_coming() {
            reports.signal(Signal::CaughtUp(reports.task)).await;
            is_caught_up = true;
        }
        let due = skips.due();
        let clock = watermarks.and_then(Watermarks::due);
        tokio::select! {
            biased;
            barrier = barriers.recv() => return Ok(barrier.map_or(Event::End, Event::Barrier)),
            ready = &mut next => {
                // The coordinator may believe we are caught up: tell it that rows came after all.
                *active &= !is_caught_up;
                return ready.and_then(read);
            }
            () = backlog.given(), if !backlog.is_read || (*active && !is_caught_up) => backlog.is_read(reports).await,
            () = tokio::time::sleep_until(clock.unwrap_or_else(Instant::now)), if clock.is_some() => return Ok(Event::Clock),
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => skips.tell(),
        }
    }
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
