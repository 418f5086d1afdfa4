//! The rows that windows leave out because they come too late: `SELECT * FROM late('...')`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, TimestampMillisecondArray, UInt32Array};
use arrow::datatypes::{DataType, Field, SchemaRef, TimeUnit, TimestampMillisecondType};
use tidemill_state::EventTime;

use super::assign::null_time;
use super::current::{restored, time_table, watermark_column};
use crate::error::Result;
use crate::message::Batch;
use crate::operator::{ExplainLine, Input, Operator, OperatorSpec, Output, ShardContext, TableSnapshot};
use crate::progress::moment;
use crate::window::Windows;

/// Keeps the rows all of whose windows had closed, and says at which watermark, and why.
#[derive(Debug)]
pub struct LateRows {
    pub windows: Windows,
    /// A column of the input, a `Timestamp` in milliseconds.
    pub time: usize,
    /// The input's fields, and [`late_fields`].
    pub schema: SchemaRef,
}

/// `late_at`, the watermark that a late row met, and `reason`.
pub fn late_fields() -> [Field; 2] {
    let time = DataType::Timestamp(TimeUnit::Millisecond, None);
    [Field::new("late_at", time, true), Field::new("reason", DataType::Utf8, true)]
}

impl OperatorSpec for LateRows {
    fn name(&self) -> &'static str {
        "late-rows"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        line.field("window", self.windows).field("time", self.schema.field(self.time).name());
    }

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        let (windows, time, schema) = (self.windows, self.time, self.schema());
        Ok(Box::new(Sieve { windows, time, watermark: EventTime::MIN, schema }))
    }
}

struct Sieve {
    windows: Windows,
    time: usize,
    watermark: EventTime,
    schema: SchemaRef,
}

impl Operator for Sieve {
    fn keeps_marks(&self) -> bool {
        true
    }

    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        let watermarks = watermark_column(&batch, &mut self.watermark);
        let times = batch.rows().column(self.time).as_primitive::<TimestampMillisecondType>();
        if times.null_count() > 0 {
            return Err(null_time(self.schema.field(self.time).name()));
        }
        let (mut rows, mut at, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
        for (row, &time) in times.values().iter().enumerate() {
            if watermarks.is_null(row) {
                continue;
            }
            let slice = self.windows.slice_of(self.windows.clock.local(time));
            let Some(last) = self.windows.last_of_slice(slice) else { continue };
            let (closes, watermark) = (self.windows.clock.closes_at(last.end), watermarks.value(row));
            if closes.0 <= watermark {
                rows.push(row as u32);
                at.push(watermark);
                reasons.push(format!(
                    "its last window, up to {}, closed at watermark {}",
                    moment(last.end),
                    moment(closes.0)
                ));
            }
        }
        let rows = UInt32Array::from(rows);
        let late = batch.take(&rows)?;
        let mut columns = late.rows().columns().to_vec();
        columns.push(Arc::new(TimestampMillisecondArray::from(at)) as ArrayRef);
        columns.push(Arc::new(StringArray::from(reasons)));
        out.send(late.with_rows(RecordBatch::try_new(Arc::clone(&self.schema), columns)?));
        Ok(())
    }

    fn on_watermark(&mut self, time: EventTime, out: &mut Output) -> Result<()> {
        self.watermark = time;
        out.watermark(time);
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Vec<TableSnapshot>> {
        Ok(vec![time_table(self.watermark)?])
    }

    fn restore(&mut self, tables: Vec<TableSnapshot>) -> Result<()> {
        tables.iter().for_each(|table| self.watermark = restored(table));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Schema;
    use expect_test::expect;

    use super::*;
    use crate::testing::check;

    #[test]
    fn rows_of_closed_windows_come_out_with_the_reason() {
        check(
            |schema| {
                let fields = schema.fields().iter().map(|field| field.as_ref().clone()).chain(late_fields());
                let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
                LateRows { windows: Windows::hop(5_000, 10_000), time: 1, schema }
            },
            expect![[r#"
                columns user text, ts time

                + ann 0:01
                ~ 0:10
                    => ~ 0:10
                + bob 0:06
                + cid 0:04
                    => + cid  0:04  0:10  its last window, up to 1970-01-01 00:00:10, closed at watermark 1970-01-01 00:00:09.999
                | 1
                + dan 0:02
                    => + dan  0:02  0:10  its last window, up to 1970-01-01 00:00:10, closed at watermark 1970-01-01 00:00:09.999
                $
                    => $
            "#]],
        );
    }
}
