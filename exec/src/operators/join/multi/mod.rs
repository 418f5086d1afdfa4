//! Joins of many inputs by one key: what a tower of joins would give, without the rows in between.

mod combinations;
mod running;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_physical_expr::PhysicalExpr;

use self::running::MultiJoining;
use crate::error::Result;
use crate::operator::{ExplainLine, Operator, OperatorSpec, ShardContext};
use crate::operators::{Emit, Ttl};

/// Emits the columns of all inputs, in their order, of each combination of rows that belong together.
///
/// It is the tower `(input 0 JOIN input 1) JOIN input 2 ...`, whose joins are inner or left ones and all compare the same key.
#[derive(Debug)]
pub struct MultiJoin {
    pub inputs: Vec<JoinInput>,
    /// Null equals null in keys. If not, a null equals nothing. Not with [outer](JoinInput::outer) inputs.
    pub null_equals_null: bool,
    /// No row of the inputs ever disappears.
    pub append: bool,
    pub emit: Emit,
    pub schema: SchemaRef,
}

/// An input, and how it is joined with those before it.
#[derive(Debug)]
pub struct JoinInput {
    pub schema: SchemaRef,
    /// Columns that must be equal; as many of each input.
    pub keys: Vec<usize>,
    /// Where nothing matches here, what has been joined before comes out with nulls (`LEFT JOIN`). Not the first, and without a condition
    /// and with no input that forgets rows: which rows have a match, the key alone says then.
    pub outer: bool,
    /// Outer inputs by whose keys this one is joined: where such a one is null, nothing matches.
    pub joined_by: Vec<usize>,
    /// What else must be true, as soon as the rows of this input and those before it are there: over the columns of all inputs.
    pub condition: Option<Arc<dyn PhysicalExpr>>,
    /// Rows that are not used for so long are forgotten, without that being a change.
    pub ttl: Option<Ttl>,
}

impl MultiJoin {
    /// Whether what came out stays, if rows of the inputs do.
    pub fn is_monotonic(&self) -> bool {
        !self.inputs.iter().any(|input| input.outer)
    }

    fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.inputs[1..].iter().map(|input| if input.outer { "left" } else { "inner" })
    }

    fn has_ttl(&self) -> bool {
        self.inputs.iter().any(|input| input.ttl.is_some())
    }
}

impl OperatorSpec for MultiJoin {
    fn name(&self) -> &'static str {
        "multi-join"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        line.list("kinds", self.kinds());
        let sign = if self.null_equals_null { " IS NOT DISTINCT FROM " } else { " = " };
        line.list(
            "on",
            (0..self.inputs[0].keys.len()).map(|n| {
                let names = self.inputs.iter().map(|input| input.schema.field(input.keys[n]).name().as_str());
                names.collect::<Vec<_>>().join(sign)
            }),
        );
        let conditions: Vec<_> = self.inputs.iter().filter_map(|input| input.condition.as_ref()).collect();
        if !conditions.is_empty() {
            line.list("conditions", conditions);
        }
        if self.emit == Emit::EachRow {
            line.field("emit", "each-row");
        }
        if self.has_ttl() {
            let ttl = |ttl: Option<Ttl>| ttl.map_or("none".to_string(), |ttl| ttl.to_string());
            line.list("ttl", self.inputs.iter().map(|input| ttl(input.ttl)));
        }
    }

    fn meaning(&self) -> Option<String> {
        let inputs = self.inputs.iter().map(|input| {
            let condition = input.condition.as_ref().map(ToString::to_string);
            format!("{:?}, {}, {:?}, {condition:?}", input.keys, input.outer, input.joined_by)
        });
        Some(format!("multi-join({}, {})", self.null_equals_null, inputs.collect::<Vec<_>>().join("; ")))
    }

    fn state_bound(&self) -> Option<&'static str> {
        Some(match self.inputs.iter().filter(|input| input.ttl.is_some()).count() {
            0 => "all rows of each input and none in between, kept for good",
            some if some < self.inputs.len() => {
                "all rows of each input and none in between, those of some while they are used"
            }
            _ => "all rows of each input and none in between, while they are used",
        })
    }

    fn needs_clock(&self) -> bool {
        self.has_ttl()
    }

    fn open(&self, context: &ShardContext) -> Result<Box<dyn Operator>> {
        Ok(Box::new(MultiJoining::new(self, context.durable.is_some())?))
    }
}
