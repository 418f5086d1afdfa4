//! `CAST(x AS TYPE)` and `TRY_CAST(x AS TYPE)`: Flink's conversions between all types.
//!
//! Flink's are neither DataFusion's nor Java's alone: integers wrap, floating point numbers saturate, decimals round
//! half up and become NULL where they overflow, and text that cannot be read fails the query (`CAST`) or is NULL
//! (`TRY_CAST`).

mod number;
mod parse;
mod time;
mod to_text;

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, ListArray, MapArray, StringArray, StringBuilder,
    StructArray, new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute;
use arrow::datatypes::{DataType, Field, Fields};
use tidemill_exec::{Error, Result};

pub use number::{decimal_fits, decimals, power_of_ten, rescale};
pub use parse::{parse_boolean, parse_date, parse_decimal, parse_double, parse_integer, parse_time, parse_timestamp};
pub use to_text::to_text;

use super::function::{Call, Function, Rows};
use super::zone::Zone;
use crate::types::{self, Length, SqlType, flink_type, is_binary, is_text, parse_type};

pub fn all() -> Vec<Function> {
    vec![
        Function::new("__cast", 2, 2, |call| target(call, false), |rows| cast(rows, true)),
        Function::new("__try_cast", 2, 2, |call| target(call, true), |rows| cast(rows, false)),
    ]
}

fn target(call: &Call<'_>, try_cast: bool) -> Result<SqlType> {
    let to = parse_type(call.text(1)?, call.zone.name())?;
    let from = &call.fields[0];
    if !castable(from.data_type(), &to.data_type) {
        let to_type = to.data_type.clone();
        let error = no_cast(from, &to.field(""));
        return Err(match (call.data_type(0), &to_type) {
            (DataType::Timestamp(..), number) if number.is_numeric() => {
                error.fix("write UNIX_TIMESTAMP(CAST(x AS STRING)) for seconds since 1970")
            }
            (number, DataType::Timestamp(..)) if number.is_numeric() => {
                error.fix("write TO_TIMESTAMP_LTZ(x, 3) for milliseconds since 1970")
            }
            _ => error,
        });
    }
    let nullable = from.is_nullable() || try_cast;
    let mut to = to.nullable(nullable);
    if is_text(&to.data_type) {
        to.metadata.entry(types::TYPE_KEY.to_string()).or_insert_with(|| types::STRING.to_string());
    }
    Ok(to)
}

fn cast(rows: &Rows<'_>, strict: bool) -> Result<ArrayRef> {
    Cast { zone: rows.zone, strict }.apply(&rows.array(0)?, &rows.fields[0], rows.result)
}

/// Whether there is a conversion, for any values.
fn castable(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    let number = |data_type: &DataType| data_type.is_numeric();
    match (from, to) {
        (T::Null, _) => true,
        (from, to) if is_text(to) => from != &T::Null,
        (from, to) if is_text(from) => !matches!(to, T::List(_) | T::Map(..) | T::Struct(_) | T::Interval(_)),
        (from, to) if is_binary(from) && is_binary(to) => true,
        (from, to) if number(from) && (number(to) || to == &T::Boolean) => true,
        (T::Boolean, to) => number(to) || to == &T::Boolean,
        (T::Interval(_) | T::Duration(_), to) => to.is_integer() || matches!(to, T::Interval(_)),
        (T::Timestamp(..), T::Timestamp(..) | T::Date32 | T::Time32(_)) => true,
        (T::Date32, T::Date32 | T::Timestamp(..)) => true,
        (T::Time32(_) | T::Time64(_), T::Time32(_) | T::Timestamp(..)) => true,
        (T::Struct(from), T::Struct(to)) => {
            from.len() == to.len() && from.iter().zip(to).all(|(a, b)| castable(a.data_type(), b.data_type()))
        }
        (from @ T::Map(..), to @ T::Map(..)) => match (types::map_types(from), types::map_types(to)) {
            (Some((k1, v1)), Some((k2, v2))) => {
                castable(&k1.data_type, &k2.data_type) && castable(&v1.data_type, &v2.data_type)
            }
            _ => false,
        },
        (from, to) => match (types::item_field(from), types::item_field(to)) {
            (Some(from), Some(to)) => castable(from.data_type(), to.data_type()),
            _ => false,
        },
    }
}

/// How to convert.
#[derive(Clone, Copy)]
pub struct Cast<'a> {
    pub zone: &'a Zone,
    /// Bad text is an error; otherwise it is NULL.
    pub strict: bool,
}

impl Cast<'_> {
    /// `array`, whose type is `from`, as a column of exactly the Arrow type of `to`.
    ///
    /// # Errors
    /// There is no such conversion; or text that cannot be read, if the cast is strict.
    pub fn apply(&self, array: &ArrayRef, from: &Field, to: &Field) -> Result<ArrayRef> {
        use DataType as T;
        let (source, target) = (array.data_type(), to.data_type());
        let array = match (source, target) {
            (T::Null, _) => return Ok(new_null_array(target, array.len())),
            (from_type, to_type) if is_text(from_type) && is_text(to_type) => self.utf8(array)?,
            (_, to_type) if is_text(to_type) => self.show(array, from)?,
            (from_type, _) if is_text(from_type) => self.read(self.utf8(array)?.as_string::<i32>(), to)?,
            (from_type, to_type) if is_binary(from_type) && is_binary(to_type) => compute::cast(array, to_type)?,
            (from_type, to_type) if from_type == to_type && !matches!(to_type, T::Timestamp(..) | T::Time32(_)) => {
                Arc::clone(array)
            }
            (T::Boolean, to_type) if to_type.is_numeric() => {
                number::convert(&compute::cast(array, &T::Int8)?, to_type)?
            }
            (from_type, to_type) if from_type.is_numeric() => number::convert(array, to_type)?,
            (T::Interval(_) | T::Duration(_), _) => time::interval(array, to)?,
            (T::Timestamp(..) | T::Date32 | T::Time32(_) | T::Time64(_), _) => time::convert(array, to, self.zone)?,
            (T::Struct(_), T::Struct(fields)) => self.row(array.as_struct(), from, fields)?,
            (T::Map(..), T::Map(entries, _)) => {
                let map = array.as_map();
                let T::Struct(fields) = entries.data_type() else { return Err(no_cast(from, to)) };
                let source = Field::new("", map.entries().data_type().clone(), false);
                let converted = self.row(map.entries(), &source, fields)?;
                Arc::new(MapArray::try_new(
                    Arc::clone(entries),
                    map.offsets().clone(),
                    converted.as_struct().clone(),
                    map.nulls().cloned(),
                    false,
                )?)
            }
            (_, T::List(item)) => {
                let list = super::lists::as_list(array)?;
                let from = types::item_field(source).ok_or_else(|| no_cast(from, to))?;
                let values = self.apply(list.values(), from, item)?;
                Arc::new(ListArray::try_new(Arc::clone(item), list.offsets().clone(), values, list.nulls().cloned())?)
            }
            _ => return Err(no_cast(from, to)),
        };
        match types::length(to) {
            Some(length) if is_text(target) => Ok(limit_text(&array, length)),
            Some(length) => Ok(limit_binary(&array, length)),
            None => Ok(array),
        }
    }

    fn utf8(&self, array: &ArrayRef) -> Result<ArrayRef> {
        Ok(compute::cast(array, &DataType::Utf8)?)
    }

    /// Any value as text.
    fn show(&self, array: &ArrayRef, from: &Field) -> Result<ArrayRef> {
        let push = to_text(array.as_ref(), from, self.zone)?;
        let mut builder = StringBuilder::with_capacity(array.len(), array.len() * 8);
        let mut text = String::new();
        for row in 0..array.len() {
            if array.is_null(row) {
                builder.append_null();
            } else {
                text.clear();
                push(row, &mut text);
                builder.append_value(&text);
            }
        }
        Ok(Arc::new(builder.finish()))
    }

    /// Text as any value.
    fn read(&self, strings: &StringArray, to: &Field) -> Result<ArrayRef> {
        use arrow::datatypes::*;
        let target = to.data_type();
        Ok(match target {
            DataType::Boolean => {
                let mut values = Vec::with_capacity(strings.len());
                for value in strings.iter() {
                    values.push(match value {
                        Some(text) => self.checked(parse_boolean(text), text, to)?,
                        None => None,
                    });
                }
                Arc::new(BooleanArray::from(values))
            }
            DataType::Int8 => self.each::<Int8Type>(strings, to, |text| parse_integer(text)?.try_into().ok())?,
            DataType::Int16 => self.each::<Int16Type>(strings, to, |text| parse_integer(text)?.try_into().ok())?,
            DataType::Int32 => self.each::<Int32Type>(strings, to, |text| parse_integer(text)?.try_into().ok())?,
            DataType::Int64 => self.each::<Int64Type>(strings, to, parse_integer)?,
            DataType::Float32 => self.each::<Float32Type>(strings, to, |text| parse_double(text).map(|v| v as f32))?,
            DataType::Float64 => self.each::<Float64Type>(strings, to, parse_double)?,
            DataType::Decimal128(precision, scale) => {
                let mut values = Vec::with_capacity(strings.len());
                for value in strings.iter() {
                    values.push(match value {
                        Some(text) => self.checked(parse_decimal(text, *precision, *scale), text, to)?.flatten(),
                        None => None,
                    });
                }
                Arc::new(number::decimals(values, *precision, *scale)?)
            }
            DataType::Date32 => self.each::<Date32Type>(strings, to, parse_date)?,
            DataType::Time32(TimeUnit::Millisecond) => {
                let step = 10i32.pow(3 - u32::from(types::precision(to).min(3)));
                self.each::<Time32MillisecondType>(strings, to, |text| parse_time(text).map(|ms| ms - ms % step))?
            }
            DataType::Timestamp(..) => {
                let mut values = Vec::with_capacity(strings.len());
                for value in strings.iter() {
                    values.push(match value {
                        Some(text) => self.checked(parse_timestamp(text), text, to)?,
                        None => None,
                    });
                }
                time::timestamps(values, to, self.zone)?
            }
            DataType::Binary => {
                let mut builder = BinaryBuilder::with_capacity(strings.len(), strings.value_data().len());
                strings.iter().for_each(|value| builder.append_option(value));
                Arc::new(builder.finish())
            }
            _ => return Err(no_cast(&Field::new("", DataType::Utf8, true), to)),
        })
    }

    fn each<T: ArrowPrimitive>(
        &self,
        strings: &StringArray,
        to: &Field,
        parse: impl Fn(&str) -> Option<T::Native>,
    ) -> Result<ArrayRef> {
        let mut builder = arrow::array::PrimitiveBuilder::<T>::with_capacity(strings.len());
        for value in strings.iter() {
            match value {
                Some(text) => builder.append_option(self.checked(parse(text), text, to)?),
                None => builder.append_null(),
            }
        }
        Ok(Arc::new(builder.finish()))
    }

    fn checked<T>(&self, parsed: Option<T>, text: &str, to: &Field) -> Result<Option<T>> {
        if parsed.is_none() && self.strict {
            let to = flink_type(&to.clone().with_nullable(true));
            return Err(Error::new(format!("cannot cast '{text}' to {to}"))
                .why("the text does not read as this type, or is out of its range")
                .fix("use TRY_CAST to get NULL instead"));
        }
        Ok(parsed)
    }

    /// Field by field, by position.
    fn row(&self, row: &StructArray, from: &Field, fields: &Fields) -> Result<ArrayRef> {
        let DataType::Struct(sources) = from.data_type() else {
            return Err(no_cast(from, &Field::new("", DataType::Struct(fields.clone()), true)));
        };
        let columns: Result<Vec<ArrayRef>> = row
            .columns()
            .iter()
            .zip(sources.iter().zip(fields))
            .map(|(column, (from, to))| self.apply(column, from, to))
            .collect();
        let nulls: Option<NullBuffer> = row.nulls().cloned();
        Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns?, nulls, row.len())?))
    }
}

use arrow::datatypes::ArrowPrimitiveType as ArrowPrimitive;

fn no_cast(from: &Field, to: &Field) -> Error {
    let show = |field: &Field| flink_type(&field.clone().with_nullable(true));
    Error::new(format!("cannot cast {} to {}", show(from), show(to)))
}

/// Cuts to `VARCHAR(n)`, and pads to `CHAR(n)` with spaces; `n` counts characters.
fn limit_text(array: &ArrayRef, length: Length) -> ArrayRef {
    let strings = array.as_string::<i32>();
    let fits = |text: &str| {
        let short = text.len() <= length.max || text.chars().count() <= length.max;
        short && (!length.fixed || text.chars().count() == length.max)
    };
    if strings.iter().flatten().all(fits) {
        return Arc::clone(array);
    }
    let mut builder = StringBuilder::with_capacity(strings.len(), strings.value_data().len());
    let mut padded = String::new();
    for value in strings.iter() {
        builder.append_option(value.map(|text| {
            let end = text.char_indices().nth(length.max).map_or(text.len(), |(at, _)| at);
            let missing = if length.fixed { length.max - text[..end].chars().count() } else { 0 };
            padded.clear();
            padded.push_str(&text[..end]);
            padded.extend(std::iter::repeat_n(' ', missing));
            &padded
        }));
    }
    Arc::new(builder.finish())
}

/// Cuts to `VARBINARY(n)`, and pads to `BINARY(n)` with zeros.
fn limit_binary(array: &ArrayRef, length: Length) -> ArrayRef {
    let values = array.as_binary::<i32>();
    let mut builder = BinaryBuilder::with_capacity(values.len(), values.value_data().len());
    let mut padded = Vec::new();
    for value in values.iter() {
        builder.append_option(value.map(|bytes| {
            padded.clear();
            padded.extend_from_slice(&bytes[..bytes.len().min(length.max)]);
            if length.fixed {
                padded.resize(length.max, 0);
            }
            padded.as_slice()
        }));
    }
    Arc::new(builder.finish())
}

#[cfg(test)]
mod tests;
