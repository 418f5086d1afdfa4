//! The operator around sessions, whatever they hold: judges rows, follows the watermark, emits what closes.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, TimestampMillisecondArray, UInt32Array};
use arrow::datatypes::{DataType, TimestampMillisecondType};
use tidemill_state::EventTime;

use super::open::{Closed, Merged, OpenSessions};
use crate::error::Result;
use crate::message::{Barrier, Batch};
use crate::operator::{Input, Operator, Output, TableSnapshot};
use crate::operators::window::TimeKind;
use crate::operators::window::assign::null_time;
use crate::operators::window::current::{restored, time_table};
use crate::progress::Waiting;
use crate::window::Session;

/// What sessions hold, addressed by slot.
pub(super) trait Contents: Send {
    /// Of the operator, as in its spec.
    const NAME: &'static str;

    /// Whether it matters that sessions are merged just when the row comes that joins them. If not, this is done once for many rows.
    fn is_ordered(&self) -> bool;

    /// Adds each row of `batch` to the session in its slot. All slots are below `room`.
    fn add(&mut self, slots: &[u32], room: usize, batch: &Batch) -> Result<()>;

    /// Moves what `merged.from` hold into `merged.into`.
    fn merge(&mut self, merged: &Merged) -> Result<()>;

    /// Emits sessions, and empties their slots.
    fn emit(&mut self, closed: &[Closed], open: &OpenSessions, out: &mut Output) -> Result<()>;

    /// What all open sessions hold, in a form of its own.
    fn snapshot(&mut self, open: &OpenSessions) -> Result<TableSnapshot>;

    /// Takes over a table of `snapshot`. Returns rows if it consists of such as are to be added again.
    fn restore(&mut self, rows: RecordBatch, open: &mut OpenSessions) -> Result<Option<Batch>>;
}

/// Where the rows' times and keys are.
pub(super) struct Columns {
    pub time: usize,
    pub time_name: String,
    pub keys: Vec<usize>,
    pub key_types: Vec<DataType>,
}

pub(super) struct Running<C> {
    contents: C,
    open: OpenSessions,
    kind: TimeKind,
    columns: Columns,
    /// Sessions that close at or before this have closed: event time, or processing time.
    watermark: EventTime,
    late: u64,
    /// The rows of the present batch that are still to be added, and their slots.
    rows: Vec<u32>,
    slots: Vec<u32>,
}

impl<C: Contents> Running<C> {
    pub fn new(session: Session, kind: TimeKind, columns: Columns, contents: C) -> Result<Running<C>> {
        Ok(Running {
            contents,
            open: OpenSessions::new(session, &columns.key_types)?,
            kind,
            columns,
            watermark: EventTime::MIN,
            late: 0,
            rows: Vec::new(),
            slots: Vec::new(),
        })
    }
}

impl<C: Contents> Operator for Running<C> {
    fn keeps_marks(&self) -> bool {
        true
    }

    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        let marks = batch.marks().to_vec();
        let batch = batch.without_marks();
        let (keys, times) = self.keys_and_times(&batch)?;
        let mut row = 0;
        let mut passed = None;
        for mark in marks {
            self.place(row..mark.row, &keys, &times, &batch)?;
            row = mark.row;
            passed = match self.kind {
                TimeKind::Event => {
                    self.watermark = mark.time;
                    self.pass(mark.time, passed, &batch, out)?
                }
                TimeKind::Processing => Some(mark.time),
            };
        }
        self.place(row..batch.len(), &keys, &times, &batch)?;
        self.settle(&batch)?;
        self.open.forget_idle_keys();
        passed.into_iter().for_each(|time| out.watermark(time));
        Ok(())
    }

    fn on_watermark(&mut self, time: EventTime, out: &mut Output) -> Result<()> {
        // The end of input is the end of processing time too.
        if self.kind == TimeKind::Event || time == EventTime::MAX {
            self.advance(time, out)?;
        }
        out.watermark(time);
        Ok(())
    }

    fn on_barrier(&mut self, barrier: &Barrier, out: &mut Output) -> Result<()> {
        match self.kind {
            TimeKind::Event => Ok(()),
            TimeKind::Processing => self.advance(EventTime(barrier.time.0.saturating_sub(1)), out),
        }
    }

    fn snapshot(&mut self) -> Result<Vec<TableSnapshot>> {
        Ok(vec![self.contents.snapshot(&self.open)?, time_table(self.watermark)?])
    }

    fn restore(&mut self, tables: Vec<TableSnapshot>) -> Result<()> {
        let mut watermark = EventTime::MIN;
        for table in tables {
            if table.table == "time" {
                watermark = restored(&table);
            } else if let Some(rows) = self.contents.restore(table.rows, &mut self.open)? {
                let (keys, times) = self.keys_and_times(&rows)?;
                self.place(0..rows.len(), &keys, &times, &rows)?;
                self.settle(&rows)?;
            }
        }
        // Only now: rows that were in time then are so again.
        self.watermark = watermark;
        Ok(())
    }

    fn waiting(&self) -> Option<Waiting> {
        // Processing time passes by itself.
        let (window, closes) = self.open.next_to_close().filter(|_| self.kind == TimeKind::Event)?;
        Some(Waiting { operator: C::NAME, window: Some(window), closes, watermark: self.watermark })
    }

    fn late_rows(&self) -> u64 {
        self.late
    }
}

impl<C: Contents> Running<C> {
    fn keys_and_times(&mut self, batch: &Batch) -> Result<(Vec<u32>, TimestampMillisecondArray)> {
        let times = batch.rows().column(self.columns.time).as_primitive::<TimestampMillisecondType>().clone();
        if times.null_count() > 0 {
            return Err(null_time(&self.columns.time_name));
        }
        let columns: Vec<ArrayRef> =
            self.columns.keys.iter().map(|&key| Arc::clone(batch.rows().column(key))).collect();
        let mut keys = Vec::new();
        self.open.intern(&columns, batch.len(), &mut keys)?;
        Ok((keys, times))
    }

    /// Finds the sessions of rows.
    fn place(
        &mut self,
        range: Range<usize>,
        keys: &[u32],
        times: &TimestampMillisecondArray,
        batch: &Batch,
    ) -> Result<()> {
        // By processing time no row is late: what its window has missed is made up at the next barrier.
        let closed = match self.kind {
            TimeKind::Event => self.watermark,
            TimeKind::Processing => EventTime::MIN,
        };
        let (clock, is_ordered) = (self.open.clock(), self.contents.is_ordered());
        for row in range {
            let Some(slot) = self.open.place(keys[row], clock.local(times.value(row)), closed) else {
                self.late += 1;
                continue;
            };
            if is_ordered && self.open.has_merged() {
                self.settle(batch)?;
            }
            self.rows.push(row as u32);
            self.slots.push(slot);
        }
        Ok(())
    }

    /// Adds the rows that have a session by now to it, then merges sessions that have become one.
    fn settle(&mut self, batch: &Batch) -> Result<()> {
        if let (Some(&first), Some(&last)) = (self.rows.first(), self.rows.last()) {
            let room = self.open.slots();
            let (first, length) = (first as usize, (last - first) as usize + 1);
            if length == batch.len() && length == self.rows.len() {
                self.contents.add(&self.slots, room, batch)?;
            } else if length == self.rows.len() {
                self.contents.add(&self.slots, room, &batch.slice(first, length))?;
            } else {
                let rows = UInt32Array::from(std::mem::take(&mut self.rows));
                self.contents.add(&self.slots, room, &batch.take(&rows)?)?;
            }
            self.rows.clear();
            self.slots.clear();
        }
        if self.open.has_merged() {
            let merged = self.open.take_merged();
            self.contents.merge(&merged)?;
        }
        Ok(())
    }

    fn advance(&mut self, time: EventTime, out: &mut Output) -> Result<()> {
        self.watermark = self.watermark.max(time);
        let closed = self.open.close(self.watermark);
        if !closed.is_empty() {
            self.emit(&closed, out)?;
        }
        self.open.forget_idle_keys();
        Ok(())
    }

    /// Emits what closes at a watermark within a batch, between the watermark before it and this one. If nothing closes, neither is
    /// passed on yet: gives the one that is to be.
    fn pass(
        &mut self,
        time: EventTime,
        before: Option<EventTime>,
        batch: &Batch,
        out: &mut Output,
    ) -> Result<Option<EventTime>> {
        if !self.open.may_close(time) {
            return Ok(Some(time));
        }
        self.settle(batch)?;
        let closed = self.open.close(time);
        if closed.is_empty() {
            return Ok(Some(time));
        }
        before.into_iter().for_each(|before| out.watermark(before));
        self.emit(&closed, out)?;
        out.watermark(time);
        Ok(None)
    }

    fn emit(&mut self, closed: &[Closed], out: &mut Output) -> Result<()> {
        self.contents.emit(closed, &self.open, out)?;
        self.open.release(closed);
        Ok(())
    }
}
