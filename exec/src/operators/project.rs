//! Computes columns from columns.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_physical_expr::PhysicalExpr;

use super::evaluate;
use crate::error::Result;
use crate::message::Batch;
use crate::operator::{ExplainLine, Input, Operator, OperatorSpec, Output, ShardContext};

/// `SELECT a, b + 1`: one row out per row in, weights kept.
#[derive(Debug)]
pub struct Project {
    /// One per column of `schema`, over the input's schema.
    pub expressions: Vec<Arc<dyn PhysicalExpr>>,
    pub schema: SchemaRef,
}

impl OperatorSpec for Project {
    fn name(&self) -> &'static str {
        "project"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        let columns = self.expressions.iter().zip(self.schema.fields()).map(|(expression, field)| {
            let text = expression.to_string();
            let is_plain = text.split('@').next() == Some(field.name());
            if is_plain { field.name().clone() } else { format!("{text} AS {}", field.name()) }
        });
        line.list("select", columns);
    }

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        Ok(Box::new(Projecting { expressions: self.expressions.clone(), schema: self.schema() }))
    }
}

struct Projecting {
    expressions: Vec<Arc<dyn PhysicalExpr>>,
    schema: SchemaRef,
}

impl Operator for Projecting {
    fn keeps_marks(&self) -> bool {
        true
    }

    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        let rows = evaluate(&self.expressions, batch.rows(), &self.schema)?;
        out.send(batch.with_rows(rows));
        Ok(())
    }
}
