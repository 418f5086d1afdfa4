//! `INTERSECT ALL` and `EXCEPT ALL`.
//!
//! DataFusion plans all set operations as joins by whole rows, which for `ALL` is not what SQL means: `EXCEPT ALL` takes each row away as often
//! as it is on the right. Here rows are counted on either side, and come out as often as the counts say.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, JoinType, NullEquality, ScalarValue};
use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{Distinct, Expr, Extension, Join, LogicalPlan, LogicalPlanBuilder, case, lit};

use crate::unnest::{Form, UnnestNode};

/// Puts counts in place of DataFusion's joins. To be called before its optimizer makes joins of other things.
pub fn by_counts(plan: LogicalPlan, functions: &dyn FunctionRegistry) -> Result<LogicalPlan> {
    let counted = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Join(join) if is_set_operation(&join) => Ok(Transformed::yes(counted(&join, functions)?)),
        other => Ok(Transformed::no(other)),
    });
    Ok(counted?.data)
}

/// If the left is distinct, a join is right.
fn is_set_operation(join: &Join) -> bool {
    matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
        && join.null_equality == NullEquality::NullEqualsNull
        && join.filter.is_none()
        && join.on.len() == join.left.schema().fields().len()
        && !matches!(join.left.as_ref(), LogicalPlan::Distinct(Distinct::All(_)))
}

fn counted(join: &Join, functions: &dyn FunctionRegistry) -> Result<LogicalPlan> {
    let width = join.on.len();
    let name = |n: usize| format!("column{n}");
    let side = |plan: &LogicalPlan, is_left: bool| -> Result<LogicalPlan> {
        let columns = plan.schema().columns().into_iter().enumerate();
        let columns = columns.map(|(n, column)| Expr::Column(column).alias(name(n)));
        let mark = |is_there: bool| lit(ScalarValue::Int64(is_there.then_some(1)));
        let marks = [mark(is_left).alias("on_left"), mark(!is_left).alias("on_right")];
        LogicalPlanBuilder::from(plan.clone()).project(columns.chain(marks).collect::<Vec<_>>())?.build()
    };
    let both = LogicalPlanBuilder::from(side(&join.left, true)?).union(side(&join.right, false)?)?;
    let column = |name: &str| Expr::Column(Column::new_unqualified(name));
    let count = functions.udaf("count")?;
    let counts = ["on_left", "on_right"].map(|mark| count.call(vec![column(mark)]).alias(format!("{mark}s")));
    let counted = both.aggregate((0..width).map(|n| column(&name(n))).collect::<Vec<_>>(), counts)?.build()?;

    let (left, right) = (column("on_lefts"), column("on_rights"));
    let times = match join.join_type {
        JoinType::LeftAnti => left - right,
        _ => case(left.clone().lt(right.clone())).when(lit(true), left).otherwise(right)?,
    };
    let copies = functions.udf("array_repeat")?.call(vec![lit(1i64), times]);
    let copy = (None, Arc::new(Field::new("copy", DataType::Int64, true)));
    let form = Form { ordinality: false, outer: false, multiset: false };
    let repeated = UnnestNode::new(counted, copies, vec![copy], form)?;
    let schema = join.left.schema();
    let renamed = (0..width).map(|n| {
        let (qualifier, field) = schema.qualified_field(n);
        column(&name(n)).alias_qualified(qualifier.cloned(), field.name())
    });
    LogicalPlanBuilder::from(LogicalPlan::Extension(Extension { node: Arc::new(repeated) }))
        .project(renamed.collect::<Vec<_>>())?
        .build()
}
