//! Rows held back until time has passed them, to be given out in its order.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, TimestampMillisecondArray, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::{SchemaRef, TimestampMillisecondType};
use arrow::row::RowConverter;
use tidemill_state::EventTime;

use super::Order;
use crate::error::{Error, Result};

/// Of rows at the same time, those first in `order` come first, then those that came first.
pub(super) struct InTime {
    schema: SchemaRef,
    time: usize,
    order: Vec<Order>,
    converter: RowConverter,
    /// Each in the order of time; rows of an earlier run came earlier.
    runs: Vec<RecordBatch>,
}

/// More runs than these are made one.
const RUNS: usize = 32;

impl InTime {
    /// `time`: a column of `schema`, a `Timestamp` in milliseconds.
    pub fn new(schema: &SchemaRef, time: usize, order: &[Order]) -> Result<InTime> {
        let converter = Order::converter(order, schema)?;
        Ok(InTime { schema: Arc::clone(schema), time, order: order.to_vec(), converter, runs: Vec::new() })
    }

    fn times<'a>(&self, rows: &'a RecordBatch) -> &'a TimestampMillisecondArray {
        rows.column(self.time).as_primitive::<TimestampMillisecondType>()
    }

    /// Takes rows in.
    ///
    /// # Errors
    /// A row has no time.
    pub fn add(&mut self, rows: RecordBatch) -> Result<()> {
        if self.times(&rows).null_count() > 0 {
            return Err(null_time(self.schema.field(self.time).name()));
        }
        if rows.num_rows() > 0 {
            self.runs.push(self.by_time(rows)?);
        }
        if self.runs.len() > RUNS {
            let all = concat_batches(&self.schema, &self.runs)?;
            self.runs = vec![self.by_time(all)?];
        }
        Ok(())
    }

    /// Takes in the rows after `time`; how many are not.
    pub fn add_after(&mut self, time: EventTime, rows: RecordBatch) -> Result<u64> {
        let times = self.times(&rows);
        let is_late = |row: usize| times.is_valid(row) && times.value(row) <= time.0;
        let late = (0..rows.num_rows()).filter(|&row| is_late(row)).count();
        let in_time = match late {
            0 => rows,
            _ => {
                let kept = (0..rows.num_rows()).map(|row| Some(!is_late(row))).collect();
                filter_record_batch(&rows, &kept)?
            }
        };
        self.add(in_time)?;
        Ok(late as u64)
    }

    fn by_time(&self, rows: RecordBatch) -> Result<RecordBatch> {
        let times = self.times(&rows).values();
        if times.is_sorted() {
            return Ok(rows);
        }
        let mut indices: Vec<u32> = (0..rows.num_rows() as u32).collect();
        indices.sort_by_key(|&row| times[row as usize]);
        Ok(take_record_batch(&rows, &UInt32Array::from(indices))?)
    }

    /// Takes out the rows at or before `time`, in order.
    pub fn due(&mut self, time: EventTime) -> Result<Option<RecordBatch>> {
        let mut due = Vec::new();
        for run in &mut self.runs {
            let rows = run.column(self.time).as_primitive::<TimestampMillisecondType>();
            let count = rows.values().partition_point(|&of_row| of_row <= time.0);
            if count > 0 {
                due.push(run.slice(0, count));
                *run = run.slice(count, run.num_rows() - count);
            }
        }
        self.runs.retain(|run| run.num_rows() > 0);
        Ok(match due.len() {
            0 => None,
            _ => Some(self.in_order(self.by_time(concat_batches(&self.schema, &due)?)?)?),
        })
    }

    fn in_order(&self, rows: RecordBatch) -> Result<RecordBatch> {
        if self.order.is_empty() {
            return Ok(rows);
        }
        let columns: Vec<ArrayRef> = self.order.iter().map(|order| Arc::clone(rows.column(order.column))).collect();
        let (times, order) = (self.times(&rows).values(), self.converter.convert_columns(&columns)?);
        let mut indices: Vec<u32> = (0..rows.num_rows() as u32).collect();
        let key = |row: u32| (times[row as usize], order.row(row as usize));
        indices.sort_by(|&a, &b| key(a).cmp(&key(b)));
        Ok(take_record_batch(&rows, &UInt32Array::from(indices))?)
    }

    /// The time of the first row.
    pub fn first(&self) -> Option<EventTime> {
        self.runs.iter().map(|run| EventTime(self.times(run).value(0))).min()
    }

    /// All rows; given to [`add`](Self::add) of another, it gives out what this one would.
    pub fn rows(&self) -> Result<RecordBatch> {
        Ok(concat_batches(&self.schema, &self.runs)?)
    }
}

/// An error about a row without event time.
pub(super) fn null_time(column: &str) -> Error {
    Error::new(format!("a row has no place in time: its {column} is null"))
        .fix(format!("leave such rows out before: WHERE {column} IS NOT NULL"))
}
