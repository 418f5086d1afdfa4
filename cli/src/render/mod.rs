//! Rows as text, in the format the user chose.

pub mod csv;
pub mod json;
pub mod markdown;
pub mod table;
pub mod value;
pub mod vertical;

use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use tidemill_exec::ChangeBatch;
use tidemill_exec::text::Zone;

use crate::failure::Result;

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A table with lines, for reading
    #[default]
    Table,
    /// A header, then a line per row; NULL is empty, an empty text is ""
    Csv,
    /// An object per line
    Json,
    /// A table for documents
    Markdown,
    /// A line per value, for wide rows
    Vertical,
}

/// Writes the rows of one result.
pub trait Renderer {
    /// Takes rows; may hold them back to choose column widths.
    fn rows(&mut self, rows: &RecordBatch, out: &mut dyn Write) -> Result<()>;

    /// Writes what was held back: nothing more is there for now, and the user should see what is.
    fn settle(&mut self, _out: &mut dyn Write) -> Result<()> {
        Ok(())
    }

    /// Called once, after the last row.
    fn finish(&mut self, out: &mut dyn Write) -> Result<()> {
        self.settle(out)
    }
}

/// What values look like.
#[derive(Clone, Copy)]
pub struct Style {
    pub format: Format,
    /// In which `TIMESTAMP_LTZ` is shown.
    pub zone: Zone,
}

impl Style {
    /// # Errors
    /// The format cannot write a type of `schema`.
    pub fn renderer(self, schema: &SchemaRef) -> Result<Box<dyn Renderer>> {
        Ok(match self.format {
            Format::Table => Box::new(table::Table::new(schema, self.zone)),
            Format::Csv => Box::new(csv::Csv::new(schema, self.zone)),
            Format::Json => Box::new(json::Json::new(schema)?),
            Format::Markdown => Box::new(markdown::Markdown::new(schema, self.zone)),
            Format::Vertical => Box::new(vertical::Vertical::new(schema, self.zone)),
        })
    }

    /// All of a small finished result.
    pub fn print(self, rows: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        let mut renderer = self.renderer(&rows.schema())?;
        renderer.rows(rows, out)?;
        renderer.finish(out)
    }
}

/// The schema of a changelog: `op` before the columns.
pub fn with_op(schema: &SchemaRef) -> SchemaRef {
    let op = Arc::new(Field::new("op", DataType::Utf8, false));
    Arc::new(Schema::new(std::iter::once(op).chain(schema.fields().iter().cloned()).collect::<Vec<_>>()))
}

/// Each change as a row of [`with_op`]'s schema.
pub fn changelog(changes: &ChangeBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let op: StringArray = (0..changes.rows.num_rows()).map(|row| Some(changes.kind(row).label())).collect();
    let columns = std::iter::once(Arc::new(op) as ArrayRef).chain(changes.rows.columns().iter().cloned()).collect();
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}

/// Whether values of a type line up at the right, so that digits of the same weight stand below each other.
fn is_right_aligned(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

#[cfg(test)]
mod tests;
