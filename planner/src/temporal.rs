//! `JOIN t FOR SYSTEM_TIME AS OF o.time ON ...`: from SQL to one node over both sides.
//!
//! DataFusion knows no versions of tables. In the syntax tree the time becomes a condition of the join, `__as_of(o.time)`; in the plan, a join
//! with such a condition becomes a [`TemporalNode`].

use std::fmt;
use std::ops::ControlFlow;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchemaRef, JoinType};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::builder::build_join_schema;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Extension, Join, LogicalPlan, LogicalPlanBuilder, UserDefinedLogicalNodeCore};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr as SqlExpr, JoinConstraint, JoinOperator, Query, Select, TableFactor, TableVersion, VisitMut,
    VisitorMut,
};
use tidemill_exec::{Error, Result};

use crate::dialect::marker;
use crate::functions::window::AS_OF;
use crate::lookup::Asked;

/// Rows of `left`, each with the row of `right` that was there at the row's time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TemporalNode {
    pub left: LogicalPlan,
    pub right: LogicalPlan,
    /// Rows of the left without a partner come out too.
    pub outer: bool,
    /// A time attribute of the left.
    pub time: Expr,
    /// What must be true of a pair.
    pub condition: Expr,
    schema: DFSchemaRef,
}

impl TemporalNode {
    fn new(left: LogicalPlan, right: LogicalPlan, outer: bool, time: Expr, condition: Expr) -> DataFusionResult<Self> {
        let kind = if outer { JoinType::Left } else { JoinType::Inner };
        let schema = build_join_schema(left.schema(), right.schema(), &kind)?.into();
        Ok(TemporalNode { left, right, outer, time, condition, schema })
    }

    /// Whether it asks a table for what it has when a row comes.
    pub fn is_lookup(&self) -> Result<bool> {
        Ok(is_processing_time(&self.time, &self.left) && Asked::of(&self.right)?.is_some())
    }
}

impl PartialOrd for TemporalNode {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        (&self.left, &self.right, &self.condition).partial_cmp(&(&other.left, &other.right, &other.condition))
    }
}

impl UserDefinedLogicalNodeCore for TemporalNode {
    fn name(&self) -> &str {
        "TemporalJoin"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![self.time.clone(), self.condition.clone()]
    }

    /// A condition on either side may decide which version there is: none moves below.
    fn prevent_predicate_push_down_columns(&self) -> std::collections::HashSet<String> {
        self.schema.fields().iter().map(|field| field.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let kind = if self.outer { "Left" } else { "Inner" };
        write!(f, "{kind} Temporal Join: {} AS OF {}", self.condition, self.time)
    }

    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> DataFusionResult<Self> {
        let (condition, right) = (exprs.swap_remove(1), inputs.swap_remove(1));
        TemporalNode::new(inputs.swap_remove(0), right, self.outer, exprs.swap_remove(0), condition)
    }

    /// By event time all of the right, whose time nobody mentions.
    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let width = self.left.schema().fields().len();
        let mentioned = self.expressions();
        let mentioned = mentioned.iter().flat_map(Expr::column_refs);
        let mentioned = mentioned.filter_map(|column| self.left.schema().maybe_index_of_column(column));
        let mut left: Vec<usize> =
            output_columns.iter().copied().filter(|&column| column < width).chain(mentioned).collect();
        left.sort_unstable();
        left.dedup();
        let right = (0..self.right.schema().fields().len()).filter(|column| {
            let name = Column::from(self.right.schema().qualified_field(*column));
            !is_processing_time(&self.time, &self.left)
                || output_columns.contains(&(width + column))
                || self.condition.column_refs().contains(&name)
        });
        Some(vec![left, right.collect()])
    }
}

/// Makes the time of each versioned table a condition of its join.
///
/// # Errors
/// A join that is neither inner nor left, or has no condition.
pub fn rewrite(query: &mut Query) -> Result<()> {
    match query.visit(&mut Joins) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Joins;

impl VisitorMut for Joins {
    type Break = Error;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        for join in select.from.iter_mut().flat_map(|table| &mut table.joins) {
            let TableFactor::Table { version, .. } = &mut join.relation else { continue };
            let Some(TableVersion::ForSystemTimeAsOf(time)) = version else { continue };
            let time = time.clone();
            *version = None;
            use JoinOperator::{Inner, Join as Plain, Left, LeftOuter};
            match &mut join.join_operator {
                Plain(JoinConstraint::On(condition))
                | Inner(JoinConstraint::On(condition))
                | Left(JoinConstraint::On(condition))
                | LeftOuter(JoinConstraint::On(condition)) => {
                    let known = SqlExpr::Nested(Box::new(condition.clone()));
                    let as_of = marker::call(AS_OF, vec![time]);
                    *condition =
                        SqlExpr::BinaryOp { left: Box::new(known), op: BinaryOperator::And, right: Box::new(as_of) };
                }
                _ => {
                    return ControlFlow::Break(
                        Error::new("a temporal join is JOIN or LEFT JOIN with ON")
                            .fix("write JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency"),
                    );
                }
            }
        }
        ControlFlow::Continue(())
    }
}

/// Puts a node in place of each join with a time.
pub fn resolve(plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let resolved = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Join(join) => Ok(match temporal(&join)? {
            Some(node) => Transformed::yes(LogicalPlan::Extension(Extension { node: std::sync::Arc::new(node) })),
            None => Transformed::no(LogicalPlan::Join(join)),
        }),
        other => Ok(Transformed::no(other)),
    });
    Ok(resolved?.data)
}

/// Puts an ordinary join in place of each lookup join: in batch nothing changes meanwhile.
pub fn without_lookups(plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let joined = plan.transform_up_with_subqueries(|node| match &node {
        LogicalPlan::Extension(extension) => match extension.node.as_any().downcast_ref::<TemporalNode>() {
            Some(temporal) if temporal.is_lookup()? => {
                let kind = if temporal.outer { JoinType::Left } else { JoinType::Inner };
                let left = LogicalPlanBuilder::from(temporal.left.clone());
                let join = left.join_on(temporal.right.clone(), kind, [temporal.condition.clone()])?;
                Ok(Transformed::yes(join.build()?))
            }
            _ => Ok(Transformed::no(node)),
        },
        _ => Ok(Transformed::no(node)),
    });
    Ok(joined?.data)
}

/// Whether an expression over the rows of `plan` is `PROCTIME()`, whatever it is called by.
fn is_processing_time(expr: &Expr, plan: &LogicalPlan) -> bool {
    let column = match expr {
        Expr::Alias(alias) => return is_processing_time(&alias.expr, plan),
        Expr::ScalarFunction(call) => return call.func.name() == "proctime",
        Expr::Column(column) => column,
        _ => return false,
    };
    let Some(place) = plan.schema().maybe_index_of_column(column) else { return false };
    match plan {
        LogicalPlan::Projection(node) => is_processing_time(&node.expr[place], &node.input),
        LogicalPlan::SubqueryAlias(node) => {
            is_processing_time(&Expr::Column(Column::from(node.input.schema().qualified_field(place))), &node.input)
        }
        other => other.inputs().into_iter().any(|input| is_processing_time(expr, input)),
    }
}

fn temporal(join: &Join) -> DataFusionResult<Option<TemporalNode>> {
    let Some(filter) = &join.filter else { return Ok(None) };
    let (times, mut others): (Vec<Expr>, Vec<Expr>) =
        split_conjunction_owned(filter.clone()).into_iter().partition(|condition| time_of(condition).is_some());
    let Some(time) = times.first().and_then(time_of) else { return Ok(None) };
    others.extend(join.on.iter().map(|(left, right)| left.clone().eq(right.clone())));
    let condition = conjunction(others).expect("the condition stood beside the time");
    let (left, right) = (join.left.as_ref().clone(), join.right.as_ref().clone());
    TemporalNode::new(left, right, join.join_type == JoinType::Left, time.clone(), condition).map(Some)
}

fn time_of(condition: &Expr) -> Option<&Expr> {
    match condition {
        Expr::ScalarFunction(call) if call.func.name() == AS_OF => call.args.first(),
        _ => None,
    }
}
