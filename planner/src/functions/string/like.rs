//! SQL's own patterns, `LIKE` and `SIMILAR TO`, with an escape character of the user's choice.
//!
//! DataFusion's `LIKE` always takes a backslash for the escape character and accepts no other. In Flink there is none
//! unless `ESCAPE` names one. [`__like`](all) has Flink's meaning; it rewrites the pattern for Arrow's fast kernel.

use std::sync::Arc;

use arrow::array::{Scalar, StringArray};
use arrow::datatypes::DataType::Boolean;
use datafusion::error::Result;
use tidemill_exec::Error;

use crate::functions::call::{Call, Function, Kind::*};

pub fn all() -> Vec<Function> {
    vec![
        Function::new("__like", Boolean, |call| {
            let (text, _) = call.cast(0, &arrow::datatypes::DataType::Utf8)?;
            let patterns = translated(call, like_to_arrow)?;
            let constant_text = call.is_constant(0);
            let matched = match patterns {
                PerRow::Same(None) => arrow::array::BooleanArray::new_null(call.rows),
                PerRow::Same(Some(pattern)) => {
                    let matched = arrow::compute::like(&text, &StringArray::new_scalar(pattern))?;
                    if constant_text && call.rows != matched.len() {
                        let first = (!arrow::array::Array::is_null(&matched, 0)).then(|| matched.value(0));
                        std::iter::repeat_n(first, call.rows).collect()
                    } else {
                        matched
                    }
                }
                PerRow::Each(patterns) => {
                    let patterns = patterns.into_iter().collect::<StringArray>();
                    if constant_text {
                        arrow::compute::like(&Scalar::new(text), &patterns)?
                    } else {
                        arrow::compute::like(&text, &patterns)?
                    }
                }
            };
            Ok(Arc::new(matched))
        })
        .takes(&[Text, Text])
        .takes(&[Text, Text, Text]),
    ]
}

/// Something made from the pattern argument: the same for all rows, or one per row.
pub enum PerRow<T> {
    Same(Option<T>),
    Each(Vec<Option<T>>),
}

impl<T> PerRow<T> {
    pub fn get(&self, row: usize) -> Option<&T> {
        match self {
            PerRow::Same(value) => value.as_ref(),
            PerRow::Each(values) => values.get(row)?.as_ref(),
        }
    }
}

/// Translates argument 1, a pattern, under argument 2, its escape character if there is one.
pub fn translated<T>(call: &Call, translate: impl Fn(&str, Option<char>) -> Result<T, Error>) -> Result<PerRow<T>> {
    let pattern = call.text(1)?;
    let escape = if call.count() == 3 { Some(call.text(2)?) } else { None };
    let one = |row| {
        let escape = match &escape {
            None => None,
            Some(escape) => match escape.get(row) {
                None => return Ok(None),
                Some(escape) => Some(single(escape)?),
            },
        };
        pattern.get(row).map(|pattern| translate(pattern, escape)).transpose()
    };
    let same = call.is_constant(1) && (call.count() < 3 || call.is_constant(2));
    Ok(if same { PerRow::Same(one(0)?) } else { PerRow::Each((0..call.rows).map(one).collect::<Result<_, Error>>()?) })
}

fn single(escape: &str) -> Result<char, Error> {
    let mut chars = escape.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) => Ok(c),
        _ => Err(Error::new(format!("ESCAPE '{escape}' is not one character"))
            .fix("write a single character, for instance ESCAPE '\\'")),
    }
}

/// The pattern with a backslash for its escape character, as Arrow's kernel reads it.
fn like_to_arrow(pattern: &str, escape: Option<char>) -> Result<String, Error> {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            match chars.next() {
                Some(next) if next == '%' || next == '_' || Some(next) == escape => {
                    if matches!(next, '%' | '_' | '\\') {
                        out.push('\\');
                    }
                    out.push(next);
                }
                _ => return Err(bad_escape(pattern, c)),
            }
        } else {
            if c == '\\' {
                out.push('\\');
            }
            out.push(c);
        }
    }
    Ok(out)
}

fn bad_escape(pattern: &str, escape: char) -> Error {
    Error::new(format!("the pattern '{pattern}' has an escape character {escape} that escapes nothing"))
        .why("it may only stand before a character with a meaning, or before itself")
        .fix(format!("write {escape}{escape} for the character itself"))
}

/// A `SIMILAR TO` pattern as a Java regular expression: `%` and `_` as in `LIKE`, and `| * + ? {m,n} ( ) [ ]`.
pub fn similar_to_java(pattern: &str, escape: Option<char>) -> Result<String, Error> {
    const SPECIAL: &str = "_%^-|*+?()[]{}";
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut chars = pattern.chars();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            match chars.next() {
                Some(next) if SPECIAL.contains(next) || Some(next) == escape => {
                    out.push_str(&regex::escape(next.encode_utf8(&mut [0; 4])));
                }
                _ => return Err(bad_escape(pattern, c)),
            }
            continue;
        }
        match c {
            '[' if in_class => {
                let name: String = chars.by_ref().take_while(|c| *c != ']').collect();
                out.push_str(named_class(&name).ok_or_else(|| {
                    Error::new(format!("the pattern '{pattern}' has an unknown character class [{name}]"))
                        .fix("use one of [:ALPHA:] [:UPPER:] [:LOWER:] [:DIGIT:] [:ALNUM:] [:SPACE:] [:WHITESPACE:]")
                })?);
            }
            '[' => {
                in_class = true;
                out.push('[');
            }
            ']' => {
                in_class = false;
                out.push(']');
            }
            '_' if !in_class => out.push('.'),
            '%' if !in_class => out.push_str("(?s:.*)"),
            '\\' => out.push_str("\\\\"),
            '$' => out.push_str("\\$"),
            c => out.push(c),
        }
    }
    Ok(out)
}

/// `[:ALPHA:]` and its kin, inside brackets.
fn named_class(name: &str) -> Option<&'static str> {
    Some(match name.to_ascii_uppercase().as_str() {
        ":ALPHA:" => "\\p{Alpha}",
        ":UPPER:" => "\\p{Upper}",
        ":LOWER:" => "\\p{Lower}",
        ":DIGIT:" => "\\d",
        ":ALNUM:" => "\\p{Alnum}",
        ":SPACE:" => " ",
        ":WHITESPACE:" => "\\s",
        _ => return None,
    })
}
