//! Asking documents. In strict mode, the default, what a path says has to be there: else the answer is an error, and
//! `ON ERROR` decides. In lax mode it is empty, and `ON EMPTY` decides.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanBuilder, Int32Builder, ListBuilder, StringArray, StringBuilder};
use arrow::compute;
use arrow::datatypes::{DataType, Field};
use tidemill_exec::{Error, Result};

use super::path::{Found, Path};
use super::value::Json;
use crate::functions::cast::Cast;
use crate::functions::function::{Call, Function, Rows};
use crate::functions::lists::cast_to;
use crate::types::{SqlType, array_of, is_text, item_field, parse_type};

pub fn all() -> Vec<Function> {
    vec![
        Function::new("__json_value", 2, 7, value_type, json_value),
        Function::new("__json_query", 2, 6, query_type, json_query),
        Function::new("__json_exists", 2, 3, exists_type, json_exists),
        Function::new("__is_json", 1, 2, is_json_type, is_json),
        Function::new("json_length", 1, 2, length_type, json_length),
    ]
}

/// A path that is the same for all rows is made ready once.
enum Paths {
    One(Path),
    Each(StringArray),
}

impl Paths {
    fn of(rows: &Rows<'_>, argument: usize) -> Result<Paths> {
        Ok(match rows.text(argument) {
            Some(text) => Paths::One(Path::parse(text)?),
            None => Paths::Each(rows.strings(argument)?),
        })
    }

    /// Hands each row's document and path to `row`; `None` if either is null.
    fn each<'s>(
        &self,
        documents: &'s StringArray,
        mut row: impl FnMut(Option<(&'s str, &Path)>) -> Result<()>,
    ) -> Result<()> {
        for (place, document) in documents.iter().enumerate() {
            match (document, self) {
                (Some(document), Paths::One(path)) => row(Some((document, path)))?,
                (Some(document), Paths::Each(texts)) if texts.is_valid(place) => {
                    row(Some((document, &Path::parse(texts.value(place))?)))?;
                }
                _ => row(None)?,
            }
        }
        Ok(())
    }
}

/// A document and a path in front of everything else.
fn check(call: &Call<'_>) -> Result<()> {
    for argument in 0..2 {
        if !is_text(call.data_type(argument)) && call.data_type(argument) != &DataType::Null {
            return Err(call.wrong(argument, "text"));
        }
    }
    if let Ok(path) = call.text(1) {
        Path::parse(path)?;
    }
    Ok(())
}

fn returning(call: &Call<'_>) -> Result<SqlType> {
    check(call)?;
    match call.text(2).ok().map(|text| text.trim_start_matches("RETURNING ").trim()) {
        None | Some("") => Ok(SqlType::new(DataType::Utf8, true)),
        Some(text) => Ok(parse_type(text, call.zone.name())?.nullable(true)),
    }
}

/// `NULL`, `ERROR`, ...; the clause's own name may stand in front of a colon.
fn behaviour<'a>(rows: &'a Rows<'_>, argument: usize) -> &'a str {
    let text = rows.text(argument).unwrap_or("NULL");
    text.split_once(':').map_or(text, |(_, behaviour)| behaviour).trim()
}

fn value_type(call: &Call<'_>) -> Result<SqlType> {
    let to = returning(call)?;
    let scalar = is_text(&to.data_type) || to.data_type == DataType::Boolean || to.data_type.is_numeric();
    if !scalar {
        return Err(Error::new("JSON_VALUE returns text, numbers and booleans only")
            .fix("use JSON_QUERY, or CAST(JSON_VALUE(...) AS ...)"));
    }
    Ok(to)
}

/// Where the value of a row comes from.
#[derive(Clone, Copy, PartialEq)]
enum From {
    Document = 0,
    OnEmpty = 1,
    OnError = 2,
}

/// The scalar at a path.
fn json_value(rows: &Rows<'_>) -> Result<ArrayRef> {
    let documents = rows.strings(0)?;
    let paths = Paths::of(rows, 1)?;
    let (on_empty, on_error) = (behaviour(rows, 3), behaviour(rows, 5));
    let to_boolean = rows.result.data_type() == &DataType::Boolean;
    let mut texts = StringBuilder::with_capacity(documents.len(), documents.len() * 8);
    let mut from = Vec::with_capacity(documents.len());
    let mut text = String::new();
    paths.each(&documents, |row| {
        let Some((document, path)) = row else {
            texts.append_null();
            from.push(From::Document);
            return Ok(());
        };
        let json = Json::parse(document);
        let found = json.as_ref().map_or(Found::Missing, |json| path.find(json));
        let scalar = match found {
            // A number is no boolean.
            Found::One(Json::Number(_)) if to_boolean => None,
            Found::One(value) if value.is_scalar() && value != &Json::Null => Some(value),
            _ => None,
        };
        let (place, behaviour) = match scalar {
            Some(value) => {
                text.clear();
                value.push_scalar(&mut text);
                texts.append_value(&text);
                from.push(From::Document);
                return Ok(());
            }
            None if path.lax => (From::OnEmpty, on_empty),
            None => (From::OnError, on_error),
        };
        if behaviour == "ERROR" {
            return Err(no_scalar(document));
        }
        texts.append_null();
        from.push(if behaviour == "DEFAULT" { place } else { From::Document });
        Ok(())
    })?;
    let texts = texts.finish();
    let text_field = Field::new("", DataType::Utf8, true);
    let array: ArrayRef = Arc::new(texts.clone());
    let converted = Cast { zone: rows.zone, strict: false }.apply(&array, &text_field, rows.result)?;
    if converted.null_count() > texts.null_count() {
        for (row, from) in from.iter_mut().enumerate() {
            if texts.is_valid(row) && converted.is_null(row) {
                match on_error {
                    "ERROR" => return Err(no_scalar(documents.value(row))),
                    "DEFAULT" => *from = From::OnError,
                    _ => {}
                }
            }
        }
    }
    if from.iter().all(|from| *from == From::Document) {
        return Ok(converted);
    }
    let default = |argument: usize| match rows.arguments() > argument {
        true => cast_to(rows, argument, rows.result),
        false => Ok(arrow::array::new_null_array(rows.result.data_type(), rows.len)),
    };
    let (empty, error) = (default(4)?, default(6)?);
    let order: Vec<(usize, usize)> = from.into_iter().enumerate().map(|(row, from)| (from as usize, row)).collect();
    Ok(compute::interleave(&[converted.as_ref(), empty.as_ref(), error.as_ref()], &order)?)
}

fn no_scalar(document: &str) -> Error {
    Error::new("JSON_VALUE found no value of its type").why(format!("the document is {}", shorten(document)))
}

/// A document as an error shows it.
fn shorten(document: &str) -> String {
    match document.char_indices().nth(100) {
        Some((end, _)) => format!("{}...", &document[..end]),
        None => document.to_string(),
    }
}

fn query_type(call: &Call<'_>) -> Result<SqlType> {
    let to = returning(call)?;
    let is_list = item_field(&to.data_type).is_some_and(|item| !item.data_type().is_nested());
    if !is_text(&to.data_type) && !is_list {
        return Err(Error::new("JSON_QUERY returns STRING or an ARRAY of text, numbers or booleans"));
    }
    Ok(to)
}

/// The array or object at a path, as text or as an array.
fn json_query(rows: &Rows<'_>) -> Result<ArrayRef> {
    let documents = rows.strings(0)?;
    let paths = Paths::of(rows, 1)?;
    let wrapper = rows.text(3).unwrap_or("WITHOUT");
    let (on_empty, on_error) = (behaviour(rows, 4), behaviour(rows, 5));
    let mut out = match item_field(rows.result.data_type()) {
        Some(_) => Answers::Lists(ListBuilder::new(StringBuilder::new())),
        None => Answers::Texts(StringBuilder::with_capacity(documents.len(), documents.len() * 16)),
    };
    paths.each(&documents, |row| {
        let Some((document, path)) = row else {
            out.null();
            return Ok(());
        };
        let json = Json::parse(document);
        let found = json.as_ref().map_or(Found::Missing, |json| path.find(json));
        let value = match found {
            Found::Missing | Found::One(Json::Null) => None,
            Found::Many(values) => Some(Json::Array(values.into_iter().cloned().collect())),
            Found::One(value) => Some(value.clone()),
        };
        let value = match (wrapper, value) {
            ("CONDITIONAL", Some(value)) if !matches!(value, Json::Array(_)) => Some(Json::Array(vec![value])),
            ("UNCONDITIONAL", Some(value)) => Some(Json::Array(vec![value])),
            (_, value) => value.filter(|value| !value.is_scalar()),
        };
        if let Some(value) = value
            && out.push(&value)
        {
            return Ok(());
        }
        match if path.lax { on_empty } else { on_error } {
            "ERROR" => {
                return Err(Error::new("JSON_QUERY found no array or object")
                    .why(format!("the document is {}", shorten(document))));
            }
            "EMPTY ARRAY" => drop(out.push(&Json::Array(Vec::new()))),
            "EMPTY OBJECT" => drop(out.push(&Json::Object(Vec::new()))),
            _ => out.null(),
        }
        Ok(())
    })?;
    match out {
        Answers::Texts(mut texts) => Ok(Arc::new(texts.finish())),
        Answers::Lists(mut lists) => {
            let lists: ArrayRef = Arc::new(lists.finish());
            let from = Field::new("", array_of(&SqlType::new(DataType::Utf8, true)), true);
            Cast { zone: rows.zone, strict: on_error == "ERROR" }.apply(&lists, &from, rows.result)
        }
    }
}

enum Answers {
    Texts(StringBuilder),
    Lists(ListBuilder<StringBuilder>),
}

impl Answers {
    fn null(&mut self) {
        match self {
            Answers::Texts(texts) => texts.append_null(),
            Answers::Lists(lists) => lists.append_null(),
        }
    }

    /// Whether the value is of a kind that can be the answer.
    fn push(&mut self, value: &Json<'_>) -> bool {
        let mut text = String::new();
        match (self, value) {
            (Answers::Texts(texts), value) => {
                value.push(&mut text);
                texts.append_value(&text);
            }
            (Answers::Lists(lists), Json::Array(items)) => {
                for item in items {
                    text.clear();
                    item.push_scalar(&mut text);
                    lists.values().append_option((item != &Json::Null).then_some(&text));
                }
                lists.append(true);
            }
            (Answers::Lists(_), _) => return false,
        }
        true
    }
}

fn exists_type(call: &Call<'_>) -> Result<SqlType> {
    check(call)?;
    Ok(SqlType::new(DataType::Boolean, true))
}

/// Whether a path leads anywhere but to null.
fn json_exists(rows: &Rows<'_>) -> Result<ArrayRef> {
    let documents = rows.strings(0)?;
    let on_error = rows.text(2).unwrap_or("FALSE");
    let mut out = BooleanBuilder::with_capacity(documents.len());
    Paths::of(rows, 1)?.each(&documents, |row| {
        let Some((document, path)) = row else {
            out.append_null();
            return Ok(());
        };
        let json = Json::parse(document);
        let exists = match json.as_ref().map_or(Found::Missing, |json| path.find(json)) {
            Found::Missing | Found::One(Json::Null) => false,
            Found::One(_) | Found::Many(_) => true,
        };
        match on_error {
            _ if exists || path.lax => out.append_value(exists),
            "TRUE" => out.append_value(true),
            "UNKNOWN" => out.append_null(),
            "ERROR" => {
                return Err(Error::new("JSON_EXISTS found nothing")
                    .why(format!("the path is strict, and the document is {}", shorten(document)))
                    .fix("write 'lax $...' for the path"));
            }
            _ => out.append_value(false),
        }
        Ok(())
    })?;
    Ok(Arc::new(out.finish()))
}

fn is_json_type(call: &Call<'_>) -> Result<SqlType> {
    if !is_text(call.data_type(0)) && call.data_type(0) != &DataType::Null {
        return Err(call.wrong(0, "text"));
    }
    Ok(SqlType::new(DataType::Boolean, false))
}

/// Whether text is JSON, of a kind; null is not.
fn is_json(rows: &Rows<'_>) -> Result<ArrayRef> {
    let kind = rows.text(1).unwrap_or("VALUE");
    let is_kind = |json: Json<'_>| match kind {
        "SCALAR" => json.is_scalar(),
        "ARRAY" => matches!(json, Json::Array(_)),
        "OBJECT" => matches!(json, Json::Object(_)),
        _ => true,
    };
    let documents = rows.strings(0)?;
    let mut out = BooleanBuilder::with_capacity(documents.len());
    for document in documents.iter() {
        out.append_value(document.and_then(Json::parse).is_some_and(is_kind));
    }
    Ok(Arc::new(out.finish()))
}

fn length_type(call: &Call<'_>) -> Result<SqlType> {
    if call.fields.len() > 1 {
        check(call)?;
    }
    Ok(SqlType::new(DataType::Int32, true))
}

/// Members of an object or items of an array; 1 for a scalar, null if there is nothing.
fn json_length(rows: &Rows<'_>) -> Result<ArrayRef> {
    let documents = rows.strings(0)?;
    let paths = if rows.arguments() > 1 { Paths::of(rows, 1)? } else { Paths::One(Path::parse("$")?) };
    let mut out = Int32Builder::with_capacity(documents.len());
    paths.each(&documents, |row| {
        let length = |json: &Json<'_>| match json {
            Json::Array(items) => items.len(),
            Json::Object(members) => members.len(),
            _ => 1,
        };
        let json = row.and_then(|(document, path)| Some((Json::parse(document)?, path)));
        let found = json.as_ref().map_or(Found::Missing, |(json, path)| path.find(json));
        out.append_option(match found {
            Found::One(value) => Some(length(value) as i32),
            Found::Many(values) if values.len() == 1 => Some(length(values[0]) as i32),
            _ => None,
        });
        Ok(())
    })?;
    Ok(Arc::new(out.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::function::testing::*;

    fn call(name: &str, args: &[&str]) -> String {
        let args: Vec<Arg> = args.iter().map(|arg| text(arg)).collect();
        show(all(), name, &args)
    }

    #[test]
    fn json_value_gives_the_scalar_at_a_path() {
        assert_eq!(call("__json_value", &[r#"{"a":{"b":1}}"#, "$.a.b"]), "STRING: 1");
        assert_eq!(call("__json_value", &[r#"{"a":1}"#, "$.a", "RETURNING INT"]), "INT: 1");
        assert_eq!(call("__json_value", &[r#"{"a":1.10}"#, "$.a"]), "STRING: 1.10");
        assert_eq!(call("__json_value", &[r#"{"a":true}"#, "$.a", "BOOLEAN"]), "BOOLEAN: TRUE");
        assert_eq!(call("__json_value", &[r#"{"a":null}"#, "$.a"]), "STRING: NULL");
    }

    #[test]
    fn what_is_missing_is_an_error_in_strict_mode_and_empty_in_lax_mode() {
        let value = |path: &str| {
            call("__json_value", &[r#"{"a":[1]}"#, path, "STRING", "EMPTY: DEFAULT", "d", "ERROR: DEFAULT", "e"])
        };
        assert_eq!(value("$.z"), "STRING: e");
        assert_eq!(value("lax $.z"), "STRING: d");
        assert_eq!(value("$.a"), "STRING: e", "an array is no scalar");
        assert_eq!(call("__json_value", &[r#"{"a":1}"#, "$.z", "STRING", "DEFAULT", "d"]), "STRING: NULL");
        assert_eq!(
            call("__json_value", &[r#"{"a":1}"#, "$.z", "STRING", "NULL", "", "ERROR"]),
            "JSON_VALUE found no value of its type"
        );
        assert_eq!(call("__json_value", &["nonsense", "$.z"]), "STRING: NULL");
    }

    #[test]
    fn a_value_of_another_type_is_an_error() {
        let value = |text: &str| call("__json_value", &[text, "$", "INT", "NULL", "0", "DEFAULT", "-1"]);
        assert_eq!(value("7"), "INT: 7");
        assert_eq!(value("\"x\""), "INT: -1");
        assert_eq!(value("99999999999"), "INT: -1");
    }

    #[test]
    fn json_query_gives_the_array_or_object_at_a_path() {
        assert_eq!(call("__json_query", &[r#"{"a":[1,2]}"#, "$.a"]), "STRING: [1,2]");
        assert_eq!(call("__json_query", &[r#"{"a":1}"#, "$.a"]), "STRING: NULL");
        let wrapped =
            |wrapper: &str, path: &str| call("__json_query", &[r#"{"a":1,"b":[2]}"#, path, "STRING", wrapper]);
        assert_eq!(wrapped("UNCONDITIONAL", "$.a"), "STRING: [1]");
        assert_eq!(wrapped("UNCONDITIONAL", "$.b"), "STRING: [[2]]");
        assert_eq!(wrapped("CONDITIONAL", "$.b"), "STRING: [2]");
        let on = |path: &str| call("__json_query", &["{}", path, "STRING", "WITHOUT", "EMPTY ARRAY", "EMPTY OBJECT"]);
        assert_eq!(on("lax $.a"), "STRING: []");
        assert_eq!(on("$.a"), "STRING: {}");
        let list = |to: &str| call("__json_query", &[r#"["1",2,null]"#, "$", to]);
        assert_eq!(list("ARRAY<STRING>"), "ARRAY<STRING>: [1, 2, NULL]");
        assert_eq!(list("ARRAY<INT>"), "ARRAY<INT>: [1, 2, NULL]");
    }

    #[test]
    fn json_exists_asks_for_anything_but_null() {
        assert_eq!(call("__json_exists", &[r#"{"a":1}"#, "$.a"]), "BOOLEAN: TRUE");
        assert_eq!(call("__json_exists", &[r#"{"a":1}"#, "$.b"]), "BOOLEAN: FALSE");
        assert_eq!(call("__json_exists", &[r#"{"a":1}"#, "$.b", "UNKNOWN"]), "BOOLEAN: NULL");
        assert_eq!(call("__json_exists", &[r#"{"a":1}"#, "$.b", "ERROR"]), "JSON_EXISTS found nothing");
        assert_eq!(call("__json_exists", &[r#"{"a":1}"#, "lax $.b", "ERROR"]), "BOOLEAN: FALSE");
    }

    #[test]
    fn is_json_tells_kinds_apart() {
        assert_eq!(call("__is_json", &[r#"{"a":1}"#, "VALUE"]), "BOOLEAN NOT NULL: TRUE");
        assert_eq!(call("__is_json", &["x", "VALUE"]), "BOOLEAN NOT NULL: FALSE");
        assert_eq!(call("__is_json", &["1", "SCALAR"]), "BOOLEAN NOT NULL: TRUE");
        assert_eq!(call("__is_json", &["[1]", "OBJECT"]), "BOOLEAN NOT NULL: FALSE");
        assert_eq!(show(all(), "__is_json", &[null()]), "BOOLEAN NOT NULL: FALSE");
    }

    #[test]
    fn json_length_counts_members_and_items() {
        assert_eq!(call("json_length", &[r#"{"a":[1,2,3]}"#]), "INT: 1");
        assert_eq!(call("json_length", &[r#"{"a":[1,2,3]}"#, "$.a"]), "INT: 3");
        assert_eq!(call("json_length", &["x"]), "INT: NULL");
    }

    #[test]
    fn rows_have_their_own_documents_and_paths() {
        let documents = || column("STRING", &[Some(r#"{"a":1}"#), None, Some(r#"{"b":2}"#)]);
        assert_eq!(show(all(), "__json_value", &[documents(), text("$.a")]), "STRING: 1, NULL, NULL");
        let paths = column("STRING", &[Some("$.a"), Some("$.a"), Some("$.b")]);
        assert_eq!(show(all(), "__json_value", &[documents(), paths]), "STRING: 1, NULL, 2");
    }
}
