//! Arrays and maps: how they are made, counted, searched, changed.

mod array;
mod map;
mod sets;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, ListArray, UInt32Array, new_empty_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute;
use arrow::datatypes::DataType;
use tidemill_exec::{Error, Result};

use super::function::{Call, Function, Rows};
use super::lists::{as_list, cast_to, common_item, item_of, range};
use crate::types::{SqlType, array_of, item_field};

pub fn all() -> Vec<Function> {
    let mut all = vec![
        Function::new("__array", 0, usize::MAX, array_type, make_array),
        Function::new("cardinality", 1, 1, cardinality_type, cardinality),
        Function::new("element", 1, 1, |call| Ok(item_of(call, 0)?.nullable(true)), element),
    ];
    all.extend(array::all());
    all.extend(sets::all());
    all.extend(map::all());
    all
}

fn array_type(call: &Call<'_>) -> Result<SqlType> {
    let items: Vec<SqlType> = (0..call.fields.len()).map(|argument| call.argument(argument)).collect();
    let item = if items.is_empty() { SqlType::new(DataType::Null, true) } else { common_item(call, &items)? };
    Ok(SqlType::new(array_of(&item), false))
}

fn make_array(rows: &Rows<'_>) -> Result<ArrayRef> {
    let Some(item) = item_field(rows.result.data_type()) else { return Err(Error::new("__array makes arrays")) };
    let count = rows.arguments();
    let columns: Result<Vec<ArrayRef>> = (0..count).map(|argument| cast_to(rows, argument, item)).collect();
    let columns = columns?;
    let values = if columns.is_empty() {
        new_empty_array(item.data_type())
    } else {
        let columns: Vec<&dyn Array> = columns.iter().map(|column| column.as_ref()).collect();
        let order: Vec<(usize, usize)> =
            (0..rows.len).flat_map(|row| (0..count).map(move |column| (column, row))).collect();
        compute::interleave(&columns, &order)?
    };
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(count, rows.len));
    Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, values, None)?))
}

fn cardinality_type(call: &Call<'_>) -> Result<SqlType> {
    match call.data_type(0) {
        DataType::Map(..) => {}
        _ => drop(item_of(call, 0).map_err(|_| call.wrong(0, "an array, a map or a multiset"))?),
    }
    call.plain(DataType::Int32)
}

fn cardinality(rows: &Rows<'_>) -> Result<ArrayRef> {
    let array = rows.array(0)?;
    let lengths = |offsets: &OffsetBuffer<i32>| offsets.lengths().map(|length| length as i32).collect::<Vec<_>>();
    let lengths = match array.data_type() {
        DataType::Map(..) => lengths(array.as_map().offsets()),
        _ => lengths(as_list(&array)?.offsets()),
    };
    Ok(Arc::new(Int32Array::new(lengths.into(), array.logical_nulls())))
}

/// The only element of an array.
fn element(rows: &Rows<'_>) -> Result<ArrayRef> {
    let list = as_list(&rows.array(0)?)?;
    let mut indices: Vec<Option<u32>> = Vec::with_capacity(list.len());
    for row in 0..list.len() {
        let elements = range(list.value_offsets(), row);
        if elements.len() > 1 && list.is_valid(row) {
            return Err(Error::new(format!("ELEMENT got an array of {} elements", elements.len()))
                .why("it gives the only element of an array")
                .fix("write the_array[1] for the first element"));
        }
        indices.push((list.is_valid(row) && elements.len() == 1).then_some(elements.start as u32));
    }
    Ok(compute::take(list.values(), &UInt32Array::from(indices), None)?)
}

#[cfg(test)]
mod tests;
