//! The keys of a join, and how many rows each has on every side.

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::datatypes::DataType;
use tidemill_state::{EventTime, KeyTable};

use super::side::{NONE, Side};
use crate::error::Result;
use crate::message::Batch;
use crate::operator::TableSnapshot;

/// A group per join key, shared by all sides of a join.
pub(super) struct Groups {
    table: KeyTable,
    null_equals_null: bool,
    sides: usize,
    /// By group, and within it by side.
    totals: Vec<i64>,
    /// Those that rows have changed in, in the order of the first change.
    touched: Vec<u32>,
    /// What the totals of those were.
    before: Vec<i64>,
    /// By group, one more than its place among those touched, or 0.
    places: Vec<u32>,
}

impl Groups {
    pub fn new(key_types: &[DataType], sides: usize, null_equals_null: bool) -> Result<Groups> {
        let (totals, touched, before, places) = Default::default();
        Ok(Groups { table: KeyTable::new(key_types)?, null_equals_null, sides, totals, touched, before, places })
    }

    /// The group of each row; [`NONE`] where a key is null that equals nothing.
    fn of(&mut self, rows: &RecordBatch, keys: &[usize]) -> Result<Vec<u32>> {
        let groups = groups_of(&mut self.table, rows, keys, self.null_equals_null)?;
        self.totals.resize(self.table.groups() * self.sides, 0);
        self.places.resize(self.table.groups(), 0);
        Ok(groups)
    }

    /// Takes rows into the state of their side, which is number `n`: the numbers of those that may find a partner. Others are kept only if
    /// they come out without one.
    pub fn take_in(&mut self, n: usize, side: &mut Side, mut batch: Batch, shows_unmatched: bool) -> Result<Vec<u32>> {
        let mut groups = self.of(batch.rows(), side.keys())?;
        if !shows_unmatched && groups.contains(&NONE) {
            batch = batch.filter(&groups.iter().map(|&group| Some(group != NONE)).collect())?;
            groups.retain(|&group| group != NONE);
        }
        let rows = side.intern(batch.rows(), &groups)?;
        for (place, (&row, &group)) in rows.iter().zip(&groups).enumerate() {
            let weight = batch.weight(place);
            side.add(row, weight, batch.is_update(place));
            self.add(group, n, weight);
        }
        Ok(rows.into_iter().zip(groups).filter(|(_, group)| *group != NONE).map(|(row, _)| row).collect())
    }

    fn add(&mut self, group: u32, side: usize, weight: i64) {
        if group == NONE {
            return;
        }
        let first = group as usize * self.sides;
        if self.places[group as usize] == 0 {
            self.touched.push(group);
            self.before.extend_from_slice(&self.totals[first..first + self.sides]);
            self.places[group as usize] = self.touched.len() as u32;
        }
        self.totals[first + side] += weight;
    }

    /// Those that rows have changed in, by rank.
    pub fn touched(&self) -> &[u32] {
        &self.touched
    }

    /// The place of a group among those touched.
    pub fn rank(&self, group: u32) -> u32 {
        self.places[group as usize] - 1
    }

    /// How many rows a group has on a side.
    pub fn total(&self, group: u32, side: usize) -> i64 {
        self.totals[group as usize * self.sides + side]
    }

    /// How many a group that has been touched had.
    pub fn total_before(&self, group: u32, side: usize) -> i64 {
        self.before[self.rank(group) as usize * self.sides + side]
    }

    /// Rows of a group are about to be forgotten, without that being a change.
    pub fn forget(&mut self, group: u32, side: usize, weight: i64) {
        self.totals[group as usize * self.sides + side] -= weight;
    }

    /// Changes have gone out.
    pub fn settle(&mut self, sides: &mut [Side]) -> Result<()> {
        self.touched.drain(..).for_each(|group| self.places[group as usize] = 0);
        self.before.clear();
        for n in 0..sides.len() {
            let empty = sides[n].settle()?;
            self.remove_empty(empty, sides);
        }
        Ok(())
    }

    /// Sides forget what has not been used for long.
    pub fn forget_unused(&mut self, sides: &mut [Side], now: EventTime) -> Result<()> {
        for n in 0..sides.len() {
            let empty = sides[n].forget_unused(now)?;
            self.remove_empty(empty, sides);
        }
        Ok(())
    }

    /// Forgets those of these groups that have no rows.
    pub fn remove_empty(&mut self, groups: Vec<u32>, sides: &[Side]) {
        for group in groups {
            // Several sides may have become empty at once.
            if self.table.is_live(group) && !sides.iter().any(|side| side.has_group(group)) {
                let first = group as usize * self.sides;
                self.totals[first..first + self.sides].fill(0);
                self.table.remove(group);
            }
        }
    }

    /// Takes over what the sides gave, whose tables have these names.
    pub fn restore(
        &mut self,
        sides: &mut [Side],
        tables: &[TableSnapshot],
        name: impl Fn(usize) -> String,
    ) -> Result<()> {
        for (n, side) in sides.iter_mut().enumerate() {
            let (keys, name) = (side.keys().to_vec(), name(n));
            for table in tables.iter().filter(|table| table.table == name) {
                side.restore(table, |rows| self.of(rows, &keys))?;
            }
        }
        for (n, side) in sides.iter().enumerate() {
            side.each(|group, weight| self.totals[group as usize * self.sides + n] += weight);
        }
        Ok(())
    }
}

/// The group of each row by its key columns; [`NONE`] where a key is null that equals nothing.
pub(super) fn groups_of(
    table: &mut KeyTable,
    rows: &RecordBatch,
    keys: &[usize],
    null_equals_null: bool,
) -> Result<Vec<u32>> {
    let keys: Vec<ArrayRef> = keys.iter().map(|&key| std::sync::Arc::clone(rows.column(key))).collect();
    let is_null = |row: usize| !null_equals_null && keys.iter().any(|key| key.is_null(row));
    let nulls = !null_equals_null && keys.iter().any(|key| key.null_count() > 0);
    let mut groups = Vec::new();
    if !nulls {
        table.intern(&keys, rows.num_rows(), &mut groups)?;
        return Ok(groups);
    }
    let kept: UInt32Array = (0..rows.num_rows() as u32).filter(|&row| !is_null(row as usize)).collect();
    let keys = crate::operators::aggregate::take_all(&keys, &kept)?;
    let mut of_kept = Vec::new();
    table.intern(&keys, kept.len(), &mut of_kept)?;
    groups.resize(rows.num_rows(), NONE);
    kept.values().iter().zip(of_kept).for_each(|(&row, group)| groups[row as usize] = group);
    Ok(groups)
}
