//! `TIMESTAMPADD`, `TIMESTAMPDIFF`, `OVERLAPS`, and the day arithmetic that Flink borrowed from Hive.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array};
use arrow::datatypes::{DataType, IntervalMonthDayNanoType, IntervalUnit, TimeUnit};
use datafusion::error::Result;

use super::calendar::{MILLIS_PER_DAY, add_months, months_between};
use super::moment::{Moment, Moments, Sort, column};
use super::unit::{self, Unit};
use crate::functions::call::{Arguments, Call, Function, Kind::*};
use crate::functions::zone::Zone;

pub fn all(zone: &Zone) -> Vec<Function> {
    vec![
        Function::new("timestampadd", DataType::Date32, |call| {
            let (unit, amount, moments) = (unit::argument(call, 0)?, call.long(1)?, Moments::new(call, 2)?);
            if unit.months().is_none() && unit.millis().is_none() && nanos(unit).is_none() {
                return Err(unit::unsupported(unit, "TIMESTAMPADD").into());
            }
            let sum = |row| Some(add(moments.get(row)?, amount.get(row)?, unit));
            Ok(column(call.result_type(), (0..call.rows).map(sum)))
        })
        .takes(&[Text, Int, Point])
        .returns(add_type)
        .zone(zone),
        Function::new("timestampdiff", DataType::Int32, |call| {
            let (unit, from, to) = (unit::argument(call, 0)?, Moments::new(call, 1)?, Moments::new(call, 2)?);
            if unit.months().is_none() && unit.millis().is_none() && nanos(unit).is_none() {
                return Err(unit::unsupported(unit, "TIMESTAMPDIFF").into());
            }
            let instants = from.sort != to.sort && [from.sort, to.sort].contains(&Sort::Instant);
            let read = |moments: &Moments, row| if instants { moments.instant(row) } else { moments.get(row) };
            // Wraps like Flink's INT where the difference is too large for one.
            let difference = |row| Some(difference(read(&from, row)?, read(&to, row)?, unit) as i32);
            Ok(Arc::new((0..call.rows).map(difference).collect::<Int32Array>()))
        })
        .takes(&[Text, Point, Point])
        .returns(|arguments| unit::planned(arguments, 0).map(|_| DataType::Int32))
        .zone(zone),
        Function::new("overlaps", DataType::Boolean, overlaps)
            .takes(&[Point, Point, Point, Point])
            .takes(&[Point, Interval, Point, Point])
            .takes(&[Point, Point, Point, Interval])
            .takes(&[Point, Interval, Point, Interval])
            .alias("__overlaps")
            .zone(zone),
    ]
}

/// Nanoseconds, for units below the millisecond.
fn nanos(unit: Unit) -> Option<i64> {
    match unit {
        Unit::Microsecond => Some(1000),
        Unit::Nanosecond => Some(1),
        _ => None,
    }
}

/// The type of the point, made finer if the unit asks for it: hours added to a date make a timestamp.
fn add_type(arguments: &Arguments) -> Result<DataType> {
    let of = arguments.types[2];
    let Some(unit) = unit::planned(arguments, 0)? else { return Ok(of.clone()) };
    let finest = match unit {
        Unit::Hour | Unit::Minute | Unit::Second => TimeUnit::Second,
        Unit::Millisecond => TimeUnit::Millisecond,
        Unit::Microsecond => TimeUnit::Microsecond,
        Unit::Nanosecond => TimeUnit::Nanosecond,
        _ => return Ok(of.clone()),
    };
    Ok(match of {
        DataType::Date32 | DataType::Date64 => DataType::Timestamp(finest, None),
        DataType::Timestamp(own, zone) => DataType::Timestamp((*own).max(finest), zone.clone()),
        other => other.clone(),
    })
}

fn add(moment: Moment, amount: i64, unit: Unit) -> Moment {
    if let Some(months) = unit.months() {
        let days = add_months(moment.days(), amount.saturating_mul(months));
        let millis = days.saturating_mul(MILLIS_PER_DAY).saturating_add(moment.millis_of_day());
        return Moment { millis, ..moment };
    }
    if let Some(length) = unit.millis() {
        return Moment { millis: moment.millis.saturating_add(amount.saturating_mul(length)), ..moment };
    }
    let nanos = amount.saturating_mul(nanos(unit).unwrap_or(0)).saturating_add(moment.nanos);
    Moment { millis: moment.millis.saturating_add(nanos.div_euclid(1_000_000)), nanos: nanos.rem_euclid(1_000_000) }
}

/// Whole units from `from` to `to`.
fn difference(from: Moment, to: Moment, unit: Unit) -> i64 {
    if let Some(length) = unit.months() {
        let mut months = months_between(from.days(), to.days());
        // A month is full only at the same time of day. Flink looks at this in one direction only, so a negative
        // difference counts the month that has begun.
        if add_months(from.days(), months) == to.days() && to.millis_of_day() < from.millis_of_day() {
            months -= 1;
        }
        return months / length;
    }
    let millis = to.millis.wrapping_sub(from.millis);
    match unit.millis() {
        Some(length) => millis / length,
        None => {
            let all = millis.saturating_mul(1_000_000).saturating_add(to.nanos - from.nanos);
            all / nanos(unit).unwrap_or(1)
        }
    }
}

/// `(a, b) OVERLAPS (c, d)`: the ends may come in any order and may be given as lengths; touching counts.
fn overlaps(call: &Call) -> Result<ArrayRef> {
    let starts = [Moments::new(call, 0)?, Moments::new(call, 2)?];
    let ends = [End::new(call, 1)?, End::new(call, 3)?];
    let period = |i: usize, row| {
        let start = starts[i].instant(row)?;
        let end = match &ends[i] {
            End::Point(points) => points.instant(row)?,
            End::Length(array, step) => {
                let at = row * step;
                if array.is_null(at) {
                    return None;
                }
                let length = array.as_primitive::<IntervalMonthDayNanoType>().value(at);
                let end = add(start, i64::from(length.months), Unit::Month);
                let end = add(end, i64::from(length.days), Unit::Day);
                add(end, length.nanoseconds, Unit::Nanosecond)
            }
        };
        Some((start.min(end), start.max(end)))
    };
    let overlap = |row| {
        let ((start, end), (other_start, other_end)) = (period(0, row)?, period(1, row)?);
        Some(end >= other_start && other_end >= start)
    };
    Ok(Arc::new((0..call.rows).map(overlap).collect::<BooleanArray>()))
}

enum End {
    Point(Moments),
    Length(ArrayRef, usize),
}

impl End {
    fn new(call: &Call, i: usize) -> Result<End> {
        Ok(match call.data_type(i) {
            DataType::Interval(_) | DataType::Duration(_) => {
                let (array, step) = call.cast(i, &DataType::Interval(IntervalUnit::MonthDayNano))?;
                End::Length(array, step)
            }
            _ => End::Point(Moments::new(call, i)?),
        })
    }
}
