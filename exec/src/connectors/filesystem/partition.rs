//! Hive's way to keep columns in the names of directories: `d=2020-01-01/k=a/part-0`.

use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;

use crate::error::{Error, Result};

/// `k=v/`, with what a file name cannot hold written as `%XX`.
pub(super) fn push_directory(key: &str, value: Option<&str>, default_name: &str, out: &mut String) {
    escape(key, out);
    out.push('=');
    match value.filter(|value| !value.trim().is_empty()) {
        Some(value) => escape(value, out),
        None => escape(default_name, out),
    }
    out.push('/');
}

/// The value of `key` in a path, the last one if it is there twice.
pub(super) fn value_in(path: &str, key: &str) -> Option<String> {
    let directories = path.rsplit('/').skip(1);
    directories
        .filter_map(|name| name.split_once('='))
        .find(|(name, _)| unescape(name) == key)
        .map(|(_, v)| unescape(v))
}

/// The text of a directory's name as a value of a column.
pub(super) fn parse(value: &str, kind: &DataType, default_name: &str) -> Result<ScalarValue> {
    if value == default_name {
        return Ok(ScalarValue::try_from(kind)?);
    }
    let text = StringArray::from(vec![value]);
    let parsed = cast_with_options(&text, kind, &CastOptions { safe: false, ..CastOptions::default() })?;
    Ok(ScalarValue::try_from_array(&parsed, 0)?)
}

/// A column as texts for directory names.
pub(super) fn texts(name: &str, column: &ArrayRef) -> Result<ArrayRef> {
    let texts = arrow::compute::cast(column, &DataType::Utf8).map_err(|error| {
        Error::new(format!("cannot partition by column {name}"))
            .why(error.to_string())
            .fix("partition by a column of a simple type, such as STRING, INT or DATE")
    })?;
    Ok(texts)
}

pub(super) fn text(texts: &ArrayRef, row: usize) -> Option<&str> {
    texts.is_valid(row).then(|| texts.as_string::<i32>().value(row))
}

/// The characters Hive and Flink escape: controls and what means something in a path or a file name.
fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '\0'..='\x1f'
            | '\x7f'
            | '"'
            | '#'
            | '%'
            | '\''
            | '*'
            | '/'
            | ':'
            | '='
            | '?'
            | '\\'
            | '{'
            | '['
            | ']'
            | '^' => {
                let _ = write!(out, "%{:02X}", c as u32);
            }
            _ => out.push(c),
        }
    }
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = (byte == b'%').then(|| after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok())).flatten();
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(code) => {
                bytes.push(code);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_value_survives_the_way_through_a_directory_name() {
        for value in ["2020-01-01 00:00:01", "a/b=c%", "100%", "grüße", "..x", "%2F"] {
            let mut path = "/root/".to_string();
            push_directory("k", Some(value), "NONE", &mut path);
            path.push_str("part-0");
            assert_eq!(path.matches('/').count(), 3);
            assert_eq!(value_in(&path, "k").as_deref(), Some(value));
        }
    }

    #[test]
    fn null_and_blank_values_take_the_default_name() {
        let mut path = String::new();
        push_directory("a", None, "NONE", &mut path);
        push_directory("b", Some(" "), "NONE", &mut path);
        assert_eq!(path, "a=NONE/b=NONE/");
        assert!(parse("NONE", &DataType::Int32, "NONE").unwrap().is_null());
    }

    #[test]
    fn values_become_the_columns_type_or_an_error() {
        assert_eq!(parse("7", &DataType::Int32, "NONE").unwrap(), ScalarValue::Int32(Some(7)));
        assert_eq!(parse("2020-01-02", &DataType::Date32, "NONE").unwrap(), ScalarValue::Date32(Some(18263)));
        assert!(parse("x", &DataType::Int32, "NONE").is_err());
    }

    #[test]
    fn file_names_are_no_partitions() {
        assert_eq!(value_in("/x/k=1/k=2", "k").as_deref(), Some("1"));
        assert_eq!(value_in("/x/k=2", "k"), None);
    }
}
