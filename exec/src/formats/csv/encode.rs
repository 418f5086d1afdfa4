//! Rows as lines, quoted where Flink quotes.
//!
//! Flink's writer decides cheaply whether a text needs quotes: if it is longer than 24 characters, or contains any character up
//! to the delimiter, the quote or the line end in value, a space for instance. So `2020-01-01 00:00:01` is quoted. The same files
//! should come out of both, so it is done here as well.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::decode::check_types;
use super::{Dialect, OPTIONS, SCIENTIFIC_DECIMALS};
use crate::changelog::ChangeBatch;
use crate::connect::{Encoder, TableDefinition};
use crate::error::Result;
use crate::formats::physical_columns;
use crate::text::{
    CellKind, Cells, Digits, Interval, push_date, push_decimal, push_decimal_scientific, push_plain, push_time,
    push_timestamp, strip_trailing_zeros,
};

/// Longer texts are quoted without a look at them.
const CHECKED_MAX: usize = 24;

pub struct CsvEncoder {
    physical: Vec<usize>,
    dialect: Dialect,
    scientific_decimals: bool,
    /// Characters below this one make quotes necessary.
    safe_from: u8,
    text: String,
    field: String,
}

impl CsvEncoder {
    pub fn new(table: &TableDefinition, dialect: Dialect) -> Result<CsvEncoder> {
        let physical = table.physical();
        check_types(table, &physical)?;
        Ok(CsvEncoder {
            physical,
            scientific_decimals: table.options.boolean(OPTIONS, SCIENTIFIC_DECIMALS),
            safe_from: dialect.delimiter.max(dialect.quote.unwrap_or(0)).max(dialect.end) + 1,
            dialect,
            text: String::new(),
            field: String::new(),
        })
    }
}

impl Encoder for CsvEncoder {
    fn encode(&mut self, changes: &ChangeBatch, out: &mut Vec<u8>) -> Result<()> {
        let columns: Vec<Cells> = physical_columns(&self.physical, &changes.rows)
            .map(|column| Cells::new(changes.rows.column(column).as_ref()))
            .collect();
        // Taken out, so that what is written and how it is written can be borrowed apart.
        let (mut text, mut field) = (std::mem::take(&mut self.text), std::mem::take(&mut self.field));
        text.clear();
        for row in 0..changes.rows.num_rows() {
            for (index, cells) in columns.iter().enumerate() {
                if index > 0 {
                    text.push(char::from(self.dialect.delimiter));
                }
                let start = text.len();
                let quoting = self.push_value(cells, row, &mut text);
                let written = &text[start..];
                // A line with nothing on it would be read as no record at all.
                let is_no_line = written.is_empty() && columns.len() == 1;
                if quoting == Quoting::IfNeeded && (is_no_line || self.needs_quotes(written)) {
                    field.clear();
                    field.push_str(written);
                    text.truncate(start);
                    self.push_quoted(&field, &mut text);
                }
            }
            text.push(char::from(self.dialect.end));
        }
        out.extend_from_slice(text.as_bytes());
        (self.text, self.field) = (text, field);
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quoting {
    /// NULL, booleans and numbers.
    Never,
    IfNeeded,
}

impl CsvEncoder {
    fn needs_quotes(&self, text: &str) -> bool {
        let special = |byte: u8| byte < self.safe_from || Some(byte) == self.dialect.escape;
        // A character has four bytes at most, and one at least.
        let is_long = || match text.len() {
            ..=CHECKED_MAX => false,
            bytes => bytes > 4 * CHECKED_MAX || text.chars().count() > CHECKED_MAX,
        };
        self.dialect.quote.is_some() && (is_long() || text.bytes().any(special))
    }

    fn push_quoted(&self, field: &str, out: &mut String) {
        let Some(quote) = self.dialect.quote else { return out.push_str(field) };
        out.push(char::from(quote));
        let mut rest = field;
        // Both are ASCII, so no character is cut.
        while let Some(at) = memchr::memchr2(quote, self.dialect.escape.unwrap_or(quote), rest.as_bytes()) {
            let (with, after) = rest.split_at(at + 1);
            out.push_str(with);
            out.push_str(&with[at..]);
            rest = after;
        }
        out.push_str(rest);
        out.push(char::from(quote));
    }

    fn push_null(&self, out: &mut String) {
        out.push_str(self.dialect.null.as_deref().unwrap_or_default());
    }

    fn push_value(&self, cells: &Cells, row: usize, out: &mut String) -> Quoting {
        if cells.is_null(row) {
            self.push_null(out);
            return Quoting::Never;
        }
        match &cells.kind {
            CellKind::Boolean(array) => out.push_str(if array.value(row) { "true" } else { "false" }),
            CellKind::Decimal(values, scale) => {
                let (unscaled, scale) = strip_trailing_zeros(values[row], *scale);
                if self.scientific_decimals {
                    push_decimal_scientific(out, unscaled, scale);
                } else {
                    push_decimal(out, unscaled, scale);
                }
            }
            CellKind::Timestamp(values, unit, zoned) => {
                push_timestamp(out, values[row], *unit, ' ', Digits::Shortest);
                if *zoned {
                    out.push('Z');
                }
                return Quoting::IfNeeded;
            }
            CellKind::Date(days) => {
                push_date(out, i64::from(days[row]));
                return Quoting::IfNeeded;
            }
            CellKind::List(offsets, elements) => {
                for (index, element) in offsets.range(row).enumerate() {
                    if index > 0 {
                        out.push_str(&self.dialect.array_delimiter);
                    }
                    self.push_value(elements, element, out);
                }
                return Quoting::IfNeeded;
            }
            CellKind::Row(fields) => {
                for (index, (_, field)) in fields.iter().enumerate() {
                    if index > 0 {
                        out.push_str(&self.dialect.array_delimiter);
                    }
                    self.push_value(field, row, out);
                }
                return Quoting::IfNeeded;
            }
            _ => {
                if let Some(text) = cells.text(row) {
                    out.push_str(text);
                } else if let Some(bytes) = cells.bytes(row) {
                    BASE64.encode_string(bytes, out);
                } else if let Some((second, nanos, _)) = cells.time(row) {
                    push_time(out, second, nanos, Digits::Shortest);
                } else {
                    match cells.interval(row) {
                        Some(Interval::Months(months)) => out.push_str(&months.to_string()),
                        Some(Interval::Nanos(nanos)) => out.push_str(&(nanos / 1_000_000).to_string()),
                        None => push_plain(cells, row, out),
                    }
                    return Quoting::Never;
                }
                return Quoting::IfNeeded;
            }
        }
        Quoting::Never
    }
}
