//! Where the rows of a loop come in and come back.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use crate::error::Result;
use crate::message::Batch;
use crate::operator::{ExplainLine, Input, Operator, OperatorSpec, Output, ShardContext};

/// The first operator of a loop: passes on what comes in and what comes back. Rows in flight at a checkpoint are its state, which the task
/// keeps (`task/head.rs`).
#[derive(Debug)]
pub struct Iterate {
    /// What the rows are called, for `EXPLAIN`.
    pub name: String,
    pub schema: SchemaRef,
}

impl OperatorSpec for Iterate {
    fn name(&self) -> &'static str {
        "iterate"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        line.field("name", &self.name);
    }

    fn meaning(&self) -> Option<String> {
        Some("iterate".to_string())
    }

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        Ok(Box::new(Iterating))
    }
}

struct Iterating;

impl Operator for Iterating {
    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        out.send(batch);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;
    use expect_test::expect;

    #[test]
    fn rows_pass_at_once_and_none_is_kept() {
        check(
            |schema| Iterate { name: "r".to_string(), schema: Arc::clone(schema) },
            expect![[r#"
                columns user text

                + ann
                    => + ann
                | 1
                ! crash
                + ann
                    => + ann
                $
                    => $
            "#]],
        );
    }
}
