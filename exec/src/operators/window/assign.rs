//! `SELECT ... FROM TABLE(TUMBLE(...))`: each row once for each window it is in.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, TimestampMillisecondArray, UInt32Array};
use arrow::datatypes::{DataType, SchemaRef, TimestampMillisecondType};
use tidemill_state::EventTime;

use crate::error::{Error, Result};
use crate::message::Batch;
use crate::operator::{ExplainLine, Input, Operator, OperatorSpec, Output, ShardContext};
use crate::operators::aggregate::take_all;
use crate::window::{Shape, Window, Windows};

/// Emits the columns of the input, then `window_start`, `window_end` and `window_time`. Drops nothing that is late: it holds nothing back.
#[derive(Debug)]
pub struct WindowAssign {
    pub windows: Windows,
    /// A column of the input, a `Timestamp` in milliseconds.
    pub time: usize,
    /// The input's fields, and [`window_fields`](super::window_fields).
    pub schema: SchemaRef,
}

impl OperatorSpec for WindowAssign {
    fn name(&self) -> &'static str {
        "window-assign"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        line.field("window", self.windows).field("time", self.schema.field(self.time).name());
    }

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        Ok(Box::new(Assigning { windows: self.windows, time: self.time, schema: self.schema() }))
    }
}

struct Assigning {
    windows: Windows,
    time: usize,
    schema: SchemaRef,
}

impl Operator for Assigning {
    fn keeps_marks(&self) -> bool {
        true
    }

    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        let times = batch.rows().column(self.time).as_primitive::<TimestampMillisecondType>();
        if times.null_count() > 0 {
            return Err(null_time(self.schema.field(self.time).name()));
        }
        let windows = self.windows;
        let mut last = Window { start: 0, end: 0 };
        let slices = times.values().iter().map(|&time| {
            let local = windows.clock.local(time);
            // Most rows are in the slice of the one before.
            if !(last.start <= local && local < last.end) {
                last = windows.slice_of(local);
            }
            last
        });
        if matches!(windows.shape, Shape::Tumble { .. }) {
            let (starts, ends): (Vec<i64>, Vec<i64>) = slices.map(|slice| (slice.start, slice.end)).unzip();
            let rows = self.with_windows(batch.rows().columns().to_vec(), &starts, &ends)?;
            out.send(batch.with_rows(rows));
            return Ok(());
        }
        let (mut origin, mut starts, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for (row, slice) in (0u32..).zip(slices) {
            let first = origin.len();
            for window in windows.of_slice(slice) {
                origin.push(row);
                starts.push(window.start);
                ends.push(window.end);
            }
            if matches!(windows.shape, Shape::Hop { .. }) {
                // The newest window first, as in Flink.
                starts[first..].reverse();
                ends[first..].reverse();
            }
        }
        let origin = UInt32Array::from(origin);
        let rows = self.with_windows(take_all(batch.rows().columns(), &origin)?, &starts, &ends)?;
        out.send(batch.derived(rows, &origin)?);
        Ok(())
    }
}

impl Assigning {
    fn with_windows(&self, mut columns: Vec<ArrayRef>, starts: &[i64], ends: &[i64]) -> Result<RecordBatch> {
        let time_type = self.schema.field(columns.len() + 2).data_type();
        columns.extend(window_columns(starts, ends, |end| self.windows.clock.closes_at(end), time_type));
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

/// The columns of [`window_fields`](super::window_fields), of which the last is of type `time_type`.
pub(super) fn window_columns(
    starts: &[i64],
    ends: &[i64],
    closes_at: impl Fn(i64) -> EventTime,
    time_type: &DataType,
) -> [ArrayRef; 3] {
    let times: TimestampMillisecondArray = ends.iter().map(|&end| Some(closes_at(end).0)).collect();
    let zone = match time_type {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    [
        Arc::new(TimestampMillisecondArray::from(starts.to_vec())),
        Arc::new(TimestampMillisecondArray::from(ends.to_vec())),
        Arc::new(times.with_timezone_opt(zone)),
    ]
}

pub(in crate::operators) fn null_time(column: &str) -> Error {
    Error::new(format!("a row belongs to no window: its time, column {column}, is null"))
        .fix(format!("leave such rows out before the window: WHERE {column} IS NOT NULL"))
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Schema;
    use expect_test::expect;

    use super::*;
    use crate::operators::window::window_fields;
    use crate::testing::check;

    #[test]
    fn each_row_comes_out_once_per_window_it_is_in_late_or_not() {
        check(
            |schema| {
                let fields = schema.fields().iter().cloned().chain(window_fields(None)).collect::<Vec<_>>();
                WindowAssign { windows: Windows::hop(5_000, 10_000), time: 1, schema: Arc::new(Schema::new(fields)) }
            },
            expect![[r#"
                columns user text, ts time

                + ann 0:01
                    => + ann  0:01  0:00  0:10  0:09.999
                    => + ann  0:01  -1:55  0:05  0:04.999
                + bob 0:07
                    => + bob  0:07  0:05  0:15  0:14.999
                    => + bob  0:07  0:00  0:10  0:09.999
                ~ 0:30
                    => ~ 0:30
                + cid 0:02
                    => + cid  0:02  0:00  0:10  0:09.999
                    => + cid  0:02  -1:55  0:05  0:04.999
                - ann 0:01
                    => - ann  0:01  0:00  0:10  0:09.999
                    => - ann  0:01  -1:55  0:05  0:04.999
                | 1
                $
                    => $
            "#]],
        );
    }
}
