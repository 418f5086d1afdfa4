//! What a view shows: the rows of all its shards as of one epoch.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_arrays};
use arrow::datatypes::SchemaRef;
use tidemill_state::{KeyGroup, hash_rows};

use super::{Net, Shape, ShardRows};
use crate::error::Result;
use crate::message::Batch;

/// Never changes, and holds what it shows for as long as somebody has it.
pub struct Version {
    shape: Arc<Shape>,
    shards: Vec<ShardRows>,
}

impl Version {
    pub(super) fn new(shape: &Arc<Shape>, shards: Vec<ShardRows>) -> Version {
        Version { shape: Arc::clone(shape), shards }
    }

    /// Without rows.
    ///
    /// # Errors
    /// Rows of these types cannot be compared.
    pub fn empty(shape: &Arc<Shape>) -> Result<Version> {
        Ok(Version::new(shape, vec![ShardRows::empty(shape)?]))
    }

    /// The columns `projection` of all rows, in batches.
    pub fn batches(&self, projection: &[usize]) -> Result<Vec<RecordBatch>> {
        self.shards.iter().flat_map(|shard| shard.batches(projection)).collect()
    }

    /// By key: of which of `keys` each row is, and the row.
    pub(super) fn lookup(&self, keys: &[ArrayRef]) -> Result<(UInt32Array, RecordBatch)> {
        let schema = &self.shape.schema;
        if let [only] = &self.shards[..] {
            let (of, rows) = only.lookup(keys, schema)?;
            return Ok((of.into(), rows));
        }
        // As rows have found their shard.
        let mut keys_of: Vec<Vec<u32>> = vec![Vec::new(); self.shards.len()];
        for (key, hash) in (0u32..).zip(hash_rows(keys)?) {
            keys_of[usize::from(KeyGroup::of(hash).shard(self.shards.len() as u16))].push(key);
        }
        let (mut of, mut rows) = (Vec::new(), Vec::new());
        for (shard, numbers) in self.shards.iter().zip(keys_of).filter(|(_, numbers)| !numbers.is_empty()) {
            let numbers = UInt32Array::from(numbers);
            let (found, of_shard) = shard.lookup(&take_arrays(keys, &numbers, None)?, schema)?;
            of.extend(found.iter().map(|&key| numbers.value(key as usize)));
            rows.push(of_shard);
        }
        Ok((of.into(), concat_batches(schema, &rows)?))
    }

    /// What has changed since `before`, an earlier version of the same view or an empty one: in the columns `projection`, of which
    /// `schema` is, and `identity` that of the view if it is among them.
    ///
    /// Cost: that of the chunks that have changed.
    pub fn changes_since(
        &self,
        before: &Version,
        projection: &[usize],
        schema: &SchemaRef,
        identity: Option<&[usize]>,
    ) -> Result<Batch> {
        let mut net = Net::new(schema)?;
        let nothing = ShardRows::empty(&self.shape)?;
        for n in 0..self.shards.len().max(before.shards.len()) {
            let (now, then) = (self.shards.get(n).unwrap_or(&nothing), before.shards.get(n).unwrap_or(&nothing));
            now.changes_since(then, projection, &mut net)?;
        }
        net.take_changes(identity)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version({} rows)", self.shards.iter().map(ShardRows::live).sum::<usize>())
    }
}
