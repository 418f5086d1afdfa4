//! A line per value, for rows too wide for the screen.
//!
//! ```text
//! -[ row 1 ]--
//! user   | ann
//! amount | 5
//! ```

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use tidemill_exec::text::Zone;
use unicode_width::UnicodeWidthStr;

use super::Renderer;
use super::table::push_escaped;
use super::value::Texts;
use crate::failure::Result;

pub struct Vertical {
    zone: Zone,
    /// Names padded to one width.
    names: Vec<String>,
    rows: u64,
}

impl Vertical {
    pub fn new(schema: &SchemaRef, zone: Zone) -> Vertical {
        let names = schema.fields().iter().map(|field| {
            let mut name = String::new();
            push_escaped(field.name(), &mut name);
            name
        });
        let mut names: Vec<String> = names.collect();
        let widest = names.iter().map(|name| name.width()).max().unwrap_or(0);
        names.iter_mut().for_each(|name| name.extend(std::iter::repeat_n(' ', widest - name.width())));
        Vertical { zone, names, rows: 0 }
    }
}

impl Renderer for Vertical {
    fn rows(&mut self, rows: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        let texts = Texts::new(rows, self.zone);
        let (mut raw, mut text) = (String::new(), String::new());
        for row in 0..rows.num_rows() {
            self.rows += 1;
            text.clear();
            text.push_str(&format!("-[ row {} ]-\n", self.rows));
            for (column, name) in self.names.iter().enumerate() {
                raw.clear();
                text.push_str(name);
                text.push_str(" | ");
                if texts.push(column, row, &mut raw) {
                    push_escaped(&raw, &mut text);
                } else {
                    text.push_str("<NULL>");
                }
                text.push('\n');
            }
            out.write_all(text.as_bytes())?;
        }
        Ok(())
    }
}
