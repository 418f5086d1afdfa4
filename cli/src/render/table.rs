//! A table with lines.
//!
//! ```text
//! +-------+----+
//! | k     |  v |
//! +-------+----+
//! | a     |  1 |
//! | <NULL>| 20 |
//! +-------+----+
//! ```
//!
//! Columns are as wide as the widest of the rows seen when the header is written. A wider value that comes later is not cut: it
//! widens its column from there on.

use std::fmt::Write as _;
use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use tidemill_exec::text::Zone;
use unicode_width::UnicodeWidthStr;

use super::value::Texts;
use super::{Renderer, is_right_aligned};
use crate::failure::Result;

/// How many rows are held back at most to choose widths: few enough to appear at once, enough to be typical.
const HELD_ROWS_MAX: usize = 1000;

const NULL: &str = "<NULL>";

pub struct Table {
    zone: Zone,
    layout: Layout,
    /// Cells of rows that wait for the header, row by row.
    held: Vec<String>,
    started: bool,
    any_rows: bool,
}

impl Table {
    pub fn new(schema: &SchemaRef, zone: Zone) -> Table {
        Table { zone, layout: Layout::new(schema), held: Vec::new(), started: false, any_rows: false }
    }
}

impl Renderer for Table {
    fn rows(&mut self, rows: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        let texts = Texts::new(rows, self.zone);
        let columns = self.layout.columns.len();
        let mut line = String::new();
        for row in 0..rows.num_rows() {
            self.any_rows = true;
            if self.started {
                line.clear();
                self.layout.row(&texts, row, &mut line);
                out.write_all(line.as_bytes())?;
                continue;
            }
            for column in 0..columns {
                let mut cell = String::new();
                self.layout.cell(&texts, column, row, &mut cell);
                self.held.push(cell);
            }
            if self.held.len() >= HELD_ROWS_MAX * columns {
                self.start(out)?;
            }
        }
        Ok(())
    }

    fn settle(&mut self, out: &mut dyn Write) -> Result<()> {
        if !self.started && self.any_rows {
            // More is to come that nobody has seen yet: leave the usual room for it.
            self.layout.make_room();
            self.start(out)?;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Write) -> Result<()> {
        if !self.started {
            self.start(out)?;
        }
        if self.any_rows {
            out.write_all(self.layout.rule().as_bytes())?;
        }
        Ok(())
    }
}

impl Table {
    /// Writes the header and the rows held back.
    fn start(&mut self, out: &mut dyn Write) -> Result<()> {
        self.started = true;
        out.write_all(self.layout.header().as_bytes())?;
        let mut line = String::new();
        for cells in self.held.chunks(self.layout.columns.len().max(1)) {
            line.clear();
            self.layout.line(cells.iter().map(String::as_str), &mut line);
            out.write_all(line.as_bytes())?;
        }
        self.held = Vec::new();
        Ok(())
    }
}

/// Columns with their widths. Widths only grow.
pub struct Layout {
    columns: Vec<Column>,
    cell: String,
}

struct Column {
    name: String,
    right: bool,
    /// In terminal cells.
    width: usize,
    /// The width to leave if not all values are known.
    usual_width: usize,
}

impl Layout {
    pub fn new(schema: &SchemaRef) -> Layout {
        let columns = schema.fields().iter().map(|field| {
            let mut name = String::new();
            push_escaped(field.name(), &mut name);
            Column {
                width: name.width(),
                name,
                right: is_right_aligned(field.data_type()),
                usual_width: usual_width(field.name(), field.data_type()),
            }
        });
        Layout { columns: columns.collect(), cell: String::new() }
    }

    pub fn make_room(&mut self) {
        self.columns.iter_mut().for_each(|column| column.width = column.width.max(column.usual_width));
    }

    /// Grows to hold the first `rows` rows.
    pub fn fit(&mut self, texts: &Texts<'_>, rows: usize) {
        let mut cell = String::new();
        for column in 0..self.columns.len() {
            for row in 0..rows {
                cell.clear();
                self.cell(texts, column, row, &mut cell);
            }
        }
    }

    /// `+---+---+` with its newline.
    pub fn rule(&self) -> String {
        let dashes = self.columns.iter().map(|column| "-".repeat(column.width + 2));
        format!("+{}+\n", dashes.collect::<Vec<_>>().join("+"))
    }

    /// The header between two rules.
    pub fn header(&self) -> String {
        let mut header = self.rule();
        self.line(self.columns.iter().map(|column| column.name.as_str()), &mut header);
        header + &self.rule()
    }

    /// Appends a row with its newline, grown to its values if need be.
    pub fn row(&mut self, texts: &Texts<'_>, row: usize, line: &mut String) {
        let mut cell = std::mem::take(&mut self.cell);
        for column in 0..self.columns.len() {
            cell.clear();
            self.cell(texts, column, row, &mut cell);
            self.columns[column].push(column == 0, &cell, line);
        }
        self.cell = cell;
        line.push_str(" |\n");
    }

    fn line<'a>(&self, cells: impl Iterator<Item = &'a str>, line: &mut String) {
        for (index, (column, cell)) in self.columns.iter().zip(cells).enumerate() {
            column.push(index == 0, cell, line);
        }
        line.push_str(" |\n");
    }

    /// The text of a value, after which its column is wide enough for it.
    fn cell(&mut self, texts: &Texts<'_>, column: usize, row: usize, cell: &mut String) {
        if !texts.push(column, row, cell) {
            cell.push_str(NULL);
        }
        if cell.contains(char::is_control) {
            let raw = std::mem::take(cell);
            push_escaped(&raw, cell);
        }
        let column = &mut self.columns[column];
        column.width = column.width.max(width(cell));
    }
}

impl Column {
    fn push(&self, first: bool, cell: &str, line: &mut String) {
        line.push_str(if first { "| " } else { " | " });
        let padding = self.width.saturating_sub(width(cell));
        let spaces = |line: &mut String| line.extend(std::iter::repeat_n(' ', padding));
        if self.right {
            spaces(line);
            line.push_str(cell);
        } else {
            line.push_str(cell);
            spaces(line);
        }
    }
}

fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.width() }
}

/// Control characters escaped: a newline would break the table, and data must not be able to command the terminal.
pub fn push_escaped(raw: &str, text: &mut String) {
    for c in raw.chars() {
        match c {
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(text, "\\u{{{:x}}}", u32::from(c));
            }
            c => text.push(c),
        }
    }
}

/// Room for what is usual; the widest possible value of a type is rare.
fn usual_width(name: &str, data_type: &DataType) -> usize {
    match data_type {
        // A changelog's first column holds two characters, and nothing else.
        _ if name == "op" => 2,
        DataType::Boolean => 5,
        DataType::Int8 | DataType::UInt8 => 4,
        DataType::Int16 | DataType::UInt16 => 6,
        DataType::Date32 | DataType::Date64 => 10,
        DataType::Time32(_) | DataType::Time64(_) => 8,
        DataType::Timestamp(TimeUnit::Second, _) => 19,
        DataType::Timestamp(TimeUnit::Millisecond, _) => 23,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 26,
        DataType::Timestamp(TimeUnit::Nanosecond, _) => 29,
        DataType::Decimal128(precision, _) => usize::from(*precision).min(10) + 2,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => 16,
        data_type if data_type.is_nested() => 20,
        _ => 10,
    }
}
