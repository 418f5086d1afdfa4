//! Applies the changes of an epoch to the rows of a shard, and hands them over in checkpoints.
//!
//! A row whose weight has come to zero stays in its chunk until half of that is gone: then what is left moves on, to the last chunk. So each row
//! is moved about once for each that goes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{interleave_record_batch, take_record_batch};
use arrow::datatypes::Int64Type;
use tidemill_state::checkpoint::Distribution;

use super::Shape;
use super::shard::{Chunk, PAGE, Place, ShardRows, read, write};
use crate::error::Result;
use crate::operator::TableSnapshot;
use crate::operators::dirty::{Dirty, state_table, with_deleted};

/// A chunk with fewer rows than this takes more.
const CHUNK_ROWS: usize = if cfg!(test) { 64 } else { 4096 };

/// Those who write own this; those who read have [`ShardRows`] of it.
pub struct Rows {
    shape: Arc<Shape>,
    now: ShardRows,
    /// The chunk that takes more rows.
    tail: Option<u32>,
    /// Chunks without rows.
    free: Vec<u32>,
    /// Groups whose rows went when changes were last applied, and whose keys are still known.
    gone: Vec<u32>,
    /// If changes are handed over in checkpoints.
    dirty: Option<Dirty>,
}

/// Rows to be appended: from the changes, each for a group.
#[derive(Default)]
struct Added {
    rows: Vec<u32>,
    groups: Vec<u32>,
    weights: Vec<i64>,
}

impl Rows {
    /// `incremental`: snapshots are of what has changed.
    ///
    /// # Errors
    /// Rows of these types cannot be compared.
    pub fn new(shape: &Arc<Shape>, incremental: bool) -> Result<Rows> {
        Ok(Rows {
            shape: Arc::clone(shape),
            now: ShardRows::empty(shape)?,
            tail: None,
            free: Vec::new(),
            gone: Vec::new(),
            dirty: incremental.then(Dirty::default),
        })
    }

    /// The rows as they are now.
    pub fn now(&self) -> &ShardRows {
        &self.now
    }

    /// Applies net changes: distinct rows with their weights, none of them zero. Of a key's rows at most one goes and one comes.
    pub fn apply(&mut self, rows: &RecordBatch, weights: &[i64]) -> Result<()> {
        self.forget()?;
        let keys: Vec<ArrayRef> = self.shape.key.iter().map(|&column| Arc::clone(rows.column(column))).collect();
        let mut groups = Vec::new();
        let known = {
            let mut index = write(&self.now.index);
            index.intern(&keys, rows.num_rows(), &mut groups)?;
            index.groups()
        };
        while self.now.places.len() * PAGE < known {
            self.now.places.push(Arc::new(vec![Place::NONE; PAGE]));
        }
        let (mut added, mut thinned) = (Added::default(), Vec::new());
        // First what goes.
        for comes in [false, true] {
            for ((row, &group), &weight) in (0u32..).zip(&groups).zip(weights) {
                if (weight > 0) == comes {
                    self.change(row, group, weight, &mut added, &mut thinned);
                }
            }
        }
        self.append(rows, added, thinned)?;
        self.gone.sort_unstable();
        self.gone.dedup();
        self.gone.retain(|&group| self.now.place(group) == Place::NONE);
        Ok(())
    }

    /// Forgets the keys of rows that have gone for good.
    fn forget(&mut self) -> Result<()> {
        if self.gone.is_empty() {
            return Ok(());
        }
        let mut index = write(&self.now.index);
        if let Some(dirty) = &mut self.dirty {
            dirty.gone(index.columns(&self.gone)?);
        }
        self.gone.drain(..).for_each(|group| index.remove(group));
        Ok(())
    }

    fn change(&mut self, row: u32, group: u32, weight: i64, added: &mut Added, thinned: &mut Vec<u32>) {
        if let Some(dirty) = &mut self.dirty {
            dirty.mark(group);
        }
        let (is_keyed, place) = (self.shape.is_keyed, self.now.place(group));
        match place {
            Place::NONE if is_keyed && weight < 0 => {
                // There is nothing to take back; its key must not stay.
                self.gone.push(group);
            }
            Place::NONE => {
                *self.now.place_mut(group) = Place { chunk: Place::PENDING, row: added.rows.len() as u32 };
                added.rows.push(row);
                added.groups.push(group);
                added.weights.push(if is_keyed { 1 } else { weight });
            }
            // Two rows of one key: the later one counts.
            Place { chunk: Place::PENDING, row: of_added } => {
                debug_assert!(is_keyed, "net changes have each row once");
                added.rows[of_added as usize] = row;
            }
            Place { chunk, row: of_chunk } => {
                let chunk_rows = Arc::make_mut(&mut self.now.chunks[chunk as usize]);
                let of_row = &mut chunk_rows.weights[of_chunk as usize];
                *of_row = if is_keyed { 0 } else { *of_row + weight };
                if *of_row == 0 {
                    chunk_rows.live -= 1;
                    thinned.push(chunk);
                    *self.now.place_mut(group) = Place::NONE;
                    match is_keyed && weight > 0 {
                        true => self.change(row, group, weight, added, thinned),
                        false => self.gone.push(group),
                    }
                }
            }
        }
    }

    /// Appends rows, and what is left of chunks that have become thin, to the last chunk.
    fn append(&mut self, rows: &RecordBatch, added: Added, mut thinned: Vec<u32>) -> Result<()> {
        thinned.sort_unstable();
        thinned.dedup();
        thinned.retain(|&chunk| self.now.chunks[chunk as usize].is_thin());
        if added.rows.is_empty() && thinned.is_empty() {
            return Ok(());
        }
        let tail = self.tail.filter(|chunk| !thinned.contains(chunk));
        thinned.extend(tail);
        // (which batch, which row of it), group and weight of all rows of the chunks to be.
        let (mut from, mut groups, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        let moved: Vec<Arc<Chunk>> = thinned.iter().map(|&chunk| self.take_chunk(chunk)).collect();
        for (n, chunk) in moved.iter().enumerate() {
            for (row, &weight) in chunk.weights.iter().enumerate().filter(|(_, weight)| **weight != 0) {
                from.push((n, row));
                groups.push(chunk.groups[row]);
                weights.push(weight);
            }
        }
        from.extend(added.rows.iter().map(|&row| (moved.len(), row as usize)));
        groups.extend(added.groups);
        weights.extend(added.weights);
        let changes = RecordBatch::try_new(Arc::clone(&self.shape.schema), rows.columns().to_vec())?;
        let batches: Vec<&RecordBatch> = moved.iter().map(|chunk| &chunk.rows).chain([&changes]).collect();
        self.tail = None;
        for start in (0..from.len()).step_by(CHUNK_ROWS) {
            let end = from.len().min(start + CHUNK_ROWS);
            let chunk = Chunk {
                rows: interleave_record_batch(&batches, &from[start..end])?,
                groups: groups[start..end].into(),
                weights: weights[start..end].to_vec(),
                live: end - start,
            };
            let place = self.put_chunk(chunk);
            self.tail = (end - start < CHUNK_ROWS).then_some(place);
        }
        Ok(())
    }

    fn take_chunk(&mut self, chunk: u32) -> Arc<Chunk> {
        self.free.push(chunk);
        let none = Arc::new(Chunk::empty(&self.shape.schema));
        std::mem::replace(&mut self.now.chunks[chunk as usize], none)
    }

    fn put_chunk(&mut self, chunk: Chunk) -> u32 {
        let number = self.free.pop().unwrap_or(self.now.chunks.len() as u32);
        for (row, &group) in (0u32..).zip(chunk.groups.iter()) {
            *self.now.place_mut(group) = Place { chunk: number, row };
        }
        match self.now.chunks.get_mut(number as usize) {
            Some(free) => *free = Arc::new(chunk),
            None => self.now.chunks.push(Arc::new(chunk)),
        }
        number
    }

    /// The rows with their weights, or what has changed since the last snapshot: first the columns of the key. `distribution` speaks of
    /// these.
    pub fn snapshot(&mut self, table: &'static str, distribution: Distribution) -> Result<TableSnapshot> {
        let (mut changed, mut gone) = self.dirty.as_mut().map(Dirty::take).unwrap_or_default();
        let is_whole = self.dirty.is_none() || changed.len() * 2 >= self.now.live();
        changed.retain(|&group| self.now.place(group) != Place::NONE);
        let (rows, weights) = match is_whole {
            true => self.now.all(&self.shape.schema)?,
            false => self.now.take(&changed, &self.shape.schema)?,
        };
        let mut columns: Vec<ArrayRef> =
            self.key_first().iter().map(|&column| Arc::clone(rows.column(column))).collect();
        columns.push(Arc::new(weights));
        let schema = self.shape.schema.project(&self.key_first())?;
        if self.dirty.is_none() {
            return Ok(TableSnapshot::whole(table, state_table(&schema, &["weight"], columns)?, distribution));
        }
        // Their keys are still known, and will be among those that went in the next snapshot too, where they change nothing.
        gone.push(read(&self.now.index).columns(&self.gone)?);
        gone.retain(|keys| !is_whole && keys.first().is_some_and(|column| !column.is_empty()));
        let rows = state_table(&schema, &["weight"], with_deleted(columns, gone)?)?;
        let replaces_by = Some((0..self.shape.key.len()).collect());
        Ok(TableSnapshot { replaces_by, is_whole, ..TableSnapshot::whole(table, rows, distribution) })
    }

    /// The columns of the state: those of the key, then the others.
    fn key_first(&self) -> Vec<usize> {
        let (key, width) = (&self.shape.key, self.shape.schema.fields().len());
        key.iter().copied().chain((0..width).filter(|column| !key.contains(column))).collect()
    }

    /// Takes over what [`snapshot`](Self::snapshot) gave.
    pub fn restore(&mut self, table: &TableSnapshot) -> Result<()> {
        for piece in &table.spilled {
            for rows in piece.read()? {
                self.restore_rows(&rows?, table.replaces_by.is_some())?;
            }
        }
        self.restore_rows(&table.rows, table.replaces_by.is_some())?;
        self.forget()?;
        // As of the checkpoint, nothing has changed.
        self.dirty = self.dirty.is_some().then(Dirty::default);
        Ok(())
    }

    /// Each row replaces the one of its key that was there before.
    fn restore_rows(&mut self, state: &RecordBatch, are_changes: bool) -> Result<()> {
        let order = self.key_first();
        let (columns, beside) = state.columns().split_at(order.len());
        let in_place = (0..order.len()).map(|column| order.iter().position(|&from| from == column));
        let columns = in_place.flatten().map(|from| Arc::clone(&columns[from])).collect();
        let rows = RecordBatch::try_new(Arc::clone(&self.shape.schema), columns)?;
        let weights = beside[0].as_primitive::<Int64Type>();
        let deleted = beside.get(1).filter(|_| are_changes).map(|deleted| deleted.as_boolean());
        // What was deleted comes first, and may have come back.
        for gone in [true, false] {
            let of_turn = |&row: &u32| deleted.is_some_and(|deleted| deleted.value(row as usize)) == gone;
            let turn: Vec<u32> = (0..rows.num_rows() as u32).filter(of_turn).collect();
            let given = |&row: &u32| if gone { 0 } else { weights.value(row as usize) };
            let given: Vec<i64> = turn.iter().map(given).collect();
            self.replace(&take_record_batch(&rows, &UInt32Array::from(turn))?, given)?;
        }
        Ok(())
    }

    /// Distinct rows get these weights, whatever they had.
    fn replace(&mut self, rows: &RecordBatch, mut weights: Vec<i64>) -> Result<()> {
        let keys: Vec<ArrayRef> = self.shape.key.iter().map(|&column| Arc::clone(rows.column(column))).collect();
        for (place, weight) in self.now.find(&keys, rows.num_rows())?.into_iter().zip(&mut weights) {
            let before = place.map_or(0, |place| self.now.weight(place));
            *weight = match self.shape.is_keyed {
                true if *weight > 0 => 1,
                _ => *weight - before,
            };
        }
        let changed: UInt32Array =
            (0u32..).zip(&weights).filter(|(_, weight)| **weight != 0).map(|(row, _)| row).collect();
        weights.retain(|&weight| weight != 0);
        self.apply(&take_record_batch(rows, &changed)?, &weights)
    }
}
