//! The phase that knows each key's result and tells how it changes.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::groups::{Groups, take_all};
use super::results::Results;
use super::{Aggregate, Emit};
use crate::error::Result;
use crate::message::{Barrier, Batch};
use crate::operator::{Input, Operator, Output, TableSnapshot};

pub(super) struct Aggregating {
    groups: Groups,
    keys: Vec<usize>,
    partial: bool,
    distinct: bool,
    emit: Emit,
    schema: SchemaRef,
    changed: Changed,
}

/// Groups touched since results last went out, in order of first touch, and what their results were before.
#[derive(Default)]
struct Changed {
    /// Per group: whether it is in `groups`.
    is_changed: Vec<bool>,
    groups: Vec<u32>,
    /// Per entry of `groups`: its row in the concatenation of `before`, or `None` if it had no result.
    row_before: Vec<Option<u32>>,
    before: Vec<Vec<ArrayRef>>,
    rows_before: u32,
}

impl Operator for Aggregating {
    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        let keys: Vec<ArrayRef> = if self.partial {
            batch.rows().columns()[..self.keys.len()].to_vec()
        } else {
            self.keys.iter().map(|&key| Arc::clone(batch.rows().column(key))).collect()
        };
        let known = self.groups.keys.groups();
        let mut groups = Vec::new();
        self.groups.intern(&keys, batch.len(), &mut groups)?;
        if self.distinct {
            let new: Vec<u32> = (known as u32..self.groups.keys.groups() as u32).collect();
            out.send(Batch::append(RecordBatch::try_new(Arc::clone(&self.schema), self.groups.keys.columns(&new)?)?));
            return Ok(());
        }
        if self.emit == Emit::Epoch {
            return self.apply(&groups, &batch);
        }
        let mut start = 0;
        while start < groups.len() {
            let run = run_of_distinct(&groups[start..]);
            self.apply(&groups[start..start + run], &batch.slice(start, run))?;
            self.emit_changes(out)?;
            start += run;
        }
        Ok(())
    }

    fn on_barrier(&mut self, _: &Barrier, out: &mut Output) -> Result<()> {
        self.emit_changes(out)
    }

    fn snapshot(&mut self) -> Result<Vec<TableSnapshot>> {
        let live: Vec<u32> = self.groups.keys.live().collect();
        let columns = self.groups.partials(&live)?;
        let fields: Vec<Field> = columns
            .iter()
            .enumerate()
            .map(|(n, column)| {
                let name = match n.checked_sub(self.keys.len()) {
                    None => self.schema.field(n).name().clone(),
                    Some(0) => "rows".to_string(),
                    Some(n) => format!("state{n}"),
                };
                Field::new(name, column.data_type().clone(), true)
            })
            .collect();
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
        Ok(vec![TableSnapshot { table: "groups", rows }])
    }

    fn restore(&mut self, tables: Vec<TableSnapshot>) -> Result<()> {
        for TableSnapshot { rows, .. } in tables {
            let mut groups = Vec::new();
            self.groups.intern(&rows.columns()[..self.keys.len()], rows.num_rows(), &mut groups)?;
            self.groups.merge(&groups, &rows, self.keys.len())?;
        }
        Ok(())
    }
}

/// How many leading entries are pairwise different.
fn run_of_distinct(groups: &[u32]) -> usize {
    let mut seen = hashbrown::HashSet::with_capacity(groups.len().min(64));
    groups.iter().position(|group| !seen.insert(*group)).unwrap_or(groups.len())
}

impl Aggregating {
    /// An instance without state, for keys of these types.
    pub(super) fn new(spec: &Aggregate, key_types: &[DataType]) -> Result<Aggregating> {
        Ok(Aggregating {
            groups: Groups::new(key_types, &spec.columns)?,
            keys: spec.keys.clone(),
            partial: spec.partial,
            distinct: spec.is_distinct(),
            emit: spec.emit,
            schema: Arc::clone(&spec.schema),
            changed: Changed::default(),
        })
    }

    fn apply(&mut self, groups: &[u32], batch: &Batch) -> Result<()> {
        self.touch(groups)?;
        if self.partial {
            self.groups.merge(groups, batch.rows(), self.keys.len())
        } else {
            self.groups.update(groups, batch.rows(), batch.weights().map(|weights| &weights.values()[..]))
        }
    }

    /// Remembers what the results of these groups are before they change.
    fn touch(&mut self, groups: &[u32]) -> Result<()> {
        let changed = &mut self.changed;
        changed.is_changed.resize(self.groups.rows.len(), false);
        let mut existing = Vec::new();
        for &group in groups {
            if std::mem::replace(&mut changed.is_changed[group as usize], true) {
                continue;
            }
            changed.groups.push(group);
            let is_live = self.groups.is_live(group);
            changed.row_before.push(is_live.then_some(changed.rows_before));
            if is_live {
                existing.push(group);
                changed.rows_before += 1;
            }
        }
        if !existing.is_empty() {
            changed.before.push(self.groups.evaluate(&existing)?);
        }
        Ok(())
    }

    /// Emits, for each changed group, its former result with weight -1 and its present one with +1, unless they are equal.
    fn emit_changes(&mut self, out: &mut Output) -> Result<()> {
        let changed = std::mem::take(&mut self.changed);
        if changed.groups.is_empty() {
            self.changed = changed;
            return Ok(());
        }
        let live: Vec<u32> = changed.groups.iter().copied().filter(|&group| self.groups.is_live(group)).collect();
        let now = self.groups.evaluate(&live)?;
        let results = Results::new(&changed.before, now, changed.rows_before)?;

        let mut key_rows: Vec<u32> = Vec::with_capacity(changed.groups.len() * 2);
        let mut value_rows: Vec<u32> = Vec::with_capacity(changed.groups.len() * 2);
        let mut weights: Vec<i64> = Vec::with_capacity(changed.groups.len() * 2);
        let mut updates: Vec<bool> = Vec::with_capacity(changed.groups.len() * 2);
        let mut gone = Vec::new();
        let mut next_live = changed.rows_before;
        for (entry, (&group, &before)) in changed.groups.iter().zip(&changed.row_before).enumerate() {
            let after = self.groups.is_live(group).then(|| {
                next_live += 1;
                next_live - 1
            });
            if self.groups.rows[group as usize] == 0 {
                gone.push(group);
            }
            if let (Some(before), Some(after)) = (before, after)
                && results.equal(before, after)
            {
                continue;
            }
            for (row, weight) in [(before, -1), (after, 1)] {
                if let Some(row) = row {
                    updates.push(before.is_some() && after.is_some());
                    key_rows.push(entry as u32);
                    value_rows.push(row);
                    weights.push(weight);
                }
            }
        }
        if !weights.is_empty() {
            let keys = self.groups.keys.columns(&changed.groups)?;
            let mut columns = take_all(&keys, &UInt32Array::from(key_rows))?;
            columns.extend(take_all(&results.columns, &UInt32Array::from(value_rows))?);
            let options = RecordBatchOptions::new().with_row_count(Some(weights.len()));
            let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
            let changes = match weights.iter().all(|&weight| weight == 1) {
                true => Batch::append(rows),
                false => Batch::new(rows, Some(Int64Array::from(weights))).with_updates(BooleanArray::from(updates)),
            };
            send_in_pieces(changes, out);
        }
        self.groups.remove(&gone);
        self.changed = Changed { is_changed: changed.is_changed, groups: changed.groups, ..Changed::default() };
        self.changed.groups.drain(..).for_each(|group| self.changed.is_changed[group as usize] = false);
        Ok(())
    }
}

/// How many changed rows go out in one batch: what follows works on them while they are in the cache.
const PIECE_ROWS: usize = 8192;

fn send_in_pieces(changes: Batch, out: &mut Output) {
    for start in (0..changes.len()).step_by(PIECE_ROWS) {
        out.send(changes.slice(start, PIECE_ROWS.min(changes.len() - start)));
    }
}
