//! The first rows, and then the end.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::datatypes::{SchemaRef, UInt64Type};
use tidemill_state::checkpoint::Distribution;

use crate::error::Result;
use crate::message::Batch;
use crate::operator::{ExplainLine, Input, Operator, OperatorSpec, Output, ShardContext, TableSnapshot};

/// `LIMIT fetch OFFSET skip` over append-only rows, in a single shard. Ends the job above it once it has its rows, so that a query
/// over endless input ends too.
#[derive(Debug)]
pub struct Limit {
    pub skip: usize,
    /// `None`: all that follow.
    pub fetch: Option<usize>,
    pub schema: SchemaRef,
}

impl OperatorSpec for Limit {
    fn name(&self) -> &'static str {
        "limit"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        explain(line, self.skip, self.fetch);
    }

    fn state_bound(&self) -> Option<&'static str> {
        Some("a count")
    }

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        Ok(Box::new(Limiting { skip: self.skip, remaining: self.fetch }))
    }
}

/// `fetch=10, offset=5`
pub(super) fn explain(line: &mut ExplainLine, skip: usize, fetch: Option<usize>) {
    if let Some(fetch) = fetch {
        line.field("fetch", fetch);
    }
    if skip > 0 {
        line.field("offset", skip);
    }
}

struct Limiting {
    skip: usize,
    remaining: Option<usize>,
}

impl Operator for Limiting {
    fn keeps_marks(&self) -> bool {
        true
    }

    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        let skipped = self.skip.min(batch.len());
        self.skip -= skipped;
        let available = batch.len() - skipped;
        let taken = self.remaining.map_or(available, |remaining| remaining.min(available));
        if let Some(remaining) = &mut self.remaining {
            *remaining -= taken;
        }
        out.send(batch.slice(skipped, taken));
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Vec<TableSnapshot>> {
        let skip: ArrayRef = Arc::new(UInt64Array::from(vec![self.skip as u64]));
        let remaining: ArrayRef = Arc::new(UInt64Array::from(vec![self.remaining.map(|rows| rows as u64)]));
        let rows = RecordBatch::try_from_iter_with_nullable([("skip", skip, false), ("remaining", remaining, true)])?;
        Ok(vec![TableSnapshot::whole("position", rows, Distribution::ToFirst)])
    }

    fn restore(&mut self, tables: Vec<TableSnapshot>) -> Result<()> {
        for TableSnapshot { rows, .. } in tables.into_iter().filter(|table| table.rows.num_rows() > 0) {
            let remaining = rows.column(1).as_primitive::<UInt64Type>();
            self.skip = rows.column(0).as_primitive::<UInt64Type>().value(0) as usize;
            self.remaining = remaining.is_valid(0).then(|| remaining.value(0) as usize);
        }
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.remaining == Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;
    use expect_test::expect;

    #[test]
    fn rows_before_the_offset_and_after_the_limit_are_dropped() {
        check(
            |schema| Limit { skip: 1, fetch: Some(2), schema: Arc::clone(schema) },
            expect![[r#"
                columns user text

                + ann
                + bob
                    => + bob
                | 1
                ! crash
                + cid
                    => + cid
                + dan
                $
                    => $
            "#]],
        );
    }
}
