//! Window top-N and window deduplication: `ROW_NUMBER() OVER (PARTITION BY window_start, window_end, ... ORDER BY ...) <= n`.

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;

use super::TimeKind;
use crate::error::{Error, Result};
use crate::operator::{ExplainLine, Operator, OperatorSpec, ShardContext};

/// By which column, in which direction, with nulls where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    pub column: usize,
    pub options: SortOptions,
}

/// The rows of each window and key whose place in the order is between `first` and `last`, when the window closes.
///
/// Of rows that are equal in the order, the one that came first comes first; but where `last` is 1 and the order is by descending time
/// ("keep the last row"), the one that came last.
#[derive(Debug)]
pub struct WindowRank {
    /// Columns of the input: `window_start`, `window_end`, `window_time`.
    pub window: (usize, usize, usize),
    pub kind: TimeKind,
    /// Further columns of PARTITION BY.
    pub keys: Vec<usize>,
    pub order: Vec<Order>,
    /// Counted from 1.
    pub first: u64,
    pub last: u64,
    /// A last column says the place of the row, from 1.
    pub numbered: bool,
    /// Of rows equal in the order the last comes first.
    pub later_first: bool,
    /// The input's fields, and if `numbered` a BIGINT.
    pub schema: SchemaRef,
}

impl OperatorSpec for WindowRank {
    fn name(&self) -> &'static str {
        "window-rank"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, _line: &mut ExplainLine) {}

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        Err(Error::new("window-rank is to come"))
    }
}
