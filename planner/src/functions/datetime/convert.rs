//! Texts and numbers as times: `TO_DATE`, `TO_TIMESTAMP`, `TO_TIMESTAMP_LTZ`, `UNIX_TIMESTAMP`.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::DataType::{self, Date32};
use datafusion::error::Result;
use tidemill_exec::Error;

use super::calendar::{MILLIS_PER_DAY, days, month_length};
use super::format::DEFAULT;
use super::moment::{Moment, Moments, column, instant, timestamp};
use super::now::{UNIX_SECONDS, unix_seconds};
use super::{lenient, parse};
use crate::functions::call::{Call, Function, Kind::*};
use crate::functions::zone::{Overlap, Zone};

pub fn all(zone: &Zone) -> Vec<Function> {
    let instant = instant(zone);
    vec![
        Function::new("to_date", Date32, |call| {
            let text = call.text(0)?;
            let pattern = if call.count() == 2 { Some(call.text(1)?) } else { None };
            let utc = Zone::utc();
            let days = |row| -> Result<Option<i64>> {
                let Some(text) = text.get(row) else { return Ok(None) };
                Ok(match &pattern {
                    None => date(text),
                    Some(pattern) => match pattern.get(row) {
                        None => None,
                        Some(pattern) => lenient::parse(text, pattern, &utc)?.map(|ms| ms.div_euclid(MILLIS_PER_DAY)),
                    },
                })
            };
            let days: Vec<Option<Moment>> = (0..call.rows)
                .map(|row| Ok(days(row)?.map(|days| Moment::new(days.saturating_mul(MILLIS_PER_DAY)))))
                .collect::<Result<_>>()?;
            Ok(column(&Date32, days.into_iter()))
        })
        .takes(&[Text])
        .takes(&[Text, Text])
        .nullable(),
        Function::new("to_timestamp", timestamp(), |call| from_text(call, |_, local, _| Ok(local.millis)))
            .takes(&[Text])
            .takes(&[Text, Text])
            .nullable(),
        Function::new("to_timestamp_ltz", instant, to_instant)
            .takes(&[Number])
            .takes(&[Number, Int])
            .takes(&[Text])
            .takes(&[Text, Text])
            .takes(&[Text, Text, Text])
            .nullable()
            .zone(zone),
        Function::new("unix_timestamp", UNIX_SECONDS, unix_timestamp)
            .takes(&[])
            .takes(&[Text])
            .takes(&[Text, Text])
            .takes(&[Date])
            .zone(zone)
            .volatile_without_arguments(),
    ]
}

/// `y`, `y-M` or `y-M-d`, with anything after a space ignored; years 0 to 9999, and only days that exist.
fn date(text: &str) -> Option<i64> {
    let text = match text.find(' ') {
        Some(space) if space > 0 => &text[..space],
        _ => text,
    };
    let mut numbers = [1; 3];
    for (number, part) in numbers.iter_mut().zip(text.splitn(3, '-')) {
        let part = part.trim();
        if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *number = part.parse::<i64>().ok()?;
    }
    let [year, month, day] = numbers;
    let exists = year <= 9999 && (1..=12).contains(&month) && (1..=month_length(year, month)).contains(&day);
    exists.then(|| days(year, month, day))
}

/// `TIMESTAMP(3)` or `TIMESTAMP_LTZ(3)` from text and an optional pattern; `place` turns what the text's clock shows
/// into the value, given the row.
fn from_text(call: &Call, place: impl Fn(usize, Moment, &Zone) -> Result<i64>) -> Result<ArrayRef> {
    let text = call.text(0)?;
    let pattern = if call.count() > 1 { Some(call.text(1)?) } else { None };
    let value = |row| {
        let Some(text) = text.get(row) else { return Ok(None) };
        let moment = match &pattern {
            None => parse::timestamp(text),
            Some(pattern) => match pattern.get(row) {
                None => None,
                Some(pattern) => parse::by_pattern(text, pattern)?,
            },
        };
        moment.map(|moment| Ok(Moment::new(place(row, moment, call.zone)?))).transpose()
    };
    let values: Vec<Option<Moment>> = (0..call.rows).map(value).collect::<Result<_>>()?;
    Ok(column(call.result_type(), values.into_iter()))
}

/// The years 0 to 9999, which is what Flink's timestamps hold.
const MILLIS_MIN: i64 = -62_167_219_200_000;
const MILLIS_MAX: i64 = 253_402_300_799_999;

/// `TO_TIMESTAMP_LTZ(number[, 0 or 3])`: seconds or milliseconds since 1970; outside the years 0 to 9999 it is NULL.
/// `TO_TIMESTAMP_LTZ(text[, pattern[, zone]])`: a clock's time, in UTC unless a zone is given.
fn to_instant(call: &Call) -> Result<ArrayRef> {
    let of = call.data_type(0);
    let from_number = of.is_numeric() || of.is_null() && call.count() < 3;
    if !from_number {
        if call.count() < 3 {
            return from_text(call, |_, local, _| Ok(local.millis));
        }
        let names = call.text(2)?;
        if names.constant().is_none() && call.is_constant(2) {
            return Ok(column(call.result_type(), std::iter::repeat_n(None, call.rows)));
        }
        let zone = |name: &str| {
            Zone::parse(name)
                .ok_or_else(|| Error::new(format!("TO_TIMESTAMP_LTZ does not know the time zone '{name}'")))
        };
        let constant = names.constant().map(zone).transpose()?;
        let placed = from_text(call, |row, local, _| match (&constant, names.get(row)) {
            (Some(zone), _) => Ok(zone.to_instant(local.millis, Overlap::Earlier)),
            (None, Some(name)) => Ok(zone(name)?.to_instant(local.millis, Overlap::Earlier)),
            (None, None) => Ok(0),
        })?;
        let named = arrow::compute::is_null(&call.expanded(2)?)?;
        return Ok(arrow::compute::nullif(&placed, &named)?);
    }
    let precision = if call.count() == 2 { Some(call.long(1)?) } else { None };
    let scale = |row| match precision.as_ref().map_or(Some(3), |precision| precision.get(row)) {
        Some(0) => Ok(Some(1000)),
        Some(3) => Ok(Some(1)),
        None => Ok(None),
        Some(other) => Err(datafusion::error::DataFusionError::from(
            Error::new(format!("TO_TIMESTAMP_LTZ does not know the precision {other}"))
                .fix("use 0 for seconds since 1970, or 3 for milliseconds"),
        )),
    };
    let bounded = |millis: i64| (MILLIS_MIN..=MILLIS_MAX).contains(&millis).then(|| Moment::new(millis));
    let fractional = matches!(of, DataType::Float32 | DataType::Float64);
    let (doubles, longs) = match fractional {
        true => (Some(call.double(0)?), None),
        // Decimals lose their fraction.
        false => (None, Some(call.long(0)?)),
    };
    let values = (0..call.rows).map(|row| {
        let Some(scale) = scale(row)? else { return Ok(None) };
        Ok(match (&doubles, &longs) {
            (Some(doubles), _) => doubles.get(row).and_then(|value| bounded((value * scale as f64) as i64)),
            (None, Some(longs)) => longs.get(row).and_then(|value| bounded(value.checked_mul(scale)?)),
            (None, None) => None,
        })
    });
    let values: Vec<Option<Moment>> = values.collect::<Result<_>>()?;
    Ok(column(call.result_type(), values.into_iter()))
}

/// Seconds since 1970: now, of a timestamp, or of a text, which is a clock's time in the session's zone. What cannot be
/// read gives the smallest BIGINT, as in Flink.
fn unix_timestamp(call: &Call) -> Result<ArrayRef> {
    if call.count() == 0 {
        return Ok(Arc::new(Int64Array::from_value(unix_seconds(), call.rows)));
    }
    if Date.accepts(&call.data_type(0)) && !call.data_type(0).is_null() {
        let moments = Moments::new(call, 0)?;
        let seconds = (0..call.rows).map(|row| Some(moments.get(row)?.millis.div_euclid(1000)));
        return Ok(Arc::new(seconds.collect::<Int64Array>()));
    }
    let text = call.text(0)?;
    let pattern = if call.count() == 2 { Some(call.text(1)?) } else { None };
    let seconds = |row| {
        let pattern = pattern.as_ref().map_or(Some(DEFAULT), |pattern| pattern.get(row));
        let (Some(text), Some(pattern)) = (text.get(row), pattern) else { return Ok(None) };
        // Java divides, so the second before 1970 ends in 0 like the one after.
        Ok(Some(lenient::parse(text, pattern, call.zone)?.map_or(i64::MIN, |millis| millis / 1000)))
    };
    Ok(Arc::new((0..call.rows).map(seconds).collect::<Result<Int64Array>>()?))
}
