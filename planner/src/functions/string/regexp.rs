//! `REGEXP` and its family, `SIMILAR TO`.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int32Array, ListBuilder, StringArray, StringBuilder};
use arrow::datatypes::DataType::{self, Boolean, Int32, Utf8};
use arrow::datatypes::Field;
use datafusion::error::Result;
use regex::Regex;
use tidemill_exec::Error;

use super::char_len;
use super::java_regex::{Pattern, captures_all, compile, find_all};
use super::like;
use crate::functions::call::{Call, Column, Function, Kind::*, try_texts};

pub fn all() -> Vec<Function> {
    vec![
        Function::new("regexp", Boolean, |call| {
            let (text, patterns) = (call.text(0)?, Patterns::new(call, 1)?);
            let test = |row| {
                let (Some(text), Some(pattern)) = (text.get(row), patterns.get(row)?) else { return Ok(None) };
                Ok(Some(match pattern {
                    _ if patterns.text.get(row) == Some("") => false,
                    Pattern::Valid(regex) => regex.is_match(text),
                    Pattern::Invalid(_) => false,
                }))
            };
            Ok(Arc::new((0..call.rows).map(test).collect::<Result<BooleanArray>>()?))
        })
        .takes(&[Text, Text]),
        Function::new("regexp_extract", Utf8, |call| {
            let (text, patterns) = (call.text(0)?, Patterns::new(call, 1)?);
            let group = if call.count() == 3 { Some(call.long(2)?) } else { None };
            let mut places = match &patterns.constant {
                Some(Pattern::Valid(regex)) => Some(regex.capture_locations()),
                _ => None,
            };
            try_texts(call.rows, |row, out| {
                let group = group.as_ref().map_or(Some(0), |group| group.get(row));
                let (Some(text), Some(regex), Some(group)) = (text.get(row), patterns.valid(row)?, group) else {
                    return Ok(None);
                };
                let Ok(group) = usize::try_from(group) else { return Ok(None) };
                let found = if group == 0 {
                    regex.find(text).map(|found| (found.start(), found.end()))
                } else {
                    let mut of_row = None;
                    let places = match &mut places {
                        Some(places) => places,
                        None => of_row.insert(regex.capture_locations()),
                    };
                    regex.captures_read(places, text).and_then(|_| places.get(group))
                };
                Ok(found.map(|(start, end)| out.push_str(&text[start..end])))
            })
        })
        .takes(&[Text, Text])
        .takes(&[Text, Text, Int])
        .nullable(),
        Function::new("regexp_replace", Utf8, |call| {
            let (text, patterns, new) = (call.text(0)?, Patterns::new(call, 1)?, call.text(2)?);
            try_texts(call.rows, |row, out| {
                let (Some(text), Some(regex), Some(new)) = (text.get(row), patterns.valid(row)?, new.get(row)) else {
                    return Ok(None);
                };
                let mut copied = 0;
                for found in find_all(&regex, text) {
                    out.push_str(&text[copied..found.start()]);
                    out.push_str(new);
                    copied = found.end();
                }
                out.push_str(&text[copied..]);
                Ok(Some(()))
            })
        })
        .takes(&[Text, Text, Text])
        .nullable(),
        Function::new("regexp_substr", Utf8, |call| {
            let (text, patterns) = (call.text(0)?, Patterns::new(call, 1)?);
            try_texts(call.rows, |row, out| {
                let (Some(text), Some(regex)) = (text.get(row), patterns.valid(row)?) else { return Ok(None) };
                Ok(regex.find(text).map(|found| out.push_str(found.as_str())))
            })
        })
        .takes(&[Text, Text])
        .nullable(),
        Function::new("regexp_count", Int32, |call| number(call, |regex, text| find_all(regex, text).count() as i32))
            .takes(&[Text, Text])
            .nullable(),
        Function::new("regexp_instr", Int32, |call| {
            number(call, |regex, text| regex.find(text).map_or(0, |found| char_len(&text[..found.start()]) as i32 + 1))
        })
        .takes(&[Text, Text])
        .nullable(),
        Function::new("regexp_extract_all", texts_type(), extract_all).takes(&[Text, Text]).takes(&[Text, Text, Int]),
        Function::new("regexp_split", texts_type(), |call| {
            let (text, patterns) = (call.text(0)?, Patterns::new(call, 1)?);
            let mut lists = ListBuilder::new(StringBuilder::new());
            for row in 0..call.rows {
                let (Some(text), Some(regex)) = (text.get(row), patterns.valid(row)?) else {
                    lists.append(false);
                    continue;
                };
                split(&regex, patterns.text.get(row) == Some(""), text, lists.values());
                lists.append(true);
            }
            Ok(Arc::new(lists.finish()))
        })
        .takes(&[Text, Text])
        .nullable(),
        // a SIMILAR TO pattern [ESCAPE c], as the parser hands it over: __similar(a, pattern[, c]).
        Function::new("__similar", Boolean, |call| {
            let text = call.text(0)?;
            let patterns = like::translated(call, |pattern, escape| {
                compile(&format!("^(?:{})$", like::similar_to_java(pattern, escape)?))
            })?;
            let test = |row: usize| {
                let text = text.get(row)?;
                match patterns.get(row)? {
                    Pattern::Valid(regex) => Some(Ok(regex.is_match(text))),
                    Pattern::Invalid(why) => Some(Err(invalid(call, why).into())),
                }
            };
            Ok(Arc::new((0..call.rows).map(|row| test(row).transpose()).collect::<Result<BooleanArray>>()?))
        })
        .takes(&[Text, Text])
        .takes(&[Text, Text, Text]),
    ]
}

/// The type of an array of texts, with the item name that `ListBuilder` gives.
fn texts_type() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(Utf8, true)))
}

fn invalid(call: &Call, why: &str) -> Error {
    Error::new(format!("{} was given an invalid pattern", call.shown())).why(why)
}

/// The patterns of one argument: compiled once if they are all the same.
struct Patterns {
    text: Column<StringArray>,
    constant: Option<Pattern>,
}

impl Patterns {
    fn new(call: &Call, i: usize) -> Result<Patterns> {
        let text = call.text(i)?;
        let constant = text.constant().map(compile).transpose()?;
        Ok(Patterns { text, constant })
    }

    fn get(&self, row: usize) -> Result<Option<Pattern>> {
        match &self.constant {
            Some(pattern) => Ok(Some(pattern.clone())),
            None => Ok(self.text.get(row).map(compile).transpose()?),
        }
    }

    /// `None` also for what is not a regular expression at all, where Flink's functions return NULL.
    fn valid(&self, row: usize) -> Result<Option<std::rc::Rc<Regex>>> {
        Ok(match self.get(row)? {
            Some(Pattern::Valid(regex)) => Some(regex),
            Some(Pattern::Invalid(_)) | None => None,
        })
    }
}

fn number(call: &Call, of: fn(&Regex, &str) -> i32) -> Result<ArrayRef> {
    let (text, patterns) = (call.text(0)?, Patterns::new(call, 1)?);
    let count = |row| {
        let (Some(text), Some(regex)) = (text.get(row), patterns.valid(row)?) else { return Ok(None) };
        Ok(Some(of(&regex, text)))
    };
    Ok(Arc::new((0..call.rows).map(count).collect::<Result<Int32Array>>()?))
}

/// Every match's group, by default the first group. A group that the pattern does not have is an error.
fn extract_all(call: &Call) -> Result<ArrayRef> {
    let (text, patterns) = (call.text(0)?, Patterns::new(call, 1)?);
    let group = if call.count() == 3 { Some(call.long(2)?) } else { None };
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in 0..call.rows {
        let group = group.as_ref().map_or(Some(1), |group| group.get(row));
        let (Some(text), Some(pattern), Some(group)) = (text.get(row), patterns.get(row)?, group) else {
            lists.append(false);
            continue;
        };
        let regex = match pattern {
            Pattern::Valid(regex) => regex,
            Pattern::Invalid(why) => return Err(invalid(call, &why).into()),
        };
        let groups = regex.captures_len();
        let Some(group) = usize::try_from(group).ok().filter(|group| *group < groups) else {
            return Err(Error::new(format!("REGEXP_EXTRACT_ALL was asked for group {group}"))
                .why(format!("the pattern has groups 0 to {}", groups - 1))
                .fix("give the number of a group; 0 is the whole match")
                .into());
        };
        for found in captures_all(&regex, text) {
            lists.values().append_option(found.get(group).map(|found| found.as_str()));
        }
        lists.append(true);
    }
    Ok(Arc::new(lists.finish()))
}

/// The pieces between matches, empty ones included; an empty pattern splits into characters.
fn split(regex: &Regex, into_chars: bool, text: &str, out: &mut StringBuilder) {
    if into_chars {
        for c in text.chars() {
            out.append_value(c.encode_utf8(&mut [0; 4]));
        }
        return;
    }
    let mut copied = 0;
    for found in find_all(regex, text) {
        // Java never splits off an empty piece at the very beginning for an empty match.
        if found.end() == 0 {
            continue;
        }
        out.append_value(&text[copied..found.start()]);
        copied = found.end();
    }
    out.append_value(&text[copied..]);
}
