//! What travels along an edge of the job graph, in order.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute;
use arrow::datatypes::SchemaRef;
use tidemill_state::{CheckpointId, Epoch, EventTime};

use crate::error::{Error, Result};

#[derive(Clone, Debug)]
pub enum Message {
    /// Changed rows, and where among them the watermark rises. Never without rows.
    Batch(Batch),
    /// No later row on this edge has an event time at or before this one. Rises on every edge.
    Watermark(EventTime),
    /// This edge is idle for now: leave it out of the minimum until the next message.
    Idle,
    /// Everything before this belongs to `epoch`, everything after to the next.
    Barrier(Barrier),
    /// Goes round a loop once, and never leaves it.
    Round(Round),
    /// The edge is finished; nothing follows.
    End,
}

/// Rows that changed, each with a weight: +1 appears, -1 disappears.
#[derive(Clone, Debug)]
pub struct Batch {
    rows: RecordBatch,
    /// `None` means every row has weight +1, so append-only streams pay nothing.
    changes: Option<Box<ChangeColumns>>,
    /// `None`: the watermark does not rise within this batch.
    marks: Option<Arc<[Mark]>>,
}

/// A watermark within a batch, so that which rows are late does not depend on how rows are cut into batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// How many rows of the batch come before it.
    pub row: usize,
    /// As in [`Message::Watermark`].
    pub time: EventTime,
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
        Batch { rows, changes: None, marks: None }
    }

    pub fn new(rows: RecordBatch, weights: Option<Int64Array>) -> Batch {
        debug_assert!(weights.as_ref().is_none_or(|w| w.len() == rows.num_rows() && w.null_count() == 0));
        let changes = weights.map(|weights| Box::new(ChangeColumns { weights, updates: None }));
        Batch { rows, changes, marks: None }
    }

    /// Changes of which some are halves of updates.
    pub fn with_updates(rows: RecordBatch, weights: Int64Array, updates: BooleanArray) -> Batch {
        debug_assert_eq!(updates.len(), rows.num_rows());
        Batch { rows, changes: Some(Box::new(ChangeColumns { weights, updates: Some(updates) })), marks: None }
    }

    /// The same rows with the watermark rising where `marks` say: in order of rows and of times.
    pub fn with_marks(mut self, marks: Vec<Mark>) -> Batch {
        debug_assert!(marks.is_sorted_by(|a, b| a.row <= b.row && a.time < b.time));
        debug_assert!(marks.last().is_none_or(|mark| mark.row <= self.len()));
        self.marks = (!marks.is_empty()).then(|| marks.into());
        self
    }

    /// Where the watermark rises, in order.
    pub fn marks(&self) -> &[Mark] {
        self.marks.as_deref().unwrap_or_default()
    }

    /// The watermark behind the last row, if it rises within this batch.
    pub fn last_mark(&self) -> Option<EventTime> {
        self.marks().last().map(|mark| mark.time)
    }

    /// The rows without their marks.
    pub fn without_marks(mut self) -> Batch {
        self.marks = None;
        self
    }

    /// The marks, each with as many rows before it as `row_of` says of its row; of several in one place the last.
    fn moved_marks(&self, row_of: impl Fn(usize) -> usize) -> Option<Arc<[Mark]>> {
        let mut moved: Vec<Mark> = Vec::with_capacity(self.marks().len());
        for mark in self.marks.as_deref()? {
            let mark = Mark { row: row_of(mark.row), time: mark.time };
            match moved.last_mut() {
                Some(last) if last.row == mark.row => *last = mark,
                _ => moved.push(mark),
            }
        }
        Some(moved.into())
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
        Batch { rows, changes: self.changes.clone(), marks: self.marks.clone() }
    }

    /// Rows made from the rows of this batch: row `i` of `rows` from row `origin[i]`, whose change it shares. Marks go along if
    /// `origin` ascends; in any other order they would mean nothing.
    pub fn derived(&self, rows: RecordBatch, origin: &UInt32Array) -> Result<Batch> {
        debug_assert_eq!(rows.num_rows(), origin.len());
        let changes =
            self.changes.as_deref().map(|changes| changes.each(|column| Ok(compute::take(column, origin, None)?)));
        debug_assert!(self.marks.is_none() || origin.values().is_sorted());
        let marks = self.moved_marks(|row| origin.values().partition_point(|&from| (from as usize) < row));
        Ok(Batch { rows, changes: changes.transpose()?, marks })
    }

    /// Keeps the rows where `keep` is true; null counts as false.
    pub fn filter(&self, keep: &BooleanArray) -> Result<Batch> {
        let rows = compute::filter_record_batch(&self.rows, keep)?;
        let changes = self.changes.as_deref().map(|changes| changes.each(|column| Ok(compute::filter(column, keep)?)));
        let marks = match &self.marks {
            None => None,
            Some(_) => {
                let kept: Vec<u32> = kept_before(keep);
                self.moved_marks(|row| kept[row] as usize)
            }
        };
        Ok(Batch { rows, changes: changes.transpose()?, marks })
    }

    /// The rows at `indices`, in that order; an index may repeat.
    pub fn take(&self, indices: &UInt32Array) -> Result<Batch> {
        let columns = compute::take_arrays(self.rows.columns(), indices, None)?;
        let options = RecordBatchOptions::new().with_row_count(Some(indices.len()));
        self.derived(RecordBatch::try_new_with_options(self.rows.schema(), columns, &options)?, indices)
    }

    /// `length` rows from `offset` on. A mark between two slices belongs to the first.
    pub fn slice(&self, offset: usize, length: usize) -> Batch {
        let changes = self.changes.as_ref().map(|changes| {
            Box::new(ChangeColumns {
                weights: changes.weights.slice(offset, length),
                updates: changes.updates.as_ref().map(|updates| updates.slice(offset, length)),
            })
        });
        let within = |mark: &&Mark| (mark.row > offset || offset == 0) && mark.row <= offset + length;
        let marks = self.marks().iter().filter(within).map(|mark| Mark { row: mark.row - offset, ..*mark });
        Batch { rows: self.rows.slice(offset, length), changes, marks: None }.with_marks(marks.collect())
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
        let mut marks: Vec<Mark> = Vec::new();
        let mut before = 0;
        for batch in batches {
            marks.extend(batch.marks().iter().map(|mark| Mark { row: before + mark.row, ..*mark }));
            before += batch.len();
        }
        Ok(Batch { rows, changes, marks: None }.with_marks(marks))
    }
}

/// For each row, and behind the last, how many rows before it are kept.
fn kept_before(keep: &BooleanArray) -> Vec<u32> {
    let mut kept = 0;
    let mut before = Vec::with_capacity(keep.len() + 1);
    before.push(0);
    before.extend(keep.iter().map(|keep| {
        kept += u32::from(keep == Some(true));
        kept
    }));
    before
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
    /// Processing time: the wall clock when it was handed to the sources. Rows behind the barrier are read later.
    pub time: EventTime,
    /// The checkpoint to take here, if this epoch is one.
    pub checkpoint: Option<CheckpointId>,
    /// Tasks end behind it, as they are: nothing more is read, and nothing open is closed.
    pub stops: bool,
}

impl Barrier {
    /// The barrier that closes `epoch` at the end of input, when processing time is over too.
    pub fn at_end(epoch: Epoch) -> Barrier {
        Barrier { epoch, time: EventTime::MAX, checkpoint: None, stops: false }
    }
}

/// A token that the heads of a loop send round behind their rows, to learn whether anything still moves in it. See [`Rounds`].
///
/// [`Rounds`]: crate::exchange::Rounds
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// The epoch that was open when it was sent. It does not outlive it.
    pub epoch: Epoch,
    /// From 1 in each epoch.
    pub number: u64,
    /// Rows that a head has sent since its last token: the most of any head.
    pub rows: u64,
    /// Some input of the loop has not ended.
    pub open: bool,
}

impl Round {
    /// What two lanes say together.
    pub fn merged(self, other: Round) -> Round {
        debug_assert_eq!((self.epoch, self.number), (other.epoch, other.number), "a token waits for its like");
        Round { rows: self.rows.max(other.rows), open: self.open || other.open, ..self }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rows;

    fn marked(words: &[&str], marks: &[(usize, i64)]) -> Batch {
        let marks = marks.iter().map(|&(row, time)| Mark { row, time: EventTime(time) });
        Batch::append(rows(words)).with_marks(marks.collect())
    }

    fn marks(batch: &Batch) -> Vec<(usize, i64)> {
        batch.marks().iter().map(|mark| (mark.row, mark.time.0)).collect()
    }

    #[test]
    fn marks_stay_between_the_rows_they_stood_between() {
        let batch = marked(&["a", "b", "c", "d"], &[(0, 1), (1, 2), (3, 3), (4, 4)]);
        let keep = BooleanArray::from(vec![false, true, false, true]);
        assert_eq!(marks(&batch.filter(&keep).expect("rows are filtered")), [(0, 2), (1, 3), (2, 4)]);
        let twice = UInt32Array::from(vec![1, 1, 3]);
        assert_eq!(marks(&batch.take(&twice).expect("rows are taken")), [(0, 2), (2, 3), (3, 4)]);
        let (first, second) = (batch.slice(0, 3), batch.slice(3, 1));
        assert_eq!((marks(&first), marks(&second)), (vec![(0, 1), (1, 2), (3, 3)], vec![(1, 4)]));
        let whole = Batch::concat(&batch.rows().schema(), &[first, second]).expect("batches of one schema");
        assert_eq!(marks(&whole), marks(&batch));
    }
}
