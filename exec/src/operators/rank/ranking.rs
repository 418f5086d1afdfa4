//! The rank as it runs.
//!
//! Before a partition changes for the first time in an epoch, what it shows is remembered; when changes are to go out, the difference
//! does. A partition whose last number is taken has an edge: rows beyond it change nothing that is shown.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::Schema;

use super::{Numbering, Rank};
use crate::error::Result;
use crate::message::{Barrier, Batch};
use crate::operator::{Input, Operator, Output, TableSnapshot};
use crate::operators::Emit;
use crate::operators::aggregate::{PIECE_ROWS, take_all};
use crate::operators::partitions::{OrderedRow, Partitions};

pub(super) struct Ranking {
    spec: Rank,
    partitions: Partitions,
    /// By partition. Rows that stand behind this one have numbers above the last.
    edges: Vec<Option<OrderedRow>>,
    /// Partitions that have changed, in the order of the first change, and which of `before` they showed then.
    touched: Vec<(u32, Range<usize>)>,
    before: Vec<Shown>,
}

#[derive(Clone)]
struct Shown {
    /// 0 if numbers are not looked at.
    number: u64,
    row: OrderedRow,
}

impl PartialEq for Shown {
    fn eq(&self, other: &Shown) -> bool {
        self.number == other.number && (self.row == other.row || self.row.row() == other.row.row())
    }
}

struct Change {
    shown: Shown,
    weight: i64,
    is_update: bool,
}

impl Ranking {
    pub fn new(spec: &Rank, incremental: bool) -> Result<Ranking> {
        let width = spec.schema.fields().len() - 1;
        let input = Arc::new(Schema::new(spec.schema.fields()[..width].to_vec()));
        Ok(Ranking {
            partitions: Partitions::new(input, &spec.keys, &spec.order, spec.later_first, spec.ttl, incremental)?,
            edges: Vec::new(),
            touched: Vec::new(),
            before: Vec::new(),
            spec: spec.clone(),
        })
    }

    /// Whether a row that comes now would stand behind the last number.
    fn is_beyond(&self, partition: u32, order: &[u8]) -> bool {
        let ties_come_before = self.spec.numbering != Numbering::RowNumber || self.spec.later_first;
        self.edges[partition as usize].as_ref().is_some_and(|edge| match ties_come_before {
            true => order > edge.order(),
            false => order >= edge.order(),
        })
    }

    fn on_rows(&mut self, batch: &Batch, mut each: impl FnMut(&mut Ranking) -> Result<()>) -> Result<()> {
        let partitions = self.partitions.of_rows(batch.rows())?;
        self.edges.resize(self.partitions.len(), None);
        let orders = self.partitions.order_of(batch.rows())?;
        let order = |n: usize| orders.as_ref().map_or(&[][..], |orders| orders.row(n).data());
        // Most rows are far from the first: nothing is done for them.
        let is_near = |n: &u32| !self.spec.append || !self.is_beyond(partitions[*n as usize], order(*n as usize));
        let near: Vec<u32> = (0..batch.len() as u32).filter(is_near).collect();
        let columns = take_all(batch.rows().columns(), &UInt32Array::from(near.clone()))?;
        let rows = self.partitions.bytes_of(&columns)?;
        for (row, &n) in near.iter().enumerate() {
            let (partition, order) = (partitions[n as usize], order(n as usize));
            for _ in 0..batch.weight(n as usize).unsigned_abs() {
                match batch.weight(n as usize) > 0 {
                    true => self.add(partition, order, rows.row(row).data()),
                    false => self.remove(partition, order, rows.row(row).data()),
                }
            }
            each(self)?;
        }
        Ok(())
    }

    fn add(&mut self, partition: u32, order: &[u8], row: &[u8]) {
        let is_beyond = self.is_beyond(partition, order);
        if is_beyond && self.spec.append {
            return;
        }
        if !is_beyond {
            self.touch(partition);
        }
        if !self.spec.append || self.spec.numbering != Numbering::RowNumber {
            return self.partitions.insert(partition, order, row);
        }
        // The row behind the last number is forgotten.
        if self.partitions.rows(partition) == self.spec.last {
            self.partitions.remove_last(partition);
        }
        self.partitions.insert(partition, order, row);
        if self.partitions.rows(partition) == self.spec.last {
            self.edges[partition as usize] = self.partitions.of(partition).next_back().cloned();
        }
    }

    /// Takes back a row; one that was never there is ignored.
    fn remove(&mut self, partition: u32, order: &[u8], row: &[u8]) {
        let Some(row) = self.partitions.find(partition, order, row) else { return };
        // The edge itself may be what goes.
        if self.edges[partition as usize].as_ref().is_none_or(|edge| order <= edge.order()) {
            self.touch(partition);
        }
        self.partitions.remove(partition, &row);
    }

    fn touch(&mut self, partition: u32) {
        if self.partitions.touch(partition) {
            let from = self.before.len();
            let mut before = std::mem::take(&mut self.before);
            self.shown(partition, &mut before);
            self.before = before;
            self.touched.push((partition, from..self.before.len()));
        }
    }

    /// Appends what a partition shows, in order; its edge.
    fn shown(&self, partition: u32, shown: &mut Vec<Shown>) -> Option<OrderedRow> {
        let mut edge = None;
        let (mut rows, mut number): (u64, u64) = (0, 0);
        let mut before: Option<&OrderedRow> = None;
        for row in self.partitions.of(partition) {
            let is_tie = before.is_some_and(|before| before.order() == row.order());
            let next = match self.spec.numbering {
                Numbering::RowNumber => rows + 1,
                _ if is_tie => number,
                Numbering::Rank => rows + 1,
                Numbering::DenseRank => number + 1,
            };
            if next > self.spec.last {
                edge = before.cloned();
                break;
            }
            (rows, number, before) = (rows + 1, next, Some(row));
            if number >= self.spec.first {
                let number = if self.spec.numbered { number } else { 0 };
                shown.push(Shown { number, row: row.clone() });
            }
        }
        let is_full = match self.spec.numbering {
            Numbering::RowNumber | Numbering::Rank => rows >= self.spec.last,
            Numbering::DenseRank => number >= self.spec.last,
        };
        edge.or_else(|| before.filter(|_| is_full).cloned())
    }

    /// Emits what has changed since the last call.
    fn settle(&mut self, out: &mut Output) -> Result<()> {
        let (mut changes, mut after) = (Vec::new(), Vec::new());
        let before = std::mem::take(&mut self.before);
        for (partition, shown) in std::mem::take(&mut self.touched) {
            after.clear();
            let edge = self.shown(partition, &mut after);
            difference(&before[shown], &after, self.spec.replaces(), &mut changes);
            self.edges[partition as usize] = edge;
            if self.spec.append && self.spec.numbering != Numbering::RowNumber {
                self.cut_ties(partition);
            }
            self.partitions.settled(partition);
        }
        for piece in changes.chunks(PIECE_ROWS) {
            out.send(self.batch(piece)?);
        }
        Ok(())
    }

    /// Forgets the rows behind the edge.
    fn cut_ties(&mut self, partition: u32) {
        let Some(edge) = &self.edges[partition as usize] else { return };
        let is_behind = |row: &&OrderedRow| row.order() > edge.order();
        for _ in 0..self.partitions.of(partition).rev().take_while(is_behind).count() {
            self.partitions.remove_last(partition);
        }
    }

    fn batch(&self, changes: &[Change]) -> Result<Batch> {
        let mut columns = self.partitions.columns(changes.iter().map(|change| &change.shown.row))?;
        let number = |change: &Change| self.spec.numbered.then_some(change.shown.number as i64);
        columns.push(Arc::new(changes.iter().map(number).collect::<Int64Array>()));
        let rows = RecordBatch::try_new(Arc::clone(&self.spec.schema), columns)?;
        let weights: Int64Array = changes.iter().map(|change| change.weight).collect();
        let updates: BooleanArray = changes.iter().map(|change| Some(change.is_update)).collect();
        Ok(Batch::with_updates(rows, weights, updates))
    }
}

/// What must go, then what must come, number by number.
fn difference(before: &[Shown], after: &[Shown], replaces: bool, changes: &mut Vec<Change>) {
    let equal_first = before.iter().zip(after).take_while(|(before, after)| before == after).count();
    let (before, after) = (&before[equal_first..], &after[equal_first..]);
    let equal_last = before.iter().rev().zip(after.iter().rev()).take_while(|(before, after)| before == after).count();
    let (mut before, mut after) = (&before[..before.len() - equal_last], &after[..after.len() - equal_last]);
    while let Some(number) = before.first().into_iter().chain(after.first()).map(|shown| shown.number).min() {
        let of_number = |rows: &[Shown]| rows.iter().take_while(|shown| shown.number == number).count();
        let (were, are);
        (were, before) = before.split_at(of_number(before));
        (are, after) = after.split_at(of_number(after));
        exchanged(were, are, replaces, changes);
    }
}

/// The rows that had a number go, and those that have it come, but for those that do both.
fn exchanged(were: &[Shown], are: &[Shown], replaces: bool, changes: &mut Vec<Change>) {
    let mut change =
        |shown: &Shown, weight, is_update| changes.push(Change { shown: shown.clone(), weight, is_update });
    match (were, are) {
        ([was], []) => return change(was, -1, false),
        ([], [is]) => return change(is, 1, false),
        ([was], [is]) if was == is => return,
        ([was], [is]) => {
            change(was, -1, replaces);
            return change(is, 1, replaces);
        }
        _ => {}
    }
    let mut net: BTreeMap<&[u8], i64> = BTreeMap::new();
    were.iter().for_each(|shown| *net.entry(shown.row.row()).or_default() -= 1);
    are.iter().for_each(|shown| *net.entry(shown.row.row()).or_default() += 1);
    let is_update = replaces && net.values().any(|n| *n < 0) && net.values().any(|n| *n > 0);
    for (rows, weight) in [(were, -1), (are, 1)] {
        for shown in rows {
            if let Some(left) = net.get_mut(shown.row.row()).filter(|left| **left * weight > 0) {
                *left -= weight;
                change(shown, weight, is_update);
            }
        }
    }
}

impl Operator for Ranking {
    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        match self.spec.emit {
            Emit::Epoch => self.on_rows(&batch, |_| Ok(()))?,
            Emit::EachRow => self.on_rows(&batch, |ranking| ranking.settle(out))?,
        }
        self.partitions.forget_empty();
        Ok(())
    }

    fn on_barrier(&mut self, barrier: &Barrier, out: &mut Output) -> Result<()> {
        self.settle(out)?;
        self.partitions.forget_empty();
        for partition in self.partitions.forget_unused(barrier.time) {
            self.edges[partition as usize] = None;
        }
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Vec<TableSnapshot>> {
        Ok(vec![self.partitions.snapshot()?])
    }

    fn restore(&mut self, tables: Vec<TableSnapshot>) -> Result<()> {
        self.partitions.restore(tables)?;
        self.edges.resize(self.partitions.len(), None);
        for partition in self.partitions.live().collect::<Vec<u32>>() {
            self.edges[partition as usize] = self.shown(partition, &mut Vec::new());
        }
        Ok(())
    }
}
