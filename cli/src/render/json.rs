//! One JSON object per line; lists, rows and maps are JSON too.

use std::fmt::Write as _;
use std::io::Write;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::Renderer;
use super::value::formatter;
use crate::failure::Result;

pub struct Json;

impl Renderer for Json {
    fn rows(&mut self, rows: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        let schema = rows.schema();
        let fields = schema.fields().iter().zip(rows.columns());
        let write = object(fields.map(|(field, array)| (field.name().as_str(), array)))?;
        let mut line = String::new();
        for row in 0..rows.num_rows() {
            line.clear();
            write(row, &mut line);
            line.push('\n');
            out.write_all(line.as_bytes())?;
        }
        Ok(())
    }
}

/// Appends the value at an index. Made once per array, so that no value asks for its type again.
type Encoder<'a> = Box<dyn Fn(usize, &mut String) + 'a>;

fn encoder(array: &ArrayRef) -> Result<Encoder<'_>> {
    let encode: Encoder<'_> = match array.data_type() {
        DataType::Null => Box::new(|_, text| text.push_str("null")),
        DataType::Boolean => {
            let values = array.as_boolean();
            Box::new(|row, text| text.push_str(if values.value(row) { "true" } else { "false" }))
        }
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>();
            Box::new(|row, text| push_float(values.value(row), values.value(row).is_finite(), text))
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>();
            Box::new(|row, text| push_float(values.value(row), values.value(row).is_finite(), text))
        }
        number if number.is_numeric() => {
            let texts = formatter(array)?;
            Box::new(move |row, text| {
                let _ = write!(text, "{}", texts.value(row));
            })
        }
        DataType::Binary => {
            let values = array.as_binary::<i32>();
            Box::new(|row, text| push_string(&BASE64.encode(values.value(row)), text))
        }
        DataType::BinaryView => {
            let values = array.as_binary_view();
            Box::new(|row, text| push_string(&BASE64.encode(values.value(row)), text))
        }
        DataType::FixedSizeBinary(_) => {
            let values = array.as_fixed_size_binary();
            Box::new(|row, text| push_string(&BASE64.encode(values.value(row)), text))
        }
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            let write = encoder(lists.values())?;
            Box::new(move |row, text| {
                let offsets = lists.value_offsets();
                let items = offsets[row] as usize..offsets[row + 1] as usize;
                push_joined('[', ']', items, text, &write);
            })
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            object(fields.iter().zip(columns).map(|(field, array)| (field.name().as_str(), array)))?
        }
        DataType::Map(..) => {
            let maps = array.as_map();
            let keys = formatter(maps.keys())?;
            let write = encoder(maps.values())?;
            let entry = move |at: usize, text: &mut String| {
                // JSON knows no other keys than strings.
                push_string(&keys.value(at).to_string(), text);
                text.push(':');
                write(at, text);
            };
            Box::new(move |row, text| {
                let offsets = maps.value_offsets();
                push_joined('{', '}', offsets[row] as usize..offsets[row + 1] as usize, text, &entry);
            })
        }
        _ => {
            let texts = formatter(array)?;
            Box::new(move |row, text| push_string(&texts.value(row).to_string(), text))
        }
    };
    Ok(match array.null_count() {
        0 => encode,
        _ => Box::new(move |row, text| if array.is_null(row) { text.push_str("null") } else { encode(row, text) }),
    })
}

fn object<'a>(fields: impl Iterator<Item = (&'a str, &'a ArrayRef)>) -> Result<Encoder<'a>> {
    let mut members = Vec::new();
    for (name, array) in fields {
        let mut key = String::new();
        push_string(name, &mut key);
        key.push(':');
        members.push((key, encoder(array)?));
    }
    Ok(Box::new(move |row, text| {
        push_joined('{', '}', 0..members.len(), text, &|index: usize, text: &mut String| {
            let (key, write) = &members[index];
            text.push_str(key);
            write(row, text);
        })
    }))
}

fn push_joined(
    open: char,
    close: char,
    items: std::ops::Range<usize>,
    text: &mut String,
    write: &dyn Fn(usize, &mut String),
) {
    text.push(open);
    for (index, item) in items.enumerate() {
        if index > 0 {
            text.push(',');
        }
        write(item, text);
    }
    text.push(close);
}

/// `1.0`, `1e21`; what JSON has no number for becomes a string.
fn push_float(value: impl std::fmt::Debug, is_finite: bool, text: &mut String) {
    let _ = if is_finite { write!(text, "{value:?}") } else { write!(text, "\"{value:?}\"") };
}

fn push_string(value: &str, text: &mut String) {
    text.push('"');
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c if u32::from(c) < 0x20 => {
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text.push('"');
}
