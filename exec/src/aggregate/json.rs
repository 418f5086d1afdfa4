//! `JSON_ARRAYAGG` and `JSON_OBJECTAGG`. `NULL ON NULL` and `ABSENT ON NULL` are functions of their own, as inside Flink.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::json::writer::{EncoderOptions, NullableEncoder, make_encoder};

use super::distinct::Distinct;
use super::lists::{Finish, Lists};
use super::types::{plain, refuse};
use super::{Accumulator, AggregateCall, AggregateFunction, Resolved};
use crate::error::{Error, Result};

/// `JSON_ARRAYAGG(x)`: `[]` where nothing is in.
#[derive(Debug)]
pub(super) struct JsonArrayAgg {
    pub name: &'static str,
    pub keeps_nulls: bool,
}

impl AggregateFunction for JsonArrayAgg {
    fn name(&self) -> &str {
        self.name
    }

    fn resolve(&self, arguments: &[DataType]) -> Result<Resolved> {
        match arguments {
            [item] => Ok(Resolved { arguments: vec![plain(item)], result: DataType::Utf8, nullable: false }),
            _ => Err(refuse(self.name, arguments, "one argument")),
        }
    }

    fn is_ordered(&self) -> bool {
        true
    }

    fn accumulator(&self, call: &AggregateCall) -> Result<Box<dyn Accumulator>> {
        if call.distinct {
            return Distinct::over(self, call);
        }
        Ok(Box::new(Lists::new(call.argument_types(), !self.keeps_nulls, JsonArrays)?))
    }
}

struct JsonArrays;

impl Finish for JsonArrays {
    fn finish(&self, lengths: &[usize], columns: &[ArrayRef]) -> Result<ArrayRef> {
        let (field, options) = (field(&columns[0]), options());
        let mut encoder = make_encoder(&field, &columns[0], &options)?;
        let (mut result, mut text, mut row) = (StringBuilder::new(), Vec::new(), 0);
        for &length in lengths {
            text.clear();
            text.push(b'[');
            for i in row..row + length {
                text.extend_from_slice(if i > row { b"," } else { b"" });
                encode(&mut encoder, i, &mut text);
            }
            text.push(b']');
            row += length;
            result.append_value(utf8(&text)?);
        }
        Ok(Arc::new(result.finish()))
    }
}

/// `JSON_OBJECTAGG(key VALUE value)`, as two arguments: `{}` where nothing is in.
#[derive(Debug)]
pub(super) struct JsonObjectAgg {
    pub name: &'static str,
    pub keeps_nulls: bool,
}

impl AggregateFunction for JsonObjectAgg {
    fn name(&self) -> &str {
        self.name
    }

    fn resolve(&self, arguments: &[DataType]) -> Result<Resolved> {
        match arguments {
            [key, value] if plain(key) == DataType::Utf8 => {
                Ok(Resolved { arguments: vec![DataType::Utf8, plain(value)], result: DataType::Utf8, nullable: false })
            }
            _ => Err(refuse(self.name, arguments, "a text as key and a value")),
        }
    }

    fn is_ordered(&self) -> bool {
        true
    }

    fn accumulator(&self, call: &AggregateCall) -> Result<Box<dyn Accumulator>> {
        if call.distinct {
            return Distinct::over(self, call);
        }
        let finish = JsonObjects { keeps_nulls: self.keeps_nulls };
        Ok(Box::new(Lists::new(call.argument_types(), false, finish)?))
    }
}

struct JsonObjects {
    keeps_nulls: bool,
}

impl Finish for JsonObjects {
    /// # Errors
    /// A key that is null, or twice in one object: both fail in Flink too.
    fn finish(&self, lengths: &[usize], columns: &[ArrayRef]) -> Result<ArrayRef> {
        let (key_field, value_field, options) = (field(&columns[0]), field(&columns[1]), options());
        let mut keys = make_encoder(&key_field, &columns[0], &options)?;
        let mut values = make_encoder(&value_field, &columns[1], &options)?;
        let texts = columns[0].as_string::<i32>();
        let (mut result, mut text, mut seen, mut row) = (StringBuilder::new(), Vec::new(), HashSet::new(), 0);
        for &length in lengths {
            text.clear();
            text.push(b'{');
            seen.clear();
            for i in row..row + length {
                if texts.is_null(i) {
                    return Err(Error::new("a key of JSON_OBJECTAGG is null").fix("leave such rows out with FILTER"));
                }
                if values.is_null(i) && !self.keeps_nulls {
                    continue;
                }
                if !seen.insert(texts.value(i)) {
                    return Err(Error::new(format!("key \"{}\" comes twice in JSON_OBJECTAGG", texts.value(i)))
                        .why("the keys of a JSON object must differ")
                        .fix("group by the key too, or aggregate its values first"));
                }
                text.extend_from_slice(if seen.len() > 1 { b"," } else { b"" });
                keys.encode(i, &mut text);
                text.push(b':');
                encode(&mut values, i, &mut text);
            }
            text.push(b'}');
            row += length;
            result.append_value(utf8(&text)?);
        }
        Ok(Arc::new(result.finish()))
    }
}

fn field(column: &ArrayRef) -> FieldRef {
    Arc::new(Field::new("value", column.data_type().clone(), true))
}

fn options() -> EncoderOptions {
    EncoderOptions::default().with_explicit_nulls(true)
}

fn encode(encoder: &mut NullableEncoder<'_>, row: usize, text: &mut Vec<u8>) {
    match encoder.is_null(row) {
        true => text.extend_from_slice(b"null"),
        false => encoder.encode(row, text),
    }
}

fn utf8(text: &[u8]) -> Result<&str> {
    str::from_utf8(text).map_err(|error| Error::new(format!("a JSON text is not UTF-8: {error}")))
}
