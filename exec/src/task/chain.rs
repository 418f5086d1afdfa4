//! The operators of one task, one feeding the next without a queue between them.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use tidemill_state::EventTime;
use tidemill_state::checkpoint::Distribution;

use crate::error::Result;
use crate::exchange::Aligned;
use crate::message::{Barrier, Message};
use crate::operator::{Input, Operator, OperatorSpec, Output, ShardContext, TableSnapshot};
use crate::progress::OperatorTime;

/// The table that says what is not any operator's.
const CHAIN: &str = "chain";

/// The rows that had come back to the head of a loop, and were not in its state yet.
const IN_FLIGHT: &str = "in-flight";

/// Running operators in order. With none, messages pass through.
pub struct Chain {
    links: Vec<Link>,
    /// The last watermark fed in.
    watermark: EventTime,
    in_flight: Vec<RecordBatch>,
    /// More of the last snapshot follows.
    is_copying: bool,
}

struct Link {
    name: &'static str,
    operator: Box<dyn Operator>,
}

impl Chain {
    pub fn open(specs: &[Arc<dyn OperatorSpec>], context: &ShardContext) -> Result<Chain> {
        let links = specs
            .iter()
            .map(|spec| {
                let operator = spec.open(context).map_err(|error| error.in_operator(spec.name()))?;
                Ok(Link { name: spec.name(), operator })
            })
            .collect::<Result<_>>()?;
        Ok(Chain { links, watermark: EventTime::MIN, in_flight: Vec::new(), is_copying: false })
    }

    /// Runs one message through all operators; what comes out of the last is appended to `out`.
    ///
    /// `open` is the barrier that would come next: at the end of input the watermark is infinite, and operators emit what is
    /// open as if that barrier had come.
    pub fn feed(&mut self, aligned: Aligned, open: Barrier, out: &mut Output) -> Result<()> {
        match aligned {
            // Only the first operator of a chain can have several inputs; all others have input 0.
            Aligned::Batch(input, batch) => {
                self.watermark = batch.last_mark().map_or(self.watermark, |time| time.max(self.watermark));
                self.run(0, input, Message::Batch(batch), open, out)
            }
            Aligned::Watermark(time) => self.advance(time, open, out),
            Aligned::Idle => self.run(0, Input(0), Message::Idle, open, out),
            Aligned::Barrier(barrier) => self.run(0, Input(0), Message::Barrier(barrier), open, out),
            Aligned::Round(round) => self.run(0, Input(0), Message::Round(round), open, out),
            Aligned::End => {
                self.advance(EventTime::MAX, open, out)?;
                self.run(0, Input(0), Message::End, open, out)
            }
        }
    }

    fn advance(&mut self, time: EventTime, open: Barrier, out: &mut Output) -> Result<()> {
        if time <= self.watermark {
            return Ok(());
        }
        self.watermark = time;
        self.run(0, Input(0), Message::Watermark(time), open, out)
    }

    fn run(&mut self, at: usize, input: Input, message: Message, open: Barrier, out: &mut Output) -> Result<()> {
        let Some(link) = self.links.get_mut(at) else {
            out.push(message);
            return Ok(());
        };
        let mut emitted = Output::default();
        link.handle(input, message, open, &mut emitted).map_err(|error| error.in_operator(link.name))?;
        for message in emitted.drain() {
            self.run(at + 1, Input(0), message, open, out)?;
        }
        Ok(())
    }

    /// How far event time had come when the state was taken that it was restored from, or since.
    pub fn watermark(&self) -> EventTime {
        self.watermark
    }

    /// The state of each operator, as of the last barrier. With that of the first that has any goes the watermark of the chain.
    pub fn snapshot(&mut self) -> Result<Vec<Vec<TableSnapshot>>> {
        let snapshot = |link: &mut Link| link.operator.snapshot().map_err(|error| error.in_operator(link.name));
        let mut state = self.links.iter_mut().map(snapshot).collect::<Result<Vec<_>>>()?;
        self.is_copying = state.iter().flatten().any(|table| table.following.is_some());
        if let Some(first) = state.iter_mut().find(|tables| !tables.is_empty()) {
            let watermark: ArrayRef = Arc::new(Int64Array::from(vec![self.watermark.0]));
            let rows = RecordBatch::try_from_iter([("watermark", watermark)])?;
            first.push(TableSnapshot::whole(CHAIN, rows, Distribution::ToAll));
        }
        Ok(state)
    }

    /// Whether more of the last snapshot follows.
    pub fn is_copying(&self) -> bool {
        self.is_copying
    }

    /// Hands over more of the last snapshot, until that was all or the time is over.
    pub fn copy_for(&mut self, time: Duration) -> Result<()> {
        let begun = Instant::now();
        while self.is_copying && begun.elapsed() < time {
            self.copy_more()?;
        }
        Ok(())
    }

    /// Waits for what comes; until it does, hands over more of the last snapshot.
    pub async fn until<T>(&mut self, coming: impl Future<Output = T>) -> Result<T> {
        let mut coming = pin!(coming);
        while self.is_copying {
            if let Poll::Ready(came) = futures::poll!(&mut coming) {
                return Ok(came);
            }
            self.copy_more()?;
            tokio::task::yield_now().await;
        }
        Ok(coming.await)
    }

    fn copy_more(&mut self) -> Result<()> {
        let copy = |link: &mut Link| link.operator.copy_more().map_err(|error| error.in_operator(link.name));
        self.is_copying = self.links.iter_mut().map(copy).try_fold(false, |any, more| more.map(|more| any | more))?;
        Ok(())
    }

    /// Takes over what `snapshot` gave.
    pub fn restore(&mut self, state: Vec<Vec<TableSnapshot>>) -> Result<()> {
        for (link, tables) in self.links.iter_mut().zip(state) {
            let (chain, tables): (Vec<_>, Vec<_>) = tables.into_iter().partition(|table| table.table == CHAIN);
            let (in_flight, tables): (Vec<_>, Vec<_>) = tables.into_iter().partition(|table| table.table == IN_FLIGHT);
            self.in_flight.extend(in_flight.into_iter().map(|table| table.rows).filter(|rows| rows.num_rows() > 0));
            for table in &chain {
                let watermarks = table.rows.column(0).as_primitive::<Int64Type>().values();
                self.watermark = watermarks.iter().copied().min().map_or(self.watermark, EventTime);
            }
            let merged = match link.operator.restores_pieces() {
                true => tables,
                false => tables.into_iter().map(TableSnapshot::merged).collect::<Result<_>>()?,
            };
            if !merged.is_empty() {
                link.operator.restore(merged).map_err(|error| error.in_operator(link.name))?;
            }
        }
        Ok(())
    }

    /// Rows that were in flight when the state was taken that it was restored from.
    pub fn take_in_flight(&mut self) -> Vec<RecordBatch> {
        std::mem::take(&mut self.in_flight)
    }

    /// What its operators wait for, and have dropped.
    pub fn time(&self) -> OperatorTime {
        let waiting = self.links.iter().filter_map(|link| link.operator.waiting());
        OperatorTime {
            waiting: waiting.min_by_key(|waiting| waiting.closes),
            late_rows: self.links.iter().map(|link| link.operator.late_rows()).sum(),
        }
    }

    /// Some operator needs the epoch to end.
    pub fn wants_barrier(&self) -> bool {
        self.links.iter().any(|link| link.operator.wants_barrier())
    }

    /// Whether some operator has all it needs, so that no further input can change what comes out.
    pub fn is_finished(&self) -> bool {
        self.links.iter().any(|link| link.operator.is_finished())
    }
}

/// These rows as a table beside the state of the first operator.
pub fn in_flight(rows: RecordBatch, distribution: Distribution) -> TableSnapshot {
    TableSnapshot::whole(IN_FLIGHT, rows, distribution)
}

impl Link {
    fn handle(&mut self, input: Input, message: Message, open: Barrier, out: &mut Output) -> Result<()> {
        match message {
            Message::Batch(batch) if self.operator.keeps_marks() => self.operator.on_batch(input, batch, out),
            Message::Batch(batch) => {
                let time = batch.last_mark();
                self.operator.on_batch(input, batch.without_marks(), out)?;
                time.map_or(Ok(()), |time| self.operator.on_watermark(time, out))
            }
            Message::Watermark(time) => self.operator.on_watermark(time, out),
            Message::Idle => self.operator.on_idle(out),
            Message::Round(_) => {
                out.push(message);
                Ok(())
            }
            Message::Barrier(barrier) => {
                self.operator.on_barrier(&barrier, out)?;
                out.push(Message::Barrier(barrier));
                Ok(())
            }
            Message::End => {
                self.operator.on_barrier(&open, out)?;
                self.operator.on_end(out)?;
                out.push(Message::End);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::message::Batch;

    /// How many pieces of a snapshot are left.
    struct Copies(Arc<AtomicUsize>);

    impl Operator for Copies {
        fn on_batch(&mut self, _: Input, _: Batch, _: &mut Output) -> Result<()> {
            Ok(())
        }

        fn copy_more(&mut self) -> Result<bool> {
            Ok(self.0.fetch_sub(1, Ordering::Relaxed) > 1)
        }
    }

    #[tokio::test]
    async fn who_waits_for_long_copies_all_meanwhile_and_who_need_not_wait_copies_nothing() {
        let left = Arc::new(AtomicUsize::new(3));
        let link = Link { name: "copies", operator: Box::new(Copies(Arc::clone(&left))) };
        let mut chain = Chain { links: vec![link], watermark: EventTime::MIN, in_flight: Vec::new(), is_copying: true };
        assert_eq!(chain.until(async { 7 }).await.expect("nothing fails"), 7);
        assert_eq!(left.load(Ordering::Relaxed), 3);
        let copied = async {
            while left.load(Ordering::Relaxed) > 0 {
                tokio::task::yield_now().await;
            }
        };
        chain.until(copied).await.expect("nothing fails");
        assert!(!chain.is_copying());
    }
}
