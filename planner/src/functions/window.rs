//! What stands for time attributes and windows while a query is planned.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, TimestampMillisecondArray, new_null_array};
use arrow::datatypes::{DataType, TimeUnit, TimestampMillisecondType};
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, ScalarUDF};
use tidemill_exec::text::Zone as Clock;
use tidemill_exec::window::LocalClock;
use tidemill_exec::{Error, Result};

use super::function::{Call, Function, Rows};
use super::zone::Zone;
use crate::dialect::marker;
use crate::types::SqlType;

/// `__event_time(x)` is `x`, and says that it is the column a table's watermark speaks of: a computed column is not known by its name once
/// the optimizer has moved it.
pub const EVENT_TIME: &str = "__event_time";

pub fn all() -> Vec<Function> {
    vec![
        Function::new(EVENT_TIME, 1, 1, |call| Ok(SqlType::of(&call.fields[0])), |rows| rows.array(0)),
        Function::new(CURRENT_WATERMARK, 1, 1, current_watermark, |rows| {
            Ok(new_null_array(rows.result.data_type(), rows.array(0)?.len()))
        }),
        Function::new(
            AS_OF,
            1,
            1,
            |_| Ok(SqlType::new(DataType::Boolean, false)),
            |_| Err(Error::new("FOR SYSTEM_TIME AS OF stands outside of a join")),
        ),
        Function::new(
            marker::STATE_TTL,
            1,
            1,
            |_| Ok(SqlType::new(DataType::Boolean, false)),
            |_| Err(Error::new("the STATE_TTL hint stands where there is no state")),
        ),
        window_time_function(),
        local_window_time_function(),
    ]
}

/// The time that the other side of a join is asked for: a condition that [`TemporalNode`](crate::temporal::TemporalNode) takes the place of.
pub const AS_OF: &str = "__as_of";

/// The watermark that a row meets. A stream puts a column in its place; in batch there is none.
const CURRENT_WATERMARK: &str = "current_watermark";

fn current_watermark(call: &Call<'_>) -> Result<SqlType> {
    match call.data_type(0) {
        time @ DataType::Timestamp(TimeUnit::Millisecond, _) => Ok(SqlType::new(time.clone(), true)),
        _ => Err(call.wrong(0, "the event time of a table")),
    }
}

/// What `CURRENT_WATERMARK` is given.
pub fn current_watermark_of(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::ScalarFunction(call) if call.func.name() == CURRENT_WATERMARK => call.args.first(),
        _ => None,
    }
}

/// Whether `CURRENT_WATERMARK` is in it.
pub fn uses_watermark(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(current_watermark_of(expr).is_some())).unwrap_or(false)
}

/// `expr`, marked as event time.
pub fn event_time(expr: Expr) -> Expr {
    let function = Function::new(EVENT_TIME, 1, 1, |call| Ok(SqlType::of(&call.fields[0])), |rows| rows.array(0));
    Expr::ScalarFunction(ScalarFunction::new_udf(function.into_udf(&Zone::utc()), vec![expr]))
}

/// What [`event_time`] was given.
pub fn as_event_time(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::ScalarFunction(call) if call.func.name() == EVENT_TIME => call.args.first(),
        _ => None,
    }
}

/// The `window_time` of windows that end at `end`; with a zone, `TIMESTAMP_LTZ(3)` by its clock.
pub fn window_time(end: Expr, zone: Option<&str>) -> Result<Expr> {
    let udf: Arc<ScalarUDF> = match zone {
        None => window_time_function().into_udf(&Zone::utc()),
        Some(zone) => local_window_time_function().into_udf(&Zone::named(zone)?),
    };
    Ok(Expr::ScalarFunction(ScalarFunction::new_udf(udf, vec![end])))
}

fn window_time_function() -> Function {
    let plain = |_: &Call<'_>| Ok(SqlType::new(DataType::Timestamp(TimeUnit::Millisecond, None), false));
    Function::new("__window_time", 1, 1, plain, |rows| closing(rows, LocalClock::UTC))
}

fn local_window_time_function() -> Function {
    let instant = |call: &Call<'_>| {
        Ok(SqlType::new(DataType::Timestamp(TimeUnit::Millisecond, Some(Arc::clone(call.zone.name()))), false))
    };
    Function::new("__local_window_time", 1, 1, instant, |rows| closing(rows, clock(rows.zone.name())?))
}

/// The clock on the wall of a zone.
pub fn clock(zone: &str) -> Result<LocalClock> {
    Clock::parse(zone).map(LocalClock).ok_or_else(|| Error::new(format!("time zone {zone} is unknown")))
}

fn closing(rows: &Rows<'_>, clock: LocalClock) -> Result<ArrayRef> {
    let ends = rows.array(0)?;
    let times: TimestampMillisecondArray = ends
        .as_primitive_opt::<TimestampMillisecondType>()
        .ok_or_else(|| Error::new("the end of a window is a TIMESTAMP(3)"))?
        .iter()
        .map(|end| end.map(|end| clock.closes_at(end).0))
        .collect();
    Ok(Arc::new(times.with_data_type(rows.result.data_type().clone())))
}

#[cfg(test)]
mod tests {
    use super::super::function::testing::*;
    use super::*;

    #[test]
    fn a_windows_time_is_the_last_moment_in_it() {
        let end = column("TIMESTAMP(3)", &[Some("2020-01-01 00:00:10.000")]);
        assert_eq!(show(all(), "__window_time", &[end]), "TIMESTAMP(3) NOT NULL: 2020-01-01 00:00:09.999");
    }
}
