//! The first rows of a result that changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use tidemill_state::KeyTable;
use tidemill_state::checkpoint::Distribution;

use super::Emit;
use crate::error::Result;
use crate::message::{Barrier, Batch};
use crate::operator::{ExplainLine, Input, Operator, OperatorSpec, Output, ShardContext, TableSnapshot};

/// `LIMIT fetch OFFSET skip` over rows that come and go, in a single shard: of the rows that are there, those that came first. A row
/// that goes makes room for the next one. Keeps all rows.
#[derive(Debug, Clone)]
pub struct UpdatingLimit {
    pub skip: usize,
    /// `None`: all that follow.
    pub fetch: Option<usize>,
    pub emit: Emit,
    pub schema: SchemaRef,
}

impl OperatorSpec for UpdatingLimit {
    fn name(&self) -> &'static str {
        "updating-limit"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        super::limit::explain(line, self.skip, self.fetch);
    }

    fn state_bound(&self) -> Option<&'static str> {
        Some("all rows")
    }

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        let types: Vec<DataType> = self.schema.fields().iter().map(|field| field.data_type().clone()).collect();
        Ok(Box::new(Limiting {
            spec: self.clone(),
            rows: KeyTable::new(&types)?,
            arrivals: Vec::new(),
            order: BTreeMap::new(),
            next: 0,
            shown: Vec::new(),
        }))
    }
}

struct Limiting {
    spec: UpdatingLimit,
    /// Every distinct row that is there.
    rows: KeyTable,
    /// Per row of `rows`: when its copies came, oldest first.
    arrivals: Vec<Vec<u64>>,
    /// All copies, in the order in which they came.
    order: BTreeMap<u64, u32>,
    next: u64,
    /// What was sent on, in order.
    shown: Vec<u32>,
}

impl Operator for Limiting {
    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        let mut rows = Vec::new();
        self.rows.intern(batch.rows().columns(), batch.len(), &mut rows)?;
        self.arrivals.resize(self.rows.groups(), Vec::new());
        for (n, &row) in rows.iter().enumerate() {
            for _ in 0..batch.weight(n).unsigned_abs() {
                if batch.weight(n) > 0 { self.add(row) } else { self.remove(row) }
            }
            if self.spec.emit == Emit::EachRow {
                self.show(out)?;
            }
        }
        Ok(())
    }

    fn on_barrier(&mut self, _: &Barrier, out: &mut Output) -> Result<()> {
        self.show(out)?;
        // Only now: a row may go and come back within an epoch, and one that is shown must be known until it is taken back.
        let gone: Vec<u32> = self.rows.live().filter(|&row| self.arrivals[row as usize].is_empty()).collect();
        gone.into_iter().for_each(|row| self.rows.remove(row));
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Vec<TableSnapshot>> {
        let groups: Vec<u32> = self.order.values().copied().collect();
        let mut columns = self.rows.columns(&groups)?;
        columns.push(Arc::new(self.order.keys().copied().collect::<UInt64Array>()));
        let mut fields: Vec<Field> =
            self.spec.schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
        fields.push(Field::new("arrival", DataType::UInt64, false));
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
        Ok(vec![TableSnapshot::whole("rows", rows, Distribution::ToFirst)])
    }

    fn restore(&mut self, tables: Vec<TableSnapshot>) -> Result<()> {
        for TableSnapshot { rows, .. } in tables {
            let mut groups = Vec::new();
            let (arrivals, columns) = rows.columns().split_last().expect("the arrival is the last column");
            self.rows.intern(columns, rows.num_rows(), &mut groups)?;
            self.arrivals.resize(self.rows.groups(), Vec::new());
            for (&row, &arrival) in groups.iter().zip(arrivals.as_primitive::<UInt64Type>().values()) {
                self.next = arrival;
                self.add(row);
            }
            // A snapshot follows a barrier, at which everything due has been shown.
            self.shown = self.due();
        }
        Ok(())
    }
}

impl Limiting {
    fn add(&mut self, row: u32) {
        self.order.insert(self.next, row);
        self.arrivals[row as usize].push(self.next);
        self.next += 1;
    }

    /// Takes back the oldest copy; a row that was never there is ignored.
    fn remove(&mut self, row: u32) {
        let arrivals = &mut self.arrivals[row as usize];
        if !arrivals.is_empty() {
            self.order.remove(&arrivals.remove(0));
        }
    }

    fn due(&self) -> Vec<u32> {
        self.order.values().skip(self.spec.skip).take(self.spec.fetch.unwrap_or(usize::MAX)).copied().collect()
    }

    /// Sends the difference between what is due and what is shown: first what goes, then what comes.
    fn show(&mut self, out: &mut Output) -> Result<()> {
        let due = self.due();
        if due == self.shown {
            return Ok(());
        }
        let mut net: BTreeMap<u32, i64> = BTreeMap::new();
        self.shown.iter().for_each(|&row| *net.entry(row).or_default() -= 1);
        due.iter().for_each(|&row| *net.entry(row).or_default() += 1);
        let mut rows: Vec<u32> = Vec::new();
        let mut weights: Vec<i64> = Vec::new();
        for (of, sign) in [(&self.shown, -1), (&due, 1)] {
            for &row in of {
                let left = net.get_mut(&row).expect("every row was counted");
                if *left * sign > 0 {
                    *left -= sign;
                    rows.push(row);
                    weights.push(sign);
                }
            }
        }
        if !rows.is_empty() {
            let columns: Vec<ArrayRef> = self.rows.columns(&rows)?;
            let appends = weights.iter().all(|&weight| weight == 1);
            let batch = RecordBatch::try_new(Arc::clone(&self.spec.schema), columns)?;
            out.send(Batch::new(batch, (!appends).then(|| Int64Array::from(weights))));
        }
        self.shown = due;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;
    use expect_test::expect;

    #[test]
    fn a_row_that_goes_makes_room_for_the_next() {
        check(
            |schema| UpdatingLimit { skip: 0, fetch: Some(2), emit: Emit::Epoch, schema: Arc::clone(schema) },
            expect![[r#"
                columns user text, n int

                + ann 1
                + bob 1
                + cid 1
                | 1
                    => + ann  1
                    => + bob  1
                - ann 1
                + ann 2
                | 2
                    => - ann  1
                    => + cid  1
                ! crash
                - bob 1
                + bob 1          // goes and comes back: behind the others now
                - nobody 1
                | 3
                    => - bob  1
                    => + ann  2
                $
                    => $
            "#]],
        );
    }

    #[test]
    fn with_an_offset_the_first_rows_are_left_out() {
        check(
            |schema| UpdatingLimit { skip: 1, fetch: None, emit: Emit::EachRow, schema: Arc::clone(schema) },
            expect![[r#"
                columns user text

                +2 ann
                    => + ann
                + bob
                    => + bob
                - ann
                    => - ann
                $
                    => $
            "#]],
        );
    }
}
