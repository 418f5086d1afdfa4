//! The rows a decoder has so far, column by column.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};

use super::column::{Column, Reading};
use crate::connect::TableDefinition;
use crate::error::Result;
use crate::message::Batch;

/// A batch is full at so many rows: large enough to make the cost per batch vanish, small enough to stay in the second-level cache.
pub const ROWS_MAX: usize = 8192;

/// Or when it was made from so many bytes, so that long records neither overflow 32-bit offsets nor hold memory hostage.
const BYTES_MAX: usize = 16 << 20;

pub struct Rows {
    schema: SchemaRef,
    pub columns: Vec<Column>,
    count: usize,
    /// What they become.
    changes: usize,
    bytes: usize,
    rows_max: usize,
}

impl Rows {
    /// No rows of the columns `projection` of `table`.
    ///
    /// # Errors
    /// A column has a type that no text stands for.
    pub fn new(table: &TableDefinition, projection: &[usize], reading: Reading) -> Result<Rows> {
        let schema = Arc::new(Schema::new(
            projection.iter().map(|&column| Arc::clone(&table.schema.fields()[column])).collect::<Vec<_>>(),
        ));
        let column = |field: &FieldRef| Column::new(field, &table.unread.inside(field.name()), reading, &table.name);
        let columns = schema.fields().iter().map(column).collect::<Result<_>>()?;
        Ok(Rows { schema, columns, count: 0, changes: 0, bytes: 0, rows_max: ROWS_MAX })
    }

    /// Full at fewer changes.
    pub fn at_most(self, rows_max: usize) -> Rows {
        Rows { rows_max, ..self }
    }

    #[inline]
    pub fn count(&self) -> usize {
        self.count
    }

    #[inline]
    pub fn is_full(&self) -> bool {
        self.changes >= self.rows_max || self.bytes >= BYTES_MAX
    }

    /// There is one row more, made from so many bytes; columns without a value for it have NULL. The row becomes so many changes: one, if it is not the envelope of
    /// others.
    #[inline]
    pub fn close_row(&mut self, bytes: usize, changes: usize) {
        self.count += 1;
        self.changes += changes;
        self.bytes += bytes;
    }

    /// Takes back what was written of the row in progress.
    pub fn undo_row(&mut self) {
        let count = self.count;
        self.columns.iter_mut().for_each(|column| column.truncate(count));
    }

    /// The rows since the last call, or `None` if there are none.
    pub fn flush(&mut self) -> Result<Option<Batch>> {
        if self.count == 0 {
            return Ok(None);
        }
        let count = std::mem::take(&mut self.count);
        self.columns.iter_mut().for_each(|column| column.pad(count));
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        (self.changes, self.bytes) = (0, 0);
        let columns = self.columns.iter_mut().map(Column::finish).collect::<Result<Vec<_>>>()?;
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        Ok(Some(Batch::append(rows)))
    }
}
