//! The rows of each key in an order, and their snapshots: the state of operators for which it matters what stands before what.

mod rows;

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::row::{RowConverter, Rows, SortField};
use tidemill_state::{EventTime, KeyTable};

use self::rows::OrderedRows;
pub(super) use self::rows::{Bytes, Place};
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
    rows: OrderedRows,
    converter: RowConverter,
    whole: RowConverter,
    arrivals: i64,
    /// Partitions that may have no rows any more.
    empty: Vec<u32>,
    idle: Option<Idle>,
}

#[derive(Clone, Default)]
struct Partition {
    rows: u64,
    is_touched: bool,
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
            rows: OrderedRows::new(incremental),
            converter: Order::converter(order, &input)?,
            whole: RowConverter::new(whole)?,
            arrivals: 0,
            empty: Vec::new(),
            idle: ttl.map(Idle::new),
            input,
        })
    }

    /// The partition of each row.
    pub fn of_rows(&mut self, rows: &RecordBatch) -> Result<Vec<u32>> {
        let keys: Vec<ArrayRef> = self.keys.iter().map(|&key| Arc::clone(rows.column(key))).collect();
        let mut partitions = Vec::new();
        self.table.intern(&keys, rows.num_rows(), &mut partitions)?;
        self.partitions.resize(self.table.groups(), Partition::default());
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
    pub fn columns(&self, rows: impl Iterator<Item = impl AsRef<[u8]>>) -> Result<Vec<ArrayRef>> {
        let rows: Vec<_> = rows.collect();
        let parser = self.whole.parser();
        Ok(self.whole.convert_rows(rows.iter().map(|row| parser.parse(row.as_ref())))?)
    }

    /// How many rows a partition has.
    pub fn rows(&self, partition: u32) -> u64 {
        self.partitions[partition as usize].rows
    }

    /// In order.
    pub fn of(&self, partition: u32) -> impl DoubleEndedIterator<Item = (&Place, &Bytes)> {
        self.rows.of(partition)
    }

    /// A row comes.
    pub fn insert(&mut self, partition: u32, order: &Bytes, row: &[u8]) {
        self.arrivals += 1;
        let arrival = if self.later_first { -self.arrivals } else { self.arrivals };
        self.insert_at(Place { partition, order: Arc::clone(order), arrival }, Bytes::from(row));
    }

    fn insert_at(&mut self, place: Place, row: Bytes) {
        self.partitions[place.partition as usize].rows += 1;
        self.rows.insert(place, row);
    }

    /// The first of the rows that are equal to `row`. A partition that has none is one to be forgotten.
    pub fn find(&mut self, partition: u32, order: &Bytes, row: &[u8]) -> Option<Place> {
        let place = self.rows.find(partition, order, row);
        if place.is_none() {
            self.empty.push(partition);
        }
        place
    }

    pub fn remove(&mut self, place: &Place) {
        self.partitions[place.partition as usize].rows -= 1;
        self.rows.remove(place);
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
            let &Partition { rows, is_touched } = &self.partitions[partition as usize];
            if rows == 0 && !is_touched && self.table.is_live(partition) {
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
            let rows: Vec<Place> = self.rows.of(partition).map(|(place, _)| place.clone()).collect();
            rows.iter().for_each(|place| self.remove(place));
            self.table.remove(partition);
        }
        unused
    }

    /// The state of these rows, by the time they came.
    fn state(&self, mut rows: Vec<(&Bytes, i64)>) -> Result<Vec<ArrayRef>> {
        rows.sort_unstable_by_key(|(_, arrival)| *arrival);
        let mut columns = self.columns(rows.iter().map(|(row, _)| row))?;
        columns.push(Arc::new(rows.iter().map(|(_, arrival)| *arrival).collect::<Int64Array>()));
        Ok(columns)
    }

    /// The rows, or what has changed of them since the last snapshot.
    pub fn snapshot(&mut self) -> Result<TableSnapshot> {
        let keys = self.keys.clone().into_iter();
        let changed = self.rows.take_changed();
        let whole = || self.state(self.rows.all().map(|(place, row)| (row, place.arrival)).collect());
        let Some(changed) = changed else {
            return Ok(TableSnapshot::by_key("rows", state_table(&self.input, &["arrival"], whole()?)?, keys));
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
        Ok(TableSnapshot { replaces_by, is_whole, ..table })
    }

    pub fn restore(&mut self, tables: Vec<TableSnapshot>) -> Result<()> {
        let width = self.input.fields().len();
        for TableSnapshot { rows, .. } in tables {
            let arrivals = rows.column(width).as_primitive::<Int64Type>().clone();
            let rows = RecordBatch::try_new(Arc::clone(&self.input), rows.columns()[..width].to_vec())?;
            let (partitions, orders) = (self.of_rows(&rows)?, self.order_of(&rows)?);
            let whole = self.bytes_of(rows.columns())?;
            for (n, partition) in partitions.into_iter().enumerate() {
                let order = Bytes::from(orders.as_ref().map_or(&[][..], |orders| orders.row(n).data()));
                let arrival = arrivals.value(n);
                self.arrivals = self.arrivals.max(arrival.abs());
                self.insert_at(Place { partition, order, arrival }, Bytes::from(whole.row(n).data()));
            }
        }
        // As of the checkpoint, nothing has changed.
        self.rows.take_changed();
        Ok(())
    }
}
