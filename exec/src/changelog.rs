//! The edge of the engine, where weights become Flink's row kinds.

use std::fmt;

use arrow::array::RecordBatch;

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
