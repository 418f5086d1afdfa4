//! Temporal join in processing time: each row with what is there of the other side when it comes.
//!
//! "When it comes" is its epoch: rows of the left wait for the barrier, and find the right as it is there. So what they find depends on which
//! rows are in which epoch, and not on which input was read first within one. Watermarks wait with the rows before them.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion_physical_expr::PhysicalExpr;
use tidemill_state::{EventTime, KeyTable};

use super::given::with_mark;
use super::groups::groups_of;
use super::pairs::Pairs;
use super::side::{NONE, Side};
use crate::error::Result;
use crate::message::{Barrier, Batch};
use crate::operator::{ExplainLine, Input, Operator, OperatorSpec, Output, ShardContext, TableSnapshot};
use crate::operators::aggregate::key_types;

/// Emits the columns of the left, then those of the right, for each row of the left once. What changes on the right later changes nothing.
#[derive(Clone, Debug)]
pub struct LatestJoin {
    /// Rows of the left without a partner come out with nulls.
    pub outer: bool,
    /// By input, columns that must be equal; as many of each.
    pub keys: [Vec<usize>; 2],
    /// A row of the right takes the place of the one before it with its key. If not, rows are there until they are taken back.
    pub replaces: bool,
    /// The left may take rows back: [`Given`](super::Given) stands behind.
    pub is_marked: bool,
    /// What else must be true of a pair: over the columns of both inputs.
    pub condition: Option<Arc<dyn PhysicalExpr>>,
    pub inputs: [SchemaRef; 2],
    /// Of both.
    pub schema: SchemaRef,
}

impl OperatorSpec for LatestJoin {
    fn name(&self) -> &'static str {
        "temporal-join"
    }

    fn schema(&self) -> SchemaRef {
        if self.is_marked { with_mark(&self.schema) } else { Arc::clone(&self.schema) }
    }

    fn explain(&self, line: &mut ExplainLine) {
        let name = |side: usize, column: usize| self.inputs[side].field(column).name();
        line.field("kind", if self.outer { "left" } else { "inner" });
        let pairs = self.keys[0].iter().zip(&self.keys[1]);
        line.list("on", pairs.map(|(&left, &right)| format!("{} = {}", name(0, left), name(1, right))));
        line.field("as-of", "processing-time")
            .field("versions", if self.replaces { "by key" } else { "as taken back" });
        if let Some(condition) = &self.condition {
            line.field("condition", condition);
        }
    }

    fn state_bound(&self) -> Option<&'static str> {
        Some(if self.replaces {
            "the last row of each key of the right"
        } else {
            "the rows of the right that are there"
        })
    }

    /// Versions have no time but when they come.
    fn tells_time(&self, input: Input) -> bool {
        input == Input(0)
    }

    fn open(&self, context: &ShardContext) -> Result<Box<dyn Operator>> {
        Ok(Box::new(Latest {
            left: Vec::new(),
            table: KeyTable::new(&key_types(&self.inputs[1], &self.keys[1]))?,
            right: Side::new(&self.inputs[1], &self.keys[1], false, false, None, context.durable.is_some())?,
            last: Vec::new(),
            pairs: Pairs::new(self.outer, self.condition.clone(), self.is_marked, &self.schema),
            watermark: None,
            is_idle: false,
            spec: self.clone(),
        }))
    }
}

struct Latest {
    spec: LatestJoin,
    /// Rows of this epoch.
    left: Vec<Batch>,
    /// Keys of the right.
    table: KeyTable,
    right: Side,
    /// By key, its last row, if rows take the place of others.
    last: Vec<u32>,
    pairs: Pairs,
    /// What goes out behind the rows of this epoch.
    watermark: Option<EventTime>,
    is_idle: bool,
}

impl Latest {
    fn groups(&mut self, side: usize, rows: &RecordBatch) -> Result<Vec<u32>> {
        groups_of(&mut self.table, rows, &self.spec.keys[side], false)
    }

    fn take_in(&mut self, batch: &Batch) -> Result<()> {
        let groups = self.groups(1, batch.rows())?;
        let numbers = self.right.intern(batch.rows(), &groups)?;
        self.last.resize(self.table.groups(), NONE);
        for (row, (&number, &group)) in numbers.iter().zip(&groups).enumerate() {
            if self.spec.replaces && group != NONE {
                let former = std::mem::replace(&mut self.last[group as usize], number);
                if former != NONE {
                    self.right.add(former, -1, false);
                }
            }
            self.right.add(number, batch.weight(row), false);
        }
        Ok(())
    }

    fn emit(&mut self, out: &mut Output) -> Result<()> {
        let empty = self.right.settle()?;
        self.remove(empty);
        for batch in std::mem::take(&mut self.left) {
            let groups = self.groups(0, batch.rows())?;
            let right = &self.right;
            let times = |row: u32| right.row(row).weight.max(0) as usize;
            let matches = |row: usize| {
                let rows = Some(groups[row]).filter(|&group| group != NONE).into_iter();
                rows.flat_map(|group| right.of_group(group)).flat_map(move |row| std::iter::repeat_n(row, times(row)))
            };
            self.pairs.of(&batch, matches, |rows| right.columns(rows), |rows| out.send(rows))?;
            self.remove(groups);
        }
        Ok(())
    }

    /// Forgets those of these keys that have no rows.
    fn remove(&mut self, groups: Vec<u32>) {
        for group in groups {
            if group != NONE && self.table.is_live(group) && !self.right.has_group(group) {
                self.table.remove(group);
                if let Some(last) = self.last.get_mut(group as usize) {
                    *last = NONE;
                }
            }
        }
    }
}

impl Operator for Latest {
    fn on_batch(&mut self, input: Input, batch: Batch, _: &mut Output) -> Result<()> {
        match input {
            Input(0) => {
                self.is_idle = false;
                self.left.push(batch);
                Ok(())
            }
            _ => self.take_in(&batch),
        }
    }

    fn on_watermark(&mut self, time: EventTime, out: &mut Output) -> Result<()> {
        // Where nothing waits no barrier need come.
        if self.left.is_empty() {
            out.watermark(time);
        } else {
            (self.watermark, self.is_idle) = (Some(time), false);
        }
        Ok(())
    }

    fn on_idle(&mut self, out: &mut Output) -> Result<()> {
        match self.left.is_empty() {
            true => out.idle(),
            false => self.is_idle = true,
        }
        Ok(())
    }

    fn on_barrier(&mut self, _: &Barrier, out: &mut Output) -> Result<()> {
        self.emit(out)?;
        if let Some(time) = self.watermark.take() {
            out.watermark(time);
        }
        if std::mem::take(&mut self.is_idle) {
            out.idle();
        }
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Vec<TableSnapshot>> {
        Ok(vec![self.right.snapshot("right")?])
    }

    fn restore(&mut self, tables: Vec<TableSnapshot>) -> Result<()> {
        for table in &tables {
            let (keys, groups) = (&self.spec.keys[1], &mut self.table);
            self.right.restore(table, |rows| groups_of(groups, rows, keys, false))?;
        }
        self.last = vec![NONE; self.table.groups()];
        for row in self.right.all() {
            self.last[self.right.row(row).group as usize] = row;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Schema;
    use expect_test::expect;

    use super::*;
    use crate::testing::check_inputs;

    fn join(inputs: &[SchemaRef; 2], outer: bool, replaces: bool) -> LatestJoin {
        let schema = inputs.iter().flat_map(|input| input.fields().iter().cloned()).collect::<Vec<_>>();
        LatestJoin {
            outer,
            keys: [vec![0], vec![0]],
            replaces,
            is_marked: false,
            condition: None,
            inputs: inputs.clone(),
            schema: Arc::new(Schema::new(schema)),
        }
    }

    #[test]
    fn each_row_finds_the_last_version_of_its_epoch_and_keeps_it() {
        check_inputs(
            |inputs| join(inputs, true, true),
            expect![[r#"
                columns k text, n int
                columns k text, v int

                + x 1
                + y 2
                + null 3
                2nd + x 10
                2nd + null 11           // equals nothing
                2nd + x 12
                | 1
                    => + x  1  x  12
                    => + y  2  null  null
                    => + null  3  null  null
                ! crash
                2nd + x 12              // the same again
                + x 4
                2nd + y 20
                | 2
                    => + x  4  x  12
                ! crash
                2nd + x 30
                | 3
                + y 5
                + x 6
                $
                    => + y  5  y  20
                    => + x  6  x  30
                    => $
            "#]],
        );
    }

    #[test]
    fn rows_that_were_taken_back_are_not_found() {
        check_inputs(
            |inputs| join(inputs, false, false),
            expect![[r#"
                columns k text, n int
                columns k text, v int

                2nd + x 10
                2nd + x 11
                + x 1
                | 1
                    => + x  1  x  11
                    => + x  1  x  10
                ! crash
                2nd - x 10
                2nd +2 y 20
                + y 2
                + x 3
                | 2
                    => + y  2  y  20
                    => + y  2  y  20
                    => + x  3  x  11
                ! crash
                2nd - x 11
                2nd - y 20
                2nd + y 20
                | 3
                + x 4
                + y 5
                $
                    => + y  5  y  20
                    => + y  5  y  20
                    => $
            "#]],
        );
    }

    #[test]
    fn watermarks_wait_for_the_rows_before_them() {
        check_inputs(
            |inputs| join(inputs, true, true),
            expect![[r#"
                columns k text, ts time
                columns k text, v int

                + x 0:05
                ~ 0:04
                2nd + x 1
                + x 0:06
                ~ 0:05
                | 1
                    => + x  0:05  x  1
                    => + x  0:06  x  1
                    => ~ 0:05
                ! crash
                ~ 0:09
                    => ~ 0:09
                | 2
                $
                    => $
            "#]],
        );
    }
}
