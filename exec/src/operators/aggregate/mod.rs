//! `GROUP BY` over endless input: one live result row per key, kept up to date.
//!
//! Two phases where that pays: [`LocalAggregate`] before the exchange turns the rows of an epoch into partial states, one per key;
//! [`Aggregate`] behind it merges them (or takes rows directly), and emits how each key's result has changed.

mod changed;
mod cold;
mod global;
mod groups;
mod local;
mod results;
#[cfg(test)]
mod spill_tests;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

pub(super) use self::global::{Aggregating, PIECE_ROWS, run_of_distinct, send_in_pieces};
pub(super) use self::groups::Groups;
pub(crate) use self::groups::take_all;
use self::local::LocalAggregating;
pub(super) use self::local::{LOCAL_BYTES, LOCAL_GROUPS};
use crate::aggregate::AggregateCall;
use crate::error::{Error, Result};
use crate::operator::{ExplainLine, Operator, OperatorSpec, ShardContext};
use crate::operators::Ttl;

/// When results go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    /// The net change of each key, at the end of each epoch.
    Epoch,
    /// A change per input row, as Flink does without mini-batch.
    EachRow,
}

/// One aggregate of the query, and where its input lies.
#[derive(Clone, Debug)]
pub struct AggregateColumn {
    pub call: AggregateCall,
    /// Columns of the input.
    pub arguments: Vec<usize>,
    /// A boolean column of the input: rows where it is not true do not count.
    pub filter: Option<usize>,
}

impl AggregateColumn {
    /// Whether its result is how many rows there are.
    fn counts_rows(&self) -> bool {
        self.filter.is_none() && self.call.function.counts_rows(&self.call)
    }
}

/// Results per key. Emits the key columns, then one column per aggregate.
#[derive(Debug)]
pub struct Aggregate {
    /// Columns of the input; without any, all rows are one group, and there is no result before the first row.
    pub keys: Vec<usize>,
    pub columns: Vec<AggregateColumn>,
    pub input: SchemaRef,
    /// The input are the rows of a [`LocalAggregate`] with the same keys and aggregates.
    pub partial: bool,
    /// Rows may disappear from the input.
    pub retracting: bool,
    pub emit: Emit,
    /// Keys that are not used for so long are forgotten, without that being a change. Results are given again when they are computed, so
    /// that whoever keeps them uses them too, as in Flink.
    pub ttl: Option<Ttl>,
    pub schema: SchemaRef,
}

impl Aggregate {
    /// `SELECT DISTINCT`: results that never change once they are there.
    fn is_distinct(&self) -> bool {
        self.columns.is_empty() && !self.retracting && !self.partial
    }
}

impl OperatorSpec for Aggregate {
    fn name(&self) -> &'static str {
        if self.is_distinct() { "distinct" } else { "aggregate" }
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        explain(line, &self.schema, self.keys.len(), &self.columns);
        if self.partial {
            line.field("phase", "global");
        }
        if self.emit == Emit::EachRow && !self.is_distinct() {
            line.field("emit", "each-row");
        }
        if let Some(ttl) = self.ttl {
            line.field("ttl", ttl);
        }
    }

    /// The same with a local phase before it and without.
    fn meaning(&self) -> Option<String> {
        let mut line = ExplainLine::default();
        explain(&mut line, &self.schema, self.keys.len(), &self.columns);
        Some(format!("{}({line})", self.name()))
    }

    fn state_bound(&self) -> Option<&'static str> {
        Some(match self.keys.is_empty() {
            true => "one group",
            false if self.ttl.is_some() => "one group per key, while it is used",
            false => "one group per key, kept for good",
        })
    }

    fn goes_to_disk(&self) -> bool {
        true
    }

    fn needs_clock(&self) -> bool {
        self.ttl.is_some()
    }

    fn open(&self, context: &ShardContext) -> Result<Box<dyn Operator>> {
        let key_types = if self.partial {
            self.schema.fields()[..self.keys.len()].iter().map(|field| field.data_type().clone()).collect()
        } else {
            key_types(&self.input, &self.keys)
        };
        let mut aggregating = Aggregating::new(self, &key_types, context.durable.is_some())?;
        if let Some(spill) = &context.spill {
            if self.ttl.is_some() {
                return Err(Error::new("cannot forget state that is not used while it is on disk")
                    .why("'table.exec.state.ttl' is set, and 'state.backend.type' is 'disk'")
                    .fix("SET 'state.backend.type' = 'memory', or RESET 'table.exec.state.ttl'"));
            }
            aggregating.spill(spill, &key_types)?;
        }
        Ok(Box::new(aggregating))
    }
}

/// Partial states per key: the key columns, the net number of rows, then each aggregate's state columns.
#[derive(Debug)]
pub struct LocalAggregate {
    keys: Vec<usize>,
    columns: Vec<AggregateColumn>,
    input: SchemaRef,
    schema: SchemaRef,
}

impl LocalAggregate {
    pub fn new(keys: Vec<usize>, columns: Vec<AggregateColumn>, input: SchemaRef) -> Result<LocalAggregate> {
        let mut fields: Vec<Field> = keys.iter().map(|&key| input.field(key).clone()).collect();
        fields.extend(partial_fields(&columns)?);
        Ok(LocalAggregate { keys, columns, input, schema: Arc::new(Schema::new(fields)) })
    }
}

impl OperatorSpec for LocalAggregate {
    fn name(&self) -> &'static str {
        "local-aggregate"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        explain(line, &self.schema, self.keys.len(), &self.columns);
    }

    fn meaning(&self) -> Option<String> {
        None
    }

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        let key_types = key_types(&self.input, &self.keys);
        Ok(Box::new(LocalAggregating::new(&key_types, self.keys.clone(), &self.columns, self.schema())?))
    }
}

/// The fields behind the keys of partial results: net row counts, then each aggregate's state columns.
pub(super) fn partial_fields(columns: &[AggregateColumn]) -> Result<Vec<Field>> {
    let mut fields = vec![Field::new("rows", DataType::Int64, false)];
    for (n, column) in columns.iter().enumerate() {
        let state = column.call.function.accumulator(&column.call)?.state_types();
        fields.extend(
            state.into_iter().enumerate().map(|(part, state)| Field::new(format!("state{n}_{part}"), state, true)),
        );
    }
    Ok(fields)
}

pub(super) fn key_types(input: &Schema, keys: &[usize]) -> Vec<DataType> {
    keys.iter().map(|&key| input.field(key).data_type().clone()).collect()
}

fn explain(line: &mut ExplainLine, schema: &Schema, keys: usize, columns: &[AggregateColumn]) {
    line.list("keys", schema.fields()[..keys].iter().map(|field| field.name()));
    if !columns.is_empty() {
        line.list("aggregates", columns.iter().map(|column| column.call.result.name()));
    }
}
