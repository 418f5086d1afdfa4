//! `ROW(a, b)`: values side by side; and what evens out rows of `VALUES`.

use std::sync::Arc;

use arrow::array::{ArrayRef, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use tidemill_exec::{Error, Result};

use super::function::{Call, Function, Rows};
use super::lists::cast_to;
use crate::types::SqlType;

pub fn all() -> Vec<Function> {
    vec![
        Function::new("__row", 0, usize::MAX, row_type, row),
        Function::new("__plain", 1, 1, plain_type, |rows| rows.array(0)),
    ]
}

/// The type without what Arrow does not know of it.
fn plain_type(call: &Call<'_>) -> Result<SqlType> {
    Ok(SqlType::new(call.fields[0].data_type().clone(), call.fields[0].is_nullable()))
}

/// Fields without a name of their own are `EXPR$0`, `EXPR$1`, ...
fn row_type(call: &Call<'_>) -> Result<SqlType> {
    let fields: Vec<Field> =
        (0..call.fields.len()).map(|place| call.argument(place).field(format!("EXPR${place}"))).collect();
    Ok(SqlType::new(DataType::Struct(Fields::from(fields)), false))
}

fn row(rows: &Rows<'_>) -> Result<ArrayRef> {
    let DataType::Struct(fields) = rows.result.data_type() else { return Err(Error::new("__row makes rows")) };
    let columns: Result<Vec<ArrayRef>> =
        fields.iter().enumerate().map(|(place, field)| cast_to(rows, place, field)).collect();
    Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns?, None, rows.len)?))
}

#[cfg(test)]
mod tests {
    use super::super::function::testing::*;
    use super::*;

    #[test]
    fn fields_without_names_are_numbered() {
        let id = column("INT", &[Some("1"), Some("2")]);
        assert_eq!(
            show(all(), "__row", &[id, text("x")]),
            "ROW<`EXPR$0` INT, `EXPR$1` CHAR(1) NOT NULL> NOT NULL: (1, x), (2, x)"
        );
    }
}
