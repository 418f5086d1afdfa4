//! `OVER` where results change: over rows that come and go, in orders other than time, and over frames that reach rows still to come.

mod running;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_physical_expr::window::WindowExpr;

use self::running::Running;
use super::{Emit, Order, Ttl};
use crate::error::Result;
use crate::operator::{ExplainLine, Operator, OperatorSpec, ShardContext};

/// Each row, with the results of functions over the rows of its key.
///
/// The functions are computed anew for keys whose rows change, and what comes out differently goes out as an update. Of rows that are equal
/// in the order, the one that came first stands first.
#[derive(Clone, Debug)]
pub struct OverChanges {
    /// PARTITION BY; without any, all rows are in one shard.
    pub keys: Vec<usize>,
    pub order: Vec<Order>,
    /// Over rows of the input, all with the same key, in order.
    pub functions: Vec<Arc<dyn WindowExpr>>,
    pub emit: Emit,
    /// Keys that are not used for so long are forgotten, without that being a change.
    pub ttl: Option<Ttl>,
    /// The input's fields and one for each function.
    pub schema: SchemaRef,
}

impl OperatorSpec for OverChanges {
    fn name(&self) -> &'static str {
        "over-changes"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        line.list("keys", self.keys.iter().map(|&key| self.schema.field(key).name()));
        line.list("order", self.order.iter().map(|order| order.shown(&self.schema)));
        line.list("functions", self.functions.iter().map(|function| function.name()));
        if self.emit == Emit::EachRow {
            line.field("emit", "each-row");
        }
        if let Some(ttl) = self.ttl {
            line.field("ttl", ttl);
        }
    }

    fn meaning(&self) -> Option<String> {
        // The rows are kept, whatever is computed of them.
        Some(format!("over-changes({:?}, {:?})", self.keys, self.order))
    }

    fn state_bound(&self) -> Option<&'static str> {
        Some(match self.ttl {
            Some(_) => "all rows of the input, while their key is used",
            None => "all rows of the input",
        })
    }

    fn needs_clock(&self) -> bool {
        self.ttl.is_some()
    }

    fn open(&self, context: &ShardContext) -> Result<Box<dyn Operator>> {
        Ok(Box::new(Running::new(self, context.durable.is_some())?))
    }
}
