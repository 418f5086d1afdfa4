//! What an upsert table is told: of each primary key whose rows have changed in an epoch, the row that is there now, or that there is none.
//!
//! Of the rows of a key, some come and some go; what counts is what is left of them at the end of the epoch, in whatever order they came. The
//! halves of an update may come from different shards, and one of them alone, if a filter has kept the other.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::row::{Row, RowConverter, Rows, SortField};
use hashbrown::HashMap;
use tidemill_state::KeyTable;

use super::aggregate::{PIECE_ROWS, key_types};
use crate::error::Result;
use crate::message::{Barrier, Batch};
use crate::operator::{ExplainLine, Input, Operator, OperatorSpec, Output, ShardContext};

/// A row that has replaced another comes out as an update, without the other.
#[derive(Clone, Debug)]
pub struct Upserts {
    pub key: Vec<usize>,
    /// Of the input, and of what comes out.
    pub schema: SchemaRef,
}

impl OperatorSpec for Upserts {
    fn name(&self) -> &'static str {
        "upserts"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        line.list("key", self.key.iter().map(|&key| self.schema.field(key).name()));
    }

    /// What it has is gone at each barrier.
    fn meaning(&self) -> Option<String> {
        None
    }

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        let fields = self.schema.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        Ok(Box::new(Folding {
            keys: KeyTable::new(&key_types(&self.schema, &self.key))?,
            converter: RowConverter::new(fields)?,
            batches: Vec::new(),
            changes: Vec::new(),
            compact_at: COMPACT_ROWS,
            spec: self.clone(),
        }))
    }
}

/// So many changes are kept before those that undo each other are looked for; as many as are left then, if these are more.
const COMPACT_ROWS: usize = 64 << 10;

struct Folding {
    spec: Upserts,
    /// Of this epoch.
    keys: KeyTable,
    converter: RowConverter,
    /// Rows of this epoch, and the same in row format.
    batches: Vec<(RecordBatch, Rows)>,
    /// In the order in which they came.
    changes: Vec<Change>,
    compact_at: usize,
}

#[derive(Clone, Copy)]
struct Change {
    /// Number of its key.
    group: u32,
    batch: u32,
    row: u32,
    weight: i64,
}

impl Folding {
    fn take(&mut self, rows: &RecordBatch, weight: impl Fn(usize) -> i64) -> Result<()> {
        let keys: Vec<ArrayRef> = self.spec.key.iter().map(|&key| Arc::clone(rows.column(key))).collect();
        let mut groups = Vec::new();
        self.keys.intern(&keys, rows.num_rows(), &mut groups)?;
        let batch = self.batches.len() as u32;
        let changes = groups.into_iter().enumerate();
        self.changes.extend(changes.map(|(n, group)| Change { group, batch, row: n as u32, weight: weight(n) }));
        self.batches.push((rows.clone(), self.converter.convert_columns(rows.columns())?));
        Ok(())
    }

    fn row(&self, change: &Change) -> Row<'_> {
        self.batches[change.batch as usize].1.row(change.row as usize)
    }

    /// What is left, by key in the order of their first changes: each row once, in the order in which they came last, with what its weights
    /// come to.
    fn net(&mut self) -> Vec<Change> {
        let mut changes = std::mem::take(&mut self.changes);
        changes.sort_by_key(|change| change.group);
        let mut net = Vec::with_capacity(changes.len());
        let mut weights: HashMap<Row<'_>, i64> = HashMap::new();
        for of_key in changes.chunk_by(|a, b| a.group == b.group) {
            if let [only] = of_key {
                net.push(*only);
                continue;
            }
            weights.clear();
            of_key.iter().for_each(|change| *weights.entry(self.row(change)).or_default() += change.weight);
            let from = net.len();
            for change in of_key.iter().rev() {
                // Taken out, so that the same row does not count again.
                let weight = weights.remove(&self.row(change)).filter(|weight| *weight != 0);
                net.extend(weight.map(|weight| Change { weight, ..*change }));
            }
            net[from..].reverse();
        }
        net
    }

    fn rows_of(&self, changes: &[Change]) -> Result<RecordBatch> {
        let batches: Vec<&RecordBatch> = self.batches.iter().map(|(rows, _)| rows).collect();
        let places: Vec<(usize, usize)> =
            changes.iter().map(|change| (change.batch as usize, change.row as usize)).collect();
        Ok(interleave_record_batch(&batches, &places)?)
    }

    /// Lets go of what has been undone.
    fn compact(&mut self) -> Result<()> {
        let net = self.net();
        let rows = if net.is_empty() { None } else { Some(self.rows_of(&net)?) };
        self.batches.clear();
        self.compact_at = COMPACT_ROWS.max(2 * net.len());
        rows.map_or(Ok(()), |rows| self.take(&rows, |n| net[n].weight))
    }

    fn settle(&mut self, out: &mut Output) -> Result<()> {
        let net = self.net();
        let (mut picks, mut weights, mut updates): (Vec<Change>, Vec<i64>, Vec<bool>) = Default::default();
        for of_key in net.chunk_by(|a, b| a.group == b.group) {
            let replaces = of_key.iter().any(|change| change.weight < 0);
            let there = of_key.iter().rev().find(|change| change.weight > 0);
            let Some(pick) = there.or(of_key.last()) else { continue };
            picks.push(*pick);
            weights.push(pick.weight.signum());
            updates.push(there.is_some() && replaces);
        }
        for start in (0..picks.len()).step_by(PIECE_ROWS) {
            let piece = start..picks.len().min(start + PIECE_ROWS);
            let (weights, updates) = (weights[piece.clone()].to_vec(), updates[piece.clone()].to_vec());
            out.send(Batch::with_updates(
                self.rows_of(&picks[piece])?,
                Int64Array::from(weights),
                BooleanArray::from(updates),
            ));
        }
        self.batches.clear();
        self.compact_at = COMPACT_ROWS;
        self.keys = KeyTable::new(&key_types(&self.spec.schema, &self.spec.key))?;
        Ok(())
    }
}

impl Operator for Folding {
    fn on_batch(&mut self, _: Input, batch: Batch, _: &mut Output) -> Result<()> {
        self.take(batch.rows(), |row| batch.weight(row))?;
        if self.changes.len() >= self.compact_at { self.compact() } else { Ok(()) }
    }

    fn on_barrier(&mut self, _: &Barrier, out: &mut Output) -> Result<()> {
        if self.changes.is_empty() { Ok(()) } else { self.settle(out) }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};
    use tidemill_state::Epoch;

    use super::*;
    use crate::message::Message;
    use crate::testing::check;

    fn by_id(input: &SchemaRef) -> Upserts {
        Upserts { key: vec![1], schema: Arc::clone(input) }
    }

    #[test]
    fn of_each_key_comes_what_is_there_at_the_end_of_an_epoch() {
        check(
            by_id,
            expect![[r#"
                columns name text, id int

                + ann 1
                + bob 2
                | 1
                    => + ann  1
                    => + bob  2
                ! crash
                + eve 1             // before the one that it replaces goes
                - ann 1
                - bob 2
                | 2
                    => + eve  1
                    => - bob  2
                - eve 1             // comes back
                + eve 1
                - cid 3
                + dan 3
                - dan 3
                + fay 3
                $
                    => + fay  3
                    => $
            "#]],
        );
    }

    /// Whatever the order of the changes of an epoch, and however many cancel, a table by key is what it was told to be.
    #[test]
    fn a_table_that_is_told_so_is_the_rows_that_are_there() {
        let schema: SchemaRef = Arc::new(arrow::datatypes::Schema::new(vec![
            arrow::datatypes::Field::new("k", arrow::datatypes::DataType::Int64, true),
            arrow::datatypes::Field::new("v", arrow::datatypes::DataType::Int64, true),
        ]));
        for seed in 0..12 {
            let mut random = StdRng::seed_from_u64(seed);
            let mut operator =
                Upserts { key: vec![0], schema: Arc::clone(&schema) }.open(&ShardContext::SINGLE).unwrap();
            let (mut model, mut told) = (std::collections::BTreeMap::new(), std::collections::BTreeMap::new());
            for epoch in 1..20 {
                let mut changes: Vec<(i64, i64, i64)> = Vec::new();
                for _ in 0..random.random_range(0..if (seed, epoch) == (3, 7) { 120_000 } else { 30 }) {
                    let key = random.random_range(0..5);
                    let value = random.random_bool(0.7).then(|| random.random_range(0..3));
                    let before = match value {
                        Some(value) => model.insert(key, value),
                        None => model.remove(&key),
                    };
                    changes.extend(before.map(|before| (key, before, -1)));
                    changes.extend(value.map(|value| (key, value, 1)));
                }
                rand::seq::SliceRandom::shuffle(&mut changes[..], &mut random);
                let mut out = Output::default();
                for piece in changes.chunks(1000) {
                    let column = |of: fn(&(i64, i64, i64)) -> i64| Int64Array::from_iter_values(piece.iter().map(of));
                    let columns: Vec<ArrayRef> = vec![Arc::new(column(|it| it.0)), Arc::new(column(|it| it.1))];
                    let rows = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
                    let updates = BooleanArray::from(vec![true; piece.len()]);
                    let batch = Batch::with_updates(rows, column(|it| it.2), updates);
                    operator.on_batch(Input(0), batch, &mut out).unwrap();
                }
                operator.on_barrier(&Barrier::at_end(Epoch(epoch)), &mut out).unwrap();
                for message in out.drain() {
                    let Message::Batch(batch) = message else { continue };
                    let value = |column: usize, row: usize| {
                        arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(batch.rows().column(column))
                            .value(row)
                    };
                    for row in 0..batch.len() {
                        let (key, is_known) = (value(0, row), told.contains_key(&value(0, row)));
                        assert_eq!(batch.is_update(row), is_known && batch.weight(row) > 0);
                        match batch.weight(row) {
                            1 => drop(told.insert(key, value(1, row))),
                            -1 => drop(told.remove(&key).expect("what goes was there")),
                            other => panic!("a weight of {other}"),
                        }
                    }
                }
                assert_eq!(told, model, "seed {seed}, epoch {epoch}");
            }
        }
    }
}
