//! Changes of a table with a primary key that may come twice, or in halves: each row replaces the one before it of its key.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, new_null_array};
use arrow::datatypes::{FieldRef, SchemaRef};
use arrow::row::{RowConverter, SortField};
use tidemill_state::KeyTable;

use super::aggregate::{PIECE_ROWS, key_types};
use super::dirty::{self, Dirty, state_table, with_deleted};
use super::idle::Idle;
use super::partitions::Bytes;
use super::{Emit, Ttl};
use crate::error::Result;
use crate::message::{Barrier, Batch};
use crate::operator::{ExplainLine, Input, Operator, OperatorSpec, Output, ShardContext, TableSnapshot};

/// The changes of the last row of each key. What the input takes back as a half of an update is not looked at, what it takes back otherwise
/// removes the key.
#[derive(Clone, Debug)]
pub struct Normalize {
    pub keys: Vec<usize>,
    pub emit: Emit,
    /// Keys that are not used for so long are forgotten, without that being a change.
    pub ttl: Option<Ttl>,
    /// Of the input, and of what comes out.
    pub schema: SchemaRef,
}

impl OperatorSpec for Normalize {
    fn name(&self) -> &'static str {
        "normalize"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        line.list("keys", self.keys.iter().map(|&key| self.schema.field(key).name()));
        if self.emit == Emit::EachRow {
            line.field("emit", "each-row");
        }
        if let Some(ttl) = self.ttl {
            line.field("ttl", ttl);
        }
    }

    fn meaning(&self) -> Option<String> {
        Some(format!("normalize({:?})", self.keys))
    }

    fn state_bound(&self) -> Option<&'static str> {
        Some(match self.ttl {
            Some(_) => "a row per key, while it is used",
            None => "a row per key",
        })
    }

    fn needs_clock(&self) -> bool {
        self.ttl.is_some()
    }

    fn open(&self, context: &ShardContext) -> Result<Box<dyn Operator>> {
        Ok(Box::new(Normalizing::new(self, context.durable.is_some())?))
    }
}

struct Normalizing {
    spec: Normalize,
    table: KeyTable,
    /// By number of the key.
    rows: Vec<Option<Bytes>>,
    converter: RowConverter,
    /// Keys whose row has changed, with what it was, in the order of the first change.
    touched: Vec<(u32, Option<Bytes>)>,
    is_touched: Vec<bool>,
    /// Keys that may have no row any more.
    empty: Vec<u32>,
    dirty: Option<Dirty>,
    idle: Option<Idle>,
}

impl Normalizing {
    fn new(spec: &Normalize, incremental: bool) -> Result<Normalizing> {
        let fields = spec.schema.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        Ok(Normalizing {
            table: KeyTable::new(&key_types(&spec.schema, &spec.keys))?,
            rows: Vec::new(),
            converter: RowConverter::new(fields)?,
            touched: Vec::new(),
            is_touched: Vec::new(),
            empty: Vec::new(),
            dirty: incremental.then(Dirty::default),
            idle: spec.ttl.map(Idle::new),
            spec: spec.clone(),
        })
    }

    fn groups_of(&mut self, rows: &RecordBatch) -> Result<Vec<u32>> {
        let keys: Vec<ArrayRef> = self.spec.keys.iter().map(|&key| Arc::clone(rows.column(key))).collect();
        let mut groups = Vec::new();
        self.table.intern(&keys, rows.num_rows(), &mut groups)?;
        self.rows.resize(self.table.groups(), None);
        self.is_touched.resize(self.table.groups(), false);
        Ok(groups)
    }

    fn on_rows(&mut self, batch: &Batch, mut each: impl FnMut(&mut Normalizing) -> Result<()>) -> Result<()> {
        let groups = self.groups_of(batch.rows())?;
        let rows = self.converter.convert_columns(batch.rows().columns())?;
        for (n, group) in groups.into_iter().enumerate() {
            let appears = batch.weight(n) > 0;
            self.touch(group);
            if appears || !batch.is_update(n) {
                self.rows[group as usize] = appears.then(|| Bytes::from(rows.row(n).data()));
            }
            each(self)?;
        }
        Ok(())
    }

    fn touch(&mut self, group: u32) {
        if !std::mem::replace(&mut self.is_touched[group as usize], true) {
            self.touched.push((group, self.rows[group as usize].clone()));
            self.dirty.iter_mut().for_each(|dirty| dirty.mark(group));
            self.idle.iter_mut().for_each(|idle| idle.used(group));
        }
    }

    /// Emits what has changed since the last call.
    fn settle(&mut self, out: &mut Output) -> Result<()> {
        let (mut rows, mut weights, mut updates): (Vec<Bytes>, Vec<i64>, Vec<bool>) = Default::default();
        for (group, before) in std::mem::take(&mut self.touched) {
            self.is_touched[group as usize] = false;
            let after = self.rows[group as usize].clone();
            if after.is_none() {
                self.empty.push(group);
            }
            // As aggregates do, so that those who keep a row that is used do not forget it.
            if before == after && self.idle.is_none() {
                continue;
            }
            let is_update = before.is_some() && after.is_some();
            for (row, weight) in before.into_iter().map(|row| (row, -1)).chain(after.map(|row| (row, 1))) {
                rows.push(row);
                weights.push(weight);
                updates.push(is_update);
            }
        }
        for start in (0..rows.len()).step_by(PIECE_ROWS) {
            let piece = start..rows.len().min(start + PIECE_ROWS);
            let batch = RecordBatch::try_new(Arc::clone(&self.spec.schema), self.columns(&rows[piece.clone()])?)?;
            let weights = Int64Array::from(weights[piece.clone()].to_vec());
            out.send(Batch::with_updates(batch, weights, BooleanArray::from(updates[piece].to_vec())));
        }
        Ok(())
    }

    /// Forgets keys without a row. Not while their numbers are in use.
    fn forget_empty(&mut self) -> Result<()> {
        let mut empty = std::mem::take(&mut self.empty);
        empty.sort_unstable();
        empty.dedup();
        empty.retain(|&group| self.rows[group as usize].is_none() && !self.is_touched[group as usize]);
        self.forget(&empty)
    }

    fn forget(&mut self, groups: &[u32]) -> Result<()> {
        if let Some(dirty) = self.dirty.as_mut().filter(|_| !groups.is_empty()) {
            dirty.gone(self.table.columns(groups)?);
        }
        for &group in groups {
            self.rows[group as usize] = None;
            self.table.remove(group);
        }
        Ok(())
    }

    /// Rows that have only their keys.
    fn with_keys(&self, keys: Vec<ArrayRef>) -> Vec<ArrayRef> {
        let rows = keys[0].len();
        let column = |(n, field): (usize, &FieldRef)| match self.spec.keys.iter().position(|&key| key == n) {
            Some(key) => Arc::clone(&keys[key]),
            None => new_null_array(field.data_type(), rows),
        };
        self.spec.schema.fields().iter().enumerate().map(column).collect()
    }

    fn columns(&self, rows: &[Bytes]) -> Result<Vec<ArrayRef>> {
        let parser = self.converter.parser();
        Ok(self.converter.convert_rows(rows.iter().map(|row| parser.parse(row)))?)
    }
}

impl Operator for Normalizing {
    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        match self.spec.emit {
            Emit::Epoch => self.on_rows(&batch, |_| Ok(()))?,
            Emit::EachRow => self.on_rows(&batch, |normalizing| normalizing.settle(out))?,
        }
        self.forget_empty()
    }

    fn on_barrier(&mut self, barrier: &Barrier, out: &mut Output) -> Result<()> {
        self.settle(out)?;
        self.forget_empty()?;
        let Some(idle) = &mut self.idle else { return Ok(()) };
        let mut unused = idle.due(barrier.time);
        unused.retain(|&group| self.table.is_live(group));
        self.forget(&unused)
    }

    fn snapshot(&mut self) -> Result<Vec<TableSnapshot>> {
        let keys = self.spec.keys.clone().into_iter();
        let (groups, gone, is_whole) = dirty::due(&mut self.dirty, &self.table);
        let rows: Vec<Bytes> = groups.iter().filter_map(|&group| self.rows[group as usize].clone()).collect();
        let mut columns = self.columns(&rows)?;
        if self.dirty.is_some() {
            columns = with_deleted(columns, gone.into_iter().map(|keys| self.with_keys(keys)).collect())?;
        }
        let table = TableSnapshot::by_key("rows", state_table(&self.spec.schema, &[], columns)?, keys.clone());
        let replaces_by = self.dirty.is_some().then(|| keys.collect());
        Ok(vec![TableSnapshot { replaces_by, is_whole, ..table }])
    }

    fn restore(&mut self, tables: Vec<TableSnapshot>) -> Result<()> {
        let width = self.spec.schema.fields().len();
        for TableSnapshot { rows, .. } in tables {
            let rows = RecordBatch::try_new(Arc::clone(&self.spec.schema), rows.columns()[..width].to_vec())?;
            let groups = self.groups_of(&rows)?;
            let bytes = self.converter.convert_columns(rows.columns())?;
            for (n, group) in groups.into_iter().enumerate() {
                self.rows[group as usize] = Some(Bytes::from(bytes.row(n).data()));
                self.idle.iter_mut().for_each(|idle| idle.used(group));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use expect_test::expect;

    use super::*;
    use crate::testing::{check, check_undisturbed};

    fn by_id(input: &SchemaRef) -> Normalize {
        Normalize { keys: vec![1], emit: Emit::Epoch, ttl: None, schema: Arc::clone(input) }
    }

    #[test]
    fn a_row_replaces_the_one_before_it_of_its_key() {
        check(
            by_id,
            expect![[r#"
                columns name text, id int

                + ann 1
                + ann 1             // twice
                + bob 2
                | 1
                    => + ann  1
                    => + bob  2
                ! crash
                + eve 1             // the row before it is not taken back
                - bob 2
                - bob 2
                | 2
                    => - ann  1
                    => + eve  1
                    => - bob  2
                + bob 2
                - bob 2
                - cid 3             // never was there
                + bob 4
                | 3
                    => + bob  4
                ! crash
                - whoever 1         // by its key
                + bob 4
                $
                    => - eve  1
                    => $
            "#]],
        );
    }

    #[test]
    fn each_row_may_show_its_change() {
        check(
            |input| Normalize { emit: Emit::EachRow, ..by_id(input) },
            expect![[r#"
                columns name text, id int

                + ann 1
                    => + ann  1
                + ann 1
                - ann 1
                    => - ann  1
                + bob 1
                    => + bob  1
                | 1
                ! crash
                + eve 1
                    => - bob  1
                    => + eve  1
                $
                    => $
            "#]],
        );
    }

    #[test]
    fn keys_that_are_not_used_are_forgotten_in_silence() {
        check_undisturbed(
            |[input]| Normalize { ttl: Some(Ttl(Duration::from_secs(10))), ..by_id(input) },
            expect![[r#"
                columns name text, id int

                + ann 1
                + bob 2
                | 1 0:00
                    => + ann  1
                    => + bob  2
                | 2 0:01
                + ann 1             // what keeps it is to know that it is used
                | 3 0:11
                    => - ann  1
                    => + ann  1
                - bob 2
                + bob 2
                $
                    => + bob  2
                    => $
            "#]],
        );
    }

    #[test]
    fn the_first_half_of_an_update_removes_nothing() {
        let fields = vec![arrow::datatypes::Field::new("id", arrow::datatypes::DataType::Int64, true)];
        let spec = by_id(&(Arc::new(arrow::datatypes::Schema::new(fields)) as SchemaRef));
        let spec = Normalize { keys: vec![0], ..spec };
        let mut operator = spec.open(&ShardContext::SINGLE).expect("it opens");
        let mut out = Output::default();
        for is_update in [true, false] {
            let rows = |ids: Vec<i64>| {
                RecordBatch::try_new(Arc::clone(&spec.schema), vec![Arc::new(Int64Array::from(ids))]).expect("a column")
            };
            operator.on_batch(Input(0), Batch::append(rows(vec![7])), &mut out).expect("a row");
            let (weights, updates) = (Int64Array::from(vec![-1]), BooleanArray::from(vec![is_update]));
            let taken_back = Batch::with_updates(rows(vec![7]), weights, updates);
            operator.on_batch(Input(0), taken_back, &mut out).expect("a row");
            operator.on_barrier(&Barrier::at_end(tidemill_state::Epoch(1)), &mut out).expect("the end");
            let weights: Vec<i64> = out
                .drain()
                .filter_map(|message| match message {
                    crate::message::Message::Batch(batch) => Some(batch.weight(0)),
                    _ => None,
                })
                .collect();
            assert_eq!(weights, [if is_update { 1 } else { -1 }]);
        }
    }
}
