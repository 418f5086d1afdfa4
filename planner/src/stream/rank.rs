//! `ROW_NUMBER() OVER (PARTITION BY window_start, window_end, ... ORDER BY ...)` under a bound on its value: window top-N and
//! window deduplication.

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionDefinition};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{self as logical, BinaryExpr, Expr, LogicalPlan, Operator};
use tidemill_exec::Result;
use tidemill_exec::operators::{Order, WindowRank};

use super::lower::{Lowering, reordered};
use super::plan::StreamPlan;
use super::window::keyed;
use crate::functions::window::window_time;

/// The places that a condition leaves over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Places {
    first: u64,
    last: u64,
}

impl Lowering<'_> {
    /// A filter on the number that rows have in their window; `None` if it is none.
    pub(super) fn window_rank(&self, node: &logical::Filter) -> Result<Option<StreamPlan>> {
        let Some((between, window)) = numbering(&node.input) else { return Ok(None) };
        let Some(function) = row_number(window) else { return Ok(None) };
        let is_rank = |expr: &Expr| is_last(expr, &between, &window.schema);
        let mut places = Places { first: 1, last: u64::MAX };
        let mut others = Vec::new();
        for condition in split_conjunction(&node.predicate) {
            match bound(condition, &is_rank) {
                Some(bound) => {
                    places = Places { first: places.first.max(bound.first), last: places.last.min(bound.last) };
                }
                None => others.push(condition.clone()),
            }
        }
        if places.last == u64::MAX {
            return Ok(None);
        }
        let Some(mut plan) = self.ranked(window, function, places)? else { return Ok(None) };
        for above in between.iter().rev() {
            if let LogicalPlan::Projection(projection) = above {
                let output = Arc::clone(projection.schema.inner());
                plan = self.projected(plan, projection.input.schema(), &projection.expr, output)?;
            }
        }
        Ok(Some(match conjunction(others) {
            Some(condition) => self.filtered(plan, &condition, node.input.schema())?,
            None => plan,
        }))
    }

    /// The rows of `window` in these places, numbered; `None` if the numbers are not per window.
    fn ranked(
        &self,
        window: &logical::Window,
        function: &WindowFunction,
        places: Places,
    ) -> Result<Option<StreamPlan>> {
        let schema = window.input.schema();
        let width = schema.fields().len();
        let plan = self.plan(&window.input)?;
        let Some(columns) = plan.props.times.window.clone() else { return Ok(None) };
        // Columns as they are, expressions as columns behind them.
        let mut extra: Vec<(String, Expr)> = Vec::new();
        let mut column = |expr: &Expr| match expr {
            Expr::Column(column) => Ok::<usize, tidemill_exec::Error>(schema.index_of_column(column)?),
            other => {
                extra.push((format!("$rank{}", extra.len()), other.clone()));
                Ok(width + extra.len() - 1)
            }
        };
        let partition: Vec<usize> = function.params.partition_by.iter().map(&mut column).collect::<Result<_>>()?;
        let order: Vec<Order> = function
            .params
            .order_by
            .iter()
            .map(|sort| {
                let options = SortOptions { descending: !sort.asc, nulls_first: sort.nulls_first };
                Ok(Order { column: column(&sort.expr)?, options })
            })
            .collect::<Result<_>>()?;
        let among = |of: &[usize]| partition.iter().copied().find(|column| of.contains(column));
        let (Some(start), Some(end)) = (among(&columns.start), among(&columns.end)) else { return Ok(None) };
        let time = match columns.time.first() {
            Some(&time) => time,
            None => {
                let end = Expr::Column(Column::from(schema.qualified_field(end)));
                column(&window_time(end, columns.zone.as_deref())?)?
            }
        };
        let is_window =
            |column: &usize| [&columns.start, &columns.end, &columns.time].iter().any(|of| of.contains(column));
        let keys: Vec<usize> = partition.into_iter().filter(|column| !is_window(column)).collect();
        // "Keep the last row": of rows at the same time the one that came last.
        let is_time = |column: usize| schema.fields().get(column).is_some_and(|field| field.data_type().is_temporal());
        let by_time = order.first().is_some_and(|order| order.options.descending && is_time(order.column));
        let later_first = places == Places { first: 1, last: 1 } && by_time;
        let (times, extended) = (plan.props.times.clone(), !extra.is_empty());
        let plan = self.extended(plan, schema, &extra)?;
        let mut fields = plan.props.schema.fields().to_vec();
        let name = window.schema.field(width).name().clone();
        fields.push(Arc::new(Field::new(&name, DataType::Int64, true)));
        let distribution = keyed(&keys);
        let changes = tidemill_exec::Changes::Append;
        let rank = WindowRank {
            window: (start, end, time),
            kind: columns.kind,
            keys,
            order,
            first: places.first,
            last: places.last,
            numbered: true,
            later_first,
            retracting: !plan.props.changes.is_append(),
            schema: Arc::new(Schema::new(fields)),
        };
        let plan =
            StreamPlan::operator(rank, plan, changes, distribution.clone()).requires(distribution).with_times(times);
        if !extended {
            return Ok(Some(plan));
        }
        let kept: Vec<usize> = (0..width).chain([width + extra.len()]).collect();
        let schema = Arc::new(plan.props.schema.project(&kept)?);
        reordered(plan, &kept, schema).map(Some)
    }
}

/// The numbering below projections and renamings, and those, from the top.
fn numbering(plan: &LogicalPlan) -> Option<(Vec<&LogicalPlan>, &logical::Window)> {
    match plan {
        LogicalPlan::Window(window) => Some((Vec::new(), window)),
        LogicalPlan::Projection(node) => {
            numbering(&node.input).map(|(above, window)| ([vec![plan], above].concat(), window))
        }
        LogicalPlan::SubqueryAlias(node) => {
            numbering(&node.input).map(|(above, window)| ([vec![plan], above].concat(), window))
        }
        _ => None,
    }
}

/// The only function of the window, if it is ROW_NUMBER.
fn row_number(window: &logical::Window) -> Option<&WindowFunction> {
    let [expr] = &window.window_expr[..] else { return None };
    let expr = match expr {
        Expr::Alias(alias) => &alias.expr,
        other => other,
    };
    let Expr::WindowFunction(function) = expr else { return None };
    let is_row_number = matches!(&function.fun, WindowFunctionDefinition::WindowUDF(udf) if udf.name().eq_ignore_ascii_case("row_number"));
    is_row_number.then_some(function)
}

/// Whether an expression over the topmost of `between` is the last column of `bottom`, which is below them all.
fn is_last(expr: &Expr, between: &[&LogicalPlan], bottom: &DFSchema) -> bool {
    let expr = match expr {
        Expr::Cast(cast) => return is_last(&cast.expr, between, bottom),
        Expr::Alias(alias) => return is_last(&alias.expr, between, bottom),
        other => other,
    };
    let Expr::Column(column) = expr else { return false };
    let Some((top, below)) = between.split_first() else {
        return bottom.index_of_column(column).is_ok_and(|index| index == bottom.fields().len() - 1);
    };
    let Ok(index) = top.schema().index_of_column(column) else { return false };
    match top {
        LogicalPlan::Projection(node) => is_last(&node.expr[index], below, bottom),
        LogicalPlan::SubqueryAlias(node) => {
            is_last(&Expr::Column(Column::from(node.input.schema().qualified_field(index))), below, bottom)
        }
        _ => false,
    }
}

/// The places that a condition on the number leaves over; `None` if it is about something else.
fn bound(condition: &Expr, is_rank: &dyn Fn(&Expr) -> bool) -> Option<Places> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (op, value) = if is_rank(left) {
                (*op, number(right)?)
            } else if is_rank(right) {
                (op.swap()?, number(left)?)
            } else {
                return None;
            };
            let place = |value: i64| u64::try_from(value.max(0)).unwrap_or(0);
            Some(match op {
                Operator::LtEq => Places { first: 1, last: place(value) },
                Operator::Lt => Places { first: 1, last: place(value.saturating_sub(1)) },
                Operator::Eq => Places { first: place(value), last: place(value) },
                Operator::GtEq => Places { first: place(value), last: u64::MAX },
                Operator::Gt => Places { first: place(value.saturating_add(1)), last: u64::MAX },
                _ => return None,
            })
        }
        Expr::Between(between) if !between.negated && is_rank(&between.expr) => {
            let low = bound(
                &Expr::BinaryExpr(BinaryExpr::new(between.expr.clone(), Operator::GtEq, between.low.clone())),
                is_rank,
            )?;
            let high = bound(
                &Expr::BinaryExpr(BinaryExpr::new(between.expr.clone(), Operator::LtEq, between.high.clone())),
                is_rank,
            )?;
            Some(Places { first: low.first, last: high.last })
        }
        _ => None,
    }
}

fn number(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(value, _) => match value.cast_to(&DataType::Int64).ok()? {
            ScalarValue::Int64(value) => value,
            _ => None,
        },
        Expr::Cast(cast) => number(&cast.expr),
        _ => None,
    }
}
