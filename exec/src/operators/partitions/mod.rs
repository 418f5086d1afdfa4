//! The rows of each key in an order, and their snapshots: the state of operators for which it matters what stands before what.

mod rows;

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::row::{RowConverter, Rows, SortField};
use tidemill_state::{EventTime, KeyTable};

pub(super) use self::rows::{Bytes, OrderedRow};
use self::rows::{Iter, OrderedRows};
use super::aggregate::key_types;
use super::dirty::{state_table, with_deleted};
use super::idle::Idle;
use super::{Order, Ttl};
use crate::error::Result;
use crate::operator::TableSnapshot;

/// Partitions by number, which is one of the key table.
pub(super) struct Partitions {
    keys: Vec<usize>,
    order: Vec<Order>,
    /// Of rows that are equal in the order, the one that came last stands first.
    later_first: bool,
    input: SchemaRef,
    table: KeyTable,
    partitions: Vec<Partition>,
    /// In all partitions.
    rows: usize,
    converter: RowConverter,
    whole: RowConverter,
    arrivals: i64,
    changed: Option<Changed>,
    /// Partitions that may have no rows any more.
    empty: Vec<u32>,
    idle: Option<Idle>,
    scratch: Vec<u8>,
}

#[derive(Default)]
struct Partition {
    rows: OrderedRows,
    is_touched: bool,
    /// Since the last snapshot.
    is_changed: bool,
}

/// What has changed since the last snapshot.
#[derive(Default)]
struct Changed {
    /// Rows that have come after this one were not there then.
    arrivals: i64,
    /// Partitions to which rows have come.
    partitions: Vec<u32>,
    /// How many rows have come that are there.
    added: usize,
    /// Rows that were there then.
    gone: Vec<OrderedRow>,
}

impl Partitions {
    pub fn new(
        input: SchemaRef,
        keys: &[usize],
        order: &[Order],
        later_first: bool,
        ttl: Option<Ttl>,
        incremental: bool,
    ) -> Result<Partitions> {
        let whole = input.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        Ok(Partitions {
            keys: keys.to_vec(),
            order: order.to_vec(),
            later_first,
            table: KeyTable::new(&key_types(&input, keys))?,
            partitions: Vec::new(),
            rows: 0,
            converter: Order::converter(order, &input)?,
            whole: RowConverter::new(whole)?,
            arrivals: 0,
            changed: incremental.then(Changed::default),
            empty: Vec::new(),
            idle: ttl.map(Idle::new),
            scratch: Vec::new(),
            input,
        })
    }

    /// The partition of each row.
    pub fn of_rows(&mut self, rows: &RecordBatch) -> Result<Vec<u32>> {
        let keys: Vec<ArrayRef> = self.keys.iter().map(|&key| Arc::clone(rows.column(key))).collect();
        let mut partitions = Vec::new();
        self.table.intern(&keys, rows.num_rows(), &mut partitions)?;
        self.partitions.resize_with(self.table.groups(), Partition::default);
        if let Some(idle) = &mut self.idle {
            partitions.iter().for_each(|&partition| idle.used(partition));
        }
        Ok(partitions)
    }

    /// How many numbers there are.
    pub fn len(&self) -> usize {
        self.partitions.len()
    }

    /// Those that have rows, and maybe others.
    pub fn live(&self) -> impl Iterator<Item = u32> + '_ {
        self.table.live()
    }

    /// Where each row stands in the order, if there is one.
    pub fn order_of(&self, rows: &RecordBatch) -> Result<Option<Rows>> {
        let columns: Vec<ArrayRef> = self.order.iter().map(|order| Arc::clone(rows.column(order.column))).collect();
        Ok(if columns.is_empty() { None } else { Some(self.converter.convert_columns(&columns)?) })
    }

    /// Rows as bytes.
    pub fn bytes_of(&self, columns: &[ArrayRef]) -> Result<Rows> {
        Ok(self.whole.convert_columns(columns)?)
    }

    /// Bytes as columns of the input.
    pub fn columns<'a>(&self, rows: impl Iterator<Item = &'a OrderedRow>) -> Result<Vec<ArrayRef>> {
        let parser = self.whole.parser();
        Ok(self.whole.convert_rows(rows.map(|row| parser.parse(row.row())))?)
    }

    /// How many rows a partition has.
    pub fn rows(&self, partition: u32) -> u64 {
        self.partitions[partition as usize].rows.len() as u64
    }

    /// In order.
    pub fn of(&self, partition: u32) -> Iter<'_> {
        self.partitions[partition as usize].rows.iter()
    }

    /// A row comes.
    pub fn insert(&mut self, partition: u32, order: &[u8], row: &[u8]) {
        self.arrivals += 1;
        let arrival = if self.later_first { -self.arrivals } else { self.arrivals };
        let row = OrderedRow::new(order, row, arrival, &mut self.scratch);
        self.insert_at(partition, row);
    }

    fn insert_at(&mut self, number: u32, row: OrderedRow) {
        let partition = &mut self.partitions[number as usize];
        if let Some(changed) = &mut self.changed {
            changed.added += 1;
            if !std::mem::replace(&mut partition.is_changed, true) {
                changed.partitions.push(number);
            }
        }
        partition.rows.insert(row);
        self.rows += 1;
    }

    /// The first of the rows that are equal to `row`. A partition that has none is one to be forgotten.
    pub fn find(&mut self, partition: u32, order: &[u8], row: &[u8]) -> Option<OrderedRow> {
        let found = self.partitions[partition as usize].rows.find(order, row).cloned();
        if found.is_none() {
            self.empty.push(partition);
        }
        found
    }

    pub fn remove(&mut self, partition: u32, row: &OrderedRow) {
        self.partitions[partition as usize].rows.remove(row);
        self.removed(row);
    }

    /// Removes the row that stands last.
    pub fn remove_last(&mut self, partition: u32) {
        let last = self.partitions[partition as usize].rows.pop_last();
        last.iter().for_each(|row| self.removed(row));
    }

    fn removed(&mut self, row: &OrderedRow) {
        self.rows -= 1;
        if let Some(changed) = &mut self.changed {
            match row.arrival.abs() > changed.arrivals {
                true => changed.added -= 1,
                false => changed.gone.push(row.clone()),
            }
        }
    }

    /// Whether this is the first touch since the partition was settled.
    pub fn touch(&mut self, partition: u32) -> bool {
        !std::mem::replace(&mut self.partitions[partition as usize].is_touched, true)
    }

    pub fn settled(&mut self, partition: u32) {
        self.partitions[partition as usize].is_touched = false;
        self.empty.push(partition);
    }

    /// Forgets partitions without rows. Not while numbers of partitions are in use outside.
    pub fn forget_empty(&mut self) {
        for partition in std::mem::take(&mut self.empty) {
            let Partition { rows, is_touched, .. } = &self.partitions[partition as usize];
            if rows.len() == 0 && !is_touched && self.table.is_live(partition) {
                self.table.remove(partition);
            }
        }
    }

    /// Forgets partitions that have not been used for long, without that being a change; their numbers. Not while any is touched.
    pub fn forget_unused(&mut self, now: EventTime) -> Vec<u32> {
        let Some(idle) = &mut self.idle else { return Vec::new() };
        let mut unused = idle.due(now);
        unused.retain(|&partition| self.table.is_live(partition));
        for &partition in &unused {
            let rows = std::mem::take(&mut self.partitions[partition as usize].rows);
            rows.iter().for_each(|row| self.removed(row));
            self.table.remove(partition);
        }
        unused
    }

    /// The state of these rows, by the time they came.
    fn state<'a>(&self, rows: impl Iterator<Item = &'a OrderedRow>) -> Result<Vec<ArrayRef>> {
        let mut rows: Vec<&OrderedRow> = rows.collect();
        rows.sort_unstable_by_key(|row| row.arrival);
        let mut columns = self.columns(rows.iter().copied())?;
        columns.push(Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.arrival))));
        Ok(columns)
    }

    /// The rows, or what has changed of them since the last snapshot.
    pub fn snapshot(&mut self) -> Result<TableSnapshot> {
        let keys = self.keys.clone().into_iter();
        let whole = || self.state(self.partitions.iter().flat_map(|partition| partition.rows.iter()));
        let Some(changed) = &self.changed else {
            return Ok(TableSnapshot::by_key("rows", state_table(&self.input, &["arrival"], whole()?)?, keys));
        };
        let is_whole = changed.added * 2 >= self.rows;
        let columns = match is_whole {
            true => with_deleted(whole()?, vec![])?,
            false => {
                let rows = changed.partitions.iter().flat_map(|&partition| self.of(partition));
                let added = rows.filter(|row| row.arrival.abs() > changed.arrivals);
                with_deleted(self.state(added)?, vec![self.state(changed.gone.iter())?])?
            }
        };
        self.forget_changed();
        let replaces_by = Some(keys.clone().chain([self.input.fields().len()]).collect());
        let table = TableSnapshot::by_key("rows", state_table(&self.input, &["arrival"], columns)?, keys);
        Ok(TableSnapshot { replaces_by, is_whole, ..table })
    }

    /// What comes and goes from now on has changed.
    fn forget_changed(&mut self) {
        let Some(changed) = &mut self.changed else { return };
        for &partition in &changed.partitions {
            self.partitions[partition as usize].is_changed = false;
        }
        *changed = Changed { arrivals: self.arrivals, ..Changed::default() };
    }

    pub fn restore(&mut self, tables: Vec<TableSnapshot>) -> Result<()> {
        let width = self.input.fields().len();
        for TableSnapshot { rows, .. } in tables {
            let arrivals = rows.column(width).as_primitive::<Int64Type>().clone();
            let rows = RecordBatch::try_new(Arc::clone(&self.input), rows.columns()[..width].to_vec())?;
            let (partitions, orders) = (self.of_rows(&rows)?, self.order_of(&rows)?);
            let whole = self.bytes_of(rows.columns())?;
            for (n, partition) in partitions.into_iter().enumerate() {
                let order = orders.as_ref().map_or(&[][..], |orders| orders.row(n).data());
                let arrival = arrivals.value(n);
                self.arrivals = self.arrivals.max(arrival.abs());
                let row = OrderedRow::new(order, whole.row(n).data(), arrival, &mut self.scratch);
                self.insert_at(partition, row);
            }
        }
        self.forget_changed();
        Ok(())
    }
}
