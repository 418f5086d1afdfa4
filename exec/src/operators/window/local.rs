//! The phase of a window aggregation before the exchange: rows become partial states, one per key and slice.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMillisecondType};
use tidemill_state::EventTime;

use super::aggregate::local_times;
use super::assign::null_time;
use crate::error::Result;
use crate::message::{Barrier, Batch};
use crate::operator::{ExplainLine, Input, Operator, OperatorSpec, Output, ShardContext};
use crate::operators::AggregateColumn;
use crate::operators::aggregate::{Groups, LOCAL_BYTES, LOCAL_GROUPS, key_types, partial_fields};
use crate::window::Windows;

/// Partial states per key and slice: the key columns, the slice's end (of the local clock, in milliseconds), the net number of rows,
/// then each aggregate's state columns.
///
/// They go out before the watermark reaches the next end of a slice, so that the phase behind the exchange finds the same rows late
/// as if they had come one by one; and at barriers, so that nothing is kept in between.
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

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        let mut types = key_types(&self.input, &self.keys);
        types.push(DataType::Int64);
        Ok(Box::new(LocalAggregating {
            groups: Groups::new(&types, &self.columns)?,
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
    /// By key and slice end.
    groups: Groups,
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
        let mut from = 0;
        for mark in batch.marks() {
            if mark.time >= self.boundary && mark.time > self.watermark {
                self.add(&batch.slice(from, mark.row - from))?;
                from = mark.row;
                self.on_watermark(mark.time, out)?;
            }
        }
        self.add(&batch.slice(from, batch.len() - from))?;
        if let Some(time) = batch.last_mark().filter(|time| *time > self.watermark) {
            self.on_watermark(time, out)?;
        }
        if self.groups.keys.len() >= LOCAL_GROUPS || self.groups.keys.bytes() > LOCAL_BYTES {
            self.emit(out)?;
        }
        Ok(())
    }

    fn on_watermark(&mut self, time: EventTime, out: &mut Output) -> Result<()> {
        if time >= self.boundary {
            self.emit(out)?;
            self.boundary = self.windows.next_closing(time);
        }
        self.watermark = time;
        out.watermark(time);
        Ok(())
    }

    fn on_barrier(&mut self, _: &Barrier, out: &mut Output) -> Result<()> {
        self.emit(out)
    }
}

impl LocalAggregating {
    fn add(&mut self, batch: &Batch) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let times = batch.rows().column(self.time).as_primitive::<TimestampMillisecondType>();
        if times.null_count() > 0 {
            return Err(null_time(self.input.field(self.time).name()));
        }
        let local = local_times(times, &self.windows.clock);
        let ends = Int64Array::from_iter_values(local.iter().map(|&time| self.windows.slice_of(time).end));
        let mut keys: Vec<ArrayRef> = self.keys.iter().map(|&key| Arc::clone(batch.rows().column(key))).collect();
        keys.push(Arc::new(ends));
        let mut groups = Vec::new();
        self.groups.intern(&keys, batch.len(), &mut groups)?;
        self.groups.update(&groups, batch.rows(), batch.weights().map(|weights| &weights.values()[..]))
    }

    fn emit(&mut self, out: &mut Output) -> Result<()> {
        if self.groups.keys.is_empty() {
            return Ok(());
        }
        let all: Vec<u32> = self.groups.keys.live().collect();
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), self.groups.partials(&all)?)?;
        out.send(Batch::append(rows));
        self.groups.clear();
        Ok(())
    }
}
