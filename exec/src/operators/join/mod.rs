//! Joins of streams whose rows may change: what the query would answer over all rows so far, kept up to date.

mod blocks;
mod condition;
mod given;
mod groups;
mod interval;
mod joining;
mod latest;
mod multi;
pub(crate) mod pairs;
mod side;
mod temporal;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod timed_tests;
mod windowed;

use std::fmt::{self, Display};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_physical_expr::PhysicalExpr;

pub use self::given::{Given, with_mark};
pub use self::interval::IntervalJoin;
use self::joining::Joining;
pub use self::latest::LatestJoin;
pub use self::multi::{JoinInput, MultiJoin};
pub use self::temporal::TemporalJoin;
pub use self::windowed::WindowJoin;
use super::{Emit, Ttl};
use crate::error::Result;
use crate::operator::{ExplainLine, Operator, OperatorSpec, ShardContext};

/// Which rows come out. "Left" is input 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    Inner,
    /// And rows of the left without a match, with nulls beside them.
    Left,
    Right,
    Full,
    /// Rows of the left that have a match, each once.
    Semi,
    /// Rows of the left that have none.
    Anti,
    /// Rows of the left, and whether they have a match.
    Mark,
}

impl Display for JoinKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            JoinKind::Inner => "inner",
            JoinKind::Left => "left",
            JoinKind::Right => "right",
            JoinKind::Full => "full",
            JoinKind::Semi => "semi",
            JoinKind::Anti => "anti",
            JoinKind::Mark => "mark",
        })
    }
}

/// Rows of one side that come out without a partner, because they have matches or because they have none.
#[derive(Clone, Copy, Debug)]
struct Show {
    side: usize,
    matched: bool,
}

impl JoinKind {
    /// Whether pairs come out.
    pub fn has_pairs(self) -> bool {
        !matches!(self, JoinKind::Semi | JoinKind::Anti | JoinKind::Mark)
    }

    fn shows(self) -> &'static [Show] {
        const LEFT_ALONE: Show = Show { side: 0, matched: false };
        const RIGHT_ALONE: Show = Show { side: 1, matched: false };
        const LEFT_MATCHED: Show = Show { side: 0, matched: true };
        match self {
            JoinKind::Inner => &[],
            JoinKind::Left | JoinKind::Anti => &[LEFT_ALONE],
            JoinKind::Right => &[RIGHT_ALONE],
            JoinKind::Full => &[LEFT_ALONE, RIGHT_ALONE],
            JoinKind::Semi => &[LEFT_MATCHED],
            JoinKind::Mark => &[LEFT_MATCHED, LEFT_ALONE],
        }
    }

    /// Whether what came out stays, if rows of the inputs do.
    pub fn is_monotonic(self) -> bool {
        matches!(self, JoinKind::Inner | JoinKind::Semi)
    }
}

/// Emits the columns of the left, then those of the right (not of a semi or anti join), or the mark.
#[derive(Clone, Debug)]
pub struct Join {
    pub kind: JoinKind,
    /// By input, columns that must be equal; as many of each. Without any, all rows are in one shard.
    pub keys: [Vec<usize>; 2],
    /// Null equals null in keys, and nothing else. If not, a null equals nothing.
    pub null_equals_null: bool,
    /// What else must be true of a pair: over the columns of both inputs.
    pub condition: Option<Arc<dyn PhysicalExpr>>,
    pub inputs: [SchemaRef; 2],
    /// No row of the inputs ever disappears.
    pub append: bool,
    pub emit: Emit,
    /// By input: rows that are not used for so long are forgotten, without that being a change.
    pub ttl: [Option<Ttl>; 2],
    pub schema: SchemaRef,
}

impl Join {
    /// How many partners a row of this side has is counted for itself: its key does not tell, or its partners may be forgotten.
    fn counts_by_row(&self, side: usize) -> bool {
        (self.condition.is_some() || self.ttl != [None; 2]) && self.kind.shows().iter().any(|show| show.side == side)
    }
}

impl OperatorSpec for Join {
    fn name(&self) -> &'static str {
        "join"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        line.field("kind", self.kind);
        let sign = if self.null_equals_null { "IS NOT DISTINCT FROM" } else { "=" };
        let name = |side: usize, n: usize| self.inputs[side].field(self.keys[side][n]).name();
        line.list("on", (0..self.keys[0].len()).map(|n| format!("{} {sign} {}", name(0, n), name(1, n))));
        if let Some(condition) = &self.condition {
            line.field("condition", condition);
        }
        if self.emit == Emit::EachRow {
            line.field("emit", "each-row");
        }
        if self.ttl != [None; 2] {
            line.list("ttl", self.ttl.map(|ttl| ttl.map_or("none".to_string(), |ttl| ttl.to_string())));
        }
    }

    fn meaning(&self) -> Option<String> {
        let (keys, condition) = (&self.keys, self.condition.as_ref().map(ToString::to_string));
        let counts = if self.ttl == [None; 2] { "" } else { ", with counts" };
        Some(format!("join({}, {keys:?}, {}, {condition:?}{counts})", self.kind, self.null_equals_null))
    }

    fn state_bound(&self) -> Option<&'static str> {
        Some(match self.ttl {
            [None, None] => "all rows of both inputs, kept for good",
            [Some(_), Some(_)] => "all rows of both inputs, while they are used",
            _ => "all rows of both inputs, those of one while they are used",
        })
    }

    fn needs_clock(&self) -> bool {
        self.ttl != [None; 2]
    }

    fn open(&self, context: &ShardContext) -> Result<Box<dyn Operator>> {
        Ok(Box::new(Joining::new(self, context.durable.is_some())?))
    }
}
