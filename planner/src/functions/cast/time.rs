//! Dates, times, timestamps and intervals into each other.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::compute;
use arrow::datatypes::*;
use tidemill_exec::{Error, Result};

use super::number;
use crate::functions::zone::{Overlap, Zone};
use crate::types::{INTERVAL, digits, flink_type, precision};

const DAY: i64 = 86_400;

/// A column of dates, times or timestamps, as seconds on the clock it shows and nanoseconds of the second.
struct Moments {
    /// `None` is null.
    values: Vec<Option<(i64, u32)>>,
    /// Counted in UTC; otherwise on the wall clock.
    utc: bool,
}

/// To DATE, TIME, TIMESTAMP or TIMESTAMP_LTZ; more fraction digits than the target has are cut.
pub fn convert(array: &ArrayRef, to: &Field, zone: &Zone) -> Result<ArrayRef> {
    let moments = moments(array)?;
    match to.data_type() {
        DataType::Timestamp(..) if moments.utc => instants(moments.values, to, zone),
        DataType::Timestamp(..) => timestamps(moments.values, to, zone),
        DataType::Date32 => {
            let dates = local(moments, zone).map(|value| value.map(|(seconds, _)| seconds.div_euclid(DAY) as i32));
            Ok(Arc::new(dates.collect::<PrimitiveArray<Date32Type>>()))
        }
        DataType::Time32(TimeUnit::Millisecond) => {
            let step = 10i32.pow(3 - u32::from(precision(to).min(3)));
            let times = local(moments, zone).map(|value| {
                value.map(|(seconds, nanoseconds)| {
                    let ms = seconds.rem_euclid(DAY) as i32 * 1000 + (nanoseconds / 1_000_000) as i32;
                    ms - ms % step
                })
            });
            Ok(Arc::new(times.collect::<PrimitiveArray<Time32MillisecondType>>()))
        }
        _ => Err(no_cast(array.data_type(), to)),
    }
}

fn moments(array: &ArrayRef) -> Result<Moments> {
    let ticks = |array: &ArrayRef, per_second: i64, utc: bool| -> Result<Moments> {
        let longs = compute::cast(array, &DataType::Int64)?;
        let nanos = (1_000_000_000 / per_second) as u32;
        let split = |ticks: i64| (ticks.div_euclid(per_second), ticks.rem_euclid(per_second) as u32 * nanos);
        let values = longs.as_primitive::<Int64Type>().iter().map(|ticks| ticks.map(split)).collect();
        Ok(Moments { values, utc })
    };
    match array.data_type() {
        DataType::Date32 => {
            let midnight = |days: i32| (i64::from(days) * DAY, 0);
            let values = array.as_primitive::<Date32Type>().iter().map(|days| days.map(midnight)).collect();
            Ok(Moments { values, utc: false })
        }
        DataType::Time32(unit) => {
            let ints = compute::cast(array, &DataType::Int32)?;
            ticks(&ints, 10i64.pow(digits(unit).into()), false)
        }
        DataType::Time64(unit) => ticks(array, 10i64.pow(digits(unit).into()), false),
        DataType::Timestamp(unit, zone) => ticks(array, 10i64.pow(digits(unit).into()), zone.is_some()),
        other => Err(Error::new(format!("{other} is not a date or a time"))),
    }
}

/// What the wall clock showed.
fn local(moments: Moments, zone: &Zone) -> impl Iterator<Item = Option<(i64, u32)>> + use<'_> {
    let utc = moments.utc;
    moments.values.into_iter().map(move |value| {
        value.map(|(seconds, nanoseconds)| (if utc { seconds + zone.offset_at(seconds) } else { seconds }, nanoseconds))
    })
}

/// From wall clock times to TIMESTAMP, or to TIMESTAMP_LTZ in `zone`.
pub fn timestamps(values: Vec<Option<(i64, u32)>>, to: &Field, zone: &Zone) -> Result<ArrayRef> {
    let local = matches!(to.data_type(), DataType::Timestamp(_, Some(_)));
    let shifted = values.into_iter().map(|value| {
        value.map(|(seconds, nanoseconds)| {
            (if local { seconds - zone.offset_of_local(seconds, Overlap::Earlier) } else { seconds }, nanoseconds)
        })
    });
    build(shifted, to)
}

/// From moments in UTC to TIMESTAMP_LTZ, or to TIMESTAMP as the clock of `zone` shows them.
fn instants(values: Vec<Option<(i64, u32)>>, to: &Field, zone: &Zone) -> Result<ArrayRef> {
    let local = matches!(to.data_type(), DataType::Timestamp(_, None));
    let shifted = values.into_iter().map(|value| {
        value.map(|(seconds, nanoseconds)| {
            (if local { seconds + zone.offset_at(seconds) } else { seconds }, nanoseconds)
        })
    });
    build(shifted, to)
}

/// Moments out of the range of the unit are null.
fn build(values: impl Iterator<Item = Option<(i64, u32)>>, to: &Field) -> Result<ArrayRef> {
    let DataType::Timestamp(unit, zone) = to.data_type() else {
        return Err(no_cast(&DataType::Timestamp(TimeUnit::Millisecond, None), to));
    };
    let per_second = 10i64.pow(digits(unit).into());
    let nanos = 1_000_000_000 / per_second;
    let step = 10i64.pow(u32::from(digits(unit).saturating_sub(precision(to))));
    let ticks = values.map(|value| {
        value.and_then(|(seconds, nanoseconds)| {
            let fraction = i64::from(nanoseconds) / nanos;
            seconds.checked_mul(per_second)?.checked_add(fraction - fraction % step)
        })
    });
    Ok(match unit {
        TimeUnit::Second => {
            Arc::new(ticks.collect::<PrimitiveArray<TimestampSecondType>>().with_timezone_opt(zone.clone()))
        }
        TimeUnit::Millisecond => {
            Arc::new(ticks.collect::<PrimitiveArray<TimestampMillisecondType>>().with_timezone_opt(zone.clone()))
        }
        TimeUnit::Microsecond => {
            Arc::new(ticks.collect::<PrimitiveArray<TimestampMicrosecondType>>().with_timezone_opt(zone.clone()))
        }
        TimeUnit::Nanosecond => {
            Arc::new(ticks.collect::<PrimitiveArray<TimestampNanosecondType>>().with_timezone_opt(zone.clone()))
        }
    })
}

/// An interval of months is a number of months, any other a number of milliseconds.
pub fn interval(array: &ArrayRef, to: &Field) -> Result<ArrayRef> {
    let intervals = compute::cast(array, &INTERVAL)?;
    if to.data_type() == &INTERVAL {
        return Ok(intervals);
    }
    let amounts: PrimitiveArray<Int64Type> = intervals
        .as_primitive::<IntervalMonthDayNanoType>()
        .unary(|interval| if interval.months != 0 { interval.months.into() } else { milliseconds(interval) });
    let amounts: ArrayRef = Arc::new(amounts);
    number::convert(&amounts, to.data_type())
}

/// Milliseconds of an interval without months.
pub fn milliseconds(interval: IntervalMonthDayNano) -> i64 {
    i64::from(interval.days) * DAY * 1000 + interval.nanoseconds / 1_000_000
}

fn no_cast(from: &DataType, to: &Field) -> Error {
    let from = Field::new("", from.clone(), true);
    Error::new(format!("cannot cast {} to {}", flink_type(&from), flink_type(&to.clone().with_nullable(true))))
}
