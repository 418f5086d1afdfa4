//! The operator as it runs.
//!
//! Before a partition changes for the first time in an epoch, its results are remembered; when changes are to go out, they are compared row
//! by row with those it has then.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};

use super::OverChanges;
use crate::error::Result;
use crate::message::{Barrier, Batch};
use crate::operator::{Input, Operator, Output, TableSnapshot};
use crate::operators::Emit;
use crate::operators::aggregate::PIECE_ROWS;
use crate::operators::partitions::{Bytes, OrderedRow, Partitions};

pub(super) struct Running {
    spec: OverChanges,
    input: SchemaRef,
    partitions: Partitions,
    results: RowConverter,
    /// Partitions that have changed, and the rows they had before, in the order of the first change.
    touched: Vec<(u32, Vec<Shown>)>,
}

/// A row with its results.
struct Shown {
    row: OrderedRow,
    results: Bytes,
}

struct Change<'a> {
    shown: &'a Shown,
    weight: i64,
    is_update: bool,
}

impl Running {
    pub fn new(spec: &OverChanges, incremental: bool) -> Result<Running> {
        let width = spec.schema.fields().len() - spec.functions.len();
        let (fields, results) = spec.schema.fields().split_at(width);
        let input: SchemaRef = Arc::new(Schema::new(fields.to_vec()));
        let results = results.iter().map(|field| SortField::new(field.data_type().clone())).collect();
        Ok(Running {
            partitions: Partitions::new(Arc::clone(&input), &spec.keys, &spec.order, false, spec.ttl, incremental)?,
            results: RowConverter::new(results)?,
            touched: Vec::new(),
            spec: spec.clone(),
            input,
        })
    }

    fn on_rows(&mut self, batch: &Batch, mut each: impl FnMut(&mut Running) -> Result<()>) -> Result<()> {
        let partitions = self.partitions.of_rows(batch.rows())?;
        let orders = self.partitions.order_of(batch.rows())?;
        let rows = self.partitions.bytes_of(batch.rows().columns())?;
        for (n, partition) in partitions.into_iter().enumerate() {
            let order = orders.as_ref().map_or(&[][..], |orders| orders.row(n).data());
            let row = rows.row(n);
            for _ in 0..batch.weight(n).unsigned_abs() {
                match batch.weight(n) > 0 {
                    true => {
                        self.touch(partition)?;
                        self.partitions.insert(partition, order, row.data());
                    }
                    // A row that was never there is ignored.
                    false => {
                        if let Some(row) = self.partitions.find(partition, order, row.data()) {
                            self.touch(partition)?;
                            self.partitions.remove(partition, &row);
                        }
                    }
                }
            }
            each(self)?;
        }
        Ok(())
    }

    fn touch(&mut self, partition: u32) -> Result<()> {
        if self.partitions.touch(partition) {
            let shown = self.shown(partition)?;
            self.touched.push((partition, shown));
        }
        Ok(())
    }

    /// The rows of a partition with their results, in order.
    fn shown(&self, partition: u32) -> Result<Vec<Shown>> {
        let rows = self.partitions.rows(partition) as usize;
        if rows == 0 {
            return Ok(Vec::new());
        }
        let columns = self.partitions.columns(self.partitions.of(partition))?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.input), columns, &options)?;
        let fields = &self.spec.schema.fields()[self.input.fields().len()..];
        let results: Vec<ArrayRef> = (self.spec.functions.iter().zip(fields))
            .map(|(function, field)| Ok(cast(&function.evaluate(&batch)?, field.data_type())?))
            .collect::<Result<_>>()?;
        let results = self.results.convert_columns(&results)?;
        let rows = self.partitions.of(partition).enumerate();
        let shown = rows.map(|(n, row)| Shown { row: row.clone(), results: Bytes::from(results.row(n).data()) });
        Ok(shown.collect())
    }

    /// Emits what has changed since the last call.
    fn settle(&mut self, out: &mut Output) -> Result<()> {
        let mut compared = Vec::new();
        for (partition, before) in std::mem::take(&mut self.touched) {
            compared.push((before, self.shown(partition)?));
            self.partitions.settled(partition);
        }
        let mut changes = Vec::new();
        compared.iter().for_each(|(before, after)| difference(before, after, &mut changes));
        for piece in changes.chunks(PIECE_ROWS) {
            out.send(self.batch(piece)?);
        }
        Ok(())
    }

    fn batch(&self, changes: &[Change]) -> Result<Batch> {
        let mut columns = self.partitions.columns(changes.iter().map(|change| &change.shown.row))?;
        let parser = self.results.parser();
        columns.extend(self.results.convert_rows(changes.iter().map(|change| parser.parse(&change.shown.results)))?);
        let rows = RecordBatch::try_new(Arc::clone(&self.spec.schema), columns)?;
        let weights: Int64Array = changes.iter().map(|change| change.weight).collect();
        let updates: BooleanArray = changes.iter().map(|change| Some(change.is_update)).collect();
        Ok(Batch::with_updates(rows, weights, updates))
    }
}

/// Rows that are gone; then, in order, those that have come or have other results. A row that went and came again as it was has not changed.
fn difference<'a>(before: &'a [Shown], after: &'a [Shown], changes: &mut Vec<Change<'a>>) {
    let mut gone: Vec<&Shown> = Vec::new();
    let mut there: Vec<(Option<&Shown>, &Shown)> = Vec::new();
    let mut before = before.iter().peekable();
    for is in after {
        gone.extend(std::iter::from_fn(|| before.next_if(|was| was.row < is.row)));
        let was = before.next_if(|was| was.row == is.row);
        if was.is_none_or(|was| was.results != is.results) {
            there.push((was, is));
        }
    }
    gone.extend(before);
    let mut came_again: HashMap<(&[u8], &[u8]), usize> = HashMap::new();
    if !gone.is_empty() {
        for (_, is) in there.iter().filter(|(was, _)| was.is_none()) {
            *came_again.entry((is.row.row(), &is.results)).or_default() += 1;
        }
    }
    let mut stayed: HashMap<(&[u8], &[u8]), usize> = HashMap::new();
    let take = |counts: &mut HashMap<(&'a [u8], &'a [u8]), usize>, shown: &'a Shown| {
        counts.get_mut(&(shown.row.row(), &*shown.results)).filter(|left| **left > 0).map(|left| *left -= 1).is_some()
    };
    for was in gone {
        if take(&mut came_again, was) {
            *stayed.entry((was.row.row(), &was.results)).or_default() += 1;
        } else {
            changes.push(Change { shown: was, weight: -1, is_update: false });
        }
    }
    for (was, is) in there {
        if was.is_none() && take(&mut stayed, is) {
            continue;
        }
        changes.extend(was.map(|shown| Change { shown, weight: -1, is_update: true }));
        changes.push(Change { shown: is, weight: 1, is_update: was.is_some() });
    }
}

impl Operator for Running {
    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        match self.spec.emit {
            Emit::Epoch => self.on_rows(&batch, |_| Ok(()))?,
            Emit::EachRow => self.on_rows(&batch, |running| running.settle(out))?,
        }
        self.partitions.forget_empty();
        Ok(())
    }

    fn on_barrier(&mut self, barrier: &Barrier, out: &mut Output) -> Result<()> {
        self.settle(out)?;
        self.partitions.forget_empty();
        self.partitions.forget_unused(barrier.time);
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Vec<TableSnapshot>> {
        Ok(vec![self.partitions.snapshot()?])
    }

    fn restore(&mut self, tables: Vec<TableSnapshot>) -> Result<()> {
        self.partitions.restore(tables)
    }
}
