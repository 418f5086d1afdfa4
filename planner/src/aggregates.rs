//! The engine's aggregates as SQL sees them: registered with DataFusion, which plans them and computes them in batch queries, and
//! found again in its plans, for streams.
//!
//! So `SUM(INT)` is an INT and `AVG(INT)` truncates in both, by the same code.

mod accumulators;
#[cfg(test)]
mod tests;
mod udaf;

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::expr::{self, NullTreatment};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{AggregateUDF, Expr, ExprSchemable, SortExpr};
use datafusion::physical_expr::aggregate::LoweredAggregateBuilder;
use tidemill_exec::Result;
use tidemill_exec::aggregate::{AggregateCall, Foreign, Sorted};

use udaf::Udaf;

/// Every aggregate of ours, to be registered over DataFusion's of the same name.
pub fn udafs() -> Vec<Arc<AggregateUDF>> {
    tidemill_exec::aggregate::all().into_iter().map(|function| Arc::new(Udaf::new(function).into())).collect()
}

/// An aggregate of a query, ready for an operator.
#[derive(Clone, Debug)]
pub struct PlannedAggregate {
    /// `retracting` is false: only the planner of the stream knows.
    pub call: AggregateCall,
    /// What to feed it, over the input's schema, of the types in `call.arguments`. The columns of `ORDER BY` inside the aggregate
    /// come last.
    pub arguments: Vec<Expr>,
    /// `FILTER (WHERE ..)`: to be applied before feeding.
    pub filter: Option<Expr>,
}

/// From an aggregate in a logical plan back to what computes it: ours if the function is ours, else DataFusion's as [`Foreign`].
///
/// # Errors
/// Arguments of types that the function does not take.
pub fn call_of(aggregate: &expr::AggregateFunction, input: &DFSchema) -> Result<PlannedAggregate> {
    let params = &aggregate.params;
    let filter = params.filter.as_deref().cloned();
    let Some(udaf) = aggregate.func.inner().downcast_ref::<Udaf>() else {
        return foreign(aggregate, input, filter);
    };
    let mut function = Arc::clone(udaf.function());
    let mut arguments = params.args.clone();
    if function.name() == "COUNT" && !params.distinct {
        // DataFusion writes COUNT(*) as COUNT(1).
        arguments.retain(|argument| !matches!(argument, Expr::Literal(value, _) if !value.is_null()));
    }
    if function.is_ordered() && !params.order_by.is_empty() {
        function = Arc::new(Sorted::new(function, sort_options(&params.order_by)));
        arguments.extend(params.order_by.iter().map(|sort| sort.expr.clone()));
    }
    let resolved = function.resolve(&types_of(&arguments, input)?)?;
    let arguments = arguments
        .into_iter()
        .zip(&resolved.arguments)
        .map(|(argument, data_type)| argument.cast_to(data_type, input))
        .collect::<Result<Vec<_>, _>>()?;
    let call = AggregateCall {
        arguments: fields_of(&arguments, input)?,
        distinct: params.distinct,
        ignore_nulls: params.null_treatment == Some(NullTreatment::IgnoreNulls),
        result: Arc::new(Field::new(name_of(aggregate), resolved.result, resolved.nullable)),
        retracting: false,
        function,
    };
    Ok(PlannedAggregate { call, arguments, filter })
}

fn foreign(aggregate: &expr::AggregateFunction, input: &DFSchema, filter: Option<Expr>) -> Result<PlannedAggregate> {
    let logical = Expr::AggregateFunction(aggregate.clone());
    let (props, context) = (ExecutionProps::new(), PhysicalPlanningContext::default());
    let lowered = LoweredAggregateBuilder::new(&logical, input, input.as_arrow(), &props, &context)
        .with_name(name_of(aggregate))
        .build()?;
    let mut arguments = aggregate.params.args.clone();
    if !lowered.aggregate.order_bys().is_empty() {
        arguments.extend(aggregate.params.order_by.iter().map(|sort| sort.expr.clone()));
    }
    let call = AggregateCall {
        arguments: fields_of(&arguments, input)?,
        // Its own accumulators see to both.
        distinct: false,
        ignore_nulls: false,
        result: lowered.aggregate.field(),
        retracting: false,
        function: Arc::new(Foreign::new(lowered.aggregate)),
    };
    Ok(PlannedAggregate { call, arguments, filter })
}

fn sort_options(order_by: &[SortExpr]) -> Vec<SortOptions> {
    order_by.iter().map(|sort| SortOptions { descending: !sort.asc, nulls_first: sort.nulls_first }).collect()
}

fn name_of(aggregate: &expr::AggregateFunction) -> String {
    Expr::AggregateFunction(aggregate.clone()).schema_name().to_string()
}

fn types_of(expressions: &[Expr], input: &DFSchema) -> Result<Vec<DataType>> {
    Ok(expressions.iter().map(|expression| expression.get_type(input)).collect::<Result<_, _>>()?)
}

fn fields_of(expressions: &[Expr], input: &DFSchema) -> Result<Vec<FieldRef>> {
    Ok(expressions.iter().map(|e| Ok(e.to_field(input)?.1)).collect::<Result<_, DataFusionError>>()?)
}
