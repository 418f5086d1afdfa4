//! Lines into columns.

use std::borrow::Cow;

use arrow::datatypes::Schema;

use super::super::column::{Column, Kind, Reading};
use super::super::rows::Rows;
use super::super::wrong::{BadRecords, Wrong};
use super::field::{Field, NoField, field};
use super::{ALLOW_COMMENTS, Dialect, IGNORE_FIRST_LINE, IGNORE_PARSE_ERRORS, OPTIONS};
use crate::connect::{Decoder, Skipped, TableDefinition};
use crate::error::{Error, Result};
use crate::message::Batch;
use crate::text::Zone;
use crate::text::parse::TimestampStandard;

pub struct CsvDecoder {
    dialect: Dialect,
    rows: Rows,
    /// For each field of a record, the column it goes to.
    targets: Vec<Option<usize>>,
    bad: BadRecords,
    comments: bool,
    /// The next record names the columns.
    header: bool,
    scratch: Vec<u8>,
}

/// Why a record gave no row.
enum Trouble {
    Unfinished,
    /// The reason, and from where on the rest of the line is to be passed over.
    Bad(String, usize),
}

impl CsvDecoder {
    pub fn new(table: &TableDefinition, projection: &[usize], dialect: Dialect) -> Result<CsvDecoder> {
        let reading =
            Reading { standard: TimestampStandard::Any, zone: Zone::parse(&table.time_zone).unwrap_or(Zone::UTC) };
        let physical = table.physical();
        check_types(table, &physical)?;
        let ignore = table.options.boolean(OPTIONS, IGNORE_PARSE_ERRORS);
        Ok(CsvDecoder {
            dialect,
            rows: Rows::new(table, projection, reading)?,
            targets: physical.iter().map(|field| projection.iter().position(|column| column == field)).collect(),
            bad: BadRecords::new(&table.name, "csv", ignore, Some(IGNORE_PARSE_ERRORS)),
            comments: table.options.boolean(OPTIONS, ALLOW_COMMENTS),
            header: table.options.boolean(OPTIONS, IGNORE_FIRST_LINE),
            scratch: Vec::new(),
        })
    }

    /// Reads the record at `start`; gives its end.
    fn record(&mut self, bytes: &[u8], start: usize, last: bool) -> Result<usize, Trouble> {
        let mut at = start;
        let mut index = 0;
        loop {
            let found = self.field(bytes, at, last)?;
            match self.targets.get(index) {
                Some(Some(target)) => {
                    let text = if found.unescaped { self.scratch.as_slice() } else { &bytes[found.start..found.end] };
                    let column = &mut self.rows.columns[*target];
                    if let Err(wrong) = push(column, text, found.ascii, &self.dialect, self.bad.ignore) {
                        let mut why = wrong.explain(text, column.data_type());
                        if text.is_empty() {
                            // Flink writes NULL as nothing, and reads it only if told to.
                            why += "; 'csv.null-literal' = '' reads it as NULL";
                        }
                        return Err(Trouble::Bad(format!("column {}: {why}", column.name()), found.start));
                    }
                }
                Some(None) => {}
                // One delimiter after the last field is allowed.
                None if index == self.targets.len()
                    && found.ends_record
                    && found.start == found.end
                    && !found.quoted => {}
                None => {
                    let plural = if self.targets.len() == 1 { "" } else { "s" };
                    let why = format!("there are more than {} field{plural}", self.targets.len());
                    return Err(Trouble::Bad(why, found.start));
                }
            }
            index += 1;
            at = found.next;
            if found.ends_record {
                break;
            }
        }
        if index < self.targets.len() {
            self.pad(index).map_err(|why| Trouble::Bad(why, start))?;
        }
        Ok(at)
    }

    #[inline]
    fn field(&mut self, bytes: &[u8], at: usize, last: bool) -> Result<Field, Trouble> {
        field(bytes, at, last, &self.dialect, &mut self.scratch).map_err(|none| match none {
            NoField::Unfinished => Trouble::Unfinished,
            NoField::AfterQuote(at) => {
                Trouble::Bad("expected a delimiter or the end of the line after the closing quote".to_string(), at)
            }
            NoField::Unclosed => Trouble::Bad("a quote is never closed".to_string(), at),
        })
    }

    /// NULL for the fields that are missing at the end, if the table is lenient.
    fn pad(&mut self, found: usize) -> Result<(), String> {
        let lenient = self.bad.ignore;
        for target in self.targets[found..].iter().flatten() {
            let column = &mut self.rows.columns[*target];
            if !null_instead(column, lenient) {
                return Err(format!("there are {found} fields instead of {}", self.targets.len()));
            }
        }
        if lenient { Ok(()) } else { Err(format!("there are {found} fields instead of {}", self.targets.len())) }
    }

    /// The end of a record that gives no row: a header or a comment.
    fn pass_over(&mut self, bytes: &[u8], start: usize, last: bool) -> Result<usize, Trouble> {
        let mut at = start;
        loop {
            let found = self.field(bytes, at, last)?;
            at = found.next;
            if found.ends_record {
                return Ok(at);
            }
        }
    }

    /// The index after the end of the line that `from` is in; `None` if that is not known yet.
    fn end_of_line(&self, bytes: &[u8], from: usize, last: bool) -> Option<usize> {
        match memchr::memchr(self.dialect.end, &bytes[from..]) {
            Some(length) => Some(from + length + 1),
            None => last.then_some(bytes.len()),
        }
    }

    /// Where the next record begins: blank lines are none.
    fn next_record(&self, bytes: &[u8], from: usize) -> usize {
        let mut at = from;
        loop {
            match &bytes[at..] {
                [byte, ..] if *byte == self.dialect.end => at += 1,
                [b'\r', byte, ..] if *byte == self.dialect.end => at += 2,
                _ => return at,
            }
        }
    }
}

impl Decoder for CsvDecoder {
    fn decode(&mut self, bytes: &[u8], last: bool) -> Result<usize> {
        let mut at = 0;
        loop {
            at = self.next_record(bytes, at);
            if at == bytes.len() || self.rows.is_full() {
                return Ok(at);
            }
            if last && &bytes[at..] == b"\r" {
                return Ok(bytes.len());
            }
            if self.comments && bytes[at] == b'#' {
                match self.end_of_line(bytes, at, last) {
                    Some(end) => at = end,
                    None => return Ok(at),
                }
                continue;
            }
            let record = if self.header {
                self.pass_over(bytes, at, last).inspect(|_| self.header = false).map(|end| (end, false))
            } else {
                self.record(bytes, at, last).map(|end| (end, true))
            };
            match record {
                Ok((end, is_row)) => {
                    if is_row {
                        self.rows.close_row(end - at, 1);
                    }
                    at = end;
                }
                Err(Trouble::Unfinished) => {
                    self.rows.undo_row();
                    return Ok(at);
                }
                Err(Trouble::Bad(why, from)) => {
                    self.rows.undo_row();
                    let Some(end) = self.end_of_line(bytes, from, last) else { return Ok(at) };
                    let record = &bytes[at..end];
                    if !self.bad.ignore {
                        // What came before is handed over first; the next call begins with the bad record.
                        return if at > 0 { Ok(at) } else { Err(self.bad.error(&why, record)) };
                    }
                    self.bad.skip(&why, record);
                    at = end;
                }
            }
        }
    }

    fn flush(&mut self) -> Result<Option<Batch>> {
        self.rows.flush()
    }

    fn skipped(&mut self) -> Option<Skipped> {
        self.bad.take()
    }

    fn resumed(&mut self) {
        self.header = false;
    }
}

/// Puts NULL for what could not be read, if that is allowed.
fn null_instead(column: &mut Column, lenient: bool) -> bool {
    let allowed = lenient && column.nullable();
    if allowed {
        column.push_null();
    }
    allowed
}

/// The value of one field; if `lenient`, NULL for what is none. Nothing is appended if there is an error.
#[inline]
fn push(column: &mut Column, text: &[u8], ascii: bool, dialect: &Dialect, lenient: bool) -> Result<(), Wrong> {
    if let Some(null) = &dialect.null
        && null.as_bytes() == text
    {
        if !column.nullable() {
            return Err(Wrong::Null);
        }
        column.push_null();
        return Ok(());
    }
    let result = match &mut column.kind {
        Kind::Text(_) => column.push_text(text, ascii),
        Kind::List(..) | Kind::Row(_) => {
            let row = column.len();
            push_nested(column, text, dialect, lenient).inspect_err(|_| column.truncate(row))
        }
        Kind::Unread => {
            column.push_null();
            Ok(())
        }
        _ => column.push_parsed(text),
    };
    match result {
        Err(_) if null_instead(column, lenient) => Ok(()),
        result => result,
    }
}

/// An `ARRAY` or a `ROW`: its parts stand in one field, between delimiters of their own.
fn push_nested(column: &mut Column, text: &[u8], dialect: &Dialect, lenient: bool) -> Result<(), Wrong> {
    let text = std::str::from_utf8(text).map_err(|_| Wrong::NotUtf8)?;
    let mut parts = text.split(dialect.array_delimiter.as_str());
    let row = column.len();
    match &mut column.kind {
        Kind::List(offsets, items) => {
            if !text.is_empty() {
                parts.try_for_each(|part| push(items, part.as_bytes(), false, dialect, lenient))?;
            }
            offsets.push(i32::try_from(items.len()).map_err(|_| Wrong::TooLong)?);
        }
        Kind::Row(fields) => {
            for field in fields {
                field.pad(row);
                match parts.next() {
                    Some(part) => push(field, part.as_bytes(), false, dialect, lenient)?,
                    None if null_instead(field, lenient) => {}
                    None => return Err(Wrong::Kind),
                }
            }
            if parts.next().is_some() && !lenient {
                return Err(Wrong::Kind);
            }
        }
        _ => return Err(Wrong::Kind),
    }
    column.push_valid();
    Ok(())
}

/// A record has one level below fields, and no maps.
pub fn check_types(table: &TableDefinition, physical: &[usize]) -> Result<()> {
    use arrow::datatypes::DataType::{List, Map, Struct};
    let schema: &Schema = &table.schema;
    for &index in physical {
        let field = schema.field(index);
        let nested = match field.data_type() {
            Map(..) => true,
            List(item) => item.data_type().is_nested(),
            Struct(fields) => fields.iter().any(|field| field.data_type().is_nested()),
            _ => false,
        };
        if nested {
            let problem = if matches!(field.data_type(), Map(..)) { Cow::from("a MAP") } else { "nested twice".into() };
            return Err(Error::new(format!("column {} of table {} is {problem}", field.name(), table.name))
                .why("a csv field can hold an ARRAY or a ROW of plain values, and nothing more")
                .fix("use 'format' = 'json', or declare the column STRING"));
        }
    }
    Ok(())
}
