//! `GROUP BY window_start, window_end, ...`

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::TimeKind;
use crate::error::{Error, Result};
use crate::operator::{ExplainLine, Operator, OperatorSpec, ShardContext};
use crate::operators::AggregateColumn;
use crate::window::Windows;

/// Which window, or slice of windows, a row belongs to.
#[derive(Clone, Debug)]
pub enum RowWindow {
    /// The slice that its time is in: a column of the input, a `Timestamp` in milliseconds.
    Slice { windows: Windows, time: usize },
    /// The one that columns of the input name: start and end (`Timestamp`s in milliseconds, of the local clock), and `window_time`.
    Attached { start: usize, end: usize, time: usize },
}

/// Results per key and window, when the window closes. Emits the key columns, `window_start`, `window_end`, `window_time`, then one column
/// per aggregate.
#[derive(Debug)]
pub struct WindowAggregate {
    pub window: RowWindow,
    pub kind: TimeKind,
    /// Columns of the input.
    pub keys: Vec<usize>,
    pub columns: Vec<AggregateColumn>,
    pub input: SchemaRef,
    /// The input are the rows of a [`LocalWindowAggregate`] with the same windows, keys and aggregates.
    pub partial: bool,
    pub schema: SchemaRef,
}

/// Partial states per key and slice, before an exchange: the key columns, the slice's end, the net number of rows, then each aggregate's state
/// columns.
#[derive(Debug)]
pub struct LocalWindowAggregate {
    keys: Vec<usize>,
    columns: Vec<AggregateColumn>,
    input: SchemaRef,
    schema: SchemaRef,
}

impl LocalWindowAggregate {
    /// `time` as in [`RowWindow::Slice`].
    pub fn new(
        _windows: Windows,
        _time: usize,
        keys: Vec<usize>,
        columns: Vec<AggregateColumn>,
        input: SchemaRef,
    ) -> Result<LocalWindowAggregate> {
        Ok(LocalWindowAggregate { keys, columns, schema: Arc::clone(&input), input })
    }
}

impl OperatorSpec for WindowAggregate {
    fn name(&self) -> &'static str {
        "window-aggregate"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, _line: &mut ExplainLine) {}

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        Err(Error::new("window-aggregate is to come"))
    }
}

impl OperatorSpec for LocalWindowAggregate {
    fn name(&self) -> &'static str {
        "local-window-aggregate"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        line.list("keys", self.keys.iter().map(|&key| self.input.field(key).name()));
        line.list("aggregates", self.columns.iter().map(|column| column.call.result.name()));
    }

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        Err(Error::new("local-window-aggregate is to come"))
    }
}
