//! What travels along an edge of the job graph, in order.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute;
use arrow::datatypes::SchemaRef;
use tidemill_state::{CheckpointId, Epoch, EventTime};

use crate::error::{Error, Result};

#[derive(Clone, Debug)]
pub enum Message {
    /// Changed rows. Never empty.
    Batch(Batch),
    /// No later row on this edge has an event time at or before this one. Rises on every edge.
    Watermark(EventTime),
    /// This edge is idle for now: leave it out of the minimum until the next message.
    Idle,
    /// Everything before this belongs to `epoch`, everything after to the next.
    Barrier(Barrier),
    /// The edge is finished; nothing follows.
    End,
}

/// Rows that changed, each with a weight: +1 appears, -1 disappears.
#[derive(Clone, Debug)]
pub struct Batch {
    rows: RecordBatch,
    /// `None` means every row has weight +1, so append-only streams pay nothing.
    changes: Option<Box<ChangeColumns>>,
}

/// What happens to each row. Invariants: both have a value per row, no weight is zero or null.
#[derive(Clone, Debug)]
struct ChangeColumns {
    weights: Int64Array,
    /// True where a row takes part in an update: it disappears because another one of its key appears, or the other way round. Computes
    /// nothing; it is what tells `-U` and `+U` from `-D` and `+I` at the edge. `None`: no row does.
    updates: Option<BooleanArray>,
}

impl Batch {
    /// Rows that all appear once.
    pub fn append(rows: RecordBatch) -> Batch {
        Batch { rows, changes: None }
    }

    pub fn new(rows: RecordBatch, weights: Option<Int64Array>) -> Batch {
        debug_assert!(weights.as_ref().is_none_or(|w| w.len() == rows.num_rows() && w.null_count() == 0));
        Batch { rows, changes: weights.map(|weights| Box::new(ChangeColumns { weights, updates: None })) }
    }

    /// Changes of which some are halves of updates.
    pub fn with_updates(rows: RecordBatch, weights: Int64Array, updates: BooleanArray) -> Batch {
        debug_assert_eq!(updates.len(), rows.num_rows());
        Batch { rows, changes: Some(Box::new(ChangeColumns { weights, updates: Some(updates) })) }
    }

    pub fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    /// One weight per row, or `None` if all are +1.
    pub fn weights(&self) -> Option<&Int64Array> {
        self.changes.as_ref().map(|changes| &changes.weights)
    }

    pub fn weight(&self, row: usize) -> i64 {
        self.changes.as_ref().map_or(1, |changes| changes.weights.value(row))
    }

    /// Whether the row is one half of an update.
    pub fn is_update(&self, row: usize) -> bool {
        let updates = self.changes.as_ref().and_then(|changes| changes.updates.as_ref());
        updates.is_some_and(|updates| updates.value(row))
    }

    /// The rows, whatever happens to them.
    pub fn into_rows(self) -> RecordBatch {
        self.rows
    }

    pub fn len(&self) -> usize {
        self.rows.num_rows()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes held, for channel budgets.
    pub fn bytes(&self) -> usize {
        // A slice of a large buffer counts the whole buffer in `get_array_memory_size`; what matters here is what is sent.
        let size = |column: &ArrayRef| {
            column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
        };
        self.rows.columns().iter().map(size).sum::<usize>() + self.weights().map_or(0, |weights| weights.len() * 8)
    }

    /// Other columns for the same rows.
    pub fn with_rows(&self, rows: RecordBatch) -> Batch {
        debug_assert_eq!(rows.num_rows(), self.len());
        Batch { rows, changes: self.changes.clone() }
    }

    /// Rows made from the rows of this batch: row `i` of `rows` from row `origin[i]`, whose change it shares.
    pub fn derived(&self, rows: RecordBatch, origin: &UInt32Array) -> Result<Batch> {
        debug_assert_eq!(rows.num_rows(), origin.len());
        let changes =
            self.changes.as_deref().map(|changes| changes.each(|column| Ok(compute::take(column, origin, None)?)));
        Ok(Batch { rows, changes: changes.transpose()? })
    }

    /// Keeps the rows where `keep` is true; null counts as false.
    pub fn filter(&self, keep: &BooleanArray) -> Result<Batch> {
        let rows = compute::filter_record_batch(&self.rows, keep)?;
        let changes = self.changes.as_deref().map(|changes| changes.each(|column| Ok(compute::filter(column, keep)?)));
        Ok(Batch { rows, changes: changes.transpose()? })
    }

    /// The rows at `indices`, in that order; an index may repeat.
    pub fn take(&self, indices: &UInt32Array) -> Result<Batch> {
        self.derived(compute::take_record_batch(&self.rows, indices)?, indices)
    }

    pub fn slice(&self, offset: usize, length: usize) -> Batch {
        let changes = self.changes.as_ref().map(|changes| {
            Box::new(ChangeColumns {
                weights: changes.weights.slice(offset, length),
                updates: changes.updates.as_ref().map(|updates| updates.slice(offset, length)),
            })
        });
        Batch { rows: self.rows.slice(offset, length), changes }
    }

    /// All rows of `batches` in order. `batches` is not empty and of one schema.
    pub fn concat(schema: &SchemaRef, batches: &[Batch]) -> Result<Batch> {
        if let [only] = batches {
            return Ok(only.clone());
        }
        let rows = compute::concat_batches(schema, batches.iter().map(Batch::rows))?;
        let all = || batches.iter().flat_map(|batch| (0..batch.len()).map(move |row| (batch, row)));
        let changes = batches.iter().any(|batch| batch.changes.is_some()).then(|| {
            Box::new(ChangeColumns {
                weights: all().map(|(batch, row)| batch.weight(row)).collect(),
                updates: Some(all().map(|(batch, row)| Some(batch.is_update(row))).collect()),
            })
        });
        Ok(Batch { rows, changes })
    }
}

impl ChangeColumns {
    /// Both columns with the same kernel applied.
    fn each(&self, kernel: impl Fn(&dyn Array) -> Result<ArrayRef>) -> Result<Box<ChangeColumns>> {
        let updates = self.updates.as_ref().map(|updates| Ok::<_, Error>(kernel(updates)?.as_boolean().clone()));
        Ok(Box::new(ChangeColumns {
            weights: kernel(&self.weights)?.as_primitive().clone(),
            updates: updates.transpose()?,
        }))
    }
}

/// A cut through the stream. Created by the coordinator, carried by the data.
///
/// Every barrier closes an epoch (net changes are emitted, results so far are consistent); some are checkpoints too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Barrier {
    pub epoch: Epoch,
    /// The checkpoint to take here, if this epoch is one.
    pub checkpoint: Option<CheckpointId>,
}

/// What kinds of change a stream contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// Only weight +1.
    Append,
    /// Any weights; a retraction repeats the whole row. If the rows have a key, at most one row per key is live after each epoch.
    Retract { key: Option<Vec<usize>> },
}

impl Changes {
    pub fn is_append(&self) -> bool {
        matches!(self, Changes::Append)
    }

    /// The columns that identify a live row, if any are known.
    pub fn key(&self) -> Option<&[usize]> {
        match self {
            Changes::Append => None,
            Changes::Retract { key } => key.as_deref(),
        }
    }
}
