//! Aggregates per slice and key.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use tidemill_state::EventTime;

use crate::error::Result;
use crate::message::Batch;
use crate::operator::TableSnapshot;
use crate::operators::AggregateColumn;
use crate::operators::aggregate::Groups;
use crate::window::Window;

/// Makes [`Groups`] of one kind, and keeps cleared ones for the next slice.
pub(super) struct Pool {
    key_types: Vec<DataType>,
    columns: Vec<AggregateColumn>,
    spare: Vec<Groups>,
}

/// More than this many are not kept.
const SPARE: usize = 16;

impl Pool {
    pub fn new(key_types: Vec<DataType>, columns: Vec<AggregateColumn>) -> Pool {
        Pool { key_types, columns, spare: Vec::new() }
    }

    /// Groups without rows.
    pub fn take(&mut self) -> Result<Groups> {
        match self.spare.pop() {
            Some(groups) => Ok(groups),
            None => Groups::new(&self.key_types, &self.columns),
        }
    }

    pub fn give_back(&mut self, mut groups: Groups) {
        if self.spare.len() < SPARE {
            groups.clear();
            self.spare.push(groups);
        }
    }

    fn keys(&self) -> usize {
        self.key_types.len()
    }
}

/// Rows of one slice, as they go into [`Groups`].
pub(super) enum Part {
    /// Rows of the query's input, with their keys.
    Rows { keys: Vec<ArrayRef>, rows: Batch },
    /// Rows of a local phase.
    Partials { keys: Vec<ArrayRef>, partials: Vec<ArrayRef>, length: usize },
}

impl Part {
    pub fn add_to(&self, groups: &mut Groups) -> Result<()> {
        match self {
            Part::Rows { keys, rows } => {
                let mut of_row = Vec::new();
                groups.intern(keys, rows.len(), &mut of_row)?;
                groups.update(&of_row, rows.rows(), rows.weights().map(|weights| &weights.values()[..]))
            }
            Part::Partials { keys, partials, length } => groups.merge_keyed(keys, *length, partials).map(drop),
        }
    }

    /// How many rows of the query's input it stands for.
    pub fn rows(&self) -> u64 {
        match self {
            Part::Rows { rows, .. } => rows.len() as u64,
            Part::Partials { partials, .. } => {
                let counts = partials[0].as_primitive::<Int64Type>();
                counts.values().iter().map(|count| count.unsigned_abs()).sum()
            }
        }
    }
}

/// A slice's rows, and the watermark that closes the last window they are in.
pub(super) struct Slice {
    pub groups: Groups,
    pub closes: EventTime,
}

/// Slices that have rows, in the order of their ends.
#[derive(Default)]
pub(super) struct Slices(pub BTreeMap<Window, Slice>);

impl Slices {
    /// The slice, begun if it is new.
    pub fn get(&mut self, slice: Window, closes: EventTime, pool: &mut Pool) -> Result<&mut Groups> {
        use std::collections::btree_map::Entry;
        Ok(match self.0.entry(slice) {
            Entry::Occupied(known) => &mut known.into_mut().groups,
            Entry::Vacant(new) => &mut new.insert(Slice { groups: pool.take()?, closes }).groups,
        })
    }

    /// Those within a window, in the order of their ends.
    pub fn within(&self, window: Window) -> impl DoubleEndedIterator<Item = (&Window, &Groups)> {
        self.within_after(window.start, window)
    }

    /// The same, of those that end after `after`.
    pub fn within_after(&self, after: i64, window: Window) -> impl DoubleEndedIterator<Item = (&Window, &Groups)> {
        let from = Window { end: after.max(window.start).saturating_add(1), start: i64::MIN };
        let to = Window { end: window.end, start: i64::MAX };
        self.0
            .range(from..=to)
            .filter(move |(slice, _)| slice.start >= window.start)
            .map(|(at, slice)| (at, &slice.groups))
    }

    /// Drops those that begin before `start`.
    pub fn drop_before(&mut self, start: i64, pool: &mut Pool) {
        while let Some(first) = self.0.first_entry()
            && first.key().start < start
        {
            pool.give_back(first.remove().groups);
        }
    }

    /// A row per slice and key: keys, start and end of the slice, when it closes, net rows, states.
    pub fn snapshot(&self, table: &'static str, pool: &mut Pool) -> Result<TableSnapshot> {
        let mut parts: Vec<Vec<ArrayRef>> = Vec::new();
        for (window, slice) in &self.0 {
            parts.push(columns_of(*window, slice)?);
        }
        if parts.is_empty() {
            // The layout is there also without rows.
            let none = Slice { groups: pool.take()?, closes: EventTime::MIN };
            parts.push(columns_of(Window { start: 0, end: 0 }, &none)?);
        }
        let columns = (0..parts[0].len())
            .map(|n| {
                let column: Vec<&dyn Array> = parts.iter().map(|part| part[n].as_ref()).collect();
                Ok(arrow::compute::concat(&column)?)
            })
            .collect::<Result<Vec<_>>>()?;
        let keys = pool.keys();
        let fields: Vec<Field> = columns
            .iter()
            .enumerate()
            .map(|(n, column)| {
                let name = match n.checked_sub(keys) {
                    None => format!("key{n}"),
                    Some(0) => "slice_start".to_string(),
                    Some(1) => "slice_end".to_string(),
                    Some(2) => "closes_at".to_string(),
                    Some(3) => "rows".to_string(),
                    Some(n) => format!("state{}", n - 4),
                };
                Field::new(name, column.data_type().clone(), true)
            })
            .collect();
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
        Ok(TableSnapshot::by_key(table, rows, 0..keys))
    }

    pub fn restore(&mut self, rows: &RecordBatch, pool: &mut Pool) -> Result<()> {
        let keys = pool.keys();
        let number = |column: usize| rows.column(keys + column).as_primitive::<Int64Type>();
        let (starts, ends, closes) = (number(0), number(1), number(2));
        let mut from = 0;
        while from < rows.num_rows() {
            let same = |row: &usize| starts.value(*row) == starts.value(from) && ends.value(*row) == ends.value(from);
            let length = (from..rows.num_rows()).take_while(same).count();
            let part = rows.slice(from, length);
            let window = Window { start: starts.value(from), end: ends.value(from) };
            let groups = self.get(window, EventTime(closes.value(from)), pool)?;
            groups.merge_keyed(&part.columns()[..keys], length, &part.columns()[keys + 3..])?;
            from += length;
        }
        Ok(())
    }
}

fn columns_of(window: Window, slice: &Slice) -> Result<Vec<ArrayRef>> {
    let live: Vec<u32> = slice.groups.keys.live().collect();
    let (mut columns, partials) = slice.groups.keys_and_partials(&live)?;
    for value in [window.start, window.end, slice.closes.0] {
        columns.push(Arc::new(Int64Array::from(vec![value; live.len()])));
    }
    columns.extend(partials);
    Ok(columns)
}
