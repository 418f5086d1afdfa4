//! `MATCH_RECOGNIZE`: patterns in the order of rows.
//!
//! A [`Pattern`] becomes an [`Automaton`] of variables; [`Navigations`] are what conditions and measures see of the rows matched so far.

mod navigation;
mod partition;
mod pattern;
mod rows;
mod running;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_physical_expr::PhysicalExpr;

pub use self::navigation::{End, Navigation, Navigations};
pub use self::pattern::{Automaton, Pattern, VARIABLES_MAX};
use self::running::Matching;
use super::{Order, TimeKind};
use crate::error::Result;
use crate::operator::{ExplainLine, Operator, OperatorSpec, ShardContext};
use crate::window::Length;

/// One row per match of a pattern in the rows of a partition, which are ordered by time.
///
/// With event time, a row takes part when the watermark has passed it, and is late if that was before it came; with processing time, at
/// once. A match is emitted as soon as it is certain: when it is complete, and no match that began before it can be any more.
#[derive(Clone, Debug)]
pub struct MatchRecognize {
    /// Columns of the input.
    pub partition: Vec<usize>,
    /// A column of the input, a `Timestamp` in milliseconds.
    pub time: usize,
    pub kind: TimeKind,
    /// Of rows at the same time.
    pub order: Vec<Order>,
    pub pattern: Pattern,
    pub automaton: Automaton,
    /// By the numbers that the pattern has for them.
    pub names: Arc<[String]>,
    pub variables: Vec<Variable>,
    /// Some condition looks at more than the row itself.
    pub looks_back: bool,
    /// What the measures see, and the columns that come out, over these.
    pub navigations: Navigations,
    pub measures: Vec<Arc<dyn PhysicalExpr>>,
    pub skip: Skip,
    /// All rows of a match are in less than so many milliseconds.
    pub within: Option<i64>,
    pub input: SchemaRef,
    pub schema: SchemaRef,
    /// As text, for `EXPLAIN`.
    pub definitions: Vec<String>,
}

/// What a row has to be: both conditions true, as far as there are any.
#[derive(Clone, Debug, Default)]
pub struct Variable {
    /// Over the input: what can be said of a row by itself.
    pub row: Option<Arc<dyn PhysicalExpr>>,
    /// Over navigations, of the match with this row as the last.
    pub path: Option<(Arc<dyn PhysicalExpr>, Navigations)>,
}

/// `AFTER MATCH SKIP`: where the next match may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd)]
pub enum Skip {
    PastLastRow,
    ToNextRow,
    ToFirst(usize),
    ToLast(usize),
}

impl OperatorSpec for MatchRecognize {
    fn name(&self) -> &'static str {
        "match-recognize"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        line.list("partition", self.partition.iter().map(|&column| self.input.field(column).name()));
        let further = self.order.iter().map(|order| {
            let direction = if order.options.descending { " desc" } else { "" };
            format!("{}{direction}", self.input.field(order.column).name())
        });
        line.list("order", std::iter::once(self.input.field(self.time).name().clone()).chain(further));
        line.field("pattern", format_args!("({})", self.pattern.display(&self.names)));
        line.list("define", &self.definitions);
        line.list("measures", self.schema.fields().iter().map(|field| field.name()));
        match self.skip {
            Skip::PastLastRow => line.field("skip", "past last row"),
            Skip::ToNextRow => line.field("skip", "to next row"),
            Skip::ToFirst(variable) => line.field("skip", format_args!("to first {}", self.names[variable])),
            Skip::ToLast(variable) => line.field("skip", format_args!("to last {}", self.names[variable])),
        };
        if let Some(within) = self.within {
            line.field("within", Length(within));
        }
    }

    fn state_bound(&self) -> Option<&'static str> {
        Some(match self.within {
            Some(_) => "rows of open matches, no longer than WITHIN",
            None => "rows of open matches, kept until they are decided: WITHIN would bound it",
        })
    }

    fn needs_clock(&self) -> bool {
        self.kind == TimeKind::Processing && self.within.is_some()
    }

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        Ok(Box::new(Matching::new(self.clone())?))
    }
}
