//! A value as text: the one place that decides how.

use std::fmt::Write;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use tidemill_exec::Result;

/// The columns of some rows, ready to be written value by value.
pub struct Texts<'a> {
    columns: Vec<(&'a dyn Array, ArrayFormatter<'a>)>,
}

impl<'a> Texts<'a> {
    pub fn new(rows: &'a RecordBatch) -> Result<Texts<'a>> {
        let columns = rows.columns().iter().map(|array| Ok((array.as_ref(), formatter(array.as_ref())?)));
        Ok(Texts { columns: columns.collect::<Result<_>>()? })
    }

    /// Appends the text of a value to `text`; false, and nothing appended, if it is null.
    pub fn write(&self, column: usize, row: usize, text: &mut String) -> Result<bool> {
        let (array, formatter) = &self.columns[column];
        if array.is_null(row) {
            return Ok(false);
        }
        write!(text, "{}", formatter.value(row)).map_err(|_| {
            tidemill_exec::Error::new(format!("cannot show a value of type {} as text", array.data_type()))
        })?;
        Ok(true)
    }
}

/// Writes the values of one array, nulls inside lists and rows as `NULL`.
pub fn formatter(array: &dyn Array) -> Result<ArrayFormatter<'_>> {
    let seconds = |fraction| match fraction {
        TimeUnit::Second => "%Y-%m-%d %H:%M:%S",
        TimeUnit::Millisecond => "%Y-%m-%d %H:%M:%S%.3f",
        TimeUnit::Microsecond => "%Y-%m-%d %H:%M:%S%.6f",
        TimeUnit::Nanosecond => "%Y-%m-%d %H:%M:%S%.9f",
    };
    let format = match array.data_type() {
        DataType::Timestamp(unit, _) => seconds(*unit),
        _ => "%Y-%m-%d %H:%M:%S%.3f",
    };
    let options = FormatOptions::new()
        .with_null("NULL")
        .with_display_error(false)
        .with_timestamp_format(Some(format))
        .with_timestamp_tz_format(Some(format));
    Ok(ArrayFormatter::try_new(array, &options)?)
}
