//! Where one text lies in another, and whether it begins or ends it.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int32Array};
use arrow::datatypes::DataType::{Boolean, Int32};
use datafusion::error::Result;
use tidemill_exec::Error;

use super::{byte_at, char_len};
use crate::functions::call::{Call, Function, Kind::*};

pub fn all() -> Vec<Function> {
    vec![
        // POSITION(needle IN haystack [FROM start])
        Function::new("position", Int32, locate).takes(&[Text, Text]).takes(&[Text, Text, Int]),
        Function::new("locate", Int32, locate).takes(&[Text, Text]).takes(&[Text, Text, Int]),
        Function::new("instr", Int32, |call| {
            let (text, needle) = (call.text(0)?, call.text(1)?);
            let start = if call.count() > 2 { Some(call.long(2)?) } else { None };
            let nth = if call.count() > 3 { Some(call.long(3)?) } else { None };
            let mut found = Int32Array::builder(call.rows);
            for row in 0..call.rows {
                let start = start.as_ref().map_or(Some(1), |start| start.get(row));
                let nth = nth.as_ref().map_or(Some(1), |nth| nth.get(row));
                let (Some(text), Some(needle), Some(start), Some(nth)) = (text.get(row), needle.get(row), start, nth)
                else {
                    found.append_null();
                    continue;
                };
                if nth <= 0 {
                    return Err(Error::new(format!("INSTR cannot look for occurrence {nth}"))
                        .why("occurrences are counted from 1")
                        .into());
                }
                found.append_value(instr(text, needle, start, nth));
            }
            Ok(Arc::new(found.finish()))
        })
        .takes(&[Text, Text])
        .takes(&[Text, Text, Int])
        .takes(&[Text, Text, Int, Int]),
        Function::new("startswith", Boolean, |call| ends(call, |text, part| text.starts_with(part)))
            .takes(&[Text, Text])
            .takes(&[Bytes, Bytes]),
        Function::new("endswith", Boolean, |call| ends(call, |text, part| text.ends_with(part)))
            .takes(&[Text, Text])
            .takes(&[Bytes, Bytes]),
    ]
}

fn locate(call: &Call) -> Result<ArrayRef> {
    let (needle, text) = (call.text(0)?, call.text(1)?);
    let from = if call.count() > 2 { Some(call.long(2)?) } else { None };
    let found = |row| {
        let from = match &from {
            Some(from) => from.get(row)?,
            None => 1,
        };
        Some(position(needle.get(row)?, text.get(row)?, from))
    };
    Ok(Arc::new((0..call.rows).map(found).collect::<Int32Array>()))
}

/// Position of `needle` in `text` at or after `from`, or 0; an empty needle is found at 1.
fn position(needle: &str, text: &str, from: i64) -> i32 {
    if needle.is_empty() {
        return 1;
    }
    let skipped = byte_at(text, usize::try_from(from.saturating_sub(1)).unwrap_or(0));
    match text[skipped..].find(needle) {
        Some(at) => char_len(&text[..skipped + at]) as i32 + 1,
        None => 0,
    }
}

/// The `nth` occurrence, counted from `start`; a negative start searches backwards from that far before the end.
fn instr(text: &str, needle: &str, start: i64, nth: i64) -> i32 {
    if start == 0 {
        return 0;
    }
    if start < 0 {
        let backwards = |text: &str| text.chars().rev().collect::<String>();
        let at = instr(&backwards(text), &backwards(needle), start.saturating_neg(), nth);
        return if at == 0 { 0 } else { char_len(text) as i32 + 2 - at - char_len(needle) as i32 };
    }
    let mut from = start;
    for remaining in (0..nth).rev() {
        let at = position(needle, text, from);
        if at == 0 || remaining == 0 || needle.is_empty() {
            return at;
        }
        from = i64::from(at) + 1;
    }
    0
}

fn ends(call: &Call, test: fn(&[u8], &[u8]) -> bool) -> Result<ArrayRef> {
    let (text, part) = (call.bytes(0)?, call.bytes(1)?);
    let passes = |row| Some(test(text.get(row)?, part.get(row)?));
    Ok(Arc::new((0..call.rows).map(passes).collect::<BooleanArray>()))
}
