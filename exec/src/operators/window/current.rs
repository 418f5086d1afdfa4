//! `CURRENT_WATERMARK(ts)`: the watermark that a row meets.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use tidemill_state::EventTime;
use tidemill_state::checkpoint::Distribution;

use crate::error::Result;
use crate::message::Batch;
use crate::operator::{ExplainLine, Input, Operator, OperatorSpec, Output, ShardContext, TableSnapshot};

/// Adds a column: the watermark when the row came, null before the first.
#[derive(Debug)]
pub struct CurrentWatermark {
    /// The input's fields, and a `Timestamp` in milliseconds.
    pub schema: SchemaRef,
}

impl OperatorSpec for CurrentWatermark {
    fn name(&self) -> &'static str {
        "current-watermark"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        line.list("adds", self.schema.fields().last().map(|field| field.name()));
    }

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        Ok(Box::new(Telling { watermark: EventTime::MIN, schema: self.schema() }))
    }
}

struct Telling {
    watermark: EventTime,
    schema: SchemaRef,
}

impl Operator for Telling {
    fn keeps_marks(&self) -> bool {
        true
    }

    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        let watermarks = watermark_column(&batch, &mut self.watermark);
        let zone = match self.schema.fields().last().map(|field| field.data_type()) {
            Some(DataType::Timestamp(_, zone)) => zone.clone(),
            _ => None,
        };
        let mut columns = batch.rows().columns().to_vec();
        columns.push(Arc::new(watermarks.with_timezone_opt(zone)));
        out.send(batch.with_rows(RecordBatch::try_new(Arc::clone(&self.schema), columns)?));
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

/// The watermark that each row meets; null while there is none.
pub(super) fn watermark_column(batch: &Batch, watermark: &mut EventTime) -> TimestampMillisecondArray {
    let mut marks = batch.marks().iter().peekable();
    let column = (0..batch.len())
        .map(|row| {
            while let Some(mark) = marks.next_if(|mark| mark.row <= row) {
                *watermark = mark.time;
            }
            (*watermark > EventTime::MIN).then_some(watermark.0)
        })
        .collect();
    *watermark = batch.last_mark().unwrap_or(*watermark);
    column
}

pub(in crate::operators) fn time_table(watermark: EventTime) -> Result<TableSnapshot> {
    let schema = Schema::new(vec![Field::new("watermark", DataType::Int64, false)]);
    let column: ArrayRef = Arc::new(Int64Array::from(vec![watermark.0]));
    let rows = RecordBatch::try_new(Arc::new(schema), vec![column])?;
    Ok(TableSnapshot::whole("time", rows, Distribution::ToAll))
}

/// The inverse; of the watermarks of several shards the least.
pub(in crate::operators) fn restored(table: &TableSnapshot) -> EventTime {
    EventTime(least(&table.rows, 0))
}

/// The smallest value in a column of numbers that has some.
pub(super) fn least(rows: &RecordBatch, column: usize) -> i64 {
    rows.column(column).as_primitive::<Int64Type>().values().iter().copied().min().unwrap_or(i64::MIN)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;
    use expect_test::expect;

    use super::*;
    use crate::testing::check;

    #[test]
    fn each_row_gets_the_watermark_that_it_meets() {
        check(
            |schema| {
                let mut fields = schema.fields().to_vec();
                fields.push(Arc::new(Field::new("w", DataType::Timestamp(TimeUnit::Millisecond, None), true)));
                CurrentWatermark { schema: Arc::new(Schema::new(fields)) }
            },
            expect![[r#"
                columns user text, ts time

                + ann 0:01
                    => + ann  0:01  null
                ~ 0:01
                    => ~ 0:01
                + bob 0:07
                    => + bob  0:07  0:01
                | 1
                ~ 0:07
                    => ~ 0:07
                + cid 0:02
                    => + cid  0:02  0:07
                $
                    => $
            "#]],
        );
    }
}
