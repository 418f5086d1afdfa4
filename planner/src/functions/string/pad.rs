//! Texts made longer: padding, repeating, reversing.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType::Utf8;
use datafusion::error::Result;

use super::{byte_at, char_len};
use crate::functions::call::{Call, Function, Kind::*, check_text_bytes, texts, try_texts};

pub fn all() -> Vec<Function> {
    vec![
        Function::new("lpad", Utf8, |call| pad(call, true)).takes(&[Text, Int, Text]).nullable(),
        Function::new("rpad", Utf8, |call| pad(call, false)).takes(&[Text, Int, Text]).nullable(),
        Function::new("repeat", Utf8, |call| {
            let (text, times) = (call.text(0)?, call.long(1)?);
            try_texts(call.rows, |row, out| {
                let (Some(text), Some(times)) = (text.get(row), times.get(row)) else { return Ok(None) };
                let times = usize::try_from(times).unwrap_or(0);
                check_text_bytes(call, text.len().saturating_mul(times))?;
                if !text.is_empty() {
                    (0..times).for_each(|_| out.push_str(text));
                }
                Ok(Some(()))
            })
        })
        .takes(&[Text, Int]),
        Function::new("reverse", Utf8, |call| {
            let text = call.text(0)?;
            texts(call.rows, |row, out| {
                out.extend(text.get(row)?.chars().rev());
                Some(())
            })
        })
        .takes(&[Text]),
    ]
}

/// Pads to, or cuts at, a length in characters. NULL for a negative length and for an empty pad, even where nothing
/// would have to be padded: so it is in Flink.
fn pad(call: &Call, left: bool) -> Result<ArrayRef> {
    let (text, length, fill) = (call.text(0)?, call.long(1)?, call.text(2)?);
    try_texts(call.rows, |row, out| {
        let (Some(text), Some(length), Some(fill)) = (text.get(row), length.get(row), fill.get(row)) else {
            return Ok(None);
        };
        let Ok(length) = usize::try_from(length) else { return Ok(None) };
        if fill.is_empty() {
            return Ok(None);
        }
        check_text_bytes(call, length)?;
        let kept = &text[..byte_at(text, length)];
        let missing = length - char_len(kept).min(length);
        if left {
            out.extend(fill.chars().cycle().take(missing));
        }
        out.push_str(kept);
        if !left {
            out.extend(fill.chars().cycle().take(missing));
        }
        Ok(Some(()))
    })
}
