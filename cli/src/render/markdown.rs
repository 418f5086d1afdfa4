//! A table as Markdown has it.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use tidemill_exec::text::Zone;

use super::value::Texts;
use super::{Renderer, is_right_aligned};
use crate::failure::Result;

pub struct Markdown {
    zone: Zone,
    /// The header, until it is written.
    header: Option<String>,
}

impl Markdown {
    pub fn new(schema: &SchemaRef, zone: Zone) -> Markdown {
        let (mut names, mut rules) = (String::from("|"), String::from("|"));
        for field in schema.fields() {
            names.push(' ');
            push_escaped(field.name(), &mut names);
            names.push_str(" |");
            rules.push_str(if is_right_aligned(field.data_type()) { " --: |" } else { " --- |" });
        }
        Markdown { zone, header: Some(format!("{names}\n{rules}\n")) }
    }
}

impl Renderer for Markdown {
    fn rows(&mut self, rows: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        self.settle(out)?;
        let texts = Texts::new(rows, self.zone);
        let (mut line, mut cell) = (String::new(), String::new());
        for row in 0..rows.num_rows() {
            line.clear();
            line.push('|');
            for column in 0..rows.num_columns() {
                cell.clear();
                if !texts.push(column, row, &mut cell) {
                    cell.push_str("NULL");
                }
                line.push(' ');
                push_escaped(&cell, &mut line);
                line.push_str(" |");
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

fn push_escaped(raw: &str, text: &mut String) {
    for c in raw.chars() {
        match c {
            '|' => text.push_str("\\|"),
            '\\' => text.push_str("\\\\"),
            '<' => text.push_str("&lt;"),
            '\n' => text.push_str("<br>"),
            '\r' => {}
            c => text.push(c),
        }
    }
}
