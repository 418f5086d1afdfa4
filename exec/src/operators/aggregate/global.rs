//! The phase that knows each key's result and tells how it changes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use tidemill_state::{Batches, Spill, SpillError, SpilledFile, SpilledRows, SpilledTable};

use super::changed::{Changed, Entry};
use super::groups::{EVICTED_AT_ONCE, Groups, take_all};
use super::results::Results;
use super::{Aggregate, Emit};
use crate::copying::{Copying, GROUPS_AT_ONCE};
use crate::error::Result;
use crate::message::{Barrier, Batch};
use crate::operator::{Input, Operator, Output, TableSnapshot};
use crate::operators::dirty::{Dirty, with_deleted};
use crate::operators::idle::Idle;

pub(in crate::operators) struct Aggregating {
    pub(in crate::operators) groups: Groups,
    keys: Vec<usize>,
    partial: bool,
    distinct: bool,
    emit: Emit,
    schema: SchemaRef,
    changed: Changed,
    /// Snapshots are of what has changed since the last.
    dirty: Option<Dirty>,
    /// What is left of the last snapshot.
    copying: Option<Copying>,
    /// What has changed since the last snapshot, of groups that are on disk now.
    logs: Vec<SpilledFile>,
    idle: Option<Idle>,
    /// Only if some may be on disk.
    handed_over: HandedOver,
}

/// How many rows snapshots have had.
#[derive(Default)]
struct HandedOver {
    /// The last that had all.
    whole: usize,
    /// Those since.
    changes: usize,
}

/// A table on disk among the changes of a checkpoint.
#[derive(Debug)]
struct Undeleted {
    rows: SpilledTable,
    /// With the column `deleted`.
    schema: SchemaRef,
}

impl SpilledRows for Undeleted {
    fn read(&self) -> Result<Batches, SpillError> {
        let schema = Arc::clone(&self.schema);
        Ok(Box::new(self.rows.read()?.map(move |rows| {
            let rows = rows?;
            let mut columns = rows.columns().to_vec();
            columns.push(Arc::new(BooleanArray::from(vec![false; rows.num_rows()])));
            Ok(RecordBatch::try_new(Arc::clone(&schema), columns).expect("the table has the columns of the changes"))
        })))
    }
}

impl Operator for Aggregating {
    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        let keys: Vec<ArrayRef> = if self.partial {
            batch.rows().columns()[..self.keys.len()].to_vec()
        } else {
            self.keys.iter().map(|&key| Arc::clone(batch.rows().column(key))).collect()
        };
        let mut groups = Vec::new();
        self.groups.intern(&keys, batch.len(), &mut groups)?;
        if self.distinct {
            let mut new = self.groups.keys.added().to_vec();
            // Those that came from disk are not new.
            new.retain(|&group| !self.groups.is_live(group));
            self.count_distinct(&new);
            if let Some(dirty) = &mut self.dirty {
                new.iter().for_each(|&group| dirty.mark(group));
            }
            if let Some(idle) = &mut self.idle {
                groups.iter().for_each(|&group| idle.used(group));
            }
            out.send(Batch::append(RecordBatch::try_new(Arc::clone(&self.schema), self.groups.keys.columns(&new)?)?));
            return self.spill_over(0);
        }
        if self.emit == Emit::Epoch {
            return self.apply(&groups, &batch);
        }
        let mut start = 0;
        let mut gone = Vec::new();
        while start < groups.len() {
            let run = run_of_distinct(&groups[start..]);
            self.apply(&groups[start..start + run], &batch.slice(start, run))?;
            let empty = self.emit_changes(|_| true, out)?;
            self.groups.reset(&empty);
            gone.extend(empty);
            start += run;
        }
        // Only now: a later row of the batch may have brought a group back.
        gone.sort_unstable();
        gone.dedup();
        gone.retain(|&group| self.groups.rows[group as usize] == 0);
        self.remove(&gone)?;
        self.spill_over(0)
    }

    fn on_barrier(&mut self, barrier: &Barrier, out: &mut Output) -> Result<()> {
        let changed = self.changed.bytes();
        let gone = self.emit_changes(|_| true, out)?;
        self.remove(&gone)?;
        if let Some(idle) = &mut self.idle {
            let mut unused = idle.due(barrier.time);
            unused.retain(|&group| self.groups.is_live(group));
            self.remove(&unused)?;
        }
        self.spill_over(changed)
    }

    fn wants_barrier(&self) -> bool {
        self.groups.cold().is_some() && self.groups.is_short(self.changed.bytes())
    }

    fn snapshot(&mut self) -> Result<Vec<TableSnapshot>> {
        // The last may have been given up.
        while self.copy_more()? {}
        let Some(dirty) = &mut self.dirty else {
            let live: Vec<u32> = self.groups.keys.live().collect();
            let rows = self.table(self.groups.partials(&live)?)?;
            return Ok(vec![TableSnapshot::by_key("groups", rows, 0..self.keys.len())]);
        };
        let (mut changed, mut gone) = dirty.take();
        // Where most has changed, all is no more work, and spares whoever brings the pieces together. What is partly on disk nobody else
        // can bring together.
        let is_whole = match self.groups.cold() {
            None => changed.len() * 2 >= self.groups.keys.len(),
            Some(_) => self.handed_over.changes >= self.handed_over.whole,
        };
        match is_whole {
            true => (changed, gone) = (self.groups.keys.live().collect(), Vec::new()),
            false => changed.retain(|&group| self.groups.keys.is_live(group)),
        }
        let (first, rest) = changed.split_at(changed.len().min(GROUPS_AT_ONCE));
        let rows = self.changes(gone, first)?;
        let mut spilled: Vec<Arc<dyn SpilledRows>> = Vec::new();
        if let Some(cold) = self.groups.cold() {
            let logs = std::mem::take(&mut self.logs);
            if is_whole {
                self.handed_over = HandedOver { whole: self.groups.len(), changes: 0 };
                spilled.push(Arc::new(Undeleted { rows: cold.freeze(), schema: rows.schema() }));
            } else {
                self.handed_over.changes += rows.num_rows() + rest.len();
                spilled.extend(logs.into_iter().map(|log| Arc::new(log) as Arc<dyn SpilledRows>));
            }
        }
        let following = (!rest.is_empty()).then(|| {
            let (copying, following) = Copying::new(rest.iter().copied());
            self.copying = Some(copying);
            following
        });
        let keys: Vec<usize> = (0..self.keys.len()).collect();
        let stays_compact = self.groups.cold().is_some();
        let table = TableSnapshot::by_key("groups", rows, keys.iter().copied());
        Ok(vec![TableSnapshot { replaces_by: Some(keys), is_whole, spilled, following, stays_compact, ..table }])
    }

    fn copy_more(&mut self) -> Result<bool> {
        let Some(mut copying) = self.copying.take() else { return Ok(false) };
        let groups = copying.next();
        if groups.is_empty() {
            copying.end();
            return Ok(false);
        }
        copying.send(self.changes(Vec::new(), &groups)?);
        self.copying = Some(copying);
        Ok(true)
    }

    fn restores_pieces(&self) -> bool {
        true
    }

    fn restore(&mut self, tables: Vec<TableSnapshot>) -> Result<()> {
        for TableSnapshot { rows, spilled, replaces_by, .. } in tables {
            for piece in spilled {
                for rows in piece.read()? {
                    self.restore_changes(&rows?)?;
                    self.spill_over(0)?;
                }
            }
            match replaces_by {
                Some(_) => self.restore_changes(&rows)?,
                None => {
                    let mut groups = Vec::new();
                    self.groups.intern(&rows.columns()[..self.keys.len()], rows.num_rows(), &mut groups)?;
                    self.groups.merge(&groups, &rows.columns()[self.keys.len()..])?;
                    self.count_distinct(&groups);
                }
            }
        }
        self.logs.clear();
        self.handed_over = HandedOver { whole: self.groups.len(), changes: 0 };
        if let Some(idle) = &mut self.idle {
            self.groups.keys.live().for_each(|group| idle.used(group));
        }
        Ok(())
    }
}

/// How many leading entries are pairwise different.
pub(in crate::operators) fn run_of_distinct(groups: &[u32]) -> usize {
    let mut seen = hashbrown::HashSet::with_capacity(groups.len().min(64));
    groups.iter().position(|group| !seen.insert(*group)).unwrap_or(groups.len())
}

impl Aggregating {
    /// An instance without state, for keys of these types. `incremental`: its snapshots are of what has changed since the last.
    pub(in crate::operators) fn new(
        spec: &Aggregate,
        key_types: &[DataType],
        incremental: bool,
    ) -> Result<Aggregating> {
        Ok(Aggregating {
            groups: Groups::new(key_types, &spec.columns)?,
            keys: spec.keys.clone(),
            partial: spec.partial,
            distinct: spec.is_distinct(),
            emit: spec.emit,
            schema: Arc::clone(&spec.schema),
            changed: Changed::default(),
            // A single group is as well written whole.
            dirty: (incremental && !spec.keys.is_empty()).then(Dirty::default),
            copying: None,
            logs: Vec::new(),
            idle: spec.ttl.map(Idle::new),
            handed_over: HandedOver::default(),
        })
    }

    /// From now on, groups that are not in use may lie on disk.
    pub(super) fn spill(&mut self, spill: &Spill, key_types: &[DataType]) -> Result<()> {
        match key_types.is_empty() {
            true => Ok(()),
            false => self.groups.spill(spill, key_types),
        }
    }

    /// Puts groups on disk if memory is short for what there is, and `more` bytes as the last epoch took. Only while no group is changed, as
    /// then results are due.
    fn spill_over(&mut self, more: usize) -> Result<()> {
        debug_assert!(self.changed.entries.is_empty(), "groups with changes to emit stay in memory");
        let groups = self.groups.victims(more);
        if groups.is_empty() {
            return Ok(());
        }
        self.copy(&groups)?;
        if let Some(dirty) = &mut self.dirty {
            let (changed, gone) = dirty.take_of(&groups);
            let (first, others) = changed.split_at(changed.len().min(EVICTED_AT_ONCE));
            let first = self.changes(gone, first)?;
            if let Some(cold) = self.groups.cold().filter(|_| first.num_rows() > 0) {
                self.handed_over.changes += first.num_rows() + others.len();
                let others = others.chunks(EVICTED_AT_ONCE).map(|groups| self.changes(Vec::new(), groups));
                self.logs.push(cold.log(first, others)?);
            }
        }
        self.groups.evict(&groups)
    }

    /// State columns of groups, with a column `deleted`: those that went, by their keys, come first. A key that has come back is among
    /// those that changed.
    fn changes(&self, gone: Vec<Vec<ArrayRef>>, changed: &[u32]) -> Result<RecordBatch> {
        let columns = with_deleted(self.groups.partials(changed)?, gone)?;
        self.table(columns)
    }

    /// A distinct row is there or not: how often it came is not counted.
    fn count_distinct(&mut self, groups: &[u32]) {
        if self.distinct {
            groups.iter().for_each(|&group| self.groups.rows[group as usize] = 1);
        }
    }

    /// Takes over what [`changes`](Self::changes) gave.
    fn restore_changes(&mut self, rows: &RecordBatch) -> Result<()> {
        let columns = &rows.columns()[..rows.num_columns() - 1];
        let (keys, partials) = columns.split_at(self.keys.len());
        let deleted = rows.column(columns.len()).as_boolean();
        let mut groups = Vec::new();
        self.groups.intern(keys, rows.num_rows(), &mut groups)?;
        // Each replaces what was known of its key; within one piece a key that was deleted may come again, behind.
        self.groups.reset(&groups);
        let kept: UInt32Array = (0..rows.num_rows() as u32).filter(|&row| !deleted.value(row as usize)).collect();
        let of_kept: Vec<u32> = kept.values().iter().map(|&row| groups[row as usize]).collect();
        self.groups.merge(&of_kept, &take_all(partials, &kept)?)?;
        self.count_distinct(&of_kept);
        let mut gone = groups;
        gone.sort_unstable();
        gone.dedup();
        let kept: hashbrown::HashSet<u32> = of_kept.into_iter().collect();
        gone.retain(|group| !kept.contains(group));
        self.groups.remove(&gone)
    }

    /// State columns with their names.
    fn table(&self, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
        let states = self.groups.width() - 1;
        let name = |n: usize| match n.checked_sub(self.keys.len()) {
            None => self.schema.field(n).name().clone(),
            Some(0) => "rows".to_string(),
            Some(n) if n <= states => format!("state{n}"),
            Some(_) => "deleted".to_string(),
        };
        let field = |(n, column): (usize, &ArrayRef)| Field::new(name(n), column.data_type().clone(), true);
        let fields: Vec<Field> = columns.iter().enumerate().map(field).collect();
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
    }

    /// Copies those of `groups` that the last snapshot is of and that have not been copied: they are about to change.
    fn copy(&mut self, groups: &[u32]) -> Result<()> {
        let Some(mut copying) = self.copying.take() else { return Ok(()) };
        let due = copying.take_of(groups);
        if !due.is_empty() {
            copying.send(self.changes(Vec::new(), &due)?);
        }
        self.copying = Some(copying);
        Ok(())
    }

    /// Forgets groups without rows.
    fn remove(&mut self, gone: &[u32]) -> Result<()> {
        self.copy(gone)?;
        if let Some(dirty) = self.dirty.as_mut().filter(|_| !gone.is_empty()) {
            dirty.gone(self.groups.keys.columns(gone)?);
        }
        self.groups.remove(gone)
    }

    /// Takes in rows of these groups, whose changes are to go out.
    pub(in crate::operators) fn apply(&mut self, groups: &[u32], batch: &Batch) -> Result<()> {
        if let Some(known) = self.known(groups, batch) {
            let groups: Vec<u32> = known.values().iter().map(|&row| groups[row as usize]).collect();
            return self.take_in(&groups, &batch.take(&known)?);
        }
        self.take_in(groups, batch)
    }

    /// If keys may have been forgotten: the rows that are not taken back from a key without any; `None` if they are all.
    fn known(&self, groups: &[u32], batch: &Batch) -> Option<UInt32Array> {
        self.idle.as_ref()?;
        let weights = batch.weights()?.values();
        let mut rows: hashbrown::HashMap<u32, i64> = hashbrown::HashMap::new();
        let is_known = |&row: &u32| {
            let (group, weight) = (groups[row as usize], weights[row as usize]);
            let rows = rows.entry(group).or_insert(self.groups.rows[group as usize]);
            let is_known = *rows + weight >= 0;
            *rows += if is_known { weight } else { 0 };
            is_known
        };
        let known: UInt32Array = (0..groups.len() as u32).filter(is_known).collect();
        (known.len() < groups.len()).then_some(known)
    }

    fn take_in(&mut self, groups: &[u32], batch: &Batch) -> Result<()> {
        self.touch(groups)?;
        if self.partial {
            self.groups.merge(groups, &batch.rows().columns()[self.keys.len()..])
        } else {
            self.groups.update(groups, batch.rows(), batch.weights().map(|weights| &weights.values()[..]))
        }
    }

    /// Remembers what the results of these groups are before they change.
    fn touch(&mut self, groups: &[u32]) -> Result<()> {
        // Of partials nobody asks in which order they came.
        let in_order = !self.partial;
        let changed = &mut self.changed;
        changed.make_room(self.groups.rows.len(), in_order);
        if in_order {
            changed.touched_last(groups);
        }
        let mut existing = Vec::new();
        for &group in groups {
            if !changed.touch(group) {
                continue;
            }
            let is_live = self.groups.is_live(group);
            let before = is_live.then_some(changed.rows_before);
            changed.entries.push(Entry { group, before });
            if let Some(dirty) = &mut self.dirty {
                dirty.mark(group);
            }
            if let Some(idle) = &mut self.idle {
                idle.used(group);
            }
            if is_live {
                existing.push(group);
                changed.rows_before += 1;
            }
        }
        if !existing.is_empty() {
            changed.before.push(self.groups.evaluate(&existing)?);
        }
        self.copy(&existing)
    }

    /// Emits, for each changed group that is `due`, its former result with weight -1 and its present one with +1, unless they are
    /// equal and are not forgotten when unused. The others remain changed.
    ///
    /// Returns the groups that have no rows any more, for the caller to remove.
    pub(in crate::operators) fn emit_changes(
        &mut self,
        due: impl Fn(u32) -> bool,
        out: &mut Output,
    ) -> Result<Vec<u32>> {
        let mut changed = std::mem::take(&mut self.changed);
        let others: Vec<Entry> = changed.entries.extract_if(.., |entry| !due(entry.group)).collect();
        if changed.entries.is_empty() {
            changed.entries = others;
            self.changed = changed;
            return Ok(Vec::new());
        }
        if !self.partial {
            // In the order in which results took their present value: an aggregate above that cares about order (LISTAGG) then ends as
            // if every change had been emitted. Partials come in no order that means anything.
            changed.sort();
        }
        // Piece by piece, so that what is made on the way stays in the cache.
        let before = joined(&changed.before)?;
        for entries in changed.entries.chunks(PIECE_ROWS / 2) {
            if let Some(net) = self.net(entries, &before)? {
                out.send(net);
            }
        }
        let gone = |entry: &Entry| (self.groups.rows[entry.group as usize] == 0).then_some(entry.group);
        let gone: Vec<u32> = changed.entries.iter().filter_map(gone).collect();
        changed.told(others);
        self.changed = changed;
        Ok(gone)
    }

    /// Changed groups whose changes have not gone out, for a snapshot: their keys, whether they had a result, and it.
    pub(in crate::operators) fn pending(&self) -> Result<TableSnapshot> {
        let groups: Vec<u32> = self.changed.entries.iter().map(|entry| entry.group).collect();
        let none = self.groups.evaluate(&[])?;
        let results = Results::new(&self.changed.before, none, self.changed.rows_before)?;
        let places: UInt32Array = self.changed.entries.iter().map(|entry| entry.before).collect();
        let mut columns = self.groups.keys.columns(&groups)?;
        columns.push(Arc::new(
            self.changed.entries.iter().map(|entry| Some(entry.before.is_some())).collect::<BooleanArray>(),
        ));
        columns.extend(take_all(&results.columns, &places)?);
        let fields: Vec<Field> = columns
            .iter()
            .enumerate()
            .map(|(n, column)| {
                let name = match n.cmp(&self.keys.len()) {
                    std::cmp::Ordering::Less => self.schema.field(n).name().clone(),
                    std::cmp::Ordering::Equal => "had_result".to_string(),
                    std::cmp::Ordering::Greater => self.schema.field(n - 1).name().clone(),
                };
                Field::new(name, column.data_type().clone(), true)
            })
            .collect();
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
        Ok(TableSnapshot::by_key("pending", rows, 0..self.keys.len()))
    }

    /// Takes over what [`pending`](Self::pending) gave, after the groups.
    pub(in crate::operators) fn restore_pending(&mut self, rows: &RecordBatch) -> Result<()> {
        let (keys, rest) = rows.columns().split_at(self.keys.len());
        let mut groups = Vec::new();
        self.groups.intern(keys, rows.num_rows(), &mut groups)?;
        let changed = &mut self.changed;
        changed.make_room(self.groups.rows.len(), !self.partial);
        if !self.partial {
            changed.touched_last(&groups);
        }
        changed.before = vec![rest[1..].to_vec()];
        changed.rows_before = rows.num_rows() as u32;
        for ((row, group), had_result) in (0u32..).zip(groups).zip(rest[0].as_boolean().values()) {
            changed.touch(group);
            changed.entries.push(Entry { group, before: had_result.then_some(row) });
        }
        Ok(())
    }

    /// The net change of these entries, in their order; `None` if there is none. `before` is what `entries` count.
    fn net(&self, entries: &[Entry], before: &[ArrayRef]) -> Result<Option<Batch>> {
        let groups: Vec<u32> = entries.iter().map(|entry| entry.group).collect();
        let live: Vec<u32> = groups.iter().copied().filter(|&group| self.groups.is_live(group)).collect();
        let before_rows: UInt32Array = entries.iter().filter_map(|entry| entry.before).collect();
        let before = [take_all(before, &before_rows)?];
        let results = Results::new(&before, self.groups.evaluate(&live)?, before_rows.len() as u32)?;

        let mut key_rows: Vec<u32> = Vec::with_capacity(groups.len() * 2);
        let mut value_rows: Vec<u32> = Vec::with_capacity(groups.len() * 2);
        let mut weights: Vec<i64> = Vec::with_capacity(groups.len() * 2);
        let mut updates: Vec<bool> = Vec::with_capacity(groups.len() * 2);
        let (mut next_before, mut next_live) = (0, before_rows.len() as u32);
        for (row, entry) in (0u32..).zip(entries) {
            let before = entry.before.map(|_| next_before);
            next_before += u32::from(before.is_some());
            let after = self.groups.is_live(entry.group).then_some(next_live);
            next_live += u32::from(after.is_some());
            if let (Some(before), Some(after)) = (before, after)
                && self.idle.is_none()
                && results.equal(before, after)
            {
                continue;
            }
            for (value_row, weight) in [(before, -1), (after, 1)] {
                if let Some(value_row) = value_row {
                    key_rows.push(row);
                    value_rows.push(value_row);
                    weights.push(weight);
                    updates.push(before.is_some() && after.is_some());
                }
            }
        }
        if weights.is_empty() {
            return Ok(None);
        }
        let keys = self.groups.keys.columns(&groups)?;
        let mut columns = take_all(&keys, &UInt32Array::from(key_rows))?;
        columns.extend(take_all(&results.columns, &UInt32Array::from(value_rows))?);
        let options = RecordBatchOptions::new().with_row_count(Some(weights.len()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        Ok(Some(match weights.iter().all(|&weight| weight == 1) {
            true => Batch::append(rows),
            false => Batch::with_updates(rows, Int64Array::from(weights), BooleanArray::from(updates)),
        }))
    }
}

/// One after the other, column by column. Of no rows, there may be no columns.
fn joined(parts: &[Vec<ArrayRef>]) -> Result<Vec<ArrayRef>> {
    let Some(first) = parts.first() else { return Ok(Vec::new()) };
    let column =
        |n: usize| Ok(compute::concat(&parts.iter().map(|part| part[n].as_ref()).collect::<Vec<&dyn Array>>())?);
    (0..first.len()).map(column).collect()
}

/// How many changed rows go out in one batch: what follows works on them while they are in the cache.
pub(in crate::operators) const PIECE_ROWS: usize = 8192;

pub(in crate::operators) fn send_in_pieces(changes: Batch, out: &mut Output) {
    for start in (0..changes.len()).step_by(PIECE_ROWS) {
        out.send(changes.slice(start, PIECE_ROWS.min(changes.len() - start)));
    }
}
