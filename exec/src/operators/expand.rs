//! Several projections of every row: the rows of GROUPING SETS, ROLLUP and CUBE.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute;
use arrow::datatypes::SchemaRef;
use datafusion_physical_expr::PhysicalExpr;

use super::evaluate;
use crate::error::Result;
use crate::message::Batch;
use crate::operator::{ExplainLine, Input, Operator, OperatorSpec, Output, ShardContext};

/// Emits one row per projection for each row in, row by row, weights kept.
#[derive(Debug)]
pub struct Expand {
    /// Each has one expression per column of `schema`, over the input's schema.
    pub projections: Vec<Vec<Arc<dyn PhysicalExpr>>>,
    pub schema: SchemaRef,
}

impl OperatorSpec for Expand {
    fn name(&self) -> &'static str {
        "expand"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        line.list("columns", self.schema.fields().iter().map(|field| field.name()));
        line.field("rows-per-row", self.projections.len());
    }

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        Ok(Box::new(Expanding { projections: self.projections.clone(), schema: self.schema() }))
    }
}

struct Expanding {
    projections: Vec<Vec<Arc<dyn PhysicalExpr>>>,
    schema: SchemaRef,
}

impl Operator for Expanding {
    fn keeps_marks(&self) -> bool {
        true
    }

    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        let (rows, count) = (batch.len() as u32, self.projections.len() as u32);
        let projected = self
            .projections
            .iter()
            .map(|projection| evaluate(projection, batch.rows(), &self.schema))
            .collect::<Result<Vec<RecordBatch>>>()?;
        let all = compute::concat_batches(&self.schema, &projected)?;
        // The rows of one input row stay together, as if rows came one by one.
        let order: UInt32Array = (0..rows).flat_map(|row| (0..count).map(move |n| n * rows + row)).collect();
        let origin: UInt32Array = (0..rows).flat_map(|row| (0..count).map(move |_| row)).collect();
        let all = compute::take_record_batch(&all, &order)?;
        out.send(batch.derived(all, &origin)?);
        Ok(())
    }
}
