//! A batch of calls and its arguments, as a function's body sees them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Float64Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

use super::shown;
use crate::functions::zone::Zone;

/// One batch's worth of calls, as a body sees it.
pub struct Call<'a> {
    pub name: &'static str,
    /// How many results are wanted; 1 if every argument is constant.
    pub rows: usize,
    pub zone: &'a Zone,
    pub args: &'a ScalarFunctionArgs,
}

impl Call<'_> {
    pub fn count(&self) -> usize {
        self.args.args.len()
    }

    pub fn data_type(&self, i: usize) -> DataType {
        self.args.args[i].data_type()
    }

    pub fn is_constant(&self, i: usize) -> bool {
        matches!(self.args.args[i], ColumnarValue::Scalar(_))
    }

    /// The result type that was planned.
    pub fn result_type(&self) -> &DataType {
        self.args.return_field.data_type()
    }

    /// Argument `i` as it is, and 0 if it is one constant value, else 1.
    pub fn raw(&self, i: usize) -> Result<(ArrayRef, usize)> {
        Ok(match &self.args.args[i] {
            ColumnarValue::Array(array) => (Arc::clone(array), 1),
            ColumnarValue::Scalar(value) => (value.to_array()?, 0),
        })
    }

    /// Argument `i` in type `to`.
    pub fn cast(&self, i: usize, to: &DataType) -> Result<(ArrayRef, usize)> {
        let (array, step) = self.raw(i)?;
        let array = if array.data_type() == to { array } else { arrow::compute::cast(&array, to)? };
        Ok((array, step))
    }

    /// Argument `i`, one value per row.
    pub fn expanded(&self, i: usize) -> Result<ArrayRef> {
        self.args.args[i].to_array(self.rows)
    }

    pub fn text(&self, i: usize) -> Result<Column<StringArray>> {
        let (array, step) = self.cast(i, &DataType::Utf8)?;
        Ok(Column { array: array.as_string().clone(), step })
    }

    pub fn long(&self, i: usize) -> Result<Column<Int64Array>> {
        let (array, step) = self.cast(i, &DataType::Int64)?;
        Ok(Column { array: array.as_primitive::<Int64Type>().clone(), step })
    }

    pub fn double(&self, i: usize) -> Result<Column<Float64Array>> {
        let (array, step) = self.cast(i, &DataType::Float64)?;
        Ok(Column { array: array.as_primitive::<Float64Type>().clone(), step })
    }

    /// Bytes, or the UTF-8 bytes of a text.
    pub fn bytes(&self, i: usize) -> Result<Column<BinaryArray>> {
        let (array, step) = self.cast(i, &DataType::Binary)?;
        Ok(Column { array: array.as_binary().clone(), step })
    }

    /// The function's name as users write it.
    pub fn shown(&self) -> String {
        shown(self.name)
    }
}

/// One argument: a value per row, or one value for all of them. `get` is `None` for NULL and beyond the last row.
pub struct Column<A> {
    pub array: A,
    step: usize,
}

impl Column<StringArray> {
    pub fn get(&self, row: usize) -> Option<&str> {
        let at = row * self.step;
        (at < self.array.len() && self.array.is_valid(at)).then(|| self.array.value(at))
    }

    /// The value, if it is the same for all rows.
    pub fn constant(&self) -> Option<&str> {
        if self.step == 0 { self.get(0) } else { None }
    }
}

impl Column<BinaryArray> {
    pub fn get(&self, row: usize) -> Option<&[u8]> {
        let at = row * self.step;
        (at < self.array.len() && self.array.is_valid(at)).then(|| self.array.value(at))
    }
}

impl Column<Int64Array> {
    pub fn get(&self, row: usize) -> Option<i64> {
        let at = row * self.step;
        (at < self.array.len() && self.array.is_valid(at)).then(|| self.array.value(at))
    }

    pub fn constant(&self) -> Option<i64> {
        if self.step == 0 { self.get(0) } else { None }
    }
}

impl Column<Float64Array> {
    pub fn get(&self, row: usize) -> Option<f64> {
        let at = row * self.step;
        (at < self.array.len() && self.array.is_valid(at)).then(|| self.array.value(at))
    }
}
