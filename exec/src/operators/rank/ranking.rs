//! The rank as it runs.
//!
//! Before a partition changes for the first time in an epoch, what it shows is remembered; when changes are to go out, the difference
//! does. A partition whose last number is taken has an edge: rows beyond it change nothing that is shown.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::{Int64Type, Schema, SchemaRef};
use arrow::row::{RowConverter, Rows, SortField};
use tidemill_state::KeyTable;

use super::rows::{Bytes, OrderedRows, Place};
use super::{Numbering, Rank};
use crate::error::Result;
use crate::message::{Barrier, Batch};
use crate::operator::{Input, Operator, Output, TableSnapshot};
use crate::operators::aggregate::{PIECE_ROWS, key_types, take_all};
use crate::operators::dirty::{state_table, with_deleted};
use crate::operators::{Emit, Order};

pub(super) struct Ranking {
    spec: Rank,
    input: SchemaRef,
    table: KeyTable,
    /// By number in the table.
    partitions: Vec<Partition>,
    rows: OrderedRows,
    order: RowConverter,
    whole: RowConverter,
    arrivals: i64,
    /// Partitions that have changed, and what they showed before, in the order of the first change.
    touched: Vec<(u32, Vec<Shown>)>,
    /// Partitions that may have no rows any more.
    empty: Vec<u32>,
}

#[derive(Clone, Default)]
struct Partition {
    rows: u64,
    /// One more than its place among those touched, or 0.
    place: u32,
    /// Rows that stand behind this have numbers above the last.
    edge: Option<Bytes>,
}

#[derive(Clone, PartialEq, Eq)]
struct Shown {
    /// 0 if numbers are not looked at.
    number: u64,
    row: Bytes,
}

struct Change {
    shown: Shown,
    weight: i64,
    is_update: bool,
}

impl Ranking {
    pub fn new(spec: &Rank, incremental: bool) -> Result<Ranking> {
        let width = spec.schema.fields().len() - 1;
        let input: SchemaRef = Arc::new(Schema::new(spec.schema.fields()[..width].to_vec()));
        let whole = input.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        Ok(Ranking {
            table: KeyTable::new(&key_types(&input, &spec.keys))?,
            partitions: Vec::new(),
            rows: OrderedRows::new(incremental),
            order: Order::converter(&spec.order, &input)?,
            whole: RowConverter::new(whole)?,
            arrivals: 0,
            touched: Vec::new(),
            empty: Vec::new(),
            spec: spec.clone(),
            input,
        })
    }

    /// The partition of each row.
    fn partitions_of(&mut self, rows: &RecordBatch) -> Result<Vec<u32>> {
        let keys: Vec<ArrayRef> = self.spec.keys.iter().map(|&key| Arc::clone(rows.column(key))).collect();
        let mut partitions = Vec::new();
        self.table.intern(&keys, rows.num_rows(), &mut partitions)?;
        self.partitions.resize(self.table.groups(), Partition::default());
        Ok(partitions)
    }

    fn order_of(&self, rows: &RecordBatch) -> Result<Option<Rows>> {
        let columns: Vec<ArrayRef> =
            self.spec.order.iter().map(|order| Arc::clone(rows.column(order.column))).collect();
        Ok(if columns.is_empty() { None } else { Some(self.order.convert_columns(&columns)?) })
    }

    /// Whether a row that comes now would stand behind the last number.
    fn is_beyond(&self, partition: u32, order: &[u8]) -> bool {
        let ties_come_before = self.spec.numbering != Numbering::RowNumber || self.spec.later_first;
        self.partitions[partition as usize].edge.as_ref().is_some_and(|edge| match ties_come_before {
            true => order > edge.as_ref(),
            false => order >= edge.as_ref(),
        })
    }

    fn on_rows(&mut self, batch: &Batch, mut each: impl FnMut(&mut Ranking) -> Result<()>) -> Result<()> {
        let partitions = self.partitions_of(batch.rows())?;
        let orders = self.order_of(batch.rows())?;
        let order = |n: usize| orders.as_ref().map_or(&[][..], |orders| orders.row(n).data());
        // Most rows are far from the first: nothing is done for them.
        let is_near = |n: &u32| !self.spec.append || !self.is_beyond(partitions[*n as usize], order(*n as usize));
        let near: Vec<u32> = (0..batch.len() as u32).filter(is_near).collect();
        let columns = take_all(batch.rows().columns(), &UInt32Array::from(near.clone()))?;
        let rows = self.whole.convert_columns(&columns)?;
        for (row, &n) in near.iter().enumerate() {
            let (partition, order) = (partitions[n as usize], Bytes::from(order(n as usize)));
            for _ in 0..batch.weight(n as usize).unsigned_abs() {
                match batch.weight(n as usize) > 0 {
                    true => self.add(partition, &order, rows.row(row).data()),
                    false => self.remove(partition, &order, rows.row(row).data()),
                }
            }
            each(self)?;
        }
        Ok(())
    }

    fn add(&mut self, partition: u32, order: &Bytes, row: &[u8]) {
        let is_beyond = self.is_beyond(partition, order);
        if is_beyond && self.spec.append {
            return;
        }
        if !is_beyond {
            self.touch(partition);
        }
        self.arrivals += 1;
        let arrival = if self.spec.later_first { -self.arrivals } else { self.arrivals };
        self.insert(Place { partition, order: Arc::clone(order), arrival }, Bytes::from(row));
        if self.spec.append && self.spec.numbering == Numbering::RowNumber {
            self.cut(partition);
        }
    }

    fn insert(&mut self, place: Place, row: Bytes) {
        self.partitions[place.partition as usize].rows += 1;
        self.rows.insert(place, row);
    }

    fn drop_row(&mut self, place: &Place) {
        self.partitions[place.partition as usize].rows -= 1;
        self.rows.remove(place);
    }

    /// Forgets the row behind the last number, if there is one.
    fn cut(&mut self, partition: u32) {
        if self.partitions[partition as usize].rows > self.spec.last {
            let last = self.rows.of(partition).next_back().map(|(place, _)| place.clone());
            last.iter().for_each(|place| self.drop_row(place));
        }
        if self.partitions[partition as usize].rows == self.spec.last {
            let edge = self.rows.of(partition).next_back().map(|(place, _)| Arc::clone(&place.order));
            self.partitions[partition as usize].edge = edge;
        }
    }

    /// Takes back a row; one that was never there is ignored.
    fn remove(&mut self, partition: u32, order: &Bytes, row: &[u8]) {
        let Some(place) = self.rows.find(partition, order, row) else {
            self.empty.push(partition);
            return;
        };
        // The edge itself may be what goes.
        if self.partitions[partition as usize].edge.as_ref().is_none_or(|edge| order <= edge) {
            self.touch(partition);
        }
        self.drop_row(&place);
    }

    fn touch(&mut self, partition: u32) {
        if self.partitions[partition as usize].place == 0 {
            let (shown, _) = self.shown(partition);
            self.touched.push((partition, shown));
            self.partitions[partition as usize].place = self.touched.len() as u32;
        }
    }

    /// What a partition shows, in order, and its edge.
    fn shown(&self, partition: u32) -> (Vec<Shown>, Option<Bytes>) {
        let (mut shown, mut edge) = (Vec::new(), None);
        let (mut rows, mut number): (u64, u64) = (0, 0);
        let mut before: Option<&Bytes> = None;
        for (place, row) in self.rows.of(partition) {
            let is_tie = before.is_some_and(|before| *before == place.order);
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
            (rows, number, before) = (rows + 1, next, Some(&place.order));
            if number >= self.spec.first {
                let number = if self.spec.numbered { number } else { 0 };
                shown.push(Shown { number, row: Arc::clone(row) });
            }
        }
        let is_full = match self.spec.numbering {
            Numbering::RowNumber | Numbering::Rank => rows >= self.spec.last,
            Numbering::DenseRank => number >= self.spec.last,
        };
        (shown, edge.or_else(|| before.filter(|_| is_full).cloned()))
    }

    /// Emits what has changed since the last call.
    fn settle(&mut self, out: &mut Output) -> Result<()> {
        let mut changes = Vec::new();
        for (partition, before) in std::mem::take(&mut self.touched) {
            let (after, edge) = self.shown(partition);
            difference(&before, &after, self.spec.replaces(), &mut changes);
            let of_partition = &mut self.partitions[partition as usize];
            of_partition.place = 0;
            of_partition.edge = edge;
            if self.spec.append && self.spec.numbering != Numbering::RowNumber {
                self.cut_ties(partition);
            }
            self.empty.push(partition);
        }
        for piece in changes.chunks(PIECE_ROWS) {
            out.send(self.batch(piece)?);
        }
        Ok(())
    }

    /// Forgets the rows behind the edge.
    fn cut_ties(&mut self, partition: u32) {
        let Some(edge) = self.partitions[partition as usize].edge.clone() else { return };
        let is_behind = |place: &&Place| place.order > edge;
        let behind: Vec<Place> =
            self.rows.of(partition).rev().map(|(place, _)| place).take_while(is_behind).cloned().collect();
        behind.iter().for_each(|place| self.drop_row(place));
    }

    /// Forgets partitions without rows. Not while the numbers of partitions are in use.
    fn forget_empty(&mut self) {
        for partition in std::mem::take(&mut self.empty) {
            let &Partition { rows, place, .. } = &self.partitions[partition as usize];
            if rows == 0 && place == 0 && self.table.is_live(partition) {
                self.partitions[partition as usize] = Partition::default();
                self.table.remove(partition);
            }
        }
    }

    fn columns(&self, rows: impl Iterator<Item = impl AsRef<[u8]>>) -> Result<Vec<ArrayRef>> {
        let rows: Vec<_> = rows.collect();
        let parser = self.whole.parser();
        Ok(self.whole.convert_rows(rows.iter().map(|row| parser.parse(row.as_ref())))?)
    }

    fn batch(&self, changes: &[Change]) -> Result<Batch> {
        let mut columns = self.columns(changes.iter().map(|change| &change.shown.row))?;
        let number = |change: &Change| self.spec.numbered.then_some(change.shown.number as i64);
        columns.push(Arc::new(changes.iter().map(number).collect::<Int64Array>()));
        let rows = RecordBatch::try_new(Arc::clone(&self.spec.schema), columns)?;
        let weights: Int64Array = changes.iter().map(|change| change.weight).collect();
        let updates: BooleanArray = changes.iter().map(|change| Some(change.is_update)).collect();
        Ok(Batch::with_updates(rows, weights, updates))
    }

    /// The state of these rows, by the time they came.
    fn state(&self, mut rows: Vec<(&Bytes, i64)>) -> Result<Vec<ArrayRef>> {
        rows.sort_unstable_by_key(|(_, arrival)| *arrival);
        let mut columns = self.columns(rows.iter().map(|(row, _)| row))?;
        columns.push(Arc::new(rows.iter().map(|(_, arrival)| *arrival).collect::<Int64Array>()));
        Ok(columns)
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
        let mut net: HashMap<&Bytes, i64> = HashMap::new();
        were.iter().for_each(|shown| *net.entry(&shown.row).or_default() -= 1);
        are.iter().for_each(|shown| *net.entry(&shown.row).or_default() += 1);
        let is_update = replaces && net.values().any(|n| *n < 0) && net.values().any(|n| *n > 0);
        for (rows, weight) in [(were, -1), (are, 1)] {
            for shown in rows {
                if let Some(left) = net.get_mut(&shown.row).filter(|left| **left * weight > 0) {
                    *left -= weight;
                    changes.push(Change { shown: shown.clone(), weight, is_update });
                }
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
        self.forget_empty();
        Ok(())
    }

    fn on_barrier(&mut self, _: &Barrier, out: &mut Output) -> Result<()> {
        self.settle(out)?;
        self.forget_empty();
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Vec<TableSnapshot>> {
        let keys = self.spec.keys.iter().copied();
        let changed = self.rows.take_changed();
        let whole = || self.state(self.rows.all().map(|(place, row)| (row, place.arrival)).collect());
        let Some(changed) = changed else {
            return Ok(vec![TableSnapshot::by_key("rows", state_table(&self.input, &["arrival"], whole()?)?, keys)]);
        };
        let is_whole = changed.added.len() * 2 >= self.rows.len();
        let columns = match is_whole {
            true => with_deleted(whole()?, vec![])?,
            false => {
                let added = changed.added.iter().filter_map(|place| Some((self.rows.get(place)?, place.arrival)));
                let gone = changed.gone.iter().map(|(row, arrival)| (row, *arrival)).collect();
                with_deleted(self.state(added.collect())?, vec![self.state(gone)?])?
            }
        };
        let replaces_by = Some(keys.clone().chain([self.input.fields().len()]).collect());
        let table = TableSnapshot::by_key("rows", state_table(&self.input, &["arrival"], columns)?, keys);
        Ok(vec![TableSnapshot { replaces_by, is_whole, ..table }])
    }

    fn restore(&mut self, tables: Vec<TableSnapshot>) -> Result<()> {
        let width = self.input.fields().len();
        for TableSnapshot { rows, .. } in tables {
            let arrivals = rows.column(width).as_primitive::<Int64Type>().clone();
            let rows = RecordBatch::try_new(Arc::clone(&self.input), rows.columns()[..width].to_vec())?;
            let (partitions, orders) = (self.partitions_of(&rows)?, self.order_of(&rows)?);
            let whole = self.whole.convert_columns(rows.columns())?;
            for (n, partition) in partitions.into_iter().enumerate() {
                let order = Bytes::from(orders.as_ref().map_or(&[][..], |orders| orders.row(n).data()));
                let arrival = arrivals.value(n);
                self.arrivals = self.arrivals.max(arrival.abs());
                self.insert(Place { partition, order, arrival }, Bytes::from(whole.row(n).data()));
            }
        }
        // As of the checkpoint, nothing has changed.
        self.rows.take_changed();
        for partition in self.table.live().collect::<Vec<u32>>() {
            self.partitions[partition as usize].edge = self.shown(partition).1;
        }
        Ok(())
    }
}
