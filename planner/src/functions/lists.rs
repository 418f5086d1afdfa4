//! What array and map functions share: lists taken apart, elements made comparable, lists put together by index.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray, UInt32Array, new_null_array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute;
use arrow::datatypes::{DataType, Field};
use arrow::row::{RowConverter, Rows as Keys, SortField};
use tidemill_exec::{Error, Result};

use super::cast::Cast;
use super::function::{Call, Rows};
use crate::types::{SqlType, common_type, item_field};

/// An array column in the one representation the functions handle; a column of bare NULLs is a column of null arrays.
pub fn as_list(array: &ArrayRef) -> Result<ListArray> {
    match array.data_type() {
        DataType::List(_) => Ok(array.as_list::<i32>().clone()),
        DataType::Null => {
            let nulls =
                new_null_array(&DataType::List(Arc::new(Field::new("item", DataType::Null, true))), array.len());
            Ok(nulls.as_list::<i32>().clone())
        }
        other => match item_field(other) {
            Some(item) => Ok(compute::cast(array, &DataType::List(Arc::clone(item)))?.as_list::<i32>().clone()),
            None => Err(Error::new(format!("{other} is not an array"))),
        },
    }
}

/// Where the elements of a row are among the values of a list or map.
pub fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    offsets[row] as usize..offsets[row + 1] as usize
}

/// Elements as bytes that are equal, and ordered, as the elements are.
pub fn keys<const N: usize>(columns: [&ArrayRef; N]) -> Result<[Keys; N]> {
    keys_sorted(columns, Default::default())
}

pub fn keys_sorted<const N: usize>(columns: [&ArrayRef; N], options: compute::SortOptions) -> Result<[Keys; N]> {
    let field = SortField::new_with_options(columns[0].data_type().clone(), options);
    let converter = RowConverter::new(vec![field])?;
    let converted: Result<Vec<Keys>> =
        columns.iter().map(|column| Ok(converter.convert_columns(std::slice::from_ref(*column))?)).collect();
    converted?.try_into().map_err(|_| Error::new("as many keys as columns"))
}

/// The type of the items of an array argument, nullable as declared.
///
/// # Errors
/// The argument is not an array.
pub fn item_of(call: &Call<'_>, argument: usize) -> Result<SqlType> {
    match call.data_type(argument) {
        DataType::Null => Ok(SqlType::new(DataType::Null, true)),
        data_type => {
            item_field(data_type).map(|item| SqlType::of(item)).ok_or_else(|| call.wrong(argument, "an array"))
        }
    }
}

/// The type that items of arguments have in common.
pub fn common_item(call: &Call<'_>, items: &[SqlType]) -> Result<SqlType> {
    common_type(items).ok_or_else(|| {
        let shown: Vec<String> = items.iter().map(|item| crate::types::flink_type(&item.field(""))).collect();
        Error::new(format!("the elements of {} have no common type", call.name.trim_start_matches("__").to_uppercase()))
            .why(format!("they are {}", shown.join(", ")))
            .fix("cast them to one type")
    })
}

/// Array arguments whose items all have the type `item`, and their lists over it.
pub fn lists_of(rows: &Rows<'_>, arguments: std::ops::Range<usize>, item: &Field) -> Result<Vec<ListArray>> {
    let to = Field::new("", DataType::List(Arc::new(item.clone().with_name("item").with_nullable(true))), true);
    arguments
        .map(|argument| {
            let list: ArrayRef = Arc::new(as_list(&rows.array(argument)?)?);
            let from = Field::new("", list.data_type().clone(), true);
            as_list(&Cast { zone: rows.zone, strict: true }.apply(&list, &from, &to)?)
        })
        .collect()
}

/// An argument as a column of the type of `to`.
pub fn cast_to(rows: &Rows<'_>, argument: usize, to: &Field) -> Result<ArrayRef> {
    Cast { zone: rows.zone, strict: true }.apply(&rows.array(argument)?, &rows.fields[argument], to)
}

/// The item that an array and a value have in common, as a field; for functions that compare them.
pub fn shared_item(rows: &Rows<'_>, array: usize, element: usize) -> Result<Field> {
    let item = match item_field(rows.fields[array].data_type()) {
        Some(item) => SqlType::of(item),
        None => SqlType::new(DataType::Null, true),
    };
    let element = SqlType::of(&rows.fields[element]);
    let common = common_type(&[item, element]).ok_or_else(|| Error::new("an array and a value have no common type"))?;
    Ok(common.nullable(true).field("item"))
}

/// Lists of new rows, each element named by its index among some values.
pub struct Picks {
    offsets: Vec<i32>,
    indices: Vec<u32>,
    valid: Vec<bool>,
}

impl Picks {
    pub fn new(rows: usize) -> Picks {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Picks { offsets, indices: Vec::new(), valid: Vec::with_capacity(rows) }
    }

    /// Adds an element to the open row.
    pub fn pick(&mut self, index: usize) {
        self.indices.push(index as u32);
    }

    /// The elements picked for the open row.
    pub fn open(&mut self) -> &mut [u32] {
        let start = self.offsets[self.offsets.len() - 1] as usize;
        &mut self.indices[start..]
    }

    /// Ends the open row.
    pub fn close(&mut self) {
        self.offsets.push(self.indices.len() as i32);
        self.valid.push(true);
    }

    /// The next row is null.
    pub fn null(&mut self) {
        self.offsets.push(self.indices.len() as i32);
        self.valid.push(false);
    }

    /// Lists of type `result` over `values`.
    pub fn list(self, values: &ArrayRef, result: &Field) -> Result<ArrayRef> {
        let DataType::List(item) = result.data_type() else {
            return Err(Error::new("a list is made for an array type only"));
        };
        let values = compute::take(values, &UInt32Array::from(self.indices), None)?;
        let offsets = OffsetBuffer::new(self.offsets.into());
        Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, values, nulls(self.valid))?))
    }

    /// Maps of type `result`; keys and values are picked by the same indices.
    pub fn map(self, keys: &ArrayRef, values: &ArrayRef, result: &Field) -> Result<ArrayRef> {
        let indices = UInt32Array::from(self.indices);
        let columns = vec![compute::take(keys, &indices, None)?, compute::take(values, &indices, None)?];
        map(columns, self.offsets, nulls(self.valid), result)
    }
}

/// A map column from its keys and values.
///
/// # Errors
/// A key is null.
pub fn map(columns: Vec<ArrayRef>, offsets: Vec<i32>, nulls: Option<NullBuffer>, result: &Field) -> Result<ArrayRef> {
    let DataType::Map(entries, _) = result.data_type() else {
        return Err(Error::new("a map is made for a map type only"));
    };
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(Error::new("the entries of a map are rows"));
    };
    if columns[0].null_count() > 0 {
        return Err(Error::new("a key of a MAP is NULL").fix("replace it with COALESCE(key, ...)"));
    }
    let length = columns[0].len();
    let pairs = StructArray::try_new_with_length(fields.clone(), columns, None, length)?;
    let offsets = OffsetBuffer::new(offsets.into());
    Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, pairs, nulls, false)?))
}

fn nulls(valid: Vec<bool>) -> Option<NullBuffer> {
    let nulls = NullBuffer::from(valid);
    (nulls.null_count() > 0).then_some(nulls)
}
