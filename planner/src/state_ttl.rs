//! `SELECT /*+ STATE_TTL('a' = '1 d') */ ... FROM a`: how long a join or an aggregation keeps what it has of a table and does not use.
//!
//! DataFusion knows no such thing. The dialect makes `(SELECT * FROM a WHERE __state_ttl(86400000)) AS a` of the table
//! ([`marker::STATE_TTL`](crate::dialect::marker::STATE_TTL)); in the plan, a filter with such a condition becomes a [`StateTtlNode`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use datafusion::common::DFSchemaRef;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion::scalar::ScalarValue;
use tidemill_exec::operators::Ttl;

use crate::dialect::marker;

/// Rows whose next join or aggregation keeps them for so long.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd)]
pub struct StateTtlNode {
    input: LogicalPlan,
    millis: u64,
}

impl UserDefinedLogicalNodeCore for StateTtlNode {
    fn name(&self) -> &str {
        "StateTtl"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn prevent_predicate_push_down_columns(&self) -> std::collections::HashSet<String> {
        std::collections::HashSet::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "State TTL: {}", Ttl(Duration::from_millis(self.millis)))
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> DataFusionResult<Self> {
        Ok(StateTtlNode { input: inputs.swap_remove(0), millis: self.millis })
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![output_columns.to_vec()])
    }
}

impl StateTtlNode {
    pub fn input(&self) -> &LogicalPlan {
        &self.input
    }
}

/// Puts a node in place of each filter that the dialect has made of a hint.
pub fn resolve(plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let resolved = plan.transform_up_with_subqueries(|node| {
        Ok(match node {
            LogicalPlan::Filter(filter) => match millis(&filter.predicate) {
                Some(millis) => {
                    let node = StateTtlNode { input: filter.input.as_ref().clone(), millis };
                    Transformed::yes(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
                }
                None => Transformed::no(LogicalPlan::Filter(filter)),
            },
            other => Transformed::no(other),
        })
    });
    Ok(resolved?.data)
}

/// The plan without the nodes: batch keeps no state.
pub fn without(plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let without = plan.transform_up_with_subqueries(|node| {
        Ok(match &node {
            LogicalPlan::Extension(extension) => match extension.node.as_any().downcast_ref::<StateTtlNode>() {
                Some(ttl) => Transformed::yes(ttl.input.clone()),
                None => Transformed::no(node),
            },
            _ => Transformed::no(node),
        })
    });
    Ok(without?.data)
}

/// How long rows of this input are kept, if a hint says so; `Some(None)`: for good.
pub fn of(plan: &LogicalPlan) -> Option<Option<Ttl>> {
    match plan {
        LogicalPlan::Projection(node) => of(&node.input),
        LogicalPlan::Filter(node) => of(&node.input),
        LogicalPlan::SubqueryAlias(node) => of(&node.input),
        LogicalPlan::Extension(extension) => {
            let StateTtlNode { millis, .. } = extension.node.as_any().downcast_ref()?;
            Some((*millis > 0).then_some(Ttl(Duration::from_millis(*millis))))
        }
        _ => None,
    }
}

fn millis(predicate: &Expr) -> Option<u64> {
    let Expr::ScalarFunction(call) = predicate else { return None };
    match call.args.first()? {
        Expr::Literal(value, _) if call.func.name() == marker::STATE_TTL => {
            match value.cast_to(&arrow::datatypes::DataType::Int64) {
                Ok(ScalarValue::Int64(Some(millis))) => u64::try_from(millis).ok(),
                _ => None,
            }
        }
        _ => None,
    }
}
