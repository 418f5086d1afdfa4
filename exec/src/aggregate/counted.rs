//! Rows with counts as one column of state: `List<Struct<0: .., 1: .., count: Int64>>`, one list per group.
//!
//! Everything that must remember rows leaves in this form: through an exchange, into a checkpoint, between phases.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, Int64Type};

use crate::error::Result;

/// Counted rows of any groups, flattened.
pub(super) struct Counted {
    /// The group of each row.
    pub groups: Vec<u32>,
    pub columns: Vec<ArrayRef>,
    pub counts: Vec<i64>,
}

/// The type of the lists, for rows of these types.
pub(super) fn data_type(types: &[DataType]) -> DataType {
    DataType::List(item(types))
}

fn item(types: &[DataType]) -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Struct(fields(types)), false))
}

fn fields(types: &[DataType]) -> Fields {
    let columns = types.iter().enumerate().map(|(n, data_type)| Field::new(n.to_string(), data_type.clone(), true));
    columns.chain([Field::new("count", DataType::Int64, false)]).collect()
}

/// Lists of these lengths, cut one after another from the columns and counts.
pub(super) fn pack(
    types: &[DataType],
    lengths: impl Iterator<Item = usize>,
    mut columns: Vec<ArrayRef>,
    counts: Vec<i64>,
) -> Result<ArrayRef> {
    columns.push(Arc::new(Int64Array::from(counts)));
    let rows = StructArray::try_new(fields(types), columns, None)?;
    Ok(Arc::new(ListArray::try_new(item(types), OffsetBuffer::from_lengths(lengths), Arc::new(rows), None)?))
}

/// The inverse of [`pack`]: list `i` belongs to `groups[i]`.
pub(super) fn unpack(groups: &[u32], lists: &ArrayRef) -> Result<Counted> {
    let lists = lists.as_list::<i32>();
    let offsets = lists.value_offsets();
    let (first, last) = (offsets[0] as usize, offsets[lists.len()] as usize);
    let rows = lists.values().slice(first, last - first);
    let rows = rows.as_struct();
    let mut flat = Vec::with_capacity(rows.len());
    for (&group, ends) in groups.iter().zip(offsets.windows(2)) {
        flat.resize(flat.len() + (ends[1] - ends[0]) as usize, group);
    }
    let (counts, columns) = rows.columns().split_last().expect("a counted row ends with its count");
    let counts = counts.as_primitive::<Int64Type>().values().to_vec();
    Ok(Counted { groups: flat, columns: columns.to_vec(), counts })
}
