//! Keys as bytes.
//!
//! A key of any number of columns becomes bytes (Arrow's row format, or for a single text column simply its bytes). A stable
//! hash of the bytes decides which shard owns the key; there, a [`KeyTable`](crate::KeyTable) gives each distinct key a small number that
//! addresses the columns of state beside it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, StringBuilder};
use arrow::datatypes::DataType;
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
    /// Anything else, in Arrow's row format, where null is bytes too.
    Rows(RowConverter),
}

/// Encoded keys of one batch.
pub(crate) enum Keys {
    Nothing(usize),
    Text(arrow::array::StringArray),
    Binary(BinaryArray),
    Rows(Rows),
}

impl KeyEncoder {
    pub fn new(types: &[DataType]) -> Result<KeyEncoder, ArrowError> {
        Ok(match types {
            [] => KeyEncoder::Nothing,
            [DataType::Utf8] => KeyEncoder::Text,
            [DataType::Binary] => KeyEncoder::Binary,
            types => KeyEncoder::Rows(RowConverter::new(types.iter().cloned().map(SortField::new).collect())?),
        })
    }

    pub fn encode(&self, columns: &[ArrayRef]) -> Result<Keys, ArrowError> {
        Ok(match self {
            KeyEncoder::Nothing => unreachable!("keys without columns are counted by the caller"),
            KeyEncoder::Text => Keys::Text(columns[0].as_string::<i32>().clone()),
            KeyEncoder::Binary => Keys::Binary(columns[0].as_binary::<i32>().clone()),
            KeyEncoder::Rows(converter) => Keys::Rows(converter.convert_columns(columns)?),
        })
    }

    /// The inverse of `encode`.
    pub fn decode(&self, keys: &[Option<&[u8]>]) -> Result<Vec<ArrayRef>, ArrowError> {
        Ok(match self {
            KeyEncoder::Nothing => vec![],
            KeyEncoder::Text => {
                let mut builder =
                    StringBuilder::with_capacity(keys.len(), keys.iter().flatten().map(|key| key.len()).sum());
                for key in keys {
                    builder.append_option(key.map(|bytes| {
                        std::str::from_utf8(bytes).expect("a text key is stored as the text it came from")
                    }));
                }
                vec![Arc::new(builder.finish())]
            }
            KeyEncoder::Binary => {
                let mut builder =
                    BinaryBuilder::with_capacity(keys.len(), keys.iter().flatten().map(|key| key.len()).sum());
                keys.iter().for_each(|key| builder.append_option(*key));
                vec![Arc::new(builder.finish())]
            }
            KeyEncoder::Rows(converter) => {
                let parser = converter.parser();
                converter
                    .convert_rows(keys.iter().map(|key| parser.parse(key.expect("row format encodes null as bytes"))))?
            }
        })
    }
}

impl Keys {
    pub fn len(&self) -> usize {
        match self {
            Keys::Nothing(rows) => *rows,
            Keys::Text(array) => array.len(),
            Keys::Binary(array) => array.len(),
            Keys::Rows(rows) => rows.num_rows(),
        }
    }

    #[inline]
    pub fn key(&self, row: usize) -> Option<&[u8]> {
        match self {
            Keys::Nothing(_) => Some(&[]),
            Keys::Text(array) => array.is_valid(row).then(|| array.value(row).as_bytes()),
            Keys::Binary(array) => array.is_valid(row).then(|| array.value(row)),
            Keys::Rows(rows) => Some(rows.row(row).data()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringArray;

    #[test]
    fn hashes_do_not_change_between_versions() {
        assert_eq!(
            hash_rows(&[Arc::new(StringArray::from(vec![Some("tidemill"), None]))]).unwrap(),
            [13_737_932_734_112_943_510, 0x9e37_79b9_7f4a_7c15]
        );
    }
}
