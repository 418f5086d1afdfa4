//! The edge of the engine, where weights become Flink's row kinds.

use std::fmt;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute;

use crate::error::Result;
use crate::message::Batch;

/// What a change means to somebody who keeps rows by key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowKind {
    Insert,
    UpdateBefore,
    UpdateAfter,
    Delete,
}

impl RowKind {
    /// `+I`, `-U`, `+U`, `-D`
    pub fn label(self) -> &'static str {
        match self {
            RowKind::Insert => "+I",
            RowKind::UpdateBefore => "-U",
            RowKind::UpdateAfter => "+U",
            RowKind::Delete => "-D",
        }
    }

    /// Whether the row appears (`+I`, `+U`) rather than disappears.
    pub fn is_positive(self) -> bool {
        matches!(self, RowKind::Insert | RowKind::UpdateAfter)
    }
}

impl fmt::Display for RowKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// Rows with their kinds, as sinks see them.
#[derive(Clone, Debug)]
pub struct ChangeBatch {
    pub rows: RecordBatch,
    /// One per row; `None` means every row is `+I`.
    pub kinds: Option<Vec<RowKind>>,
}

impl ChangeBatch {
    pub fn inserts(rows: RecordBatch) -> ChangeBatch {
        ChangeBatch { rows, kinds: None }
    }

    pub fn kind(&self, row: usize) -> RowKind {
        self.kinds.as_ref().map_or(RowKind::Insert, |kinds| kinds[row])
    }
}

/// Turns weights into kinds: the one place where this is done. A weight of n stands for n changes.
pub fn fold(batch: &Batch) -> Result<ChangeBatch> {
    let Some(weights) = batch.weights() else { return Ok(ChangeBatch::inserts(batch.rows().clone())) };
    let mut kinds = Vec::with_capacity(weights.len());
    let mut indices: Vec<u32> = Vec::with_capacity(weights.len());
    for (row, &weight) in weights.values().iter().enumerate() {
        let kind = match (weight > 0, batch.is_update(row)) {
            (true, false) => RowKind::Insert,
            (true, true) => RowKind::UpdateAfter,
            (false, true) => RowKind::UpdateBefore,
            (false, false) => RowKind::Delete,
        };
        for _ in 0..weight.unsigned_abs() {
            kinds.push(kind);
            indices.push(row as u32);
        }
    }
    let rows = if indices.len() == weights.len() {
        batch.rows().clone()
    } else {
        compute::take_record_batch(batch.rows(), &UInt32Array::from(indices))?
    };
    Ok(ChangeBatch { rows, kinds: Some(kinds) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rows;
    use arrow::array::{BooleanArray, Int64Array};

    fn kinds(weights: &[i64], updates: &[bool]) -> Vec<&'static str> {
        let words: Vec<&str> = weights.iter().map(|_| "word").collect();
        let (weights, updates) = (Int64Array::from(weights.to_vec()), BooleanArray::from(updates.to_vec()));
        let folded = fold(&Batch::with_updates(rows(&words), weights, updates)).expect("words fold");
        assert_eq!(folded.rows.num_rows(), folded.kinds.as_ref().map_or(0, Vec::len));
        folded.kinds.into_iter().flatten().map(RowKind::label).collect()
    }

    #[test]
    fn weight_and_mark_make_the_kind() {
        assert_eq!(kinds(&[1, -1, 1, -1], &[false, true, true, false]), ["+I", "-U", "+U", "-D"]);
    }

    #[test]
    fn a_weight_of_two_is_two_changes() {
        assert_eq!(kinds(&[2, -2], &[false, false]), ["+I", "+I", "-D", "-D"]);
    }
}
