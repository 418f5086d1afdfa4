//! A column under construction: what the decoders write into.
//!
//! Arrow's own builders cannot take values back. These can: a record that turns out to be bad half-way is undone with
//! [`Column::truncate`], and the rows before it are as they were. They also hand their vectors to Arrow without a copy.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, FixedSizeBinaryArray, ListArray,
    MapArray, NullArray, StringArray, StructArray, make_array, new_null_array,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute;
use arrow::datatypes::{ArrowNativeType, DataType, Field, FieldRef, Fields, TimeUnit};
use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::wrong::Wrong;
use crate::connect::Unread;
use crate::error::{Error, Result};
use crate::text::Zone;
use crate::text::parse::{self, DecimalError, RecentDate, TimestampStandard};

/// Metadata of the fields that [`given`] makes.
const GIVEN: &str = "tidemill.given";

/// A field that tells a value that is not there from one that is NULL: a row of one field, which is NULL as a whole if the record
/// has no value of that name.
pub fn given(field: &FieldRef) -> Field {
    Field::new(field.name(), DataType::Struct(vec![Arc::clone(field)].into()), true)
        .with_metadata([(GIVEN.to_string(), String::new())].into())
}

/// How texts become dates and times.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    pub standard: TimestampStandard,
    /// For a `TIMESTAMP_LTZ` whose text names no zone.
    pub zone: Zone,
}

/// Values of one type, null or not, that can be taken back from the end.
pub struct Column {
    field: FieldRef,
    len: usize,
    /// A bit per row up to the last NULL, clear for NULL; the rows behind are not.
    validity: Option<BooleanBufferBuilder>,
    pub kind: Kind,
}

pub enum Kind {
    Null,
    Boolean(BooleanBufferBuilder),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Decimal {
        values: Vec<i128>,
        precision: u8,
        scale: i8,
    },
    Date(Vec<i32>),
    Time32(Vec<i32>, TimeUnit),
    Time64(Vec<i64>, TimeUnit),
    Timestamp {
        values: Vec<i64>,
        unit: TimeUnit,
        zoned: bool,
        reading: Reading,
        recent: RecentDate,
    },
    Text(Texts),
    Bytes(Texts),
    /// `BINARY(n)`
    FixedBytes(Vec<u8>, usize),
    List(Vec<i32>, Box<Column>),
    Map(Box<MapColumn>),
    Row(Vec<Column>),
    /// See [`given`].
    Given(Box<Column>),
    /// Nobody looks at its values.
    Unread,
}

/// Values of any length, end to end.
pub struct Texts {
    /// Where each value starts, and last where the next will.
    pub offsets: Vec<i32>,
    pub bytes: Vec<u8>,
}

pub struct MapColumn {
    pub offsets: Vec<i32>,
    pub keys: Column,
    pub values: Column,
    /// Entries whose key came again later in the same map: the last one counts, so these are left out at the end. Ascending.
    pub overwritten: Vec<usize>,
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Column {
    /// An empty column for `field`, without what is unread inside it.
    ///
    /// # Errors
    /// The formats have no text for values of this type; `of` names the table.
    pub fn new(field: &FieldRef, unread: &Unread, reading: Reading, of: &str) -> Result<Column> {
        let child = |field: &FieldRef| Column::new(field, &Unread::default(), reading, of);
        let part = |field: &FieldRef| match unread.is_whole(field.name()) {
            true => Ok(Column { field: Arc::clone(field), len: 0, validity: None, kind: Kind::Unread }),
            false => Column::new(field, &unread.inside(field.name()), reading, of),
        };
        let kind = match field.data_type() {
            DataType::Null => Kind::Null,
            DataType::Boolean => Kind::Boolean(BooleanBufferBuilder::new(0)),
            DataType::Int8 => Kind::Int8(Vec::new()),
            DataType::Int16 => Kind::Int16(Vec::new()),
            DataType::Int32 => Kind::Int32(Vec::new()),
            DataType::Int64 => Kind::Int64(Vec::new()),
            DataType::Float32 => Kind::Float32(Vec::new()),
            DataType::Float64 => Kind::Float64(Vec::new()),
            DataType::Decimal128(precision, scale) => {
                Kind::Decimal { values: Vec::new(), precision: *precision, scale: *scale }
            }
            DataType::Date32 => Kind::Date(Vec::new()),
            DataType::Time32(unit) => Kind::Time32(Vec::new(), *unit),
            DataType::Time64(unit) => Kind::Time64(Vec::new(), *unit),
            DataType::Timestamp(unit, zone) => Kind::Timestamp {
                values: Vec::new(),
                unit: *unit,
                zoned: zone.is_some(),
                reading,
                recent: RecentDate::default(),
            },
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Kind::Text(Texts::new()),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Kind::Bytes(Texts::new()),
            DataType::FixedSizeBinary(size) => Kind::FixedBytes(Vec::new(), usize::try_from(*size).unwrap_or(0)),
            DataType::List(item) => Kind::List(vec![0], Box::new(child(item)?)),
            DataType::Map(entries, _) => {
                let DataType::Struct(fields) = entries.data_type() else {
                    return Err(unsupported(field, of));
                };
                let [key, value] = fields.as_ref() else { return Err(unsupported(field, of)) };
                let (keys, values) = (child(key)?, child(value)?);
                Kind::Map(Box::new(MapColumn { offsets: vec![0], keys, values, overwritten: Vec::new() }))
            }
            DataType::Struct(fields) if field.metadata().contains_key(GIVEN) => {
                let [value] = fields.as_ref() else { return Err(unsupported(field, of)) };
                Kind::Given(Box::new(child(value)?))
            }
            DataType::Struct(fields) => Kind::Row(fields.iter().map(part).collect::<Result<_>>()?),
            _ => return Err(unsupported(field, of)),
        };
        Ok(Column { field: Arc::clone(field), len: 0, validity: None, kind })
    }

    pub fn name(&self) -> &str {
        self.field.name()
    }

    pub fn data_type(&self) -> &DataType {
        self.field.data_type()
    }

    pub fn nullable(&self) -> bool {
        self.field.is_nullable()
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_valid(&self, row: usize) -> bool {
        row < self.len && self.validity.as_ref().is_none_or(|validity| row >= validity.len() || validity.get_bit(row))
    }

    /// The value of a row that is not NULL, in a `STRING` column.
    pub fn text(&self, row: usize) -> Option<&str> {
        let Kind::Text(texts) = &self.kind else { return None };
        let bytes = || &texts.bytes[texts.offsets[row] as usize..texts.offsets[row + 1] as usize];
        self.is_valid(row).then(|| str::from_utf8(bytes()).ok()).flatten()
    }

    /// Appends NULL.
    #[inline]
    pub fn push_null(&mut self) {
        self.pad(self.len + 1);
    }

    /// Makes it so long, with NULL, or what stands for it under a row that is NULL as a whole.
    ///
    /// The fields of a row may be shorter than the row: what is missing at their end is NULL. So a row that is NULL costs nothing per field, and
    /// whoever appends to a field pads it before.
    pub fn pad(&mut self, len: usize) {
        let Some(missing) = len.checked_sub(self.len).filter(|missing| *missing > 0) else { return };
        match &mut self.kind {
            Kind::Null | Kind::Row(_) => {}
            Kind::Boolean(bits) => bits.append_n(missing, false),
            Kind::Int8(values) => values.resize(len, 0),
            Kind::Int16(values) => values.resize(len, 0),
            Kind::Int32(values) | Kind::Date(values) | Kind::Time32(values, _) => values.resize(len, 0),
            Kind::Int64(values) | Kind::Time64(values, _) | Kind::Timestamp { values, .. } => values.resize(len, 0),
            Kind::Float32(values) => values.resize(len, 0.0),
            Kind::Float64(values) => values.resize(len, 0.0),
            Kind::Decimal { values, .. } => values.resize(len, 0),
            Kind::Text(texts) | Kind::Bytes(texts) => texts.offsets.resize(len + 1, texts.end()),
            Kind::FixedBytes(bytes, size) => bytes.resize(len * *size, 0),
            Kind::List(offsets, _) => offsets.resize(len + 1, last(offsets)),
            Kind::Map(map) => map.offsets.resize(len + 1, last(&map.offsets)),
            Kind::Given(value) => value.pad(len),
            Kind::Unread => {
                self.len = len;
                return;
            }
        }
        self.validity_of_all().append_n(missing, false);
        self.len = len;
    }

    /// Appends the value that was just written into `kind`: everything but its validity is there.
    #[inline]
    pub fn push_valid(&mut self) {
        self.len += 1;
    }

    /// A bit per row.
    fn validity_of_all(&mut self) -> &mut BooleanBufferBuilder {
        let validity = self.validity.get_or_insert_with(|| BooleanBufferBuilder::new(self.len + 1));
        validity.append_n(self.len - validity.len(), true);
        validity
    }

    /// Appends a text to a `STRING` column. `ascii` spares the check that it is UTF-8.
    #[inline]
    pub fn push_text(&mut self, text: &[u8], ascii: bool) -> Result<(), Wrong> {
        let Kind::Text(texts) = &mut self.kind else { return Err(Wrong::Kind) };
        if !ascii && std::str::from_utf8(text).is_err() {
            return Err(Wrong::NotUtf8);
        }
        texts.push(text)?;
        self.push_valid();
        Ok(())
    }

    /// Appends the value that `text` stands for. Nothing is appended if there is an error.
    ///
    /// As in Flink: spaces around numbers do not matter, every text but `true` is a false `BOOLEAN`, bytes are base64, and a
    /// number too large for a `DECIMAL` is NULL.
    pub fn push_parsed(&mut self, text: &[u8]) -> Result<(), Wrong> {
        if matches!(self.kind, Kind::Text(_)) {
            return self.push_text(text, false);
        }
        let trimmed = text.trim_ascii();
        match &mut self.kind {
            Kind::Boolean(bits) => bits.append(trimmed.eq_ignore_ascii_case(b"true")),
            Kind::Int8(values) => values.push(parse_integer(trimmed)?),
            Kind::Int16(values) => values.push(parse_integer(trimmed)?),
            Kind::Int32(values) => values.push(parse_integer(trimmed)?),
            Kind::Int64(values) => values.push(parse_integer(trimmed)?),
            Kind::Float32(values) => values.push(parse::parse_float(trimmed).ok_or(Wrong::Kind)?),
            Kind::Float64(values) => values.push(parse::parse_double(trimmed).ok_or(Wrong::Kind)?),
            Kind::Decimal { values, precision, scale } => {
                match parse::parse_decimal(trimmed, *precision, *scale) {
                    Ok(value) => values.push(value),
                    Err(DecimalError::Overflow) if self.field.is_nullable() => {
                        self.push_null();
                        return Ok(());
                    }
                    Err(DecimalError::Overflow) => return Err(Wrong::Range),
                    Err(DecimalError::NotANumber) => return Err(Wrong::Kind),
                };
            }
            Kind::Date(values) => values.push(parse::parse_date(trimmed).ok_or(Wrong::Kind)?),
            Kind::Time32(values, unit) => {
                let (second, nanos) = parse::parse_time(trimmed).ok_or(Wrong::Kind)?;
                values.push(match unit {
                    TimeUnit::Second => second as i32,
                    _ => (second * 1000 + nanos / 1_000_000) as i32,
                });
            }
            Kind::Time64(values, unit) => {
                let (second, nanos) = parse::parse_time(trimmed).ok_or(Wrong::Kind)?;
                let nanos = i64::from(second) * 1_000_000_000 + i64::from(nanos);
                values.push(if *unit == TimeUnit::Microsecond { nanos / 1000 } else { nanos });
            }
            Kind::Timestamp { values, unit, zoned, reading, recent } => {
                let parsed = recent.parse_timestamp(trimmed, reading.standard).ok_or(Wrong::Kind)?;
                let parsed = match (*zoned, parsed.offset) {
                    (true, _) => parsed.to_utc(&reading.zone),
                    (false, None) => parsed,
                    // A TIMESTAMP has no zone; a text with one means something else.
                    (false, Some(_)) => return Err(Wrong::Zone),
                };
                values.push(parsed.value(*unit).ok_or(Wrong::Range)?);
            }
            Kind::Bytes(texts) => {
                let before = texts.bytes.len();
                if BASE64.decode_vec(trimmed, &mut texts.bytes).is_err() {
                    texts.bytes.truncate(before);
                    return Err(Wrong::Kind);
                }
                texts.close()?;
            }
            Kind::FixedBytes(bytes, size) => {
                let value = BASE64.decode(trimmed).map_err(|_| Wrong::Kind)?;
                if value.len() != *size {
                    return Err(Wrong::Range);
                }
                bytes.extend_from_slice(&value);
            }
            Kind::Null
            | Kind::Text(_)
            | Kind::List(..)
            | Kind::Map(_)
            | Kind::Row(_)
            | Kind::Given(_)
            | Kind::Unread => {
                return Err(Wrong::Kind);
            }
        }
        self.push_valid();
        Ok(())
    }

    /// Takes back everything from row `len` on, also what was only begun.
    pub fn truncate(&mut self, len: usize) {
        match &mut self.kind {
            Kind::Null | Kind::Unread => {}
            Kind::Boolean(bits) => bits.truncate(len),
            Kind::Int8(values) => values.truncate(len),
            Kind::Int16(values) => values.truncate(len),
            Kind::Int32(values) | Kind::Date(values) | Kind::Time32(values, _) => values.truncate(len),
            Kind::Int64(values) | Kind::Time64(values, _) | Kind::Timestamp { values, .. } => values.truncate(len),
            Kind::Float32(values) => values.truncate(len),
            Kind::Float64(values) => values.truncate(len),
            Kind::Decimal { values, .. } => values.truncate(len),
            Kind::Text(texts) | Kind::Bytes(texts) => {
                texts.offsets.truncate(len + 1);
                texts.bytes.truncate(last(&texts.offsets) as usize);
            }
            Kind::FixedBytes(bytes, size) => bytes.truncate(len * *size),
            Kind::List(offsets, items) => {
                offsets.truncate(len + 1);
                items.truncate(last(offsets) as usize);
            }
            Kind::Map(map) => {
                map.offsets.truncate(len + 1);
                let entries = last(&map.offsets) as usize;
                map.keys.truncate(entries);
                map.values.truncate(entries);
                map.overwritten.retain(|&entry| entry < entries);
            }
            Kind::Row(fields) => fields.iter_mut().for_each(|field| field.truncate(len)),
            Kind::Given(value) => value.truncate(len),
        }
        if self.len > len {
            self.len = len;
            if let Some(validity) = self.validity.as_mut().filter(|validity| validity.len() > len) {
                validity.truncate(len);
            }
        }
    }

    /// The array, leaving the column empty.
    pub fn finish(&mut self) -> Result<ArrayRef> {
        let nulls = self.validity.is_some().then(|| NullBuffer::new(self.validity_of_all().finish()));
        self.validity = None;
        let len = std::mem::take(&mut self.len);
        let data_type = self.field.data_type();
        let array: ArrayRef = match &mut self.kind {
            Kind::Null => Arc::new(NullArray::new(len)),
            Kind::Unread => new_null_array(data_type, len),
            Kind::Boolean(bits) => Arc::new(BooleanArray::new(bits.finish(), nulls)),
            Kind::Int8(values) => primitive(data_type, values, nulls)?,
            Kind::Int16(values) => primitive(data_type, values, nulls)?,
            Kind::Int32(values) | Kind::Date(values) | Kind::Time32(values, _) => primitive(data_type, values, nulls)?,
            Kind::Int64(values) | Kind::Time64(values, _) | Kind::Timestamp { values, .. } => {
                primitive(data_type, values, nulls)?
            }
            Kind::Float32(values) => primitive(data_type, values, nulls)?,
            Kind::Float64(values) => primitive(data_type, values, nulls)?,
            Kind::Decimal { values, .. } => primitive(data_type, values, nulls)?,
            Kind::Text(texts) => {
                let (offsets, bytes) = texts.take();
                Arc::new(StringArray::try_new(offsets, bytes, nulls)?)
            }
            Kind::Bytes(texts) => {
                let (offsets, bytes) = texts.take();
                Arc::new(BinaryArray::try_new(offsets, bytes, nulls)?)
            }
            Kind::FixedBytes(bytes, size) => {
                let bytes = Buffer::from_vec(std::mem::take(bytes));
                Arc::new(FixedSizeBinaryArray::try_new(*size as i32, bytes, nulls)?)
            }
            Kind::List(offsets, items) => {
                let offsets = take_offsets(offsets);
                Arc::new(ListArray::try_new(Arc::clone(&items.field), offsets, items.finish()?, nulls)?)
            }
            Kind::Map(map) => Arc::new(map.finish(data_type, nulls)?),
            Kind::Row(fields) => {
                fields.iter_mut().for_each(|field| field.pad(len));
                let columns = fields.iter_mut().map(Column::finish).collect::<Result<Vec<_>>>()?;
                let fields: Fields = fields.iter().map(|column| Arc::clone(&column.field)).collect();
                Arc::new(StructArray::try_new_with_length(fields, columns, nulls, len)?)
            }
            Kind::Given(value) => {
                let fields = Fields::from(vec![Arc::clone(&value.field)]);
                Arc::new(StructArray::try_new(fields, vec![value.finish()?], nulls)?)
            }
        };
        Ok(if array.data_type() == data_type { array } else { compute::cast(&array, data_type)? })
    }
}

impl Texts {
    fn new() -> Texts {
        Texts { offsets: vec![0], bytes: Vec::new() }
    }

    #[inline]
    pub fn push(&mut self, text: &[u8]) -> Result<(), Wrong> {
        self.bytes.extend_from_slice(text);
        self.close()
    }

    /// Ends the value whose bytes were appended.
    #[inline]
    pub fn close(&mut self) -> Result<(), Wrong> {
        match i32::try_from(self.bytes.len()) {
            Ok(end) => {
                self.offsets.push(end);
                Ok(())
            }
            Err(_) => {
                self.bytes.truncate(last(&self.offsets) as usize);
                Err(Wrong::TooLong)
            }
        }
    }

    fn end(&self) -> i32 {
        last(&self.offsets)
    }

    fn take(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        let bytes = taken(&mut self.bytes);
        (take_offsets(&mut self.offsets), Buffer::from_vec(bytes))
    }
}

impl MapColumn {
    /// Leaves out what was overwritten, which is rare.
    fn finish(&mut self, data_type: &DataType, nulls: Option<NullBuffer>) -> Result<MapArray> {
        let mut offsets = take_offsets(&mut self.offsets);
        let (mut keys, mut values) = (self.keys.finish()?, self.values.finish()?);
        let overwritten = std::mem::take(&mut self.overwritten);
        if !overwritten.is_empty() {
            let keep: BooleanArray =
                (0..keys.len()).map(|entry| Some(overwritten.binary_search(&entry).is_err())).collect();
            (keys, values) = (compute::filter(&keys, &keep)?, compute::filter(&values, &keep)?);
            let shifted = offsets.iter().map(|&at| at - overwritten.partition_point(|&e| e < at as usize) as i32);
            offsets = OffsetBuffer::new(shifted.collect());
        }
        let DataType::Map(entries, sorted) = data_type else { return Err(Error::new("a map column has a map type")) };
        let DataType::Struct(fields) = entries.data_type() else { return Err(Error::new("map entries are rows")) };
        let rows = StructArray::try_new(fields.clone(), vec![keys, values], None)?;
        Ok(MapArray::try_new(Arc::clone(entries), offsets, rows, nulls, *sorted)?)
    }
}

/// The last offset; there is always one.
#[inline]
fn last(offsets: &[i32]) -> i32 {
    offsets.last().copied().unwrap_or(0)
}

fn take_offsets(offsets: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let taken = taken(offsets);
    offsets.push(0);
    OffsetBuffer::new(ScalarBuffer::from(taken))
}

/// The vector, with an empty one in its place that has room for a batch as large, or a little larger: to grow is to copy all.
fn taken<T>(values: &mut Vec<T>) -> Vec<T> {
    let capacity = values.len() + values.len() / 8;
    std::mem::replace(values, Vec::with_capacity(capacity))
}

/// An array over the vector itself.
fn primitive<T: ArrowNativeType>(
    data_type: &DataType,
    values: &mut Vec<T>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    let len = values.len();
    let values = taken(values);
    let data = ArrayData::builder(data_type.clone()).len(len).add_buffer(Buffer::from_vec(values)).nulls(nulls);
    Ok(make_array(data.build()?))
}

#[inline]
fn parse_integer<T: TryFrom<i64>>(text: &[u8]) -> Result<T, Wrong> {
    match parse::parse_long(text) {
        Some(value) => T::try_from(value).map_err(|_| Wrong::Range),
        None => Err(Wrong::Kind),
    }
}

fn unsupported(field: &Field, of: &str) -> Error {
    Error::new(format!("column {} of table {of} has the type {}", field.name(), field.data_type()))
        .why("this format has no text for values of that type")
        .fix("declare the column STRING and convert it in the query")
}
