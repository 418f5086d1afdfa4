//! Making documents: `JSON_OBJECT`, `JSON_ARRAY`, `JSON_STRING`, and quoting.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::datatypes::*;
use base64::Engine;
use tidemill_exec::text::{self, Digits};
use tidemill_exec::{Error, Result};

use super::value::{Json, push_text};
use crate::functions::cast::to_text;
use crate::functions::function::{Call, Function, Rows};
use crate::functions::zone::Zone;
use crate::types::{JSON_KEY, SqlType, is_binary, is_text, precision};

pub fn all() -> Vec<Function> {
    vec![
        Function::new("__json_object", 1, usize::MAX, object_type, object),
        Function::new("__json_array", 1, usize::MAX, |_| Ok(json_type(false)), array),
        Function::new("json_string", 1, 1, |call| Ok(json_type(call.any_nullable())), json_string),
        Function::new("json", 1, 1, |call| Ok(json_type(call.any_nullable())), json),
        Function::new("json_quote", 1, 1, |call| call.plain(DataType::Utf8), quote),
        Function::new("json_unquote", 1, 1, |call| call.plain(DataType::Utf8), unquote),
    ]
}

/// Text that another constructor takes in as it is.
fn json_type(nullable: bool) -> SqlType {
    let mut json = SqlType::new(DataType::Utf8, nullable);
    json.metadata.insert(JSON_KEY.to_string(), "true".to_string());
    json
}

fn object_type(call: &Call<'_>) -> Result<SqlType> {
    if call.fields.len().is_multiple_of(2) {
        return Err(Error::new("JSON_OBJECT takes pairs of a key and a value"));
    }
    for key in (1..call.fields.len()).step_by(2) {
        call.text(key)?;
    }
    Ok(json_type(false))
}

/// Members in the order of their keys, so that equal rows give equal text.
fn object(rows: &Rows<'_>) -> Result<ArrayRef> {
    let keep_nulls = rows.text(0) != Some("ABSENT");
    let columns: Result<Vec<ArrayRef>> = (0..rows.arguments()).map(|argument| rows.array(argument)).collect();
    let columns = columns?;
    let mut members: BTreeMap<&str, (&ArrayRef, Push<'_>)> = BTreeMap::new();
    for key in (1..rows.arguments()).step_by(2) {
        let name = rows.text(key).unwrap_or_default();
        let value = &columns[key + 1];
        members.insert(name, (value, to_json(value, &rows.fields[key + 1], rows.zone)?));
    }
    let mut out = StringBuilder::with_capacity(rows.len, rows.len * 16 * members.len());
    let mut text = String::new();
    for row in 0..rows.len {
        text.clear();
        text.push('{');
        let mut first = true;
        for (name, (value, push)) in &members {
            if !keep_nulls && is_null(value, row) {
                continue;
            }
            if !first {
                text.push(',');
            }
            first = false;
            push_text(&mut text, name);
            text.push(':');
            push(row, &mut text);
        }
        text.push('}');
        out.append_value(&text);
    }
    Ok(Arc::new(out.finish()))
}

fn array(rows: &Rows<'_>) -> Result<ArrayRef> {
    let keep_nulls = rows.text(0) == Some("NULL");
    let columns: Result<Vec<ArrayRef>> = (1..rows.arguments()).map(|argument| rows.array(argument)).collect();
    let columns = columns?;
    let pushes: Result<Vec<Push<'_>>> =
        columns.iter().zip(&rows.fields[1..]).map(|(column, field)| to_json(column, field, rows.zone)).collect();
    let pushes = pushes?;
    let mut out = StringBuilder::with_capacity(rows.len, rows.len * 8 * columns.len());
    let mut text = String::new();
    for row in 0..rows.len {
        text.clear();
        text.push('[');
        let mut first = true;
        for (column, push) in columns.iter().zip(&pushes) {
            if keep_nulls || !is_null(column, row) {
                if !first {
                    text.push(',');
                }
                first = false;
                push(row, &mut text);
            }
        }
        text.push(']');
        out.append_value(&text);
    }
    Ok(Arc::new(out.finish()))
}

/// A column of bare NULLs has no marks of them.
fn is_null(column: &ArrayRef, row: usize) -> bool {
    column.data_type() == &DataType::Null || column.is_null(row)
}

/// Any value as JSON text.
fn json_string(rows: &Rows<'_>) -> Result<ArrayRef> {
    let array = rows.array(0)?;
    let push = to_json(&array, &rows.fields[0], rows.zone)?;
    let mut out = StringBuilder::with_capacity(rows.len, rows.len * 8);
    let mut text = String::new();
    for row in 0..rows.len {
        if is_null(&array, row) {
            out.append_null();
        } else {
            text.clear();
            push(row, &mut text);
            out.append_value(&text);
        }
    }
    Ok(Arc::new(out.finish()))
}

/// Text that is JSON already, checked.
fn json(rows: &Rows<'_>) -> Result<ArrayRef> {
    let mut out = StringBuilder::new();
    let mut text = String::new();
    for value in rows.strings(0)?.iter() {
        match value {
            Some(value) => {
                let json =
                    Json::parse(value).ok_or_else(|| Error::new(format!("JSON got '{value}', which is no JSON")))?;
                text.clear();
                json.push(&mut text);
                out.append_value(&text);
            }
            None => out.append_null(),
        }
    }
    Ok(Arc::new(out.finish()))
}

/// As a JSON text in ASCII, with `/` escaped as well.
fn quote(rows: &Rows<'_>) -> Result<ArrayRef> {
    use std::fmt::Write;
    let mut out = StringBuilder::new();
    let (mut quoted, mut units) = (String::new(), [0u16; 2]);
    for value in rows.strings(0)?.iter() {
        let Some(value) = value else {
            out.append_null();
            continue;
        };
        quoted.clear();
        quoted.push('"');
        for c in value.chars() {
            match c {
                '"' | '\\' | '/' => quoted.extend(['\\', c]),
                '\u{8}' => quoted.push_str("\\b"),
                '\u{c}' => quoted.push_str("\\f"),
                '\n' => quoted.push_str("\\n"),
                '\r' => quoted.push_str("\\r"),
                '\t' => quoted.push_str("\\t"),
                c if c.is_ascii() => quoted.push(c),
                c => {
                    for unit in c.encode_utf16(&mut units) {
                        // Writing to a String does not fail.
                        let _ = write!(quoted, "\\u{unit:04x}");
                    }
                }
            }
        }
        quoted.push('"');
        out.append_value(&quoted);
    }
    Ok(Arc::new(out.finish()))
}

/// The text that a JSON text stands for; anything else as it is.
fn unquote(rows: &Rows<'_>) -> Result<ArrayRef> {
    let mut out = StringBuilder::new();
    for value in rows.strings(0)?.iter() {
        match value.and_then(Json::parse) {
            Some(Json::Text(text)) => out.append_value(text),
            _ => out.append_option(value),
        }
    }
    Ok(Arc::new(out.finish()))
}

type Push<'a> = Box<dyn Fn(usize, &mut String) + 'a>;

/// How to write the values of a column as JSON: numbers and booleans bare, times in ISO form, bytes in base 64.
fn to_json<'a>(array: &'a dyn Array, field: &Field, zone: &'a Zone) -> Result<Push<'a>> {
    let text = |field: &Field| to_text(array, field, zone);
    let push: Push<'a> = match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean();
            Box::new(move |row, out| out.push_str(if values.value(row) { "true" } else { "false" }))
        }
        data_type if data_type.is_floating() => {
            let push = text(field)?;
            Box::new(move |row, out| {
                let start = out.len();
                push(row, out);
                // JSON has no numbers for these; they are written as texts.
                if out[start..].ends_with(['N', 'y']) {
                    out.insert(start, '"');
                    out.push('"');
                }
            })
        }
        data_type if data_type.is_numeric() => text(field)?,
        data_type if is_text(data_type) && field.metadata().contains_key(JSON_KEY) => text(field)?,
        data_type if is_binary(data_type) => {
            let bytes = arrow::compute::cast(array, &DataType::Binary)?;
            Box::new(move |row, out| {
                out.push('"');
                base64::engine::general_purpose::STANDARD.encode_string(bytes.as_binary::<i32>().value(row), out);
                out.push('"');
            })
        }
        DataType::Timestamp(unit, local) => timestamp(array, *unit, precision(field), local.is_some())?,
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            let push = to_json(list.values().as_ref(), item, zone)?;
            Box::new(move |row, out| {
                out.push('[');
                let (start, end) = (list.value_offsets()[row] as usize, list.value_offsets()[row + 1] as usize);
                for at in start..end {
                    if at > start {
                        out.push(',');
                    }
                    push(at, out);
                }
                out.push(']');
            })
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns().iter().zip(fields);
            let members: Result<BTreeMap<String, Push<'a>>> = columns
                .map(|(column, field)| Ok((field.name().clone(), to_json(column.as_ref(), field, zone)?)))
                .collect();
            let members = members?;
            Box::new(move |row, out| {
                out.push('{');
                for (place, (name, push)) in members.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    push_text(out, name);
                    out.push(':');
                    push(row, out);
                }
                out.push('}');
            })
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let fields = map.entries().fields();
            let key = to_text(map.keys().as_ref(), &fields[0], zone)?;
            let value = to_json(map.values().as_ref(), &fields[1], zone)?;
            Box::new(move |row, out| {
                let (start, end) = (map.value_offsets()[row] as usize, map.value_offsets()[row + 1] as usize);
                let mut entries: Vec<(String, usize)> = (start..end)
                    .map(|at| {
                        let mut name = String::new();
                        key(at, &mut name);
                        (name, at)
                    })
                    .collect();
                entries.sort();
                out.push('{');
                for (place, (name, at)) in entries.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    push_text(out, name);
                    out.push(':');
                    value(*at, out);
                }
                out.push('}');
            })
        }
        _ => {
            let push = text(field)?;
            Box::new(move |row, out| {
                let mut text = String::new();
                push(row, &mut text);
                push_text(out, &text);
            })
        }
    };
    let nulls = array.logical_nulls();
    Ok(match nulls {
        Some(nulls) => Box::new(move |row, out| if nulls.is_null(row) { out.push_str("null") } else { push(row, out) }),
        None => push,
    })
}

/// `"2020-02-29T12:34:56.789"`, of a moment in UTC with a `Z`.
fn timestamp<'a>(array: &dyn Array, unit: TimeUnit, precision: u8, utc: bool) -> Result<Push<'a>> {
    let ticks = arrow::compute::cast(array, &DataType::Int64)?;
    Ok(Box::new(move |row, out| {
        let ticks = ticks.as_primitive::<Int64Type>().value(row);
        out.push('"');
        text::push_timestamp(out, ticks, unit, 'T', Digits::Fixed(precision));
        out.push_str(if utc { "Z\"" } else { "\"" });
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::function::testing::*;

    fn call(name: &str, args: &[Arg]) -> String {
        show(all(), name, args)
    }

    #[test]
    fn objects_have_their_members_in_the_order_of_keys() {
        let none = || column("STRING", &[None]);
        let object = |nulls: &str| call("__json_object", &[text(nulls), text("n"), none(), text("k"), int(1)]);
        assert_eq!(object("NULL"), r#"STRING NOT NULL: {"k":1,"n":null}"#);
        assert_eq!(object("ABSENT"), r#"STRING NOT NULL: {"k":1}"#);
    }

    #[test]
    fn arrays_leave_nulls_out_unless_told() {
        assert_eq!(call("__json_array", &[text("ABSENT"), int(1), text("x"), null()]), r#"STRING NOT NULL: [1,"x"]"#);
        assert_eq!(call("__json_array", &[text("NULL"), null(), text("{")]), r#"STRING NOT NULL: [null,"{"]"#);
    }

    #[test]
    fn documents_nest_without_being_quoted() {
        let (field, inner) = evaluate(all(), "__json_array", &[text("NULL"), int(1)]).unwrap();
        let push = to_json(inner.as_ref(), &field, &Zone::utc()).map(|push| {
            let mut out = String::new();
            push(0, &mut out);
            out
        });
        assert_eq!(push.unwrap(), "[1]");
    }

    #[test]
    fn any_value_has_json() {
        use crate::functions::collection;
        let list = value(collection::all(), "__array", &[int(1), int(2)]);
        assert_eq!(call("json_string", &[list]), "STRING NOT NULL: [1,2]");
        let map = value(collection::all(), "__map", &[text("b"), text("x"), text("a"), null()]);
        assert_eq!(call("json_string", &[map]), r#"STRING NOT NULL: {"a":null,"b":"x"}"#);
        let time = || column("TIMESTAMP(3)", &[Some("2020-02-29 12:34:56.789")]);
        assert_eq!(call("json_string", &[time()]), r#"STRING: "2020-02-29T12:34:56.789""#);
        assert_eq!(call("json_string", &[null()]), "STRING: NULL");
    }

    #[test]
    fn texts_are_quoted_and_unquoted() {
        assert_eq!(call("json_quote", &[text("a\"b/é")]), r#"STRING NOT NULL: "a\"b\/\u00e9""#);
        assert_eq!(call("json_unquote", &[text("\"a\\u00e9\"")]), "STRING NOT NULL: aé");
        assert_eq!(call("json_unquote", &[text("[1]")]), "STRING NOT NULL: [1]");
        assert_eq!(call("json_unquote", &[text("\"a")]), "STRING NOT NULL: \"a");
    }
}
