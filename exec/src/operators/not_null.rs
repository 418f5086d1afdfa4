//! Guards the NOT NULL columns of a sink.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray};
use arrow::compute;
use arrow::datatypes::SchemaRef;

use crate::error::{Error, Result};
use crate::message::Batch;
use crate::operator::{ExplainLine, Input, Operator, OperatorSpec, Output, ShardContext};

/// Fails the job at a null in one of `columns`, or drops the row.
#[derive(Debug, Clone)]
pub struct NotNull {
    pub columns: Vec<usize>,
    pub drop: bool,
    /// The sink's table, for the message.
    pub table: String,
    pub schema: SchemaRef,
}

impl OperatorSpec for NotNull {
    fn name(&self) -> &'static str {
        "not-null"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        line.list("columns", self.columns.iter().map(|&column| self.schema.field(column).name()));
        line.field("else", if self.drop { "drop" } else { "fail" });
    }

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        Ok(Box::new(Guard(self.clone())))
    }
}

struct Guard(NotNull);

impl Operator for Guard {
    fn keeps_marks(&self) -> bool {
        true
    }

    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        let mut keep: Option<BooleanArray> = None;
        for &column in self.0.columns.iter().filter(|&&column| batch.rows().column(column).logical_null_count() > 0) {
            if !self.0.drop {
                let name = self.0.schema.field(column).name();
                return Err(Error::new(format!("a null arrived for column {name} of table {}", self.0.table))
                    .why("the column is NOT NULL")
                    .fix("filter nulls out in the query, or SET 'table.exec.sink.not-null-enforcer' = 'DROP'"));
            }
            let valid = compute::is_not_null(batch.rows().column(column))?;
            keep = Some(match keep {
                Some(keep) => compute::and(&keep, &valid)?,
                None => valid,
            });
        }
        out.send(match keep {
            Some(keep) => batch.filter(&keep)?,
            None => batch,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;
    use expect_test::expect;

    #[test]
    fn rows_with_a_null_in_a_guarded_column_are_dropped_if_asked() {
        check(
            |schema| NotNull { columns: vec![0], drop: true, table: "t".to_string(), schema: Arc::clone(schema) },
            expect![[r#"
                columns user text, amount int

                + ann null
                    => + ann  null
                + null 1
                - bob 1
                    => - bob  1
                $
                    => $
            "#]],
        );
    }
}
