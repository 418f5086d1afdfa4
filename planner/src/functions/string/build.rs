//! Texts put together from others: `CONCAT`, `REPLACE`, `OVERLAY`, `TRANSLATE`, `ELT`.

use arrow::array::{ArrayRef, UInt32Array};
use arrow::datatypes::DataType::Utf8;
use datafusion::error::Result;
use memchr::memmem::Finder;

use super::{byte_at, char_len};
use crate::functions::call::{Call, Function, Kind::*, texts};

pub fn all() -> Vec<Function> {
    vec![
        Function::new("concat", Utf8, |call| {
            let parts = (0..call.count()).map(|i| call.text(i)).collect::<Result<Vec<_>>>()?;
            texts(call.rows, |row, out| {
                for part in &parts {
                    out.push_str(part.get(row)?);
                }
                Some(())
            })
        })
        .takes_many(&[Text, Text]),
        Function::new("concat_ws", Utf8, |call| {
            let separator = call.text(0)?;
            let parts = (1..call.count()).map(|i| call.text(i)).collect::<Result<Vec<_>>>()?;
            texts(call.rows, |row, out| {
                let separator = separator.get(row)?;
                for (i, part) in parts.iter().filter_map(|part| part.get(row)).enumerate() {
                    if i > 0 {
                        out.push_str(separator);
                    }
                    out.push_str(part);
                }
                Some(())
            })
        })
        .takes_many(&[Text, Text]),
        Function::new("replace", Utf8, |call| {
            let (text, old, new) = (call.text(0)?, call.text(1)?, call.text(2)?);
            // What is searched for is mostly the same in all rows, and then is looked at once.
            let constant = old.constant().filter(|old| !old.is_empty()).map(Finder::new);
            texts(call.rows, |row, out| {
                let (text, old, new) = (text.get(row)?, old.get(row)?, new.get(row)?);
                let mut copied = 0;
                let mut replace = |at: usize| {
                    out.push_str(&text[copied..at]);
                    out.push_str(new);
                    copied = at + old.len();
                };
                match (old.as_bytes(), &constant) {
                    (&[byte], _) => memchr::memchr_iter(byte, text.as_bytes()).for_each(replace),
                    (_, Some(old)) => old.find_iter(text.as_bytes()).for_each(replace),
                    (_, None) => text.match_indices(old).for_each(|(at, _)| replace(at)),
                }
                out.push_str(&text[copied..]);
                Some(())
            })
        })
        .takes(&[Text, Text, Text]),
        Function::new("overlay", Utf8, |call| {
            let (text, new, start) = (call.text(0)?, call.text(1)?, call.long(2)?);
            let length = if call.count() == 4 { Some(call.long(3)?) } else { None };
            texts(call.rows, |row, out| {
                let new = new.get(row)?;
                let length = match &length {
                    Some(length) => length.get(row)?,
                    None => char_len(new) as i64,
                };
                overlay(text.get(row)?, new, start.get(row)?, length, out);
                Some(())
            })
        })
        .takes(&[Text, Text, Int])
        .takes(&[Text, Text, Int, Int]),
        Function::new("translate", Utf8, |call| {
            let (text, from, to) = (call.text(0)?, call.text(1)?, call.text(2)?);
            let constant = from.constant().map(|from| Dictionary::new(from, to.constant().unwrap_or("")));
            let constant = if call.is_constant(2) { constant } else { None };
            texts(call.rows, |row, out| {
                let text = text.get(row)?;
                match (&constant, from.get(row)) {
                    (Some(dictionary), _) => dictionary.translate(text, out),
                    (None, Some(from)) => Dictionary::new(from, to.get(row).unwrap_or("")).translate(text, out),
                    (None, None) => out.push_str(text),
                }
                Some(())
            })
        })
        .takes(&[Text, Text, Text])
        .alias("translate3"),
        Function::new("elt", Utf8, elt)
            .takes_many(&[Int, Text, Text])
            .takes_many(&[Int, Bytes, Bytes])
            .returns(|arguments| {
                let bytes = arguments.types[1..].iter().any(|of| of.is_binary());
                Ok(if bytes { arrow::datatypes::DataType::Binary } else { Utf8 })
            })
            .nullable(),
    ]
}

/// Puts `new` in the place of `length` characters from `start`. Outside the text it changes nothing; a length below 1
/// drops the rest of the text, as Flink does.
fn overlay(text: &str, new: &str, start: i64, length: i64, out: &mut String) {
    let chars = char_len(text) as i64;
    if start <= 0 || start > chars {
        out.push_str(text);
        return;
    }
    let start = (start - 1) as usize;
    out.push_str(&text[..byte_at(text, start)]);
    out.push_str(new);
    if length > 0 {
        let end = start.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
        out.push_str(&text[byte_at(text, end)..]);
    }
}

/// Which character becomes which, or nothing. The first mapping of a character counts.
struct Dictionary(Vec<(char, Option<char>)>);

impl Dictionary {
    fn new(from: &str, to: &str) -> Dictionary {
        let mut to = to.chars();
        let mut pairs: Vec<(char, Option<char>)> = Vec::new();
        for c in from.chars() {
            let into = to.next();
            if pairs.iter().all(|(known, _)| *known != c) {
                pairs.push((c, into));
            }
        }
        Dictionary(pairs)
    }

    fn translate(&self, text: &str, out: &mut String) {
        out.extend(text.chars().filter_map(|c| match self.0.iter().find(|(from, _)| *from == c) {
            Some((_, into)) => *into,
            None => Some(c),
        }));
    }
}

/// The argument with this number, from 1.
fn elt(call: &Call) -> Result<ArrayRef> {
    let index = call.long(0)?;
    let mut choices = vec![arrow::array::new_null_array(call.result_type(), 1)];
    let mut steps = vec![0];
    for i in 1..call.count() {
        let (array, step) = call.cast(i, call.result_type())?;
        choices.push(array);
        steps.push(step);
    }
    let picked: Vec<(usize, usize)> = (0..call.rows)
        .map(|row| {
            let choice = index.get(row).and_then(|index| usize::try_from(index).ok()).unwrap_or(0);
            steps.get(choice).map_or((0, 0), |step| (choice, row * step))
        })
        .collect();
    let arrays: Vec<_> = choices.iter().map(|array| array.as_ref()).collect();
    if arrays.len() == 1 {
        let nulls = UInt32Array::from(vec![0; call.rows]);
        return Ok(arrow::compute::take(arrays[0], &nulls, None)?);
    }
    Ok(arrow::compute::interleave(&arrays, &picked)?)
}
