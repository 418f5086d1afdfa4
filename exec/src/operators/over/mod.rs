//! `OVER (PARTITION BY ... ORDER BY time ...)`: what is computed for each row out of it and rows before it. Final once time has passed it.

mod frames;
mod history;
mod running;
#[cfg(test)]
mod tests;

use std::fmt::{self, Display};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use self::running::Running;
use super::{AggregateColumn, Numbering, Order, Ttl};
use crate::error::Result;
use crate::operator::{ExplainLine, Operator, OperatorSpec, ShardContext};

/// The rows that an aggregate is of: they end with the current row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// So many rows before it and it; `None`: all before it.
    Rows(Option<u64>),
    /// Rows no more milliseconds before it, and those that come with it in the order; `None`: all before it.
    Range(Option<u64>),
}

impl Frame {
    fn is_bounded(self) -> bool {
        !matches!(self, Frame::Rows(None) | Frame::Range(None))
    }
}

impl Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Frame::Rows(None) => f.write_str("all rows"),
            Frame::Rows(Some(rows)) => write!(f, "{rows} rows"),
            Frame::Range(None) => f.write_str("all rows with peers"),
            Frame::Range(Some(range)) => write!(f, "{range} ms"),
        }
    }
}

/// A column that is computed for each row.
#[derive(Clone, Debug)]
pub enum OverFunction {
    /// Of the row in its partition, a BIGINT.
    Number(Numbering),
    /// The value of a column in the row so many before the last of the row's peers, as in Flink; before the first of all, that of the column
    /// `default`, or null.
    Lag { argument: usize, offset: u64, default: Option<usize> },
    /// Its call is `retracting` where the frame is bounded.
    Aggregate { column: AggregateColumn, frame: Frame },
}

impl OverFunction {
    /// The columns it reads of rows before the current one.
    fn reads(&self) -> Vec<usize> {
        match self {
            OverFunction::Lag { argument, .. } => vec![*argument],
            OverFunction::Aggregate { column, frame } if frame.is_bounded() => {
                column.arguments.iter().copied().chain(column.filter).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Emits the input's columns and one per function, for each row once, in the order of time.
#[derive(Debug)]
pub struct Over {
    /// PARTITION BY; without any, all rows are in one shard.
    pub keys: Vec<usize>,
    /// The event time that rows are ordered by; without, they are taken as they come.
    pub time: Option<usize>,
    /// What rows at the same time are ordered by.
    pub order: Vec<Order>,
    /// A row at the watermark is not late yet.
    pub takes_watermark: bool,
    pub functions: Vec<OverFunction>,
    /// Keys that are not used for so long are forgotten.
    pub ttl: Option<Ttl>,
    /// The input's fields, and one per function.
    pub schema: SchemaRef,
}

impl Over {
    fn width(&self) -> usize {
        self.schema.fields().len() - self.functions.len()
    }
}

impl OperatorSpec for Over {
    fn name(&self) -> &'static str {
        "over"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        line.list("keys", self.keys.iter().map(|&key| self.schema.field(key).name()));
        match self.time {
            Some(time) => line.field("order", format_args!("{} asc", self.schema.field(time).name())),
            None => line.field("order", "as they come"),
        };
        if !self.order.is_empty() {
            line.list("then", self.order.iter().map(|order| order.shown(&self.schema)));
        }
        line.list(
            "functions",
            self.functions.iter().map(|function| match function {
                OverFunction::Number(numbering) => numbering.to_string(),
                OverFunction::Lag { argument, offset, .. } => {
                    format!("lag({}, {offset})", self.schema.field(*argument).name())
                }
                OverFunction::Aggregate { column, frame } => {
                    let of = column.arguments.iter().map(|&argument| self.schema.field(argument).name().as_str());
                    let distinct = if column.call.distinct { "distinct " } else { "" };
                    let name = column.call.function.name();
                    format!("{name}({distinct}{}) of {frame}", of.collect::<Vec<_>>().join(", "))
                }
            }),
        );
        if let Some(ttl) = self.ttl {
            line.field("ttl", ttl);
        }
    }

    fn needs_clock(&self) -> bool {
        self.ttl.is_some()
    }

    fn state_bound(&self) -> Option<&'static str> {
        let by_range =
            |function: &OverFunction| matches!(function, OverFunction::Aggregate { frame: Frame::Range(Some(_)), .. });
        let is_passed = self.functions.iter().all(by_range) && self.time.is_some();
        Some(match (is_passed, self.time) {
            (false, _) if self.ttl.is_some() => {
                "a result and a frame per key while it is used, rows ahead of the watermark"
            }
            (true, _) => "rows in the range behind the watermark, rows ahead of it",
            (false, Some(_)) => "a result and a frame per key, rows ahead of the watermark",
            (false, None) => "a result and a frame per key",
        })
    }

    fn open(&self, context: &ShardContext) -> Result<Box<dyn Operator>> {
        Ok(Box::new(Running::new(self, context.durable.is_some())?))
    }
}
