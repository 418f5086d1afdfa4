//! The rows of one shard of a view.
//!
//! ```text
//! key ──index──→ group ──places──→ (chunk, row) ──chunks──→ a row and how often it is there
//! ```
//!
//! Chunks and places are shared with those who read an earlier state of them, and copied only when they change ([`Arc::make_mut`]): to look
//! at all rows costs a pointer per chunk, and an epoch copies the weights of the chunks it touches, never rows. The index is not copied:
//! the keys of rows that went are forgotten one epoch later, when nobody looks for them any more.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{interleave_record_batch, take_record_batch};
use arrow::datatypes::SchemaRef;
use tidemill_state::KeyTable;

use super::Shape;
use super::net::{Net, key_table};
use crate::error::Result;
use crate::message::Batch;

/// So many places are copied at once.
pub(super) const PAGE: usize = if cfg!(test) { 100 } else { 4096 };

/// The rows of a shard as of some epoch.
#[derive(Clone)]
pub struct ShardRows {
    pub(super) index: Arc<RwLock<KeyTable>>,
    pub(super) chunks: Vec<Arc<Chunk>>,
    /// By group.
    pub(super) places: Vec<Arc<Vec<Place>>>,
}

#[derive(Clone)]
pub(super) struct Chunk {
    pub rows: RecordBatch,
    pub groups: Arc<[u32]>,
    /// How often each row is there. One that is not any more has zero; less than that has one that was taken back before it came.
    pub weights: Vec<i64>,
    /// Rows whose weight is not zero.
    pub live: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub chunk: u32,
    pub row: u32,
}

impl Place {
    pub const NONE: Place = Place { chunk: u32::MAX, row: 0 };
    /// The row is among those about to be appended, with this number.
    pub const PENDING: u32 = u32::MAX - 1;
}

impl ShardRows {
    /// No rows.
    ///
    /// # Errors
    /// Rows of these types cannot be compared.
    pub fn empty(shape: &Shape) -> Result<ShardRows> {
        let index = Arc::new(RwLock::new(key_table(&shape.schema, &shape.key)?));
        Ok(ShardRows { index, chunks: Vec::new(), places: Vec::new() })
    }

    pub(super) fn place(&self, group: u32) -> Place {
        self.places.get(group as usize / PAGE).map_or(Place::NONE, |page| page[group as usize % PAGE])
    }

    pub(super) fn place_mut(&mut self, group: u32) -> &mut Place {
        &mut Arc::make_mut(&mut self.places[group as usize / PAGE])[group as usize % PAGE]
    }

    pub(super) fn weight(&self, Place { chunk, row }: Place) -> i64 {
        self.chunks[chunk as usize].weights[row as usize]
    }

    /// How many different rows there are.
    pub fn live(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.live).sum()
    }

    /// The places of the rows of these keys.
    pub(super) fn find(&self, keys: &[ArrayRef], rows: usize) -> Result<Vec<Option<Place>>> {
        let groups = read(&self.index).find(keys, rows)?;
        let place = |group: Option<u32>| group.map(|group| self.place(group)).filter(|&place| place != Place::NONE);
        Ok(groups.into_iter().map(place).collect())
    }

    /// For the keys `keys`, the rows that they have: which key each is of, and the row.
    pub fn lookup(&self, keys: &[ArrayRef], schema: &SchemaRef) -> Result<(Vec<u32>, RecordBatch)> {
        let rows = keys.first().map_or(0, |column| column.len());
        let (mut of, mut places) = (Vec::new(), Vec::new());
        for (key, place) in (0u32..).zip(self.find(keys, rows)?) {
            for _ in 0..place.map_or(0, |place| self.weight(place).max(0)) {
                of.push(key);
                places.extend(place);
            }
        }
        Ok((of, self.at(&places, schema)?))
    }

    fn at(&self, places: &[Place], schema: &SchemaRef) -> Result<RecordBatch> {
        if places.is_empty() {
            return Ok(RecordBatch::new_empty(Arc::clone(schema)));
        }
        let batches: Vec<&RecordBatch> = self.chunks.iter().map(|chunk| &chunk.rows).collect();
        let from: Vec<(usize, usize)> = places.iter().map(|place| (place.chunk as usize, place.row as usize)).collect();
        Ok(interleave_record_batch(&batches, &from)?)
    }

    /// The rows of these groups, which have some, and their weights.
    pub(super) fn take(&self, groups: &[u32], schema: &SchemaRef) -> Result<(RecordBatch, Int64Array)> {
        let places: Vec<Place> = groups.iter().map(|&group| self.place(group)).collect();
        let weights = places.iter().map(|&place| self.weight(place)).collect();
        Ok((self.at(&places, schema)?, weights))
    }

    /// All rows and their weights.
    pub(super) fn all(&self, schema: &SchemaRef) -> Result<(RecordBatch, Int64Array)> {
        let (mut from, mut weights) = (Vec::new(), Vec::new());
        for (n, chunk) in self.chunks.iter().enumerate() {
            for (row, &weight) in chunk.weights.iter().enumerate().filter(|(_, weight)| **weight != 0) {
                from.push((n, row));
                weights.push(weight);
            }
        }
        if from.is_empty() {
            return Ok((RecordBatch::new_empty(Arc::clone(schema)), Int64Array::from(weights)));
        }
        let batches: Vec<&RecordBatch> = self.chunks.iter().map(|chunk| &chunk.rows).collect();
        Ok((interleave_record_batch(&batches, &from)?, Int64Array::from(weights)))
    }

    /// The rows that are there, as often as they are, chunk by chunk; of them the columns `projection`.
    pub fn batches(&self, projection: &[usize]) -> impl Iterator<Item = Result<RecordBatch>> {
        self.chunks.iter().filter(|chunk| chunk.live > 0).map(|chunk| chunk.shown(projection))
    }

    /// Adds to `net`, of which the columns are `projection` of those here, what has changed since `before`.
    pub fn changes_since(&self, before: &ShardRows, projection: &[usize], net: &mut Net) -> Result<()> {
        for n in 0..self.chunks.len().max(before.chunks.len()) {
            let (now, then) = (self.chunks.get(n), before.chunks.get(n));
            match (now, then) {
                (Some(now), Some(then)) if Arc::ptr_eq(now, then) => {}
                // The same rows, which are there more or less often.
                (Some(now), Some(then)) if Arc::ptr_eq(&now.groups, &then.groups) => {
                    let weights = now.weights.iter().zip(&then.weights);
                    now.add_to(weights.map(|(now, then)| now.max(&0) - then.max(&0)), projection, net)?;
                }
                _ => {
                    if let Some(then) = then {
                        then.add_to(then.weights.iter().map(|weight| -weight.max(&0)), projection, net)?;
                    }
                    if let Some(now) = now {
                        now.add_to(now.weights.iter().map(|weight| *weight.max(&0)), projection, net)?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Chunk {
    pub(super) fn empty(schema: &SchemaRef) -> Chunk {
        let rows = RecordBatch::new_empty(Arc::clone(schema));
        Chunk { rows, groups: Arc::default(), weights: Vec::new(), live: 0 }
    }

    pub(super) fn is_thin(&self) -> bool {
        self.live * 2 < self.weights.len()
    }

    fn shown(&self, projection: &[usize]) -> Result<RecordBatch> {
        let rows = self.rows.project(projection)?;
        if self.weights.iter().all(|&weight| weight == 1) {
            return Ok(rows);
        }
        let times = (0u32..).zip(&self.weights);
        let each = times.flat_map(|(row, &weight)| std::iter::repeat_n(row, weight.max(0) as usize));
        // Also right without columns, as they are for COUNT(*).
        Ok(Batch::append(rows).take(&each.collect::<UInt32Array>())?.into_rows())
    }

    /// Adds its rows to `net`, with weights that are given for each, and may be zero.
    fn add_to(&self, weights: impl Iterator<Item = i64>, projection: &[usize], net: &mut Net) -> Result<()> {
        let (rows, weights): (Vec<u32>, Vec<i64>) = (0u32..).zip(weights).filter(|(_, weight)| *weight != 0).unzip();
        if rows.is_empty() {
            return Ok(());
        }
        let changed = take_record_batch(&self.rows.project(projection)?, &UInt32Array::from(rows))?;
        net.add(&changed, weights)
    }
}

/// Nothing panics while holding such a lock.
pub(super) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
