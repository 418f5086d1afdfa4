//! `OVER (PARTITION BY ... ORDER BY time ...)` and `ORDER BY time` to operators.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::expr::{self, NullTreatment, WindowFunction, WindowFunctionDefinition};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{self as logical, Expr, WindowFrame, WindowFrameBound, WindowFrameUnits};
use datafusion::physical_planner::create_window_expr;
use tidemill_exec::aggregate::AggregateCall;
use tidemill_exec::operators::{
    AggregateColumn, Frame, Numbering, Order, Over, OverChanges, OverFunction, Sort, TimeKind,
};
use tidemill_exec::{Changes, Error, Result};

use super::columns::Columns;
use super::lower::{Lowering, kept, unsupported};
use super::plan::{Props, StreamPlan};
use super::window::keyed;
use crate::aggregates;

impl Lowering<'_> {
    pub(super) fn over_windows(&self, node: &logical::Window) -> Result<StreamPlan> {
        let schema = node.input.schema();
        let width = schema.fields().len();
        let plan = self.plan(&node.input)?;
        let mut columns = Columns::new(schema);
        let (mut functions, mut window) = (Vec::new(), None);
        for expr in &node.window_expr {
            let Expr::WindowFunction(function) = expr.clone().unalias() else {
                return Err(Error::new(format!("{expr} is no function over a window")));
            };
            let params = &function.params;
            let keys = params.partition_by.iter().map(|key| columns.place(key)).collect::<Result<Vec<_>>>()?;
            let order = columns.order(&params.order_by)?;
            if window.get_or_insert_with(|| (keys.clone(), order.clone())) != &(keys, order) {
                return Err(unsupported("functions over different windows in one step"));
            }
            functions.push(function);
        }
        let (keys, order) = window.unwrap_or_default();
        let needed = columns.extra.len();
        let functions = match plan.props.changes.is_append() && in_time(&plan, &order).is_some() {
            true => functions.iter().map(|function| over_function(function, &mut columns)).collect::<Result<_>>()?,
            false => None,
        };
        if functions.is_none() {
            columns.extra.truncate(needed);
        }
        let names: Vec<&str> = node.schema.fields()[width..].iter().map(|field| field.name().as_str()).collect();
        let extended = columns.extra.len();
        let plan = self.extended(plan, schema, &columns.extra)?;
        let plan = match functions {
            Some(functions) => self.over(plan, &keys, &order, functions, &names, false)?,
            None => self.over_changes(plan, keys, order, node)?,
        };
        let results = width + extended..plan.props.schema.fields().len();
        if extended == 0 { Ok(plan) } else { kept(plan, &(0..width).chain(results).collect::<Vec<_>>()) }
    }

    /// The rows of `plan`, which are those of the node's input and further columns, each with the results of the node's functions, which change.
    fn over_changes(
        &self,
        plan: StreamPlan,
        keys: Vec<usize>,
        order: Vec<Order>,
        node: &logical::Window,
    ) -> Result<StreamPlan> {
        let Props { schema, changes, times, .. } = &plan.props;
        if order.iter().any(|order| times.processing.contains(&order.column)) {
            return Err(unsupported("OVER (...) by processing time over rows that change, or up to rows that follow,"));
        }
        let input = node.input.schema();
        let function = |expr: &Expr| {
            Ok(create_window_expr(expr, input, &ExecutionProps::new(), &PhysicalPlanningContext::default())?)
        };
        let functions = node.window_expr.iter().map(function).collect::<Result<_>>()?;
        let results = node.schema.fields()[input.fields().len()..].iter().cloned();
        let over = OverChanges {
            functions,
            emit: self.emit,
            ttl: self.ttl,
            schema: Arc::new(Schema::new(schema.fields().iter().cloned().chain(results).collect::<Vec<_>>())),
            order,
            keys,
        };
        let key = changes.key().map(<[usize]>::to_vec);
        let distribution = keyed(&over.keys);
        Ok(StreamPlan::operator(over, plan, Changes::Retract { key }, distribution.clone()).requires(distribution))
    }

    /// The rows of `plan`, which is append-only, in order of time, each with the results of `functions` in columns of these names.
    pub(super) fn over(
        &self,
        plan: StreamPlan,
        keys: &[usize],
        order: &[Order],
        functions: Vec<OverFunction>,
        names: &[&str],
        takes_watermark: bool,
    ) -> Result<StreamPlan> {
        let (first, then) = in_time(&plan, order).ok_or_else(|| unsupported("OVER (...) in no order of time"))?;
        let functions: Vec<OverFunction> = match first.1 {
            TimeKind::Event => functions,
            TimeKind::Processing => functions.into_iter().map(as_they_come).collect::<Result<_>>()?,
        };
        let mut fields = plan.props.schema.fields().to_vec();
        for (function, name) in functions.iter().zip(names) {
            let data_type = match function {
                OverFunction::Number(_) => DataType::Int64,
                OverFunction::Lag { argument, .. } => plan.props.schema.field(*argument).data_type().clone(),
                OverFunction::Aggregate { column, .. } => {
                    column.call.function.accumulator(&column.call)?;
                    column.call.result.data_type().clone()
                }
            };
            fields.push(Arc::new(Field::new(*name, data_type, true)));
        }
        let over = Over {
            keys: keys.to_vec(),
            time: (first.1 == TimeKind::Event).then_some(first.0),
            order: if first.1 == TimeKind::Event { then } else { vec![] },
            takes_watermark,
            functions,
            ttl: self.ttl,
            schema: Arc::new(Schema::new(fields)),
        };
        let (distribution, times) = (keyed(keys), plan.props.times.clone());
        Ok(StreamPlan::operator(over, plan, Changes::Append, distribution.clone())
            .requires(distribution)
            .with_times(times))
    }

    /// `ORDER BY` a time attribute, without a limit.
    pub(super) fn sort(&self, node: &logical::Sort) -> Result<StreamPlan> {
        let schema = node.input.schema();
        let width = schema.fields().len();
        let plan = self.plan(&node.input)?;
        let mut columns = Columns::new(schema);
        let order = columns.order(&node.expr)?;
        let extended = columns.extra.len();
        let plan = self.extended(plan, schema, &columns.extra)?;
        let Some(((time, kind), then)) = in_time(&plan, &order) else {
            return Err(Error::new("cannot sort a stream by what is no time attribute, ascending")
                .why("rows keep arriving, so no row can be known to be the first")
                .fix("order by event time, add LIMIT, or SET 'execution.runtime-mode' = 'batch' if all tables are bounded"));
        };
        if !plan.props.changes.is_append() {
            return Err(unsupported("ORDER BY over rows that change"));
        }
        // By processing time, rows are in order as they come.
        let times = plan.props.times.clone();
        let plan = match kind {
            TimeKind::Processing => plan,
            TimeKind::Event => {
                let sort = Sort { time, order: then, schema: Arc::clone(&plan.props.schema) };
                let single = super::plan::Distribution::Single;
                StreamPlan::operator(sort, plan, Changes::Append, single.clone()).requires(single).with_times(times)
            }
        };
        if extended == 0 { Ok(plan) } else { kept(plan, &(0..width).collect::<Vec<_>>()) }
    }
}

/// The time attribute that rows are ordered by first, and what rows at the same time are ordered by.
fn in_time(plan: &StreamPlan, order: &[Order]) -> Option<((usize, TimeKind), Vec<Order>)> {
    let (first, then) = order.split_first()?;
    let kind = plan.props.times.kind(first.column).filter(|_| !first.options.descending)?;
    Some(((first.column, kind), then.to_vec()))
}

/// By processing time, no two rows come together.
fn as_they_come(function: OverFunction) -> Result<OverFunction> {
    Ok(match function {
        OverFunction::Aggregate { column, frame: Frame::Range(None) } => {
            OverFunction::Aggregate { column, frame: Frame::Rows(None) }
        }
        OverFunction::Aggregate { frame: Frame::Range(Some(_)), .. } => {
            return Err(unsupported("OVER (... RANGE ...) by processing time"));
        }
        other => other,
    })
}

/// A function whose results are final once rows up to the current one, in order of time, are known; `None` if it is another.
fn over_function(function: &WindowFunction, columns: &mut Columns) -> Result<Option<OverFunction>> {
    let params = &function.params;
    let aggregate = |func| expr::AggregateFunction {
        func,
        params: expr::AggregateFunctionParams {
            args: params.args.clone(),
            distinct: params.distinct,
            filter: params.filter.clone(),
            order_by: vec![],
            null_treatment: params.null_treatment,
        },
    };
    let aggregate = match &function.fun {
        WindowFunctionDefinition::AggregateUDF(udaf) => aggregate(Arc::clone(udaf)),
        WindowFunctionDefinition::WindowUDF(udf) => match udf.name().to_ascii_lowercase().as_str() {
            "row_number" => return Ok(Some(OverFunction::Number(Numbering::RowNumber))),
            "rank" => return Ok(Some(OverFunction::Number(Numbering::Rank))),
            "dense_rank" => return Ok(Some(OverFunction::Number(Numbering::DenseRank))),
            "lag" => return lag(params, columns),
            name @ ("first_value" | "last_value") => {
                let is_named = |udaf: &Arc<logical::AggregateUDF>| udaf.name().eq_ignore_ascii_case(name);
                let udaf = aggregates::udafs().into_iter().find(is_named).expect("both are aggregates too");
                aggregate(udaf)
            }
            _ => return Ok(None),
        },
    };
    let Some(frame) = frame(&params.window_frame)? else { return Ok(None) };
    let planned = aggregates::call_of(&aggregate, columns.schema)?;
    let column = AggregateColumn {
        arguments: planned.arguments.iter().map(|argument| columns.place(argument)).collect::<Result<_>>()?,
        filter: planned.filter.iter().map(|filter| columns.place(filter)).next().transpose()?,
        call: AggregateCall { retracting: !matches!(frame, Frame::Rows(None) | Frame::Range(None)), ..planned.call },
    };
    Ok(Some(OverFunction::Aggregate { column, frame }))
}

fn lag(params: &expr::WindowFunctionParams, columns: &mut Columns) -> Result<Option<OverFunction>> {
    if params.null_treatment == Some(NullTreatment::IgnoreNulls) {
        return Ok(None);
    }
    let offset = match params.args.get(1) {
        None => 1,
        Some(Expr::Literal(value, _)) => match value.cast_to(&DataType::Int64)? {
            ScalarValue::Int64(Some(rows)) if rows >= 0 => rows.unsigned_abs(),
            // That is LEAD.
            ScalarValue::Int64(Some(_)) => return Ok(None),
            _ => 1,
        },
        Some(other) => {
            return Err(Error::new(format!("LAG takes a number of rows, not {other}")).fix("write LAG(x, 2)"));
        }
    };
    let argument = columns.place(&params.args[0])?;
    let default = params.args.get(2).filter(|default| !matches!(default, Expr::Literal(value, _) if value.is_null()));
    let default = default.map(|default| columns.place(default)).transpose()?;
    Ok(Some(OverFunction::Lag { argument, offset, default }))
}

/// `None` if it does not end with the current row.
fn frame(frame: &WindowFrame) -> Result<Option<Frame>> {
    if frame.end_bound != WindowFrameBound::CurrentRow {
        return Ok(None);
    }
    let before = match &frame.start_bound {
        WindowFrameBound::CurrentRow => Some(0),
        WindowFrameBound::Preceding(value) if value.is_null() => None,
        WindowFrameBound::Preceding(value) => match length(value) {
            None => return Ok(None),
            length => length,
        },
        WindowFrameBound::Following(_) => return Err(unsupported("an OVER window that begins behind the current row")),
    };
    Ok(match frame.units {
        WindowFrameUnits::Rows => Some(Frame::Rows(before)),
        WindowFrameUnits::Range => Some(Frame::Range(before)),
        WindowFrameUnits::Groups => None,
    })
}

/// Rows, or milliseconds.
fn length(value: &ScalarValue) -> Option<u64> {
    let number = || match value.cast_to(&DataType::Int64) {
        Ok(ScalarValue::Int64(number)) => number,
        _ => None,
    };
    milliseconds(value).or_else(number).and_then(|length| u64::try_from(length).ok())
}

/// The length of an interval that has one.
pub(super) fn milliseconds(value: &ScalarValue) -> Option<i64> {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    match value {
        ScalarValue::IntervalDayTime(Some(time)) => Some(i64::from(time.days) * DAY + i64::from(time.milliseconds)),
        ScalarValue::IntervalMonthDayNano(Some(time)) if time.months == 0 => {
            Some(i64::from(time.days) * DAY + time.nanoseconds / 1_000_000)
        }
        ScalarValue::DurationMillisecond(time) => *time,
        _ => None,
    }
}
