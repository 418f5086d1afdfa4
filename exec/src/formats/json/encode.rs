//! Rows as lines of JSON, as Flink writes them: columns in order, `null` written out, the fewest digits.

use std::fmt::Write;

use arrow::datatypes::Schema;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::Names;
use super::envelope::Envelope;
use crate::changelog::{ChangeBatch, RowKind};
use crate::connect::{Encoder, TableDefinition};
use crate::error::Result;
use crate::formats::physical_columns;
use crate::text::parse::TimestampStandard;
use crate::text::{
    CellKind, Cells, Digits, Interval, push_decimal, push_decimal_scientific, push_plain, push_time, push_timestamp,
    strip_trailing_zeros,
};

pub struct JsonEncoder {
    physical: Vec<usize>,
    style: Style,
    envelope: Option<&'static Envelope>,
    /// Updates come without the row that they replace.
    is_upsert: bool,
    text: String,
}

struct Style {
    /// Between date and time.
    separator: char,
    plain_decimals: bool,
    ignore_nulls: bool,
}

impl JsonEncoder {
    /// With an envelope, rows may also disappear.
    pub fn new(table: &TableDefinition, names: &Names, envelope: Option<&'static Envelope>) -> JsonEncoder {
        let style = Style {
            separator: if names.standard_of(table) == TimestampStandard::Iso8601 { 'T' } else { ' ' },
            plain_decimals: table.options.boolean(names.options, names.plain_decimals),
            ignore_nulls: table.options.boolean(names.options, names.ignore_null_fields),
        };
        JsonEncoder { physical: table.physical(), style, envelope, is_upsert: table.is_upsert(), text: String::new() }
    }
}

impl Encoder for JsonEncoder {
    fn encode(&mut self, changes: &ChangeBatch, out: &mut Vec<u8>) -> Result<()> {
        let schema: &Schema = changes.rows.schema_ref();
        let columns: Vec<(Name, Cells)> = physical_columns(&self.physical, &changes.rows)
            .map(|column| (Name::of(schema.field(column).name()), Cells::new(changes.rows.column(column).as_ref())))
            .collect();
        self.text.clear();
        for row in 0..changes.rows.num_rows() {
            let [before, after] = match (self.envelope, changes.kind(row)) {
                (None, _) => [""; 2],
                (Some(envelope), RowKind::UpdateAfter) if self.is_upsert => envelope.replaces,
                (Some(envelope), kind) if kind.is_positive() => envelope.appears,
                (Some(envelope), _) => envelope.disappears,
            };
            self.text.push_str(before);
            self.style.push_object(columns.iter().map(|(name, cells)| (name, cells)), row, &mut self.text);
            self.text.push_str(after);
            self.text.push('\n');
        }
        out.extend_from_slice(self.text.as_bytes());
        Ok(())
    }
}

/// A field's name, quoted and escaped once per batch: `"a":`
struct Name(String);

impl Name {
    fn of(name: &str) -> Name {
        let mut quoted = String::with_capacity(name.len() + 3);
        push_string(&mut quoted, name);
        quoted.push(':');
        Name(quoted)
    }
}

impl Style {
    fn push_object<'a>(&self, fields: impl Iterator<Item = (&'a Name, &'a Cells<'a>)>, row: usize, out: &mut String) {
        out.push('{');
        let mut first = true;
        for (name, cells) in fields {
            if self.ignore_nulls && cells.is_null(row) {
                continue;
            }
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            out.push_str(&name.0);
            self.push(cells, row, out);
        }
        out.push('}');
    }

    fn push(&self, cells: &Cells, row: usize, out: &mut String) {
        if cells.is_null(row) {
            return out.push_str("null");
        }
        match &cells.kind {
            CellKind::Boolean(array) => out.push_str(if array.value(row) { "true" } else { "false" }),
            // JSON has no such numbers, so they are quoted.
            CellKind::Float32(values) if !values[row].is_finite() => push_quoted(cells, row, out),
            CellKind::Float64(values) if !values[row].is_finite() => push_quoted(cells, row, out),
            CellKind::Decimal(values, scale) => {
                let (unscaled, scale) = strip_trailing_zeros(values[row], *scale);
                if self.plain_decimals {
                    push_decimal(out, unscaled, scale);
                } else {
                    push_decimal_scientific(out, unscaled, scale);
                }
            }
            CellKind::Timestamp(values, unit, zoned) => {
                out.push('"');
                push_timestamp(out, values[row], *unit, self.separator, Digits::Shortest);
                out.push_str(if *zoned { "Z\"" } else { "\"" });
            }
            CellKind::Date(_) => push_quoted(cells, row, out),
            CellKind::List(offsets, elements) => {
                out.push('[');
                for (index, element) in offsets.range(row).enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    self.push(elements, element, out);
                }
                out.push(']');
            }
            CellKind::Map(offsets, keys, values) => self.push_map(offsets.range(row), keys, values, out),
            CellKind::Row(fields) => {
                // Nested names are quoted per value: nested rows are rare enough not to carry a second tree of names.
                out.push('{');
                let mut first = true;
                for (name, field) in fields {
                    if self.ignore_nulls && field.is_null(row) {
                        continue;
                    }
                    if !std::mem::take(&mut first) {
                        out.push(',');
                    }
                    push_string(out, name);
                    out.push(':');
                    self.push(field, row, out);
                }
                out.push('}');
            }
            CellKind::Other(_) => push_quoted(cells, row, out),
            _ => {
                if let Some(text) = cells.text(row) {
                    push_string(out, text);
                } else if let Some(bytes) = cells.bytes(row) {
                    out.push('"');
                    BASE64.encode_string(bytes, out);
                    out.push('"');
                } else if let Some((second, nanos, _)) = cells.time(row) {
                    out.push('"');
                    push_time(out, second, nanos, Digits::Shortest);
                    out.push('"');
                } else {
                    match cells.interval(row) {
                        Some(Interval::Months(months)) => _ = write!(out, "{months}"),
                        Some(Interval::Nanos(nanos)) => _ = write!(out, "{}", nanos / 1_000_000),
                        None => push_plain(cells, row, out),
                    }
                }
            }
        }
    }

    fn push_map(&self, entries: std::ops::Range<usize>, keys: &Cells, values: &Cells, out: &mut String) {
        out.push('{');
        let mut first = true;
        for entry in entries {
            if self.ignore_nulls && values.is_null(entry) {
                continue;
            }
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            match keys.text(entry) {
                Some(text) => push_string(out, text),
                None => push_quoted(keys, entry, out),
            }
            out.push(':');
            self.push(values, entry, out);
        }
        out.push('}');
    }
}

/// A plain text that needs no escapes, in quotes.
fn push_quoted(cells: &Cells, row: usize, out: &mut String) {
    out.push('"');
    push_plain(cells, row, out);
    out.push('"');
}

/// A string with the escapes that Flink's writer uses: the short ones, `\u001F`, and nothing else.
fn push_string(out: &mut String, text: &str) {
    out.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[plain..at]);
        plain = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            other => _ = write!(out, "\\u{other:04X}"),
        }
    }
    out.push_str(&text[plain..]);
    out.push('"');
}
