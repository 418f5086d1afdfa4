//! Keys as bytes.
//!
//! A key of any number of columns becomes bytes (Arrow's row format, or for a single text column simply its bytes). A stable
//! hash of the bytes decides which shard owns the key; there, a [`KeyTable`](crate::KeyTable) gives each distinct key a small number that
//! addresses the columns of state beside it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, PrimitiveArray, StringArray, UInt32Array, make_array};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Int64Type, UInt32Type};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};
use twox_hash::XxHash3_64;

/// A stable hash per row of the given key columns: the same in every run and version, so that it may decide which shard owns
/// a key. `columns` is not empty, all of one length.
pub fn hash_rows(columns: &[ArrayRef]) -> Result<Vec<u64>, ArrowError> {
    let types: Vec<DataType> = columns.iter().map(|column| column.data_type().clone()).collect();
    let encoder = KeyEncoder::new(&types)?;
    let keys = encoder.encode(columns)?;
    Ok((0..keys.len()).map(|row| hash(keys.key(row))).collect())
}

/// XXH3 with seed 0. Null is not a byte string, so it gets a hash of its own.
fn hash(key: Option<&[u8]>) -> u64 {
    match key {
        Some(bytes) => XxHash3_64::oneshot(bytes),
        None => 0x9e37_79b9_7f4a_7c15,
    }
}

/// Turns key columns into comparable bytes.
pub(crate) enum KeyEncoder {
    /// No columns: one key for every row.
    Nothing,
    /// One text column: its bytes as they are.
    Text,
    /// One binary column: its bytes as they are.
    Binary,
    /// One column of 64-bit integers, or of times kept as such: the bytes that Arrow's row format has for it.
    Number(DataType),
    /// The number of a group, and such an integer or time. Not what `hash_rows` makes of two such columns: for keys that never leave
    /// their table.
    NumberInGroup(DataType),
    /// Anything else, in Arrow's row format, where null is bytes too.
    Rows(RowConverter),
}

/// Encoded keys of one batch.
pub(crate) enum Keys {
    Nothing(usize),
    Text(StringArray),
    Binary(BinaryArray),
    Numbers(Vec<Number>),
    NumbersInGroups(Vec<NumberInGroup>),
    Rows(Rows),
}

/// Whether it is not null, and the number with its sign flipped, so that bytes are in order.
type Number = [u8; 9];

/// A [`Number`], and that of a group behind it.
type NumberInGroup = [u8; 13];

#[inline]
fn number(value: i64) -> Number {
    let [a, b, c, d, e, f, g, h] = (value ^ i64::MIN).to_be_bytes();
    [1, a, b, c, d, e, f, g, h]
}

fn value_of(key: &[u8]) -> Option<i64> {
    match key {
        [1, value @ ..] => value.try_into().ok().map(|value| i64::from_be_bytes(value) ^ i64::MIN),
        _ => None,
    }
}

fn is_number(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int64 | DataType::Timestamp(..))
}

fn encoded(values: &PrimitiveArray<Int64Type>) -> Vec<Number> {
    match values.null_count() {
        0 => values.values().iter().map(|&value| number(value)).collect(),
        _ => values.iter().map(|value| value.map_or([0; 9], number)).collect(),
    }
}

/// The values of a column of [numbers](is_number).
fn numbers(column: &ArrayRef) -> Result<PrimitiveArray<Int64Type>, ArrowError> {
    let data = column.to_data().into_builder().data_type(DataType::Int64).build()?;
    Ok(PrimitiveArray::from(data))
}

impl KeyEncoder {
    pub fn new(types: &[DataType]) -> Result<KeyEncoder, ArrowError> {
        Ok(match types {
            [] => KeyEncoder::Nothing,
            [DataType::Utf8] => KeyEncoder::Text,
            [DataType::Binary] => KeyEncoder::Binary,
            [number] if is_number(number) => KeyEncoder::Number(number.clone()),
            types => KeyEncoder::Rows(RowConverter::new(types.iter().cloned().map(SortField::new).collect())?),
        })
    }

    /// For a column of numbers of groups (`UInt32`, without nulls) before columns of these types.
    pub fn in_groups(types: &[DataType]) -> Result<KeyEncoder, ArrowError> {
        match types {
            [number] if is_number(number) => Ok(KeyEncoder::NumberInGroup(number.clone())),
            types => KeyEncoder::new(&[&[DataType::UInt32], types].concat()),
        }
    }

    pub fn encode(&self, columns: &[ArrayRef]) -> Result<Keys, ArrowError> {
        Ok(match self {
            KeyEncoder::Nothing => unreachable!("keys without columns are counted by the caller"),
            KeyEncoder::Text => Keys::Text(columns[0].as_string::<i32>().clone()),
            KeyEncoder::Binary => Keys::Binary(columns[0].as_binary::<i32>().clone()),
            KeyEncoder::Number(_) => Keys::Numbers(encoded(&numbers(&columns[0])?)),
            KeyEncoder::NumberInGroup(_) => {
                let (groups, values) = (columns[0].as_primitive::<UInt32Type>(), numbers(&columns[1])?);
                let key = |(group, value): (&u32, Number)| {
                    let mut key = [0; 13];
                    key[..9].copy_from_slice(&value);
                    key[9..].copy_from_slice(&group.to_le_bytes());
                    key
                };
                let keys = groups.values().iter().zip(encoded(&values)).map(key);
                Keys::NumbersInGroups(keys.collect())
            }
            KeyEncoder::Rows(converter) => Keys::Rows(converter.convert_columns(columns)?),
        })
    }

    /// The inverse of `encode`.
    pub fn decode<'a>(
        &self,
        keys: impl ExactSizeIterator<Item = Option<&'a [u8]>> + Clone,
    ) -> Result<Vec<ArrayRef>, ArrowError> {
        Ok(match self {
            KeyEncoder::Nothing => vec![],
            // Whether they are UTF-8 is checked for all at once.
            KeyEncoder::Text => {
                let (offsets, bytes, nulls) = end_to_end(keys);
                vec![Arc::new(StringArray::try_new(offsets, bytes, nulls)?)]
            }
            KeyEncoder::Binary => {
                let (offsets, bytes, nulls) = end_to_end(keys);
                vec![Arc::new(BinaryArray::try_new(offsets, bytes, nulls)?)]
            }
            KeyEncoder::Number(data_type) => {
                let values = keys.clone().map(|key| key.and_then(value_of).unwrap_or_default()).collect();
                let is_null = |key: Option<&[u8]>| key.and_then(value_of).is_none();
                let nulls = keys.clone().any(is_null).then(|| keys.map(|key| !is_null(key)).collect());
                let numbers = PrimitiveArray::<Int64Type>::try_new(values, nulls)?;
                vec![make_array(numbers.into_data().into_builder().data_type(data_type.clone()).build()?)]
            }
            KeyEncoder::NumberInGroup(data_type) => {
                let parts =
                    |key: Option<&'a [u8]>| key.expect("such a key is never null").split_at(size_of::<Number>());
                let group = |key| parts(key).1.first_chunk().map_or(0, |group| u32::from_le_bytes(*group));
                let groups = UInt32Array::from_iter_values(keys.clone().map(group));
                let values: PrimitiveArray<Int64Type> = keys.map(|key| value_of(parts(key).0)).collect();
                let values = values.into_data().into_builder().data_type(data_type.clone()).build()?;
                vec![Arc::new(groups), make_array(values)]
            }
            KeyEncoder::Rows(converter) => {
                let parser = converter.parser();
                converter.convert_rows(keys.map(|key| parser.parse(key.expect("row format encodes null as bytes"))))?
            }
        })
    }
}

/// Values of any length, as an array keeps them.
fn end_to_end<'a>(
    keys: impl ExactSizeIterator<Item = Option<&'a [u8]>> + Clone,
) -> (OffsetBuffer<i32>, Buffer, Option<NullBuffer>) {
    let mut offsets: Vec<i32> = Vec::with_capacity(keys.len() + 1);
    let mut bytes: Vec<u8> = Vec::with_capacity(keys.clone().flatten().map(<[u8]>::len).sum());
    let mut has_null = false;
    offsets.push(0);
    for key in keys.clone() {
        match key {
            Some(key) => bytes.extend_from_slice(key),
            None => has_null = true,
        }
        offsets.push(i32::try_from(bytes.len()).expect("Arrow's arrays of keys hold less than 2 GiB"));
    }
    let nulls = has_null.then(|| keys.map(|key| key.is_some()).collect());
    (OffsetBuffer::new(offsets.into()), bytes.into(), nulls)
}

impl Keys {
    pub fn len(&self) -> usize {
        match self {
            Keys::Nothing(rows) => *rows,
            Keys::Text(array) => array.len(),
            Keys::Binary(array) => array.len(),
            Keys::Numbers(numbers) => numbers.len(),
            Keys::NumbersInGroups(keys) => keys.len(),
            Keys::Rows(rows) => rows.num_rows(),
        }
    }

    #[inline]
    pub fn key(&self, row: usize) -> Option<&[u8]> {
        match self {
            Keys::Nothing(_) => Some(&[]),
            Keys::Text(array) => array.is_valid(row).then(|| array.value(row).as_bytes()),
            Keys::Binary(array) => array.is_valid(row).then(|| array.value(row)),
            Keys::Numbers(numbers) => Some(&numbers[row]),
            Keys::NumbersInGroups(keys) => Some(&keys[row]),
            Keys::Rows(rows) => Some(rows.row(row).data()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, TimestampMillisecondArray};
    use arrow::datatypes::TimeUnit;

    #[test]
    fn hashes_do_not_change_between_versions() {
        assert_eq!(
            hash_rows(&[Arc::new(StringArray::from(vec![Some("tidemill"), None]))]).unwrap(),
            [13_737_932_734_112_943_510, 0x9e37_79b9_7f4a_7c15]
        );
    }

    #[test]
    fn numbers_in_groups_come_back_and_differ() {
        let values = [Some(0), None, Some(-1), Some(i64::MIN), Some(i64::MAX), Some(1 << 32)];
        let time = DataType::Timestamp(TimeUnit::Millisecond, None);
        let rows = [0u32, 1, u32::MAX - 2].iter().flat_map(|group| values.iter().map(move |value| (*group, *value)));
        let (groups, values): (Vec<u32>, Vec<Option<i64>>) = rows.unzip();
        for data_type in [DataType::Int64, time] {
            let numbers = arrow::compute::cast(&Int64Array::from(values.clone()), &data_type).unwrap();
            let columns: [ArrayRef; 2] = [Arc::new(UInt32Array::from(groups.clone())), numbers];
            let encoder = KeyEncoder::in_groups(&[data_type]).unwrap();
            let encoded = encoder.encode(&columns).unwrap();
            let keys: Vec<Option<&[u8]>> = (0..encoded.len()).map(|row| encoded.key(row)).collect();
            assert_eq!(keys.iter().collect::<std::collections::BTreeSet<_>>().len(), groups.len());
            assert_eq!(encoder.decode(keys.into_iter()).unwrap(), columns);
        }
    }

    /// So that checkpoints and shards do not depend on which way a key was encoded.
    #[test]
    fn numbers_are_encoded_as_in_row_format() {
        let values = [Some(0), Some(1), Some(-1), None, Some(i64::MIN), Some(i64::MAX), Some(1_700_000_000_000)];
        let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        let times = TimestampMillisecondArray::from(values.to_vec()).with_data_type(time.clone());
        for column in [Arc::new(Int64Array::from(values.to_vec())) as ArrayRef, Arc::new(times)] {
            let encoder = KeyEncoder::new(&[column.data_type().clone()]).unwrap();
            assert!(matches!(encoder, KeyEncoder::Number(_)));
            let keys = encoder.encode(&[Arc::clone(&column)]).unwrap();
            let converter = RowConverter::new(vec![SortField::new(column.data_type().clone())]).unwrap();
            let rows = converter.convert_columns(&[Arc::clone(&column)]).unwrap();
            let encoded: Vec<Option<&[u8]>> = (0..values.len()).map(|row| keys.key(row)).collect();
            assert_eq!(encoded, rows.iter().map(|row| Some(row.data())).collect::<Vec<_>>());
            assert_eq!(encoder.decode(encoded.iter().copied()).unwrap(), [column]);
        }
    }
}
