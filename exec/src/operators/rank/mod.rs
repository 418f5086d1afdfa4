//! Top-N: the first rows of each key in some order, kept up to date.

mod ranking;
#[cfg(test)]
mod tests;

use std::fmt::{self, Display};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use self::ranking::Ranking;
use super::{Emit, Order, Ttl};
use crate::error::Result;
use crate::operator::{ExplainLine, Operator, OperatorSpec, ShardContext};

/// How rows are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// 1, 2, 3: of rows that are equal in the order, the one that came first comes first.
    RowNumber,
    /// 1, 1, 3
    Rank,
    /// 1, 1, 2
    DenseRank,
}

impl Display for Numbering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Numbering::RowNumber => "row-number",
            Numbering::Rank => "rank",
            Numbering::DenseRank => "dense-rank",
        })
    }
}

/// The rows of each key whose number in the order is between `first` and `last`.
///
/// If no row of the input ever disappears, only rows up to the last number are kept.
#[derive(Clone, Debug)]
pub struct Rank {
    pub numbering: Numbering,
    /// PARTITION BY; without any, all rows are in one shard.
    pub keys: Vec<usize>,
    pub order: Vec<Order>,
    /// Counted from 1.
    pub first: u64,
    /// At least `first`.
    pub last: u64,
    /// The number is looked at. If not, its column is null, and a row that moves up or down has not changed.
    pub numbered: bool,
    /// Of rows that are equal in the order, the one that came last comes first.
    pub later_first: bool,
    /// No row of the input ever disappears.
    pub append: bool,
    pub emit: Emit,
    /// Keys that are not used for so long are forgotten, without that being a change.
    pub ttl: Option<Ttl>,
    /// The input's fields and a BIGINT.
    pub schema: SchemaRef,
}

impl Rank {
    /// A row that goes and one that comes in its place are halves of an update.
    fn replaces(&self) -> bool {
        self.numbering == Numbering::RowNumber && (self.numbered || self.first == self.last)
    }
}

impl OperatorSpec for Rank {
    fn name(&self) -> &'static str {
        "rank"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        line.field("by", self.numbering);
        line.list("keys", self.keys.iter().map(|&key| self.schema.field(key).name()));
        match self.order.is_empty() {
            true => line.field("order", "as they come"),
            false => line.list("order", self.order.iter().map(|order| order.shown(&self.schema))),
        };
        line.field("places", format_args!("{} to {}", self.first, self.last));
        if self.later_first {
            line.field("ties", "later first");
        }
        if !self.numbered {
            line.field("number", "unused");
        }
        if self.emit == Emit::EachRow {
            line.field("emit", "each-row");
        }
        if let Some(ttl) = self.ttl {
            line.field("ttl", ttl);
        }
    }

    fn meaning(&self) -> Option<String> {
        // What is shown of the rows does not matter to those that are kept, unless it decides which are.
        let last = if self.append { self.last } else { u64::MAX };
        let (keys, order) = (&self.keys, &self.order);
        Some(format!("rank({}, {keys:?}, {order:?}, {last}, {})", self.numbering, self.later_first))
    }

    fn state_bound(&self) -> Option<&'static str> {
        Some(match self.append {
            true if self.ttl.is_some() => "the first rows of each key, while it is used",
            true => "the first rows of each key",
            false if self.ttl.is_some() => "all rows of the input, while their key is used",
            false => "all rows of the input",
        })
    }

    fn needs_clock(&self) -> bool {
        self.ttl.is_some()
    }

    fn open(&self, context: &ShardContext) -> Result<Box<dyn Operator>> {
        Ok(Box::new(Ranking::new(self, context.durable.is_some())?))
    }
}
