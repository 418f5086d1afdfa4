//! Any column as text: `[1, 2]`, `{a=1}`, `(1, a, NULL)`, `2020-01-01 00:00:01.000`.

use arrow::array::{Array, ArrayAccessor, AsArray};
use arrow::datatypes::*;
use tidemill_exec::text::{self, Digits};
use tidemill_exec::{Error, Result};

use super::time::milliseconds;
use crate::functions::zone::Zone;
use crate::types::{TYPE_KEY, digits, flink_type, precision};

/// Appends the text of a row; of a null, `NULL`.
pub type Push<'a> = Box<dyn Fn(usize, &mut String) + 'a>;

/// How to write the values of `array`, whose type is `field`.
///
/// # Errors
/// A type that no SQL type has.
pub fn to_text<'a>(array: &'a dyn Array, field: &Field, zone: &'a Zone) -> Result<Push<'a>> {
    macro_rules! primitive {
        ($kind:ty, $push:expr) => {{
            let values = array.as_primitive::<$kind>();
            let push = $push;
            nullable(array, move |row, out: &mut String| push(out, values.value(row)))
        }};
    }
    let precision = precision(field);
    Ok(match array.data_type() {
        DataType::Null => Box::new(|_, out| out.push_str("NULL")),
        DataType::Boolean => {
            let values = array.as_boolean();
            nullable(array, move |row, out| out.push_str(if values.value(row) { "TRUE" } else { "FALSE" }))
        }
        DataType::Int8 => primitive!(Int8Type, |out: &mut String, value| push(out, value)),
        DataType::Int16 => primitive!(Int16Type, |out: &mut String, value| push(out, value)),
        DataType::Int32 => primitive!(Int32Type, |out: &mut String, value| push(out, value)),
        DataType::Int64 => primitive!(Int64Type, |out: &mut String, value| push(out, value)),
        DataType::UInt8 => primitive!(UInt8Type, |out: &mut String, value| push(out, value)),
        DataType::UInt16 => primitive!(UInt16Type, |out: &mut String, value| push(out, value)),
        DataType::UInt32 => primitive!(UInt32Type, |out: &mut String, value| push(out, value)),
        DataType::UInt64 => primitive!(UInt64Type, |out: &mut String, value| push(out, value)),
        DataType::Float32 => primitive!(Float32Type, text::push_float),
        DataType::Float64 => primitive!(Float64Type, text::push_double),
        DataType::Decimal128(_, scale) => {
            let scale = *scale;
            primitive!(Decimal128Type, move |out: &mut String, value| text::push_decimal(out, value, scale))
        }
        DataType::Date32 => primitive!(Date32Type, |out: &mut String, days: i32| text::push_date(out, days.into())),
        DataType::Time32(TimeUnit::Second) => {
            primitive!(Time32SecondType, move |out: &mut String, seconds: i32| time(out, seconds.into(), 1, precision))
        }
        DataType::Time32(_) => {
            primitive!(Time32MillisecondType, move |out: &mut String, ms: i32| time(out, ms.into(), 1000, precision))
        }
        DataType::Time64(TimeUnit::Nanosecond) => {
            primitive!(Time64NanosecondType, move |out: &mut String, ns| time(out, ns, 1_000_000_000, precision))
        }
        DataType::Time64(_) => {
            primitive!(Time64MicrosecondType, move |out: &mut String, us| time(out, us, 1_000_000, precision))
        }
        DataType::Timestamp(unit, local) => {
            let per_second = 10i64.pow(digits(unit).into());
            let local = local.is_some();
            let (unit, places) = (*unit, Digits::Fixed(precision));
            let push = move |out: &mut String, ticks: i64| {
                let ahead = if local { zone.offset_at(ticks.div_euclid(per_second)) * per_second } else { 0 };
                text::push_timestamp(out, ticks.saturating_add(ahead), unit, ' ', places);
            };
            match unit {
                TimeUnit::Second => primitive!(TimestampSecondType, push),
                TimeUnit::Millisecond => primitive!(TimestampMillisecondType, push),
                TimeUnit::Microsecond => primitive!(TimestampMicrosecondType, push),
                TimeUnit::Nanosecond => primitive!(TimestampNanosecondType, push),
            }
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let months = field.metadata().get(TYPE_KEY).is_some_and(|text| text.ends_with("MONTH"));
            primitive!(IntervalMonthDayNanoType, move |out: &mut String, interval: IntervalMonthDayNano| {
                if months || interval.months != 0 {
                    text::push_months(out, interval.months.into());
                } else {
                    text::push_day_time(out, milliseconds(interval));
                }
            })
        }
        DataType::Utf8 => strings(array, array.as_string::<i32>()),
        DataType::LargeUtf8 => strings(array, array.as_string::<i64>()),
        DataType::Utf8View => strings(array, array.as_string_view()),
        DataType::Binary => bytes(array, array.as_binary::<i32>()),
        DataType::LargeBinary => bytes(array, array.as_binary::<i64>()),
        DataType::BinaryView => bytes(array, array.as_binary_view()),
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            let push = to_text(list.values().as_ref(), item, zone)?;
            nullable(array, move |row, out| {
                let range = list.value_offsets()[row] as usize..list.value_offsets()[row + 1] as usize;
                joined(out, '[', ']', range, &push);
            })
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let fields = map.entries().fields();
            let key = to_text(map.keys().as_ref(), &fields[0], zone)?;
            let value = to_text(map.values().as_ref(), &fields[1], zone)?;
            nullable(array, move |row, out| {
                let range = map.value_offsets()[row] as usize..map.value_offsets()[row + 1] as usize;
                joined(out, '{', '}', range, &|entry, out| {
                    key(entry, out);
                    out.push('=');
                    value(entry, out);
                });
            })
        }
        DataType::Struct(fields) => {
            let columns: Result<Vec<Push<'a>>> = array
                .as_struct()
                .columns()
                .iter()
                .zip(fields)
                .map(|(column, field)| to_text(column.as_ref(), field, zone))
                .collect();
            let columns = columns?;
            nullable(array, move |row, out| {
                joined(out, '(', ')', 0..columns.len(), &|column, out| columns[column](row, out));
            })
        }
        _ => return Err(Error::new(format!("{} has no text", flink_type(field)))),
    })
}

fn nullable<'a>(array: &'a dyn Array, push: impl Fn(usize, &mut String) + 'a) -> Push<'a> {
    match array.nulls() {
        Some(nulls) => Box::new(move |row, out| {
            if nulls.is_null(row) {
                out.push_str("NULL");
            } else {
                push(row, out);
            }
        }),
        None => Box::new(push),
    }
}

fn strings<'a>(array: &'a dyn Array, values: impl ArrayAccessor<Item = &'a str> + 'a) -> Push<'a> {
    nullable(array, move |row, out| out.push_str(values.value(row)))
}

/// Bytes are read as UTF-8; what is none shows as the replacement character.
fn bytes<'a>(array: &'a dyn Array, values: impl ArrayAccessor<Item = &'a [u8]> + 'a) -> Push<'a> {
    nullable(array, move |row, out| out.push_str(&String::from_utf8_lossy(values.value(row))))
}

fn joined(out: &mut String, open: char, close: char, range: std::ops::Range<usize>, push: &dyn Fn(usize, &mut String)) {
    out.push(open);
    let start = range.start;
    for at in range {
        if at > start {
            out.push_str(", ");
        }
        push(at, out);
    }
    out.push(close);
}

fn push(out: &mut String, value: impl std::fmt::Display) {
    use std::fmt::Write;
    // Writing to a String does not fail.
    let _ = write!(out, "{value}");
}

fn time(out: &mut String, ticks: i64, per_second: i64, precision: u8) {
    let nanoseconds = (ticks % per_second) * (1_000_000_000 / per_second);
    text::push_time(out, (ticks / per_second) as u32, nanoseconds as u32, Digits::Fixed(precision));
}
