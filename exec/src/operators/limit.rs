//! The first rows, and then the end.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use crate::error::Result;
use crate::message::Batch;
use crate::operator::{ExplainLine, Input, Operator, OperatorSpec, Output, ShardContext};

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
        if let Some(fetch) = self.fetch {
            line.field("fetch", fetch);
        }
        if self.skip > 0 {
            line.field("offset", self.skip);
        }
    }

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        Ok(Box::new(Limiting { skip: self.skip, remaining: self.fetch }))
    }
}

struct Limiting {
    skip: usize,
    remaining: Option<usize>,
}

impl Operator for Limiting {
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

    fn is_finished(&self) -> bool {
        self.remaining == Some(0)
    }
}
