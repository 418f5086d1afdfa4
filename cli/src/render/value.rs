//! A value as text: the one place that decides how.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::DataType;
use tidemill_exec::text::{ColumnText, TextStyle, Zone};

/// The columns of some rows, ready to be written value by value as Flink's SQL client writes them.
pub struct Texts<'a> {
    columns: Vec<(&'a dyn Array, ColumnText<'a>)>,
}

impl<'a> Texts<'a> {
    pub fn new(rows: &'a RecordBatch, zone: Zone) -> Texts<'a> {
        let text = |array| ColumnText::new(array, TextStyle::Client(zone));
        Texts { columns: rows.columns().iter().map(|array| (array.as_ref(), text(array.as_ref()))).collect() }
    }

    /// Appends the text of a value to `out`; false, and nothing appended, if it is null.
    pub fn push(&self, column: usize, row: usize, out: &mut String) -> bool {
        let (array, text) = &self.columns[column];
        // An array of type NULL keeps no record of which values are null.
        if array.is_null(row) || array.data_type() == &DataType::Null {
            return false;
        }
        text.push(row, out);
        true
    }
}
