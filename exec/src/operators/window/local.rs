//! The phase of a window aggregation before the exchange: rows become partial states, one per key and slice.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMillisecondType};
use tidemill_state::{EventTime, KeyTable};

use super::assign::null_time;
use super::partition::{local_times, partition};
use super::slices::{Part, Pool, Slice, Slices};
use super::timed::Timed;
use crate::error::Result;
use crate::message::{Barrier, Batch};
use crate::operator::{ExplainLine, Input, Operator, OperatorSpec, Output, ShardContext};
use crate::operators::AggregateColumn;
use crate::operators::aggregate::{LOCAL_BYTES, LOCAL_GROUPS, key_types, partial_fields};
use crate::window::{Window, Windows};

/// Partial states per key and slice: the key columns, the slice's end (of the local clock, in milliseconds), the net number of rows,
/// then each aggregate's state columns.
///
/// A slice goes out before the watermark that closes a window with it, so that the phase behind the exchange finds the same rows late as if
/// they had come one by one; and at barriers, so that nothing is kept in between.
#[derive(Debug)]
pub struct LocalWindowAggregate {
    windows: Windows,
    time: usize,
    keys: Vec<usize>,
    columns: Vec<AggregateColumn>,
    input: SchemaRef,
    schema: SchemaRef,
}

impl LocalWindowAggregate {
    /// `time` as in [`RowWindow::Slice`](super::RowWindow::Slice).
    pub fn new(
        windows: Windows,
        time: usize,
        keys: Vec<usize>,
        columns: Vec<AggregateColumn>,
        input: SchemaRef,
    ) -> Result<LocalWindowAggregate> {
        let mut fields: Vec<Field> = keys.iter().map(|&key| input.field(key).clone()).collect();
        fields.push(Field::new("slice_end", DataType::Int64, false));
        fields.extend(partial_fields(&columns)?);
        Ok(LocalWindowAggregate { windows, time, keys, columns, input, schema: Arc::new(Schema::new(fields)) })
    }
}

impl OperatorSpec for LocalWindowAggregate {
    fn name(&self) -> &'static str {
        "local-window-aggregate"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        line.field("window", self.windows).field("time", self.input.field(self.time).name());
        line.list("keys", self.keys.iter().map(|&key| self.input.field(key).name()));
        line.list("aggregates", self.columns.iter().map(|column| column.call.result.name()));
    }

    fn meaning(&self) -> Option<String> {
        None
    }

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        Ok(Box::new(LocalAggregating {
            slices: Slices::default(),
            pool: Pool::new(key_types(&self.input, &self.keys), self.columns.clone()),
            windows: self.windows,
            time: self.time,
            keys: self.keys.clone(),
            watermark: EventTime::MIN,
            boundary: EventTime::MIN,
            input: Arc::clone(&self.input),
            schema: self.schema(),
        }))
    }
}

struct LocalAggregating {
    slices: Slices,
    pool: Pool,
    windows: Windows,
    time: usize,
    keys: Vec<usize>,
    watermark: EventTime,
    /// No window closes before this.
    boundary: EventTime,
    input: SchemaRef,
    schema: SchemaRef,
}

impl Operator for LocalAggregating {
    fn keeps_marks(&self) -> bool {
        true
    }

    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        let schema = Arc::clone(&self.schema);
        let mut timed = Timed::new(&schema);
        let mut from = 0;
        for mark in batch.marks() {
            if mark.time >= self.boundary && mark.time > self.watermark {
                self.add(&batch.slice(from, mark.row - from).without_marks())?;
                from = mark.row;
                self.pass(mark.time, &mut timed)?;
            }
        }
        self.add(&batch.slice(from, batch.len() - from).without_marks())?;
        if let Some(time) = batch.last_mark().filter(|time| *time > self.watermark) {
            self.pass(time, &mut timed)?;
        }
        let held =
            |of: fn(&KeyTable) -> usize| self.slices.0.values().map(|slice| of(&slice.groups.keys)).sum::<usize>();
        if held(KeyTable::len) >= LOCAL_GROUPS || held(KeyTable::bytes) > LOCAL_BYTES {
            self.emit(|_| true, &mut timed)?;
        }
        timed.send(out)
    }

    fn on_watermark(&mut self, time: EventTime, out: &mut Output) -> Result<()> {
        let schema = Arc::clone(&self.schema);
        let mut timed = Timed::new(&schema);
        self.pass(time, &mut timed)?;
        timed.send(out)
    }

    fn on_barrier(&mut self, _: &Barrier, out: &mut Output) -> Result<()> {
        let schema = Arc::clone(&self.schema);
        let mut timed = Timed::new(&schema);
        self.emit(|_| true, &mut timed)?;
        timed.send(out)
    }
}

impl LocalAggregating {
    /// A watermark: slices that it may close go before it.
    fn pass(&mut self, time: EventTime, timed: &mut Timed<'_>) -> Result<()> {
        if time >= self.boundary {
            let (windows, watermark) = (self.windows, self.watermark);
            let closes_by_then = |slice: Window| {
                let next = windows.first_open(slice, watermark, i64::MIN);
                next.is_none_or(|window| windows.clock.closes_at(window.end) <= time)
            };
            self.emit(closes_by_then, timed)?;
            self.boundary = self.windows.next_closing(time);
        }
        self.watermark = time;
        timed.watermark(time);
        Ok(())
    }

    fn add(&mut self, batch: &Batch) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let times = batch.rows().column(self.time).as_primitive::<TimestampMillisecondType>();
        if times.null_count() > 0 {
            return Err(null_time(self.input.field(self.time).name()));
        }
        let local = local_times(times, &self.windows.clock);
        for (slice, rows) in partition(&local, &self.windows) {
            let rows = match &rows {
                None => batch.clone(),
                Some(rows) => batch.take(rows)?,
            };
            let keys = self.keys.iter().map(|&key| Arc::clone(rows.rows().column(key))).collect();
            let groups = self.slices.get(slice, EventTime::MAX, &mut self.pool)?;
            Part::Rows { keys, rows }.add_to(groups)?;
        }
        Ok(())
    }

    /// Sends on the slices that are `due`.
    fn emit(&mut self, due: impl Fn(Window) -> bool, timed: &mut Timed<'_>) -> Result<()> {
        let due: Vec<Window> = self.slices.0.keys().copied().filter(|slice| due(*slice)).collect();
        for window in due {
            let Some(Slice { groups, .. }) = self.slices.0.remove(&window) else { continue };
            let all: Vec<u32> = groups.keys.live().collect();
            let (mut columns, partials) = groups.keys_and_partials(&all)?;
            columns.push(Arc::new(Int64Array::from(vec![window.end; all.len()])));
            columns.extend(partials);
            timed.rows(RecordBatch::try_new(Arc::clone(&self.schema), columns)?);
            self.pool.give_back(groups);
        }
        Ok(())
    }
}
