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
    fn keeps_marks(&self) -> bool {
        true
    }

    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        let keep = self.condition.evaluate(batch.rows())?.into_array(batch.len())?;
        out.send(batch.filter(keep.as_boolean())?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;
    use datafusion_common::ScalarValue;
    use datafusion_expr::Operator::Gt;
    use datafusion_physical_expr::expressions::{BinaryExpr, col, lit};
    use expect_test::expect;

    #[test]
    fn null_counts_as_false_and_retractions_are_filtered_alike() {
        check(
            |schema| {
                let three = lit(ScalarValue::Int64(Some(3)));
                let condition = Arc::new(BinaryExpr::new(col("amount", schema).expect("a column"), Gt, three));
                Filter { condition, schema: Arc::clone(schema) }
            },
            expect![[r#"
                columns user text, amount int

                + ann  5
                    => + ann  5
                + bob  2
                + cid  null
                - ann  5
                    => - ann  5
                ~ 0:01
                    => ~ 0:01
                | 1
                $
                    => $
            "#]],
        );
    }
}
