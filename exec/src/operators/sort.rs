//! `ORDER BY` event time.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{SchemaRef, TimestampMillisecondType};
use tidemill_state::EventTime;
use tidemill_state::checkpoint::Distribution;

use super::Order;
use super::in_time::InTime;
use super::window::{restored, time_table};
use crate::error::Result;
use crate::message::Batch;
use crate::operator::{ExplainLine, Input, Operator, OperatorSpec, Output, ShardContext, TableSnapshot};
use crate::operators::aggregate::send_in_pieces;
use crate::progress::Waiting;

/// Emits rows in the order of time, in a single shard, each once the watermark has passed it. A row at or before one that has come out is
/// late.
#[derive(Clone, Debug)]
pub struct Sort {
    /// A column of event time.
    pub time: usize,
    /// What rows at the same time are ordered by.
    pub order: Vec<Order>,
    pub schema: SchemaRef,
}

impl OperatorSpec for Sort {
    fn name(&self) -> &'static str {
        "sort"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        line.field("order", format_args!("{} asc", self.schema.field(self.time).name()));
        if !self.order.is_empty() {
            line.list("then", self.order.iter().map(|order| order.shown(&self.schema)));
        }
    }

    fn state_bound(&self) -> Option<&'static str> {
        Some("rows ahead of the watermark")
    }

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        let ahead = InTime::new(&self.schema, self.time, &self.order)?;
        let (emitted, watermark) = (EventTime::MIN, EventTime::MIN);
        Ok(Box::new(Sorting { spec: self.clone(), ahead, emitted, watermark, late: 0 }))
    }
}

struct Sorting {
    spec: Sort,
    ahead: InTime,
    /// The time of the last row that came out.
    emitted: EventTime,
    watermark: EventTime,
    late: u64,
}

impl Operator for Sorting {
    fn keeps_marks(&self) -> bool {
        true
    }

    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        let mut start = 0;
        for mark in batch.marks() {
            self.late += self.ahead.add_after(self.emitted, batch.rows().slice(start, mark.row - start))?;
            start = mark.row;
            self.on_watermark(mark.time, out)?;
        }
        self.late += self.ahead.add_after(self.emitted, batch.rows().slice(start, batch.len() - start))?;
        Ok(())
    }

    fn on_watermark(&mut self, time: EventTime, out: &mut Output) -> Result<()> {
        self.watermark = time;
        if let Some(rows) = self.ahead.due(time)? {
            let times = rows.column(self.spec.time).as_primitive::<TimestampMillisecondType>();
            self.emitted = EventTime(times.value(rows.num_rows() - 1));
            send_in_pieces(Batch::append(rows), out);
        }
        out.watermark(time);
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Vec<TableSnapshot>> {
        Ok(vec![TableSnapshot::whole("rows", self.ahead.rows()?, Distribution::ToFirst), time_table(self.emitted)?])
    }

    fn restore(&mut self, tables: Vec<TableSnapshot>) -> Result<()> {
        for table in tables {
            match table.table.as_ref() {
                "rows" => {
                    let columns = table.rows.columns().to_vec();
                    self.ahead.add(RecordBatch::try_new(Arc::clone(&self.spec.schema), columns)?)?;
                }
                _ => self.emitted = restored(&table),
            }
        }
        Ok(())
    }

    fn waiting(&self) -> Option<Waiting> {
        let closes = self.ahead.first()?;
        Some(Waiting { operator: "sort", window: None, closes, watermark: self.watermark })
    }

    fn late_rows(&self) -> u64 {
        self.late
    }
}

#[cfg(test)]
mod tests {
    use arrow::compute::SortOptions;
    use expect_test::expect;

    use super::*;
    use crate::testing::check;

    #[test]
    fn rows_come_in_the_order_of_time() {
        check(
            |schema| Sort {
                time: 1,
                order: vec![Order { column: 0, options: SortOptions { descending: true, nulls_first: false } }],
                schema: Arc::clone(schema),
            },
            expect![[r#"
                columns k text, ts time

                + x 0:03
                + a 0:01
                + b 0:02
                + c 0:02
                + d 0:02
                | 1
                ! crash
                ~ 0:02
                    => + a  0:01
                    => + d  0:02
                    => + c  0:02
                    => + b  0:02
                    => ~ 0:02
                + e 0:02            // late
                ~ 0:10
                    => + x  0:03
                    => ~ 0:10
                + f 0:04            // behind the watermark, but in order yet
                ~ 0:11
                    => + f  0:04
                    => ~ 0:11
                | 2
                ! crash
                + g 0:04
                $
                    => $
            "#]],
        );
    }
}
