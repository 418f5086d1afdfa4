//! The rows of a query, kept for others to read.

use std::sync::Arc;

use arrow::array::Int64Array;
use arrow::datatypes::SchemaRef;
use tidemill_state::checkpoint::Distribution;

use crate::error::Result;
use crate::message::{Barrier, Batch};
use crate::operator::{ExplainLine, Input, Operator, OperatorSpec, Output, ShardContext, TableSnapshot};
use crate::view::{Net, Publisher, Rows, View};

/// Keeps the rows of a view, and shows them to others epoch by epoch. Rows come by their key, or if they have none by all their columns. Sends
/// on what an epoch has changed.
#[derive(Debug)]
pub struct Materialize {
    pub view: Arc<View>,
}

impl OperatorSpec for Materialize {
    fn name(&self) -> &'static str {
        "materialize"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(self.view.schema())
    }

    fn explain(&self, line: &mut ExplainLine) {
        let names = |key: &[usize]| key.iter().map(|&n| self.view.schema().field(n).name().clone()).collect::<Vec<_>>();
        if let Some(key) = self.view.key() {
            line.list("key", names(key));
        }
    }

    fn meaning(&self) -> Option<String> {
        Some(format!("{}({})", self.name(), self.view.shape().meaning()))
    }

    fn state_bound(&self) -> Option<&'static str> {
        Some(match self.view.identity() {
            Some([]) => "one row",
            Some(_) => "one row per key",
            None => "all rows",
        })
    }

    fn needs_backlog_read(&self) -> bool {
        true
    }

    fn open(&self, context: &ShardContext) -> Result<Box<dyn Operator>> {
        Ok(Box::new(Materializing {
            keys: self.view.shape().key.len(),
            rows: Rows::new(self.view.shape(), context.durable.is_some())?,
            changes: Net::new(self.view.schema())?,
            publisher: self.view.publisher(context.shard, context.parallelism)?,
        }))
    }
}

struct Materializing {
    keys: usize,
    /// As of the last barrier.
    rows: Rows,
    /// Since then.
    changes: Net,
    publisher: Publisher,
}

impl Operator for Materializing {
    fn on_batch(&mut self, _: Input, batch: Batch, _: &mut Output) -> Result<()> {
        self.changes.add_batch(&batch)
    }

    fn on_barrier(&mut self, barrier: &Barrier, out: &mut Output) -> Result<()> {
        let (rows, weights) = self.changes.take()?;
        if !weights.is_empty() {
            self.rows.apply(&rows, &weights)?;
            out.send(Batch::new(rows, Some(Int64Array::from(weights))));
        }
        self.publisher.passed(barrier.epoch, self.rows.now().clone());
        Ok(())
    }

    fn on_end(&mut self, _: &mut Output) -> Result<()> {
        self.publisher.ended();
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Vec<TableSnapshot>> {
        Ok(vec![self.rows.snapshot("rows", Distribution::ByKey((0..self.keys).collect()))?])
    }

    fn restores_pieces(&self) -> bool {
        true
    }

    fn restore(&mut self, tables: Vec<TableSnapshot>) -> Result<()> {
        tables.iter().try_for_each(|table| self.rows.restore(table))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;
    use crate::view::Shape;
    use expect_test::expect;

    fn materialize(schema: &SchemaRef, key: Option<&[usize]>) -> Materialize {
        Materialize {
            view: Arc::new(View::new("v", Shape::new(schema, key), false, false).expect("such rows can be kept")),
        }
    }

    #[test]
    fn what_an_epoch_has_changed_goes_on_once_it_is_over() {
        check(
            |schema| materialize(schema, Some(&[0])),
            expect![[r#"
                columns user text, n int

                + ann 1
                + bob 1
                | 1
                    => + ann  1
                    => + bob  1
                + ann 2          // before the row it replaces is taken back
                - ann 1
                + bob 2
                - bob 2          // comes and goes
                | 2
                    => + ann  2
                    => - ann  1
                ! crash
                - bob 1
                - ann 2
                + ann 3
                | 3
                    => - bob  1
                    => - ann  2
                    => + ann  3
                + bob 4          // comes back
                $
                    => + bob  4
                    => $
            "#]],
        );
    }

    #[test]
    fn without_a_key_a_row_may_be_there_several_times() {
        check(
            |schema| materialize(schema, None),
            expect![[r#"
                columns user text

                +2 ann
                | 1
                    => +2 ann
                ! crash
                - ann
                + bob
                | 2
                    => - ann
                    => + bob
                - ann
                $
                    => - ann
                    => $
            "#]],
        );
    }
}
