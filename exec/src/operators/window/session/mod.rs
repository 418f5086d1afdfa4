//! `GROUP BY window_start, window_end, ...` over sessions, and the sessions that rows are in.
//!
//! [`OpenSessions`](open::OpenSessions) knows intervals and when they close; [`Running`] is the operator; what sessions hold is
//! [`Aggregates`] or [`Rows`].

mod aggregate;
mod open;
mod rows;
mod running;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use self::aggregate::Aggregates;
use self::rows::Rows;
use self::running::{Columns, Running};
use super::TimeKind;
use crate::error::Result;
use crate::operator::{ExplainLine, Operator, OperatorSpec, ShardContext};
use crate::operators::AggregateColumn;
use crate::operators::aggregate::key_types;
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

/// `SELECT ... FROM TABLE(SESSION(...))`: each row with the session it is in, when that closes. Its input only appends. Emits the columns of the input, then
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

    fn explain(&self, line: &mut ExplainLine) {
        explain(line, &self.session, self.kind, &self.input, self.time, &self.keys);
        line.list("aggregates", self.columns.iter().map(|column| column.call.result.name()));
    }

    fn state_bound(&self) -> Option<&'static str> {
        Some("one group per open session")
    }

    fn needs_clock(&self) -> bool {
        self.kind == TimeKind::Processing
    }

    fn waits_for_time(&self) -> bool {
        self.kind == TimeKind::Event
    }

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        let contents = Aggregates::new(&self.columns, self.keys.len(), self.schema())?;
        let columns = columns(&self.input, self.time, &self.keys);
        Ok(Box::new(Running::new(self.session, self.kind, columns, contents)?))
    }
}

impl OperatorSpec for SessionAssign {
    fn name(&self) -> &'static str {
        "session-assign"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        explain(line, &self.session, self.kind, &self.schema, self.time, &self.keys);
    }

    fn state_bound(&self) -> Option<&'static str> {
        Some("the rows of open sessions")
    }

    fn needs_clock(&self) -> bool {
        self.kind == TimeKind::Processing
    }

    fn waits_for_time(&self) -> bool {
        self.kind == TimeKind::Event
    }

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        let columns = columns(&self.schema, self.time, &self.keys);
        Ok(Box::new(Running::new(self.session, self.kind, columns, Rows::new(self.schema(), self.keys.clone()))?))
    }
}

fn columns(input: &SchemaRef, time: usize, keys: &[usize]) -> Columns {
    let time_name = input.field(time).name().clone();
    Columns { time, time_name, keys: keys.to_vec(), key_types: key_types(input, keys) }
}

fn explain(line: &mut ExplainLine, session: &Session, kind: TimeKind, input: &SchemaRef, time: usize, keys: &[usize]) {
    line.field("window", session).field("time", input.field(time).name());
    line.list("keys", keys.iter().map(|&key| input.field(key).name()));
    if kind == TimeKind::Processing {
        line.field("closed-by", "processing time");
    }
}
