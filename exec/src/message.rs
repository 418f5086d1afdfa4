//! What travels along an edge of the job graph, in order.

use arrow::array::{Array, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute;
use arrow::datatypes::SchemaRef;
use tidemill_state::{CheckpointId, Epoch, EventTime};

use crate::error::Result;

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
///
/// `weights: None` means every row has weight +1, so append-only streams pay nothing.
/// Invariant: `weights.len() == rows.num_rows()`, no weight is zero or null.
#[derive(Clone, Debug)]
pub struct Batch {
    rows: RecordBatch,
    weights: Option<Int64Array>,
}

impl Batch {
    /// Rows that all appear once.
    pub fn append(rows: RecordBatch) -> Batch {
        Batch { rows, weights: None }
    }

    pub fn new(rows: RecordBatch, weights: Option<Int64Array>) -> Batch {
        debug_assert!(weights.as_ref().is_none_or(|w| w.len() == rows.num_rows() && w.null_count() == 0));
        Batch { rows, weights }
    }

    pub fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    /// One weight per row, or `None` if all are +1.
    pub fn weights(&self) -> Option<&Int64Array> {
        self.weights.as_ref()
    }

    pub fn weight(&self, row: usize) -> i64 {
        self.weights.as_ref().map_or(1, |weights| weights.value(row))
    }

    pub fn into_parts(self) -> (RecordBatch, Option<Int64Array>) {
        (self.rows, self.weights)
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
        self.rows
            .columns()
            .iter()
            .map(|c| c.to_data().get_slice_memory_size().unwrap_or_else(|_| c.get_array_memory_size()))
            .sum::<usize>()
            + self.weights.as_ref().map_or(0, |w| w.len() * 8)
    }

    /// Other columns for the same rows.
    pub fn with_rows(&self, rows: RecordBatch) -> Batch {
        Batch::new(rows, self.weights.clone())
    }

    /// Keeps the rows where `keep` is true; null counts as false.
    pub fn filter(&self, keep: &BooleanArray) -> Result<Batch> {
        let rows = compute::filter_record_batch(&self.rows, keep)?;
        let weights = match &self.weights {
            Some(weights) => Some(downcast(compute::filter(weights, keep)?)),
            None => None,
        };
        Ok(Batch { rows, weights })
    }

    /// The rows at `indices`, in that order; an index may repeat.
    pub fn take(&self, indices: &UInt32Array) -> Result<Batch> {
        let rows = compute::take_record_batch(&self.rows, indices)?;
        let weights = match &self.weights {
            Some(weights) => Some(downcast(compute::take(weights, indices, None)?)),
            None => None,
        };
        Ok(Batch { rows, weights })
    }

    pub fn slice(&self, offset: usize, length: usize) -> Batch {
        Batch { rows: self.rows.slice(offset, length), weights: self.weights.as_ref().map(|w| w.slice(offset, length)) }
    }

    /// All rows of `batches` in order. `batches` is not empty and of one schema.
    pub fn concat(schema: &SchemaRef, batches: &[Batch]) -> Result<Batch> {
        if let [only] = batches {
            return Ok(only.clone());
        }
        let rows = compute::concat_batches(schema, batches.iter().map(Batch::rows))?;
        let weights = batches
            .iter()
            .any(|b| b.weights.is_some())
            .then(|| batches.iter().flat_map(|b| (0..b.len()).map(|row| b.weight(row))).collect::<Int64Array>());
        Ok(Batch { rows, weights })
    }
}

fn downcast(array: arrow::array::ArrayRef) -> Int64Array {
    use arrow::array::AsArray;
    array.as_primitive::<arrow::datatypes::Int64Type>().clone()
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
