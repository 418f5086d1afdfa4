//! `OVER (PARTITION BY ... ORDER BY time ...)` and `ORDER BY time` to operators.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{self, NullTreatment, WindowFunction, WindowFunctionDefinition};
use datafusion::logical_expr::{self as logical, Expr, WindowFrame, WindowFrameBound, WindowFrameUnits};
use tidemill_exec::aggregate::AggregateCall;
use tidemill_exec::operators::{AggregateColumn, Frame, Numbering, Order, Over, OverFunction, Sort, TimeKind};
use tidemill_exec::{Changes, Error, Result};

use super::columns::Columns;
use super::lower::{Lowering, kept, unsupported};
use super::plan::StreamPlan;
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
            functions.push(over_function(&function, &mut columns)?);
        }
        let (keys, order) = window.unwrap_or_default();
        let names: Vec<&str> = node.schema.fields()[width..].iter().map(|field| field.name().as_str()).collect();
        let extended = columns.extra.len();
        let plan = self.extended(plan, schema, &columns.extra)?;
        let plan = self.over(plan, &keys, &order, functions, &names, false)?;
        let results = width + extended..plan.props.schema.fields().len();
        if extended == 0 { Ok(plan) } else { kept(plan, &(0..width).chain(results).collect::<Vec<_>>()) }
    }

    /// The rows of `plan`, each with the results of `functions` in columns of these names.
    pub(super) fn over(
        &self,
        plan: StreamPlan,
        keys: &[usize],
        order: &[Order],
        functions: Vec<OverFunction>,
        names: &[&str],
        takes_watermark: bool,
    ) -> Result<StreamPlan> {
        if !plan.props.changes.is_append() {
            return Err(unsupported("OVER (...) over rows that change"));
        }
        let (first, then) = in_time(&plan, order)
            .ok_or_else(|| unsupported("OVER (...) that is not ordered by a time attribute, ascending,"))?;
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

fn over_function(function: &WindowFunction, columns: &mut Columns) -> Result<OverFunction> {
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
            "row_number" => return Ok(OverFunction::Number(Numbering::RowNumber)),
            "rank" => return Ok(OverFunction::Number(Numbering::Rank)),
            "dense_rank" => return Ok(OverFunction::Number(Numbering::DenseRank)),
            "lag" => return lag(params, columns),
            name @ ("first_value" | "last_value") => {
                let is_named = |udaf: &Arc<logical::AggregateUDF>| udaf.name().eq_ignore_ascii_case(name);
                let udaf = aggregates::udafs().into_iter().find(is_named).expect("both are aggregates too");
                aggregate(udaf)
            }
            other => return Err(unsupported(&format!("{} OVER (...)", other.to_uppercase()))),
        },
    };
    let planned = aggregates::call_of(&aggregate, columns.schema)?;
    let frame = frame(&params.window_frame)?;
    let column = AggregateColumn {
        arguments: planned.arguments.iter().map(|argument| columns.place(argument)).collect::<Result<_>>()?,
        filter: planned.filter.iter().map(|filter| columns.place(filter)).next().transpose()?,
        call: AggregateCall { retracting: !matches!(frame, Frame::Rows(None) | Frame::Range(None)), ..planned.call },
    };
    Ok(OverFunction::Aggregate { column, frame })
}

fn lag(params: &expr::WindowFunctionParams, columns: &mut Columns) -> Result<OverFunction> {
    if params.null_treatment == Some(NullTreatment::IgnoreNulls) {
        return Err(unsupported("LAG(...) IGNORE NULLS"));
    }
    let offset = match params.args.get(1) {
        None => 1,
        Some(Expr::Literal(value, _)) => match value.cast_to(&DataType::Int64)? {
            ScalarValue::Int64(Some(rows)) if rows >= 0 => rows.unsigned_abs(),
            ScalarValue::Int64(Some(_)) => return Err(unsupported("LAG by less than nothing, which is LEAD,")),
            _ => 1,
        },
        Some(other) => {
            return Err(Error::new(format!("LAG takes a number of rows, not {other}")).fix("write LAG(x, 2)"));
        }
    };
    let argument = columns.place(&params.args[0])?;
    let default = params.args.get(2).filter(|default| !matches!(default, Expr::Literal(value, _) if value.is_null()));
    Ok(OverFunction::Lag { argument, offset, default: default.map(|default| columns.place(default)).transpose()? })
}

fn frame(frame: &WindowFrame) -> Result<Frame> {
    if frame.end_bound != WindowFrameBound::CurrentRow {
        return Err(unsupported("an OVER window that does not end with the current row"));
    }
    let before = match &frame.start_bound {
        WindowFrameBound::CurrentRow => Some(0),
        WindowFrameBound::Preceding(value) if value.is_null() => None,
        WindowFrameBound::Preceding(value) => Some(length(value)?),
        WindowFrameBound::Following(_) => return Err(unsupported("an OVER window that begins behind the current row")),
    };
    match frame.units {
        WindowFrameUnits::Rows => Ok(Frame::Rows(before)),
        WindowFrameUnits::Range => Ok(Frame::Range(before)),
        WindowFrameUnits::Groups => Err(unsupported("OVER (... GROUPS ...)")),
    }
}

/// Rows, or milliseconds.
fn length(value: &ScalarValue) -> Result<u64> {
    let number = || match value.cast_to(&DataType::Int64) {
        Ok(ScalarValue::Int64(number)) => number,
        _ => None,
    };
    milliseconds(value)
        .or_else(number)
        .and_then(|length| u64::try_from(length).ok())
        .ok_or_else(|| Error::new(format!("an OVER window cannot begin {value} before the current row")))
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
