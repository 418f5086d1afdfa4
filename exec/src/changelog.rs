//! The edge of the engine, where weights become Flink's row kinds.

use std::fmt;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute;

use crate::compare::comparator;
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

/// Turns weights into kinds: the one place where this is done.
///
/// A row that disappears directly before another of the same key appears is an update (`-U`, `+U`); any other is an insert or a
/// delete. `key` are the columns that identify a row; without a known key, neighbours count as one update. A weight of n stands for
/// n changes.
pub fn fold(batch: &Batch, key: Option<&[usize]>) -> Result<ChangeBatch> {
    let Some(weights) = batch.weights() else { return Ok(ChangeBatch::inserts(batch.rows().clone())) };
    let weights = weights.values();
    let is_update = |row: usize| weights[row] == -1 && weights.get(row + 1) == Some(&1);
    let same_key = match key {
        Some(key) if !key.is_empty() && (0..weights.len()).any(is_update) => {
            key.iter().map(|&column| comparator(batch.rows().column(column))).collect::<Result<Vec<_>>>()?
        }
        _ => Vec::new(),
    };
    let mut kinds = Vec::with_capacity(weights.len());
    let mut indices: Vec<u32> = Vec::with_capacity(weights.len());
    let mut row = 0;
    while row < weights.len() {
        let index = row as u32;
        if is_update(row) && same_key.iter().all(|compare| compare(row, row + 1).is_eq()) {
            kinds.extend([RowKind::UpdateBefore, RowKind::UpdateAfter]);
            indices.extend([index, index + 1]);
            row += 2;
        } else {
            let kind = if weights[row] > 0 { RowKind::Insert } else { RowKind::Delete };
            for _ in 0..weights[row].unsigned_abs() {
                kinds.push(kind);
                indices.push(index);
            }
            row += 1;
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
    use arrow::array::Int64Array;

    fn kinds(words: &[&str], weights: &[i64], key: Option<&[usize]>) -> Vec<&'static str> {
        let batch = Batch::new(rows(words), Some(Int64Array::from(weights.to_vec())));
        let folded = fold(&batch, key).expect("words have a row format");
        assert_eq!(folded.rows.num_rows(), folded.kinds.as_ref().map_or(0, Vec::len));
        folded.kinds.into_iter().flatten().map(RowKind::label).collect()
    }

    #[test]
    fn a_row_replaced_by_another_of_its_key_is_an_update_and_else_a_delete_and_an_insert() {
        assert_eq!(kinds(&["a", "a", "b"], &[-1, 1, -1], Some(&[0])), ["-U", "+U", "-D"]);
        assert_eq!(kinds(&["a", "b"], &[-1, 1], Some(&[0])), ["-D", "+I"]);
        assert_eq!(kinds(&["a", "b"], &[-1, 1], None), ["-U", "+U"]);
        assert_eq!(kinds(&["a", "b"], &[-1, 1], Some(&[])), ["-U", "+U"], "one row in all");
        assert_eq!(kinds(&["a", "b"], &[1, -1], None), ["+I", "-D"]);
    }

    #[test]
    fn a_weight_of_two_is_two_changes() {
        assert_eq!(kinds(&["a", "b"], &[2, -2], None), ["+I", "+I", "-D", "-D"]);
    }
}
