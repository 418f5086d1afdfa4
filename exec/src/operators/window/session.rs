//! `GROUP BY window_start, window_end, ...` over sessions, and the sessions that rows are in.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::TimeKind;
use crate::error::{Error, Result};
use crate::operator::{ExplainLine, Operator, OperatorSpec, ShardContext};
use crate::operators::AggregateColumn;
use crate::window::Session;

/// Results per key and session, when the session closes. Emits the key columns, `window_start`, `window_end`, `window_time`, then one
/// column per aggregate.
#[derive(Debug)]
pub struct SessionAggregate {
    pub session: Session,
    pub kind: TimeKind,
    /// A column of the input, a `Timestamp` in milliseconds.
    pub time: usize,
    /// Columns of the input; each key has sessions of its own.
    pub keys: Vec<usize>,
    pub columns: Vec<AggregateColumn>,
    pub input: SchemaRef,
    pub schema: SchemaRef,
}

/// `SELECT ... FROM TABLE(SESSION(...))`: each row with the session it is in, when that closes. Emits the columns of the input, then
/// `window_start`, `window_end` and `window_time`.
#[derive(Debug)]
pub struct SessionAssign {
    pub session: Session,
    pub kind: TimeKind,
    /// A column of the input, a `Timestamp` in milliseconds.
    pub time: usize,
    /// `PARTITION BY`: columns of the input; each key has sessions of its own.
    pub keys: Vec<usize>,
    pub schema: SchemaRef,
}

impl OperatorSpec for SessionAggregate {
    fn name(&self) -> &'static str {
        "session-aggregate"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, _line: &mut ExplainLine) {}

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        Err(Error::new("session-aggregate is to come"))
    }
}

impl OperatorSpec for SessionAssign {
    fn name(&self) -> &'static str {
        "session-assign"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, _line: &mut ExplainLine) {}

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        Err(Error::new("session-assign is to come"))
    }
}
