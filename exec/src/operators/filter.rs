//! Keeps the rows for which a condition is true.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::SchemaRef;
use datafusion_physical_expr::PhysicalExpr;

use crate::error::Result;
use crate::message::Batch;
use crate::operator::{ExplainLine, Input, Operator, OperatorSpec, Output, ShardContext};

/// `WHERE condition`: rows where it is false or NULL disappear, weights are kept as they are.
#[derive(Debug)]
pub struct Filter {
    /// Boolean, over the input's schema.
    pub condition: Arc<dyn PhysicalExpr>,
    pub schema: SchemaRef,
}

impl OperatorSpec for Filter {
    fn name(&self) -> &'static str {
        "filter"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        line.field("where", &self.condition);
    }

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        Ok(Box::new(Filtering { condition: Arc::clone(&self.condition) }))
    }
}

struct Filtering {
    condition: Arc<dyn PhysicalExpr>,
}

impl Operator for Filtering {
    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        let keep = self.condition.evaluate(batch.rows())?.into_array(batch.len())?;
        out.send(batch.filter(keep.as_boolean())?);
        Ok(())
    }
}
