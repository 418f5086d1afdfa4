//! Values of every type, made straight into Arrow columns.
//!
//! Each value is drawn from a cell (see [`chance`](crate::connectors::chance)): bits mixed from the seed, the column and the row,
//! and for what is inside a row, array or map from the outer cell and the place in it.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray, Float32Array,
    Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, ListArray, MapArray, StringArray, StructArray,
    Time32MillisecondArray, TimestampMillisecondArray, make_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use chrono::Utc;

use super::fields::FieldOptions;
use crate::connectors::chance::{draw, fraction, mix, up_to};
use crate::error::{Error, Result};

const NULLS: u64 = 0x6E75_6C6C;
const LENGTHS: u64 = 0x6C65_6E67_7468;
const DAY_MS: i64 = 86_400_000;

/// The seed of one column.
pub(super) fn column_seed(seed: u64, column: usize) -> u64 {
    mix(mix(seed).wrapping_add(column as u64))
}

/// Makes the values of a column, or of what is inside one.
#[derive(Clone)]
pub(super) struct Generator {
    field: FieldRef,
    kind: Kind,
    null_rate: f64,
}

#[derive(Clone)]
enum Kind {
    Sequence {
        start: i64,
        end: i64,
    },
    Boolean,
    Integer {
        min: i64,
        max: i64,
    },
    Float {
        min: f64,
        max: f64,
    },
    Decimal {
        min: i128,
        max: i128,
    },
    /// Texts (in hexadecimal digits) and bytes.
    Bytes(Length),
    /// The time now, or up to so many milliseconds before.
    Now {
        past_ms: i64,
    },
    List(Box<Generator>, Length),
    Map(Box<Generator>, Box<Generator>, Length),
    Row(Vec<Generator>),
}

#[derive(Clone, Copy)]
struct Length {
    most: u64,
    varies: bool,
}

impl Length {
    fn of(self, cell: u64) -> u64 {
        match self.varies && self.most > 0 {
            true => 1 + up_to(draw(cell, LENGTHS), self.most - 1),
            false => self.most,
        }
    }
}

impl Generator {
    pub fn of_column(field: &FieldRef, options: &mut FieldOptions) -> Result<Generator> {
        let path = field.name();
        if !options.text(path, "kind").is_some_and(|kind| kind.eq_ignore_ascii_case("sequence")) {
            return Generator::random(path, field, options);
        }
        let mut bound = |what: &str| match options.text(path, what) {
            Some(_) => options.value(path, what, 0i64),
            None => Err(Error::new(format!("option 'fields.{path}.{what}' of table {} is missing", options.table()))
                .why("a sequence has a first and a last number")
                .fix(format!("add 'fields.{path}.{what}' = '...' to WITH (...)"))),
        };
        let (start, end) = (bound("start")?, bound("end")?);
        if start > end {
            return Err(options.wrong(path, "start", "a sequence starts at or before its end"));
        }
        let generator = Generator { field: Arc::clone(field), kind: Kind::Sequence { start, end }, null_rate: 0.0 };
        let bounds: ArrayRef = Arc::new(Int64Array::from(vec![start, end]));
        generator.strict_cast(&bounds).map_err(|error| options.wrong(path, "end", &error.to_string()))?;
        Ok(generator)
    }

    fn random(path: &str, field: &FieldRef, options: &mut FieldOptions) -> Result<Generator> {
        use DataType as D;
        let kind = match field.data_type() {
            D::Boolean => Kind::Boolean,
            D::Int8 => integer(path, options, i8::MIN.into(), i8::MAX.into())?,
            D::Int16 => integer(path, options, i16::MIN.into(), i16::MAX.into())?,
            D::Int32 => integer(path, options, i32::MIN.into(), i32::MAX.into())?,
            D::Int64 => integer(path, options, i64::MIN, i64::MAX)?,
            D::Float32 => float(path, options, f32::MIN_POSITIVE.into(), f32::MAX.into())?,
            D::Float64 => float(path, options, f64::MIN_POSITIVE, f64::MAX)?,
            D::Decimal128(precision, scale) => decimal(path, options, *precision, *scale)?,
            D::Utf8 | D::LargeUtf8 | D::Utf8View | D::Binary | D::LargeBinary | D::BinaryView => {
                Kind::Bytes(length(path, options, 100)?)
            }
            D::FixedSizeBinary(size) => Kind::Bytes(Length { most: (*size).max(0) as u64, varies: false }),
            D::Date32 | D::Time32(_) | D::Time64(_) => Kind::Now { past_ms: 0 },
            D::Timestamp(..) => Kind::Now { past_ms: options.duration_ms(path, "max-past")? },
            D::List(element) => {
                let element = Generator::random(&format!("{path}.element"), element, options)?;
                Kind::List(Box::new(element), length(path, options, 3)?)
            }
            D::Map(entries, _) => {
                let D::Struct(entry) = entries.data_type() else { return Err(unsupported(path, field, options)) };
                let key = Generator::random(&format!("{path}.key"), &entry[0], options)?;
                let value = Generator::random(&format!("{path}.value"), &entry[1], options)?;
                Kind::Map(Box::new(Generator { null_rate: 0.0, ..key }), Box::new(value), length(path, options, 3)?)
            }
            D::Struct(fields) => {
                let fields = fields.iter().map(|f| Generator::random(&format!("{path}.{}", f.name()), f, options));
                Kind::Row(fields.collect::<Result<_>>()?)
            }
            _ => return Err(unsupported(path, field, options)),
        };
        let null_rate = options.value(path, "null-rate", 0.0)?;
        if !(0.0..=1.0).contains(&null_rate) {
            return Err(options.wrong(path, "null-rate", "a share is a number from 0 to 1"));
        }
        if null_rate > 0.0 && !field.is_nullable() {
            return Err(options.wrong(path, "null-rate", "the column is NOT NULL"));
        }
        Ok(Generator { field: Arc::clone(field), kind, null_rate })
    }

    /// How many rows there are values for; `None` if there is no end.
    pub fn rows(&self) -> Option<u64> {
        match self.kind {
            Kind::Sequence { start, end } => Some(end.abs_diff(start).saturating_add(1)),
            _ => None,
        }
    }

    /// About how large a value is.
    pub fn bytes(&self) -> u64 {
        match &self.kind {
            Kind::Bytes(length) => length.most + 4,
            Kind::List(element, length) => 4 + length.most * element.bytes(),
            Kind::Map(key, value, length) => 4 + length.most * (key.bytes() + value.bytes()),
            Kind::Row(fields) => fields.iter().map(Generator::bytes).sum(),
            _ => 8,
        }
    }

    /// The values of a column at the rows of these numbers.
    pub fn column(&self, seed: u64, rows: &[u64]) -> Result<ArrayRef> {
        match self.kind {
            Kind::Sequence { start, .. } => {
                let values = rows.iter().map(|&row| start.wrapping_add_unsigned(row));
                self.strict_cast(&(Arc::new(Int64Array::from_iter_values(values)) as ArrayRef))
            }
            _ => self.values(&rows.iter().map(|&row| draw(seed, row)).collect::<Vec<_>>()),
        }
    }

    fn values(&self, cells: &[u64]) -> Result<ArrayRef> {
        let values = self.values_without_nulls(cells)?;
        if self.null_rate <= 0.0 {
            return Ok(values);
        }
        let valid = cells.iter().map(|&cell| fraction(draw(cell, NULLS)) >= self.null_rate).collect::<BooleanBuffer>();
        let with_nulls = values.to_data().into_builder().nulls(Some(NullBuffer::new(valid))).build()?;
        Ok(make_array(with_nulls))
    }

    fn values_without_nulls(&self, cells: &[u64]) -> Result<ArrayRef> {
        let values: ArrayRef = match &self.kind {
            Kind::Boolean => {
                Arc::new(BooleanArray::new(cells.iter().map(|&cell| draw(cell, 0) >> 63 == 1).collect(), None))
            }
            Kind::Integer { min, max } => {
                let span = max.abs_diff(*min);
                let values = cells.iter().map(|&cell| min.wrapping_add_unsigned(up_to(draw(cell, 0), span)));
                match self.field.data_type() {
                    DataType::Int8 => Arc::new(Int8Array::from_iter_values(values.map(|value| value as i8))),
                    DataType::Int16 => Arc::new(Int16Array::from_iter_values(values.map(|value| value as i16))),
                    DataType::Int32 => Arc::new(Int32Array::from_iter_values(values.map(|value| value as i32))),
                    _ => Arc::new(Int64Array::from_iter_values(values)),
                }
            }
            Kind::Float { min, max } => {
                // Halves, because the distance of the greatest from the least double is not a double.
                let values = cells.iter().map(|&cell| {
                    let at = fraction(draw(cell, 0));
                    (min * (1.0 - at) + max * at).clamp(*min, *max)
                });
                match self.field.data_type() {
                    DataType::Float32 => Arc::new(Float32Array::from_iter_values(values.map(|value| value as f32))),
                    _ => Arc::new(Float64Array::from_iter_values(values)),
                }
            }
            Kind::Decimal { min, max } => {
                let span = max.abs_diff(*min);
                let values = cells.iter().map(|&cell| {
                    let bits = u128::from(draw(cell, 0)) << 64 | u128::from(draw(cell, 1));
                    min.wrapping_add_unsigned(span.checked_add(1).map_or(bits, |count| bits % count))
                });
                let values = Decimal128Array::from_iter_values(values);
                match self.field.data_type() {
                    DataType::Decimal128(precision, scale) => {
                        Arc::new(values.with_precision_and_scale(*precision, *scale)?)
                    }
                    _ => Arc::new(values),
                }
            }
            Kind::Bytes(length) => self.bytes_of(cells, *length)?,
            Kind::Now { past_ms } => self.times(cells, *past_ms)?,
            Kind::List(element, length) => {
                let (inner, offsets) = parts(cells, *length);
                Arc::new(ListArray::try_new(Arc::clone(&element.field), offsets, element.values(&inner)?, None)?)
            }
            Kind::Map(key, value, length) => self.maps(cells, key, value, *length)?,
            Kind::Row(fields) => {
                let columns = fields.iter().enumerate().map(|(place, generator)| {
                    let inner: Vec<u64> = cells.iter().map(|&cell| draw(cell, place as u64)).collect();
                    generator.values(&inner)
                });
                let kinds: Fields = fields.iter().map(|generator| Arc::clone(&generator.field)).collect();
                let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
                Arc::new(StructArray::try_new_with_length(kinds, columns, None, cells.len())?)
            }
            Kind::Sequence { .. } => unreachable!("sequences are of columns, and made by row number"),
        };
        match values.data_type() == self.field.data_type() {
            true => Ok(values),
            false => self.strict_cast(&values),
        }
    }

    fn bytes_of(&self, cells: &[u64], length: Length) -> Result<ArrayRef> {
        use DataType as D;
        let lengths = cells.iter().map(|&cell| length.of(cell) as usize);
        let offsets = OffsetBuffer::<i32>::from_lengths(lengths.clone());
        let mut bytes = Vec::with_capacity(lengths.clone().sum());
        let is_text = matches!(self.field.data_type(), D::Utf8 | D::LargeUtf8 | D::Utf8View);
        for (&cell, length) in cells.iter().zip(lengths) {
            match is_text {
                true => push_hexadecimal(cell, length, &mut bytes),
                false => {
                    let words = (0..length.div_ceil(8) as u64).flat_map(|word| draw(cell, word).to_le_bytes());
                    bytes.extend(words.take(length));
                }
            }
        }
        let bytes = Buffer::from(bytes);
        Ok(match self.field.data_type() {
            D::FixedSizeBinary(size) => Arc::new(FixedSizeBinaryArray::try_new(*size, bytes, None)?),
            _ if is_text => Arc::new(StringArray::try_new(offsets, bytes, None)?),
            _ => Arc::new(BinaryArray::try_new(offsets, bytes, None)?),
        })
    }

    fn times(&self, cells: &[u64], past_ms: i64) -> Result<ArrayRef> {
        let now = Utc::now().timestamp_millis();
        let (day, time) = (now.div_euclid(DAY_MS), now.rem_euclid(DAY_MS));
        Ok(match self.field.data_type() {
            DataType::Date32 => Arc::new(Date32Array::from_value(day as i32, cells.len())),
            DataType::Time32(_) | DataType::Time64(_) => {
                Arc::new(Time32MillisecondArray::from_value(time as i32, cells.len()))
            }
            kind => {
                let past = cells.iter().map(|&cell| up_to(draw(cell, 0), past_ms.unsigned_abs()) as i64);
                let times = TimestampMillisecondArray::from_iter_values(past.map(|past| now.saturating_sub(past)));
                match kind {
                    DataType::Timestamp(_, Some(zone)) => Arc::new(times.with_timezone(Arc::clone(zone))),
                    _ => Arc::new(times),
                }
            }
        })
    }

    fn maps(&self, cells: &[u64], key: &Generator, value: &Generator, length: Length) -> Result<ArrayRef> {
        let (inner, offsets) = parts(cells, length);
        let value_cells: Vec<u64> = inner.iter().map(|&cell| draw(cell, 1)).collect();
        let fields = Fields::from(vec![Arc::clone(&key.field), Arc::clone(&value.field)]);
        let entries = StructArray::try_new(fields, vec![key.values(&inner)?, value.values(&value_cells)?], None)?;
        let (field, sorted) = match self.field.data_type() {
            DataType::Map(field, sorted) => (Arc::clone(field), *sorted),
            _ => (Arc::new(Field::new("entries", entries.data_type().clone(), false)), false),
        };
        Ok(Arc::new(MapArray::try_new(field, offsets, entries, None, sorted)?))
    }

    fn strict_cast(&self, values: &ArrayRef) -> Result<ArrayRef> {
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        Ok(cast_with_options(values, self.field.data_type(), &strict)?)
    }
}

/// The cells of the elements of arrays, and where each array's begin.
fn parts(cells: &[u64], length: Length) -> (Vec<u64>, OffsetBuffer<i32>) {
    let lengths = cells.iter().map(|&cell| length.of(cell) as usize);
    let offsets = OffsetBuffer::from_lengths(lengths.clone());
    let inner = cells.iter().zip(lengths).flat_map(|(&cell, length)| (0..length as u64).map(move |n| draw(cell, n)));
    (inner.collect(), offsets)
}

fn push_hexadecimal(cell: u64, length: usize, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let end = out.len() + length;
    for word in 0.. {
        let mut bits = draw(cell, word);
        for _ in 0..16.min(end - out.len()) {
            out.push(DIGITS[(bits & 15) as usize]);
            bits >>= 4;
        }
        if out.len() == end {
            return;
        }
    }
}

fn integer(path: &str, options: &mut FieldOptions, min: i64, max: i64) -> Result<Kind> {
    let (least, most) = (options.value(path, "min", min)?, options.value(path, "max", max)?);
    if least < min || least > most {
        return Err(options.wrong(path, "min", &format!("it lies between {min} and the greatest number, {most}")));
    }
    if most > max {
        return Err(options.wrong(path, "max", &format!("the column holds numbers up to {max}")));
    }
    Ok(Kind::Integer { min: least, max: most })
}

fn float(path: &str, options: &mut FieldOptions, min: f64, max: f64) -> Result<Kind> {
    let (least, most) = (options.value(path, "min", min)?, options.value(path, "max", max)?);
    if !(-max..=most).contains(&least) {
        return Err(options.wrong(path, "min", &format!("it lies between {} and the greatest number, {most}", -max)));
    }
    if most > max {
        return Err(options.wrong(path, "max", &format!("the column holds numbers up to {max}")));
    }
    Ok(Kind::Float { min: least, max: most })
}

fn decimal(path: &str, options: &mut FieldOptions, precision: u8, scale: i8) -> Result<Kind> {
    let greatest = 10i128.pow(u32::from(precision.min(38))) - 1;
    let mut bound = |what: &str, default: i128| -> Result<i128> {
        let Some(text) = options.text(path, what) else { return Ok(default) };
        let text = StringArray::from(vec![text.trim()]);
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let number = cast_with_options(&text, &DataType::Decimal128(precision, scale), &strict)
            .map_err(|error| options.wrong(path, what, &error.to_string()))?;
        let number = arrow::array::AsArray::as_primitive::<arrow::datatypes::Decimal128Type>(&number);
        Ok(number.value(0))
    };
    // As with floating numbers, the default is positive.
    let (min, max) = (bound("min", 0)?, bound("max", greatest)?);
    if min > max {
        return Err(options.wrong(path, "min", "it lies above the greatest number"));
    }
    Ok(Kind::Decimal { min, max })
}

fn length(path: &str, options: &mut FieldOptions, default: u64) -> Result<Length> {
    let most: u64 = options.value(path, "length", default)?;
    if most > i32::MAX as u64 {
        return Err(options.wrong(path, "length", "it is too long"));
    }
    Ok(Length { most, varies: options.value(path, "var-len", false)? })
}

fn unsupported(path: &str, field: &Field, options: &FieldOptions) -> Error {
    Error::new(format!("cannot make up values for column {path} of table {}", options.table()))
        .why(format!("datagen knows nothing of the type {}", field.data_type()))
        .fix("compute the column instead: name AS expression")
}
