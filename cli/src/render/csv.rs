//! Comma-separated values: a header, then a line per row.
//!
//! NULL is an empty field and an empty text `""`, so that the two stay apart.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use tidemill_exec::text::Zone;

use super::Renderer;
use super::value::Texts;
use crate::failure::Result;

pub struct Csv {
    zone: Zone,
    /// The header, until it is written.
    header: Option<String>,
}

impl Csv {
    pub fn new(schema: &SchemaRef, zone: Zone) -> Csv {
        let mut header = String::new();
        for (index, field) in schema.fields().iter().enumerate() {
            if index > 0 {
                header.push(',');
            }
            push_field(field.name(), &mut header);
        }
        header.push('\n');
        Csv { zone, header: Some(header) }
    }
}

impl Renderer for Csv {
    fn rows(&mut self, rows: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        self.settle(out)?;
        let texts = Texts::new(rows, self.zone);
        let (mut line, mut field) = (String::new(), String::new());
        for row in 0..rows.num_rows() {
            line.clear();
            for column in 0..rows.num_columns() {
                if column > 0 {
                    line.push(',');
                }
                field.clear();
                if texts.push(column, row, &mut field) {
                    push_field(&field, &mut line);
                }
            }
            line.push('\n');
            out.write_all(line.as_bytes())?;
        }
        Ok(())
    }

    fn settle(&mut self, out: &mut dyn Write) -> Result<()> {
        if let Some(header) = self.header.take() {
            out.write_all(header.as_bytes())?;
        }
        Ok(())
    }
}

fn push_field(text: &str, line: &mut String) {
    if !text.is_empty() && !text.contains([',', '"', '\n', '\r']) {
        line.push_str(text);
        return;
    }
    line.push('"');
    for c in text.chars() {
        if c == '"' {
            line.push('"');
        }
        line.push(c);
    }
    line.push('"');
}
