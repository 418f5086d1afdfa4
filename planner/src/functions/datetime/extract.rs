//! `EXTRACT` and its short forms `YEAR(t)`, `HOUR(t)`, ...

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, IntervalMonthDayNanoType, IntervalUnit};
use datafusion::error::Result;

use super::calendar::{day, day_of_year, iso_week, iso_weekday};
use super::moment::{Moment, Moments};
use super::unit::{self, Unit};
use crate::functions::call::{Call, Function, Kind::*};
use crate::functions::zone::Zone;

pub fn all(zone: &Zone) -> Vec<Function> {
    let short_forms = [
        ("year", Unit::Year),
        ("quarter", Unit::Quarter),
        ("month", Unit::Month),
        ("week", Unit::Week),
        ("dayofyear", Unit::DayOfYear),
        ("dayofmonth", Unit::Day),
        ("dayofweek", Unit::DayOfWeek),
        ("hour", Unit::Hour),
        ("minute", Unit::Minute),
        ("second", Unit::Second),
    ];
    let mut functions: Vec<Function> = short_forms
        .into_iter()
        .map(|(name, unit)| {
            let body = move |call: &Call| extract(call, unit, 0);
            Function::new(name, DataType::Int64, body).takes(&[Point]).takes(&[Interval]).zone(zone)
        })
        .collect();
    functions.push(
        // EXTRACT(unit FROM t), as the parser hands it over: __extract('UNIT', t).
        Function::new("__extract", DataType::Int64, |call| extract(call, unit::argument(call, 0)?, 1))
            .takes(&[Text, Point])
            .takes(&[Text, Interval])
            .returns(|arguments| unit::planned(arguments, 0).map(|_| DataType::Int64))
            .zone(zone),
    );
    functions
}

fn extract(call: &Call, unit: Unit, at: usize) -> Result<ArrayRef> {
    if matches!(call.data_type(at), DataType::Interval(_) | DataType::Duration(_)) {
        return of_intervals(call, unit, at);
    }
    let moments = Moments::new(call, at)?;
    Ok(Arc::new((0..call.rows).map(|row| Some(of_moment(moments.local(row)?, unit))).collect::<Int64Array>()))
}

/// One field of a clock's time.
fn of_moment(moment: Moment, unit: Unit) -> i64 {
    let days = moment.days();
    let year = || day(days).year;
    match unit {
        Unit::Year => year(),
        Unit::Month => day(days).month,
        Unit::Day => day(days).day,
        Unit::Quarter => (day(days).month + 2) / 3,
        Unit::Decade => year() / 10,
        Unit::Century => centuries(year(), 100),
        Unit::Millennium => centuries(year(), 1000),
        Unit::IsoYear => iso_week(days).0,
        Unit::Week => iso_week(days).1,
        Unit::DayOfWeek => iso_weekday(days) % 7 + 1,
        Unit::IsoDayOfWeek => iso_weekday(days),
        Unit::DayOfYear => day_of_year(days),
        Unit::Hour => moment.millis_of_day() / 3_600_000,
        Unit::Minute => moment.millis_of_day() / 60_000 % 60,
        Unit::Second => moment.millis_of_day() / 1000 % 60,
        Unit::Millisecond => moment.millis_of_day() % 1000,
        Unit::Microsecond => moment.millis_of_day() % 1000 * 1000 + moment.nanos / 1000,
        Unit::Nanosecond => moment.millis_of_day() % 1000 * 1_000_000 + moment.nanos,
        // Of an instant too, Flink takes the seconds that its clock shows, not those of UTC.
        Unit::Epoch => moment.millis.div_euclid(1000),
    }
}

/// The first century is the years 1 to 100.
fn centuries(year: i64, length: i64) -> i64 {
    if year > 0 { (year + length - 1) / length } else { (year - length + 1) / length }
}

fn of_intervals(call: &Call, unit: Unit, at: usize) -> Result<ArrayRef> {
    let (array, step) = call.cast(at, &DataType::Interval(IntervalUnit::MonthDayNano))?;
    let array = array.as_primitive::<IntervalMonthDayNanoType>();
    if matches!(unit, Unit::DayOfWeek | Unit::DayOfYear | Unit::IsoDayOfWeek | Unit::Week | Unit::IsoYear) {
        return Err(unit::unsupported(unit, "EXTRACT FROM INTERVAL").into());
    }
    let field = |row: usize| {
        if array.is_null(row * step) {
            return None;
        }
        let interval = array.value(row * step);
        let months = i64::from(interval.months);
        let millis = interval.nanoseconds / 1_000_000;
        Some(match unit {
            Unit::Millennium => months / 12_000,
            Unit::Century => months / 1200,
            Unit::Decade => months / 120,
            Unit::Year => months / 12,
            Unit::Quarter => months % 12 / 3 + 1,
            Unit::Month => months % 12,
            Unit::Day => i64::from(interval.days) + millis / 86_400_000,
            Unit::Hour => millis / 3_600_000 % 24,
            Unit::Minute => millis / 60_000 % 60,
            Unit::Second => millis / 1000 % 60,
            Unit::Millisecond => millis % 1000,
            Unit::Microsecond => interval.nanoseconds / 1000 % 1_000_000,
            Unit::Nanosecond => interval.nanoseconds % 1_000_000_000,
            _ => i64::from(interval.days) * 86_400 + millis / 1000,
        })
    };
    Ok(Arc::new((0..call.rows).map(field).collect::<Int64Array>()))
}
