//! Keys, row counts and accumulators, addressed by group: what both phases keep.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use tidemill_state::{KeyTable, Spill};

use super::cold::Cold;
use super::{AggregateColumn, partial_fields};
use crate::aggregate::{self, Accumulator};
use crate::error::{Error, Result};

/// Keys, row counts and accumulators, addressed by group.
pub(in crate::operators) struct Groups {
    pub(in crate::operators) keys: KeyTable,
    /// Net number of rows per group: a group is live while it is positive.
    pub(in crate::operators) rows: Vec<i64>,
    columns: Vec<Column>,
    /// Where groups are that nobody has asked for lately.
    cold: Option<Box<Cold>>,
}

struct Column {
    of: AggregateColumn,
    /// `None` for `COUNT(*)`, which is what `rows` are: one column less to reach for with each row.
    accumulator: Option<Box<dyn Accumulator>>,
}

impl Column {
    fn new(of: &AggregateColumn) -> Result<Column> {
        let accumulator = match of.counts_rows() {
            true => None,
            false => Some(of.call.function.accumulator(&of.call)?),
        };
        Ok(Column { of: of.clone(), accumulator })
    }

    /// How many columns its partial results have.
    fn width(&self) -> usize {
        self.accumulator.as_ref().map_or(1, |accumulator| accumulator.state_types().len())
    }
}

impl Groups {
    pub(in crate::operators) fn new(key_types: &[DataType], columns: &[AggregateColumn]) -> Result<Groups> {
        let columns = columns.iter().map(Column::new).collect::<Result<_>>()?;
        Ok(Groups { keys: KeyTable::new(key_types)?, rows: Vec::new(), columns, cold: None })
    }

    fn accumulators(&self) -> impl Iterator<Item = &dyn Accumulator> {
        self.columns.iter().filter_map(|column| column.accumulator.as_deref())
    }

    fn accumulators_mut(&mut self) -> impl Iterator<Item = &mut (dyn Accumulator + 'static)> {
        self.columns.iter_mut().filter_map(|column| column.accumulator.as_deref_mut())
    }

    /// From now on, groups that are not in use may lie on disk.
    ///
    /// # Errors
    /// The disk fails; the state of one of the aggregates cannot be put there.
    pub(super) fn spill(&mut self, spill: &Spill, key_types: &[DataType]) -> Result<()> {
        let keys = key_types.iter().enumerate().map(|(n, key)| Field::new(format!("key{n}"), key.clone(), true));
        let columns: Vec<AggregateColumn> = self.columns.iter().map(|column| column.of.clone()).collect();
        let fields: Vec<Field> = keys.chain(partial_fields(&columns)?).collect();
        self.cold = Some(Box::new(Cold::new(spill.table(Arc::new(Schema::new(fields)), key_types.len())?)));
        Ok(())
    }

    pub(super) fn cold(&self) -> Option<&Cold> {
        self.cold.as_deref()
    }

    /// Live groups, wherever they are.
    pub(super) fn len(&self) -> usize {
        self.keys.len() + self.cold.as_ref().map_or(0, |cold| cold.len())
    }

    /// Bytes of memory held.
    fn bytes(&self) -> usize {
        let accumulators = self.accumulators().map(|accumulator| accumulator.bytes()).sum::<usize>();
        self.keys.bytes() + self.rows.capacity() * size_of::<i64>() + accumulators
    }

    /// Whether there are more groups in memory than may be, each of which takes `more` bytes elsewhere.
    pub(super) fn is_short(&self, more: usize) -> bool {
        self.cold.as_ref().is_some_and(|cold| self.keys.len() > cold.room(&self.keys, self.bytes() + more))
    }

    /// If memory is short for these groups, which take `more` bytes elsewhere: those that had best go to disk, in the order of their keys.
    pub(super) fn victims(&mut self, more: usize) -> Vec<u32> {
        let bytes = self.bytes() + more;
        self.cold.as_mut().map_or_else(Vec::new, |cold| cold.victims(&self.keys, bytes))
    }

    /// Puts these groups on disk.
    pub(super) fn evict(&mut self, groups: &[u32]) -> Result<()> {
        let Some(mut cold) = self.cold.take() else { return Ok(()) };
        let pieces = groups.chunks(EVICTED_AT_ONCE).map(|groups| {
            let keys = groups.iter().map(|&group| self.keys.key(group)).collect();
            Ok::<_, Error>((keys, self.partials_of(groups)?))
        });
        cold.put(pieces)?;
        cold.forget(groups);
        self.remove(groups)?; // From memory, as they are out of `cold`'s sight.
        self.cold = Some(cold);
        Ok(())
    }

    /// The group of each row, with room made for new ones.
    pub(in crate::operators) fn intern(&mut self, keys: &[ArrayRef], rows: usize, groups: &mut Vec<u32>) -> Result<()> {
        self.keys.intern(keys, rows, groups)?;
        self.make_room(self.keys.groups());
        self.fetch(groups)
    }

    /// Takes groups that were unknown from disk, if they are there.
    fn fetch(&mut self, asked: &[u32]) -> Result<()> {
        let Some(mut cold) = self.cold.take() else { return Ok(()) };
        let (found, partials) = cold.take(&self.keys, asked)?;
        if !found.is_empty() {
            self.merge(&found, &partials)?;
        }
        self.cold = Some(cold);
        Ok(())
    }

    /// The groups of keys of another table.
    fn intern_from(&mut self, other: &Groups, of_other: &[u32]) -> Vec<u32> {
        let mut groups = Vec::new();
        self.keys.intern_from(&other.keys, of_other, &mut groups);
        self.make_room(self.keys.groups());
        groups
    }

    /// Makes room for groups `0..groups`. For callers with numbers of their own, whose groups have no keys here.
    pub(in crate::operators) fn make_room(&mut self, groups: usize) {
        if groups > self.rows.len() {
            self.rows.resize(groups, 0);
            self.accumulators_mut().for_each(|accumulator| accumulator.resize(groups));
        }
    }

    /// Adds rows of the query's input.
    pub(in crate::operators) fn update(
        &mut self,
        groups: &[u32],
        rows: &RecordBatch,
        weights: Option<&[i64]>,
    ) -> Result<()> {
        match weights {
            None => groups.iter().for_each(|&group| self.rows[group as usize] += 1),
            Some(weights) => {
                groups.iter().zip(weights).for_each(|(&group, weight)| self.rows[group as usize] += weight)
            }
        }
        for Column { of: column, accumulator } in &mut self.columns {
            let Some(accumulator) = accumulator else { continue };
            let arguments: Vec<ArrayRef> =
                column.arguments.iter().map(|&index| Arc::clone(rows.column(index))).collect();
            match column.filter {
                None => accumulator.update(groups, &arguments, weights)?,
                Some(filter) => {
                    let selected = selected(rows.column(filter).as_boolean());
                    let groups: Vec<u32> = selected.values().iter().map(|&row| groups[row as usize]).collect();
                    let weights: Option<Vec<i64>> =
                        weights.map(|weights| selected.values().iter().map(|&row| weights[row as usize]).collect());
                    let arguments = take_all(&arguments, &selected)?;
                    accumulator.update(&groups, &arguments, weights.as_deref())?;
                }
            }
        }
        Ok(())
    }

    /// Adds partial results: `partials` are net row counts, then each aggregate's state columns.
    pub(in crate::operators) fn merge(&mut self, groups: &[u32], partials: &[ArrayRef]) -> Result<()> {
        let counts = partials[0].as_primitive::<Int64Type>();
        groups.iter().zip(counts.values()).for_each(|(&group, count)| self.rows[group as usize] += count);
        let mut next = 1;
        for column in &mut self.columns {
            let width = column.width();
            if let Some(accumulator) = &mut column.accumulator {
                accumulator.merge(groups, &partials[next..next + width])?;
            }
            next += width;
        }
        Ok(())
    }

    /// Adds all that `other`, of the same keys and aggregates, holds.
    pub(in crate::operators) fn absorb(&mut self, other: &Groups) -> Result<()> {
        let of_other: Vec<u32> = other.keys.live().collect();
        let groups = self.intern_from(other, &of_other);
        aggregate::combine(&mut self.rows, &groups, &other.rows, &of_other, |rows, more| *rows += more);
        for (accumulator, other) in self.accumulators_mut().zip(other.accumulators()) {
            accumulator.absorb(&groups, other, &of_other)?;
        }
        Ok(())
    }

    /// Takes out again all that `other` holds and that was [absorbed](Self::absorb). Only if [`is_invertible`](Self::is_invertible).
    pub(in crate::operators) fn take_out(&mut self, other: &Groups) -> Result<()> {
        let of_other: Vec<u32> = other.keys.live().collect();
        let mut gone = self.intern_from(other, &of_other);
        aggregate::combine(&mut self.rows, &gone, &other.rows, &of_other, |rows, less| *rows -= less);
        for (accumulator, other) in self.accumulators_mut().zip(other.accumulators()) {
            accumulator.take_out(&gone, other, &of_other)?;
        }
        gone.retain(|&group| self.rows[group as usize] == 0);
        self.remove(&gone)
    }

    /// How many columns its partial results have behind the keys.
    pub(in crate::operators) fn width(&self) -> usize {
        1 + self.columns.iter().map(Column::width).sum::<usize>()
    }

    /// Whether all aggregates can be [taken out](Self::take_out).
    pub(in crate::operators) fn is_invertible(&self) -> bool {
        self.accumulators().all(|accumulator| accumulator.is_invertible())
    }

    /// Merges partial results of these keys; gives their groups.
    pub(in crate::operators) fn merge_keyed(
        &mut self,
        keys: &[ArrayRef],
        rows: usize,
        partials: &[ArrayRef],
    ) -> Result<Vec<u32>> {
        let mut groups = Vec::new();
        self.intern(keys, rows, &mut groups)?;
        self.merge(&groups, partials)?;
        Ok(groups)
    }

    /// Key columns, net row counts and states of `groups`.
    pub(in crate::operators) fn partials(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let (mut columns, partials) = self.keys_and_partials(groups)?;
        columns.extend(partials);
        Ok(columns)
    }

    /// Key columns; and what [`merge`](Self::merge) takes.
    pub(in crate::operators) fn keys_and_partials(&self, groups: &[u32]) -> Result<(Vec<ArrayRef>, Vec<ArrayRef>)> {
        Ok((self.keys.columns(groups)?, self.partials_of(groups)?))
    }

    /// What [`merge`](Self::merge) takes of `groups`.
    pub(in crate::operators) fn partials_of(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let counts = self.counts(groups);
        let mut partials = vec![Arc::clone(&counts)];
        for column in &self.columns {
            match &column.accumulator {
                None => partials.push(Arc::clone(&counts)),
                Some(accumulator) => partials.extend(accumulator.state(groups)?),
            }
        }
        Ok(partials)
    }

    fn counts(&self, groups: &[u32]) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(groups.iter().map(|&group| self.rows[group as usize])))
    }

    pub(in crate::operators) fn evaluate(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let evaluate = |column: &Column| match &column.accumulator {
            None => Ok(self.counts(groups)),
            Some(accumulator) => accumulator.evaluate(groups),
        };
        self.columns.iter().map(evaluate).collect()
    }

    pub(in crate::operators) fn is_live(&self, group: u32) -> bool {
        self.rows[group as usize] > 0
    }

    /// Forgets everything, and keeps the memory.
    pub(in crate::operators) fn clear(&mut self) {
        let all: Vec<u32> = (0..self.keys.groups() as u32).collect();
        self.accumulators_mut().for_each(|accumulator| accumulator.clear(&all));
        self.rows.fill(0);
        self.keys.clear();
    }

    /// Back to how groups begin; they stay known.
    pub(in crate::operators) fn reset(&mut self, groups: &[u32]) {
        groups.iter().for_each(|&group| self.rows[group as usize] = 0);
        self.accumulators_mut().for_each(|accumulator| accumulator.clear(groups));
    }

    /// Forgets groups: those that have no rows any more, or that nobody asks for.
    pub(in crate::operators) fn remove(&mut self, groups: &[u32]) -> Result<()> {
        if let Some(cold) = &mut self.cold {
            cold.remove(&self.keys, groups)?;
        }
        for &group in groups {
            self.keys.remove(group);
            self.rows[group as usize] = 0;
        }
        self.accumulators_mut().for_each(|accumulator| accumulator.clear(groups));
        Ok(())
    }
}

/// So many groups are written to disk at once.
pub(super) const EVICTED_AT_ONCE: usize = 32 << 10;

/// The rows where `filter` is true.
fn selected(filter: &BooleanArray) -> UInt32Array {
    (0u32..).zip(filter).filter(|(_, keep)| *keep == Some(true)).map(|(row, _)| row).collect()
}

pub(crate) fn take_all(columns: &[ArrayRef], indices: &UInt32Array) -> Result<Vec<ArrayRef>> {
    columns.iter().map(|column| Ok(compute::take(column, indices, None)?)).collect()
}
