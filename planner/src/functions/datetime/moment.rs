//! Reading and writing columns of dates, times and timestamps, whatever their unit.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, PrimitiveArray};
use arrow::datatypes::*;
use datafusion::error::Result;

use super::calendar::MILLIS_PER_DAY;
use crate::functions::call::Call;
use crate::functions::zone::{Overlap, Zone};

/// A point in time: milliseconds since 1970, of a clock or of UTC, and the nanoseconds beyond them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    pub millis: i64,
    /// 0 to 999 999.
    pub nanos: i64,
}

impl Moment {
    pub fn new(millis: i64) -> Moment {
        Moment { millis, nanos: 0 }
    }

    /// Days since 1970.
    pub fn days(self) -> i64 {
        self.millis.div_euclid(MILLIS_PER_DAY)
    }

    pub fn millis_of_day(self) -> i64 {
        self.millis.rem_euclid(MILLIS_PER_DAY)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    Date,
    /// Time of day; its moments lie on 1970-01-01.
    Time,
    /// What a clock shows, without saying where.
    Timestamp,
    /// An instant.
    Instant,
}

/// A column of points in time, or one for all rows.
pub struct Moments {
    values: Int64Array,
    step: usize,
    /// Values per second, or 0 for days.
    per_second: i64,
    pub sort: Sort,
    zone: Zone,
}

impl Moments {
    /// Argument `i`, which must be a date, a time or a timestamp; NULL without a type counts as a timestamp.
    pub fn new(call: &Call, i: usize) -> Result<Moments> {
        let (array, step) = call.raw(i)?;
        let of = array.data_type().clone();
        let zone = match &of {
            DataType::Timestamp(_, Some(name)) if name != call.zone.name() => {
                Zone::parse(name).unwrap_or_else(|| call.zone.clone())
            }
            _ => call.zone.clone(),
        };
        let (sort, per_second) = match &of {
            DataType::Date32 | DataType::Date64 => (Sort::Date, 0),
            DataType::Time32(unit) | DataType::Time64(unit) => (Sort::Time, per_second(unit)),
            DataType::Timestamp(unit, None) => (Sort::Timestamp, per_second(unit)),
            DataType::Timestamp(unit, Some(_)) => (Sort::Instant, per_second(unit)),
            _ => (Sort::Timestamp, 1),
        };
        let values = match &of {
            DataType::Date32 => widen::<Date32Type>(&array),
            DataType::Date64 => widen::<Date32Type>(&arrow::compute::cast(&array, &DataType::Date32)?),
            DataType::Time32(TimeUnit::Second) => widen::<Time32SecondType>(&array),
            DataType::Time32(_) => widen::<Time32MillisecondType>(&array),
            _ => arrow::compute::cast(&array, &DataType::Int64)?.as_primitive::<Int64Type>().clone(),
        };
        Ok(Moments { values, step, per_second, sort, zone })
    }

    /// The point as stored: an instant in UTC, everything else as its clock shows it.
    pub fn get(&self, row: usize) -> Option<Moment> {
        let at = row * self.step;
        if self.values.is_null(at) {
            return None;
        }
        let value = self.values.value(at);
        Some(match self.per_second {
            0 => Moment::new(value.saturating_mul(MILLIS_PER_DAY)),
            1 => Moment::new(value.saturating_mul(1000)),
            1000 => Moment::new(value),
            per_second => {
                let per_milli = per_second / 1000;
                let nanos = value.rem_euclid(per_milli) * (1_000_000 / per_milli);
                Moment { millis: value.div_euclid(per_milli), nanos }
            }
        })
    }

    /// The point as the session's clocks show it.
    pub fn local(&self, row: usize) -> Option<Moment> {
        let moment = self.get(row)?;
        Some(match self.sort {
            Sort::Instant => Moment { millis: self.zone.to_local(moment.millis), ..moment },
            _ => moment,
        })
    }

    /// The point as an instant: a clock's time is taken to be the session's.
    pub fn instant(&self, row: usize) -> Option<Moment> {
        let moment = self.get(row)?;
        Some(match self.sort {
            Sort::Instant | Sort::Time => moment,
            _ => Moment { millis: self.zone.to_instant(moment.millis, Overlap::Earlier), ..moment },
        })
    }

    pub fn zone(&self) -> &Zone {
        &self.zone
    }
}

fn widen<T: ArrowPrimitiveType>(array: &ArrayRef) -> Int64Array
where
    T::Native: Into<i64>,
{
    array.as_primitive::<T>().unary(|value| value.into())
}

pub fn per_second(unit: &TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// A column of type `of` from points in time; a time of day runs around midnight.
pub fn column(of: &DataType, moments: impl Iterator<Item = Option<Moment>>) -> ArrayRef {
    match of {
        DataType::Date32 => {
            Arc::new(moments.map(|m| m.map(|m| m.days() as i32)).collect::<PrimitiveArray<Date32Type>>())
        }
        DataType::Time32(TimeUnit::Second) => {
            let of_day = moments.map(|m| m.map(|m| (m.millis_of_day() / 1000) as i32));
            Arc::new(of_day.collect::<PrimitiveArray<Time32SecondType>>())
        }
        DataType::Time32(_) | DataType::Time64(_) => {
            let of_day = moments.map(|m| m.map(|m| m.millis_of_day() as i32));
            Arc::new(of_day.collect::<PrimitiveArray<Time32MillisecondType>>())
        }
        DataType::Timestamp(TimeUnit::Second, zone) => {
            let values = scaled(moments, TimeUnit::Second).collect::<PrimitiveArray<TimestampSecondType>>();
            Arc::new(values.with_timezone_opt(zone.clone()))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let values = scaled(moments, TimeUnit::Microsecond).collect::<PrimitiveArray<TimestampMicrosecondType>>();
            Arc::new(values.with_timezone_opt(zone.clone()))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
            let values = scaled(moments, TimeUnit::Nanosecond).collect::<PrimitiveArray<TimestampNanosecondType>>();
            Arc::new(values.with_timezone_opt(zone.clone()))
        }
        of => {
            let values = scaled(moments, TimeUnit::Millisecond).collect::<PrimitiveArray<TimestampMillisecondType>>();
            let zone = if let DataType::Timestamp(_, zone) = of { zone.clone() } else { None };
            Arc::new(values.with_timezone_opt(zone))
        }
    }
}

fn scaled(moments: impl Iterator<Item = Option<Moment>>, unit: TimeUnit) -> impl Iterator<Item = Option<i64>> {
    moments.map(move |moment| {
        moment.map(|moment| match unit {
            TimeUnit::Second => moment.millis.div_euclid(1000),
            TimeUnit::Millisecond => moment.millis,
            TimeUnit::Microsecond => moment.millis.saturating_mul(1000).saturating_add(moment.nanos / 1000),
            TimeUnit::Nanosecond => moment.millis.saturating_mul(1_000_000).saturating_add(moment.nanos),
        })
    })
}

/// `TIMESTAMP(3)`.
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

/// `TIMESTAMP_LTZ(3)`.
pub fn instant(zone: &Zone) -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some(Arc::clone(zone.name())))
}
