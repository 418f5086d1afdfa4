//! One record, straight into columns: no document in between.
//!
//! Lines of one source look alike, so each object expects the keys of the one before it, in the same order: then a key is one
//! comparison of bytes, from the comma to the colon, and no text is hashed. A key that comes unexpected is looked up and becomes
//! what is expected there next time.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::super::column::{Column, Kind};
use super::super::wrong::Wrong;
use super::DecodeSettings;
use super::token::{BadValue, Quoted, Scan, Scanner, Trouble, compact, unescape};
use crate::text::parse;

/// What is known about the keys of the objects at one place of a record; for arrays and maps, about those inside.
pub enum Shape {
    Scalar,
    Object(Box<Keys>),
    Elements(Box<Shape>),
}

#[derive(Default)]
pub struct Keys {
    by_name: HashMap<Vec<u8>, usize>,
    /// Of each column.
    shapes: Vec<Shape>,
    /// Of the object before: the n-th key, and where its value goes.
    expected: Vec<Expected>,
}

#[derive(Default)]
struct Expected {
    /// From the comma before it, if there is one, to the colon: `,"price":`
    literal: Vec<u8>,
    /// The first eight bytes of it, the next, and the last, so that most keys are compared with a few instructions and no call.
    /// Where there are fewer, a mask leaves the others out of the first; shorter ones have no further words.
    front: u64,
    front_mask: u64,
    middle: u64,
    back: u64,
    /// `None`: the value is not wanted.
    column: Option<usize>,
}

impl Expected {
    fn set(&mut self, literal: &[u8], column: Option<usize>) {
        self.literal.clear();
        self.literal.extend_from_slice(literal);
        self.column = column;
        let mut front = [0; 8];
        let width = self.literal.len().min(8);
        front[..width].copy_from_slice(&self.literal[..width]);
        self.front = u64::from_le_bytes(front);
        self.front_mask = u64::MAX >> (64 - 8 * width);
        self.middle =
            self.literal.get(8..).and_then(<[u8]>::first_chunk).map_or(0, |middle| u64::from_le_bytes(*middle));
        self.back = self.literal.last_chunk::<8>().map_or(0, |back| u64::from_le_bytes(*back));
    }

    /// Whether `bytes` begin with it.
    #[inline(always)]
    fn is_next(&self, bytes: &[u8]) -> bool {
        let (Some(front), Some(found)) = (bytes.first_chunk::<8>(), bytes.get(..self.literal.len())) else {
            return false;
        };
        if (u64::from_le_bytes(*front) ^ self.front) & self.front_mask != 0 {
            return false;
        }
        match (found.last_chunk::<8>(), found.get(8..).and_then(<[u8]>::first_chunk::<8>)) {
            (Some(back), _) if u64::from_le_bytes(*back) != self.back => false,
            (_, Some(middle)) if u64::from_le_bytes(*middle) != self.middle => false,
            _ => found.len() <= 24 || found == self.literal,
        }
    }
}

/// More keys than this are not remembered per object: data with generated keys would else grow the memory of them without use.
const EXPECTED_MAX: usize = 1024;

impl Shape {
    fn of(column: &Column) -> Shape {
        match &column.kind {
            Kind::Row(fields) => Shape::Object(Box::new(Keys::of(fields))),
            Kind::List(_, items) => Shape::Elements(Box::new(Shape::of(items))),
            Kind::Map(map) => Shape::Elements(Box::new(Shape::of(&map.values))),
            Kind::Given(value) => Shape::of(value),
            _ => Shape::Scalar,
        }
    }
}

impl Keys {
    pub fn of(columns: &[Column]) -> Keys {
        let read = columns.iter().enumerate().filter(|(_, column)| !matches!(column.kind, Kind::Unread));
        Keys {
            by_name: read.map(|(i, column)| (column.name().as_bytes().to_vec(), i)).collect(),
            shapes: columns.iter().map(Shape::of).collect(),
            expected: Vec::new(),
        }
    }
}

/// Reads one record.
pub struct RecordReader<'a> {
    pub scan: Scanner<'a>,
    pub settings: &'a DecodeSettings,
    /// For strings with escapes.
    pub scratch: &'a mut Vec<u8>,
}

impl RecordReader<'_> {
    /// An object, each value into the column of its name as row `row`; columns that are not in it get NULL.
    ///
    /// # Errors
    /// After one, columns may hold values of row `row` and parts of values: the caller truncates them.
    pub fn object(&mut self, columns: &mut [Column], keys: &mut Keys, row: usize) -> Scan<()> {
        self.scan.expect(b'{', "an object in braces")?;
        if self.scan.peek()? == b'}' {
            self.scan.at += 1;
            return self.missing(columns, row);
        }
        let mut filled = 0;
        for position in 0.. {
            match self.key(keys, position)? {
                None => self.skip()?,
                Some(index) => {
                    let column = &mut columns[index];
                    filled += 1;
                    match column.len().cmp(&row) {
                        Ordering::Equal => {}
                        Ordering::Less => column.pad(row),
                        Ordering::Greater => {
                            // The key was there before: the last one counts.
                            column.truncate(row);
                            filled -= 1;
                        }
                    }
                    if !self.usual_value(column) {
                        self.value(column, &mut keys.shapes[index])
                            .map_err(|trouble| within(trouble, column.name()))?;
                    }
                }
            }
            match self.scan.peek()? {
                b',' => {}
                b'}' => break,
                _ => return self.scan.malformed("a comma or the closing brace"),
            }
        }
        self.scan.at += 1;
        if filled == keys.by_name.len() { Ok(()) } else { self.missing(columns, row) }
    }

    /// A key with its colon, and with its comma if it is not the first; where its value goes.
    #[inline(always)]
    fn key(&mut self, keys: &mut Keys, position: usize) -> Scan<Option<usize>> {
        if let Some(expected) = keys.expected.get(position)
            && expected.is_next(self.scan.bytes.get(self.scan.at..).unwrap_or_default())
        {
            self.scan.at += expected.literal.len();
            return Ok(expected.column);
        }
        self.unexpected_key(keys, position)
    }

    #[inline(never)]
    fn unexpected_key(&mut self, keys: &mut Keys, position: usize) -> Scan<Option<usize>> {
        let start = self.scan.at;
        if position > 0 {
            self.scan.expect(b',', "a comma")?;
        }
        if self.scan.peek()? != b'"' {
            return self.scan.malformed("a key in double quotes");
        }
        let quoted = self.scan.string()?;
        let column = keys.by_name.get(self.text_of(quoted)?).copied();
        self.scan.expect(b':', "a colon after the key")?;
        if position < EXPECTED_MAX {
            if keys.expected.len() <= position {
                keys.expected.resize_with(position + 1, Expected::default);
            }
            keys.expected[position].set(self.scan.slice(start, self.scan.at), column);
        }
        Ok(column)
    }

    /// Goes past a value that nobody wants: mostly a text.
    #[inline(always)]
    fn skip(&mut self) -> Scan<()> {
        match self.scan.bytes.get(self.scan.at) {
            Some(b'"') => self.scan.string().map(drop),
            _ => self.scan.skip_value(),
        }
    }

    /// The values that come most, without a call: a text without escapes into a `STRING`, a whole number into a `BIGINT`. If it is none of these,
    /// `false`, and nothing has happened.
    #[inline(always)]
    fn usual_value(&mut self, column: &mut Column) -> bool {
        match (&mut column.kind, self.scan.bytes.get(self.scan.at)) {
            (Kind::Text(texts), Some(b'"')) => {
                let Some(text) = self.scan.plain_string() else { return false };
                // It is ASCII; only its length can be wrong.
                if texts.push(text).is_err() {
                    self.scan.at -= text.len() + 2;
                    return false;
                }
            }
            (Kind::Int64(values), Some(b'-' | b'0'..=b'9')) => match self.scan.short_integer() {
                Some(value) => values.push(value),
                None => return false,
            },
            _ => return false,
        }
        column.push_valid();
        true
    }

    /// The characters of a string.
    #[inline]
    fn text_of(&mut self, quoted: Quoted) -> Scan<&[u8]> {
        let text = self.scan.slice(quoted.start, quoted.end);
        if !quoted.escaped {
            return Ok(text);
        }
        self.scratch.clear();
        if !unescape(text, self.scratch) {
            return self.scan.malformed("four hexadecimal digits after \\u");
        }
        Ok(self.scratch)
    }

    /// Columns that are not in the object have NULL, if that may be.
    fn missing(&mut self, columns: &[Column], row: usize) -> Scan<()> {
        let must_be_there = |column: &Column| self.settings.fail_on_missing_field || !column.nullable();
        for column in columns.iter().filter(|column| column.len() <= row && !matches!(column.kind, Kind::Unread)) {
            if must_be_there(column) {
                let why = Wrong::Missing.explain(b"", column.data_type());
                return Err(Box::new(Trouble::Value(BadValue { path: column.name().to_string(), why })));
            }
        }
        Ok(())
    }

    /// A value of any kind, into `column`.
    fn value(&mut self, column: &mut Column, shape: &mut Shape) -> Scan<()> {
        let first = self.scan.peek()?;
        let start = self.scan.at;
        let row = column.len();
        let result = match (&mut column.kind, first) {
            (Kind::Given(value), _) => {
                self.value(value, shape)?;
                column.push_valid();
                return Ok(());
            }
            (_, b'n') => {
                self.scan.literal()?;
                if !column.nullable() {
                    return self.bad_value(column, start, Wrong::Null);
                }
                column.push_null();
                return Ok(());
            }
            (Kind::Row(fields), b'{') => {
                let Shape::Object(keys) = shape else { return self.scan.malformed("a row") };
                self.object(fields, keys, row)?;
                column.push_valid();
                return Ok(());
            }
            (Kind::List(..), b'[') => return self.list(column, shape),
            (Kind::Map(_), b'{') => return self.map(column, shape),
            (Kind::Text(_), b'"') => {
                let quoted = self.scan.string()?;
                let ascii = quoted.ascii && !quoted.escaped;
                let text = self.text_of(quoted)?;
                column.push_text(text, ascii)
            }
            (Kind::Text(_), b'{' | b'[') => {
                self.scan.skip_value()?;
                self.scratch.clear();
                compact(self.scan.slice(start, self.scan.at), self.scratch);
                column.push_text(self.scratch, false)
            }
            (_, b'"') => {
                let quoted = self.scan.string()?;
                let text = self.text_of(quoted)?;
                column.push_parsed(text)
            }
            (_, b'-' | b'0'..=b'9') => self.number(column)?,
            (_, b't' | b'f') => {
                let literal = self.scan.literal()?;
                match column.kind {
                    Kind::Boolean(_) | Kind::Text(_) => column.push_parsed(literal),
                    _ => Err(Wrong::Kind),
                }
            }
            (_, b'{' | b'[') => {
                self.scan.skip_value()?;
                Err(Wrong::Kind)
            }
            _ => return self.scan.malformed("a value"),
        };
        match result {
            Ok(()) => Ok(()),
            Err(wrong) => self.bad_value(column, start, wrong),
        }
    }

    /// A number. The outer result is about JSON, the inner one about the column.
    #[inline]
    fn number(&mut self, column: &mut Column) -> Scan<Result<(), Wrong>> {
        match &mut column.kind {
            Kind::Int64(values) => {
                if let Some(value) = self.scan.short_integer() {
                    values.push(value);
                    column.push_valid();
                    return Ok(Ok(()));
                }
            }
            Kind::Int32(values) => {
                if let Some(value) = self.scan.short_integer() {
                    let Ok(value) = i32::try_from(value) else { return Ok(Err(Wrong::Range)) };
                    values.push(value);
                    column.push_valid();
                    return Ok(Ok(()));
                }
            }
            _ => {}
        }
        let number = self.scan.number()?;
        let text = self.scan.slice(number.start, number.end);
        // A fraction is cut off for INT and BIGINT, as in Flink; the narrower types refuse it there too.
        let truncated = || {
            let value = if number.whole {
                return parse::parse_long(text).ok_or(Wrong::Range);
            } else {
                parse::parse_double(text).ok_or(Wrong::Kind)?.trunc()
            };
            // 2^63 is a double, the largest i64 is not.
            const LIMIT: f64 = 9_223_372_036_854_775_808.0;
            if (-LIMIT..LIMIT).contains(&value) { Ok(value as i64) } else { Err(Wrong::Range) }
        };
        match &mut column.kind {
            Kind::Int64(values) => match truncated() {
                Ok(value) => values.push(value),
                Err(wrong) => return Ok(Err(wrong)),
            },
            Kind::Int32(values) => match truncated().and_then(|value| i32::try_from(value).map_err(|_| Wrong::Range)) {
                Ok(value) => values.push(value),
                Err(wrong) => return Ok(Err(wrong)),
            },
            Kind::Float64(values) => match parse::parse_double(text) {
                Some(value) => values.push(value),
                None => return Ok(Err(Wrong::Kind)),
            },
            Kind::Date(_) | Kind::Time32(..) | Kind::Time64(..) | Kind::Bytes(_) | Kind::FixedBytes(..) => {
                return Ok(Err(Wrong::Kind));
            }
            Kind::Int8(_) | Kind::Int16(_) if number.whole && parse::parse_long(text).is_none() => {
                return Ok(Err(Wrong::Range));
            }
            _ => return Ok(column.push_parsed(text)),
        }
        column.push_valid();
        Ok(Ok(()))
    }

    fn list(&mut self, column: &mut Column, shape: &mut Shape) -> Scan<()> {
        let (Kind::List(offsets, items), Shape::Elements(shape)) = (&mut column.kind, shape) else {
            return self.scan.malformed("an array");
        };
        self.scan.at += 1;
        if self.scan.peek()? == b']' {
            self.scan.at += 1;
        } else {
            loop {
                self.value(items, shape)?;
                match self.scan.peek()? {
                    b',' => self.scan.at += 1,
                    b']' => break,
                    _ => return self.scan.malformed("a comma or the closing bracket"),
                }
            }
            self.scan.at += 1;
        }
        let Ok(end) = i32::try_from(items.len()) else { return self.scan.malformed("fewer array elements") };
        offsets.push(end);
        column.push_valid();
        Ok(())
    }

    fn map(&mut self, column: &mut Column, shape: &mut Shape) -> Scan<()> {
        let (Kind::Map(map), Shape::Elements(shape)) = (&mut column.kind, shape) else {
            return self.scan.malformed("an object");
        };
        let first = map.keys.len();
        self.scan.at += 1;
        if self.scan.peek()? == b'}' {
            self.scan.at += 1;
        } else {
            loop {
                if self.scan.peek()? != b'"' {
                    return self.scan.malformed("a key in double quotes");
                }
                let start = self.scan.at;
                let quoted = self.scan.string()?;
                let text = self.text_of(quoted)?;
                if let Err(wrong) = map.keys.push_parsed(text) {
                    return Err(self.trouble(&map.keys, start, wrong));
                }
                self.scan.expect(b':', "a colon after the key")?;
                self.value(&mut map.values, shape)?;
                match self.scan.peek()? {
                    b',' => self.scan.at += 1,
                    b'}' => break,
                    _ => return self.scan.malformed("a comma or the closing brace"),
                }
            }
            self.scan.at += 1;
        }
        overwrite_repeated(&map.keys, first, &mut map.overwritten);
        let Ok(end) = i32::try_from(map.keys.len()) else { return self.scan.malformed("fewer map entries") };
        map.offsets.push(end);
        column.push_valid();
        Ok(())
    }

    /// NULL instead of a value that does not fit, if the table wants that and the column can be NULL.
    #[cold]
    fn bad_value(&mut self, column: &mut Column, start: usize, wrong: Wrong) -> Scan<()> {
        if self.settings.ignore_parse_errors && column.nullable() {
            column.push_null();
            return Ok(());
        }
        Err(self.trouble(column, start, wrong))
    }

    fn trouble(&self, column: &Column, start: usize, wrong: Wrong) -> Box<Trouble> {
        let value = self.scan.slice(start, self.scan.at);
        let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        Box::new(Trouble::Value(BadValue { path: String::new(), why: wrong.explain(value, column.data_type()) }))
    }
}

/// Puts the column's name before the path of a bad value.
#[cold]
fn within(mut trouble: Box<Trouble>, column: &str) -> Box<Trouble> {
    if let Trouble::Value(bad) = &mut *trouble {
        bad.path = if bad.path.is_empty() { column.to_string() } else { format!("{column}.{}", bad.path) };
    }
    trouble
}

/// Marks the entries from `first` on whose key comes again later.
fn overwrite_repeated(keys: &Column, first: usize, overwritten: &mut Vec<usize>) {
    let count = keys.len();
    if count - first < 2 {
        return;
    }
    let Kind::Text(texts) = &keys.kind else { return };
    let key = |entry: usize| &texts.bytes[texts.offsets[entry] as usize..texts.offsets[entry + 1] as usize];
    if count - first <= 16 {
        overwritten.extend((first..count).filter(|&entry| (entry + 1..count).any(|later| key(later) == key(entry))));
    } else {
        let last: HashMap<&[u8], usize> = (first..count).map(|entry| (key(entry), entry)).collect();
        overwritten.extend((first..count).filter(|&entry| last.get(key(entry)) != Some(&entry)));
    }
}
