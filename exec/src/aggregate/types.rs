//! Argument types, and the small things every accumulator needs: columns of state, rows by group.

use arrow::array::{ArrayRef, ArrowPrimitiveType, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;

use crate::error::Error;

/// The type as the engine keeps it: one layout for text, bytes and decimals each.
pub(super) fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, values) => plain(values),
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        other => other.clone(),
    }
}

/// The type in which a number is added up, or `None` if it is not a number. SQL has no unsigned integers; where a function
/// brings some, they become the next larger signed ones.
pub(super) fn number(data_type: &DataType) -> Option<DataType> {
    Some(match plain(data_type) {
        signed @ (DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64) => signed,
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        float @ (DataType::Float32 | DataType::Float64) => float,
        decimal @ DataType::Decimal128(_, _) => decimal,
        _ => return None,
    })
}

/// Flink's type of an average: that of the argument, but `DECIMAL(38, max(6, scale))`.
pub(super) fn average(number: &DataType) -> DataType {
    match number {
        DataType::Decimal128(_, scale) => DataType::Decimal128(38, (*scale).max(6)),
        other => other.clone(),
    }
}

/// "cannot compute SUM(Utf8)".
pub(super) fn refuse(name: &str, arguments: &[DataType], takes: &str) -> Error {
    let types: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    Error::new(format!("cannot compute {name}({})", types.join(", ")))
        .why(format!("{name} takes {takes}"))
        .fix(format!("CAST the argument to what {name} takes"))
}

/// Adds `values[i]` to the slot of `groups[i]`, nulls left out.
///
/// Without nulls a plain loop over two slices: this is what `SUM` over a fact table spends its time in.
#[inline]
pub(super) fn scatter<S, V: Copy>(
    slots: &mut [S],
    groups: &[u32],
    values: &[V],
    nulls: Option<&NullBuffer>,
    mut add: impl FnMut(&mut S, V),
) {
    match nulls.filter(|nulls| nulls.null_count() > 0) {
        None => groups.iter().zip(values).for_each(|(&group, &value)| add(&mut slots[group as usize], value)),
        Some(nulls) => nulls.valid_indices().for_each(|row| add(&mut slots[groups[row] as usize], values[row])),
    }
}

/// [`scatter`] with a weight per row.
#[inline]
pub(super) fn scatter_weighted<S, V: Copy>(
    slots: &mut [S],
    groups: &[u32],
    values: &[V],
    nulls: Option<&NullBuffer>,
    weights: &[i64],
    mut add: impl FnMut(&mut S, V, i64),
) {
    match nulls.filter(|nulls| nulls.null_count() > 0) {
        None => groups
            .iter()
            .zip(values)
            .zip(weights)
            .for_each(|((&group, &value), &weight)| add(&mut slots[group as usize], value, weight)),
        Some(nulls) => {
            nulls.valid_indices().for_each(|row| add(&mut slots[groups[row] as usize], values[row], weights[row]));
        }
    }
}

/// Slot `of_other[i]` of `other` into slot `groups[i]`.
#[inline]
pub(crate) fn combine<S: Copy>(
    slots: &mut [S],
    groups: &[u32],
    other: &[S],
    of_other: &[u32],
    mut with: impl FnMut(&mut S, S),
) {
    for (&group, &of_other) in groups.iter().zip(of_other) {
        with(&mut slots[group as usize], other[of_other as usize]);
    }
}

/// The slots of these groups, in that order.
pub(super) fn gather<S: Copy>(slots: &[S], groups: &[u32]) -> Vec<S> {
    groups.iter().map(|&group| slots[group as usize]).collect()
}

/// Puts the slots of these groups back to empty.
pub(super) fn reset<S: Default>(slots: &mut [S], groups: &[u32]) {
    groups.iter().for_each(|&group| slots[group as usize] = S::default());
}

/// Slots for groups `0..groups`; never fewer than before.
pub(super) fn grow<S: Default>(slots: &mut Vec<S>, groups: usize) {
    if groups > slots.len() {
        slots.resize_with(groups, S::default);
    }
}

/// An array of this type, which says precision, scale or time zone where the native type cannot.
pub(super) fn primitive<T: ArrowPrimitiveType>(
    data_type: &DataType,
    values: impl IntoIterator<Item = Option<T::Native>>,
) -> ArrayRef {
    std::sync::Arc::new(PrimitiveArray::<T>::from_iter(values).with_data_type(data_type.clone()))
}
