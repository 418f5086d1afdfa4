//! Parts of a text: `SUBSTRING`, `LEFT`, `RIGHT`, `SPLIT_INDEX`, trimming.

use arrow::datatypes::DataType::Utf8;
use datafusion::error::Result;
use tidemill_exec::Error;

use super::{byte_at, char_len};
use crate::functions::call::{Call, Function, Kind::*, texts, try_texts};

pub fn all() -> Vec<Function> {
    vec![
        Function::new("substring", Utf8, |call| {
            let (text, start) = (call.text(0)?, call.long(1)?);
            let length = if call.count() == 3 { Some(call.long(2)?) } else { None };
            texts(call.rows, |row, out| {
                let length = match &length {
                    Some(length) => length.get(row)?,
                    None => i64::MAX,
                };
                out.push_str(substring(text.get(row)?, start.get(row)?, length)?);
                Some(())
            })
        })
        .takes(&[Text, Int])
        .takes(&[Text, Int, Int])
        .alias("substr")
        .nullable(),
        Function::new("left", Utf8, |call| {
            let (text, length) = (call.text(0)?, call.long(1)?);
            texts(call.rows, |row, out| {
                let (text, length) = (text.get(row)?, length.get(row)?);
                out.push_str(&text[..byte_at(text, usize::try_from(length).unwrap_or(0))]);
                Some(())
            })
        })
        .takes(&[Text, Int]),
        Function::new("right", Utf8, |call| {
            let (text, length) = (call.text(0)?, call.long(1)?);
            texts(call.rows, |row, out| {
                let (text, length) = (text.get(row)?, usize::try_from(length.get(row)?).unwrap_or(0));
                out.push_str(&text[byte_at(text, char_len(text).saturating_sub(length))..]);
                Some(())
            })
        })
        .takes(&[Text, Int]),
        Function::new("split_index", Utf8, split_index).takes(&[Text, Text, Int]).takes(&[Text, Int, Int]).nullable(),
        Function::new("substring_index", Utf8, |call| {
            let (text, separator, count) = (call.text(0)?, call.text(1)?, call.long(2)?);
            texts(call.rows, |row, out| {
                out.push_str(substring_index(text.get(row)?, separator.get(row)?, count.get(row)?));
                Some(())
            })
        })
        .takes(&[Text, Text, Int]),
        Function::new("trim", Utf8, |call| trim(call, 0, true, true))
            .takes(&[Text])
            .takes(&[Text, Text])
            .alias("btrim"),
        Function::new("ltrim", Utf8, |call| trim(call, 0, true, false)).takes(&[Text]).takes(&[Text, Text]),
        Function::new("rtrim", Utf8, |call| trim(call, 0, false, true)).takes(&[Text]).takes(&[Text, Text]),
        // TRIM(LEADING c FROM s), as the parser hands it over: __trim('LEADING', s, c).
        Function::new("__trim", Utf8, |call| {
            let side = call.text(0)?;
            match side.get(0).map(str::to_ascii_uppercase).as_deref() {
                Some("LEADING") => trim(call, 1, true, false),
                Some("TRAILING") => trim(call, 1, false, true),
                Some("BOTH") => trim(call, 1, true, true),
                _ => Err(Error::new("TRIM must be LEADING, TRAILING or BOTH").into()),
            }
        })
        .takes(&[Text, Text])
        .takes(&[Text, Text, Text]),
    ]
}

/// Flink's substring: 0 means 1, a negative start counts from the end (and gives nothing if it lies before the
/// beginning), a negative length gives NULL.
fn substring(text: &str, start: i64, length: i64) -> Option<&str> {
    if length < 0 {
        return None;
    }
    let skipped = match start {
        0 => 0,
        1.. => usize::try_from(start - 1).unwrap_or(usize::MAX),
        _ => match char_len(text).checked_sub(usize::try_from(start.unsigned_abs()).unwrap_or(usize::MAX)) {
            Some(skipped) => skipped,
            None => return Some(""),
        },
    };
    let rest = &text[byte_at(text, skipped)..];
    Some(&rest[..byte_at(rest, usize::try_from(length).unwrap_or(usize::MAX))])
}

/// The piece number `index`, from 0, between separators; the separator may be given as a character code.
fn split_index(call: &Call) -> Result<arrow::array::ArrayRef> {
    let (text, index) = (call.text(0)?, call.long(2)?);
    let piece = |text: &str, separator: &str, index: i64, out: &mut String| {
        let index = usize::try_from(index).ok()?;
        if text.is_empty() {
            return None;
        }
        let piece = match separator {
            // As in Java's splitByWholeSeparator: no separator means white space.
            "" => text.split(char::is_whitespace).nth(index)?,
            // One byte is searched for many times faster than a text.
            separator if separator.len() == 1 => between(text, separator.as_bytes()[0], index)?,
            separator => text.split(separator).nth(index)?,
        };
        out.push_str(piece);
        Some(())
    };
    if call.data_type(1).is_integer() {
        let code = call.long(1)?;
        return texts(call.rows, |row, out| {
            let code = u8::try_from(code.get(row)?).ok().filter(|code| *code != 0)?;
            piece(text.get(row)?, char::from(code).encode_utf8(&mut [0; 4]), index.get(row)?, out)
        });
    }
    let separator = call.text(1)?;
    texts(call.rows, |row, out| piece(text.get(row)?, separator.get(row)?, index.get(row)?, out))
}

/// The piece number `index`, from 0, between separators of one ASCII character.
fn between(text: &str, separator: u8, index: usize) -> Option<&str> {
    let mut separators = memchr::memchr_iter(separator, text.as_bytes());
    let start = match index.checked_sub(1) {
        None => 0,
        Some(before) => separators.nth(before)? + 1,
    };
    Some(&text[start..separators.next().unwrap_or(text.len())])
}

/// Everything before the `count`-th separator, or after the `-count`-th from the end; the whole text if there are fewer.
fn substring_index<'a>(text: &'a str, separator: &str, count: i64) -> &'a str {
    if separator.is_empty() || count == 0 {
        return "";
    }
    let nth = usize::try_from(count.unsigned_abs() - 1).unwrap_or(usize::MAX);
    if count > 0 {
        text.match_indices(separator).nth(nth).map_or(text, |(at, _)| &text[..at])
    } else {
        text.rmatch_indices(separator).nth(nth).map_or(text, |(at, found)| &text[at + found.len()..])
    }
}

/// Removes the characters of argument `at + 1` (a set, by default just the space) from the ends of argument `at`.
fn trim(call: &Call, at: usize, left: bool, right: bool) -> Result<arrow::array::ArrayRef> {
    let text = call.text(at)?;
    let set = if call.count() > at + 1 { Some(call.text(at + 1)?) } else { None };
    try_texts(call.rows, |row, out| {
        let set = match &set {
            Some(set) => set.get(row),
            None => Some(" "),
        };
        let (Some(mut text), Some(set)) = (text.get(row), set) else { return Ok(None) };
        let unwanted = |c| set.contains(c);
        if left {
            text = text.trim_start_matches(unwanted);
        }
        if right {
            text = text.trim_end_matches(unwanted);
        }
        out.push_str(text);
        Ok(Some(()))
    })
}
