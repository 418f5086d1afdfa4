//! Functions over one array: search, order, cut, join.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanBuilder, Int64Builder, StringBuilder, UInt32Array};
use arrow::compute::{self, SortOptions};
use arrow::datatypes::{DataType, Field, Int64Type};
use tidemill_exec::Result;

use crate::functions::cast::to_text;
use crate::functions::function::{Call, Function, Rows};
use crate::functions::lists::{
    Picks, as_list, cast_to, common_item, item_of, keys, keys_sorted, lists_of, range, shared_item,
};
use crate::types::{SqlType, array_of, item_field};

pub fn all() -> Vec<Function> {
    vec![
        Function::new("array_contains", 2, 2, contains_type, contains),
        Function::new("array_position", 2, 2, |call| found_type(call, DataType::Int64), position),
        Function::new("array_remove", 2, 2, same_array, remove),
        Function::new("array_reverse", 1, 1, same_array, reverse),
        Function::new("array_slice", 2, 3, slice_type, slice),
        Function::new("array_sort", 1, 3, sort_type, sort),
        Function::new(
            "array_max",
            1,
            1,
            |call| Ok(item_of(call, 0)?.nullable(true)),
            |rows| extreme(rows, Ordering::Greater),
        ),
        Function::new(
            "array_min",
            1,
            1,
            |call| Ok(item_of(call, 0)?.nullable(true)),
            |rows| extreme(rows, Ordering::Less),
        ),
        Function::new("array_append", 2, 2, |call| with_element_type(call, 0, 1), |rows| with_element(rows, 0, 1)),
        Function::new("array_prepend", 2, 2, |call| with_element_type(call, 0, 1), |rows| with_element(rows, 1, 0)),
        Function::new("array_join", 2, 3, join_type, join),
    ]
}

/// The type of the first argument, an array.
pub(super) fn same_array(call: &Call<'_>) -> Result<SqlType> {
    let item = item_of(call, 0)?;
    Ok(SqlType::new(array_of(&item), call.fields[0].is_nullable()))
}

fn contains_type(call: &Call<'_>) -> Result<SqlType> {
    common_item(call, &[item_of(call, 0)?, call.argument(1)])?;
    Ok(SqlType::new(DataType::Boolean, call.fields[0].is_nullable()))
}

fn found_type(call: &Call<'_>, data_type: DataType) -> Result<SqlType> {
    common_item(call, &[item_of(call, 0)?, call.argument(1)])?;
    call.plain(data_type)
}

/// Whether an element equals the needle; a null needle finds a null element.
fn contains(rows: &Rows<'_>) -> Result<ArrayRef> {
    let item = shared_item(rows, 0, 1)?;
    let list = lists_of(rows, 0..1, &item)?.remove(0);
    let [elements, needles] = keys([list.values(), &cast_to(rows, 1, &item)?])?;
    let mut found = BooleanBuilder::with_capacity(list.len());
    for row in 0..list.len() {
        if list.is_null(row) {
            found.append_null();
        } else {
            let needle = needles.row(row);
            found.append_value(range(list.value_offsets(), row).any(|at| elements.row(at) == needle));
        }
    }
    Ok(Arc::new(found.finish()))
}

/// The place of the first element that equals the needle, from 1; 0 if there is none.
fn position(rows: &Rows<'_>) -> Result<ArrayRef> {
    let item = shared_item(rows, 0, 1)?;
    let list = lists_of(rows, 0..1, &item)?.remove(0);
    let needle = cast_to(rows, 1, &item)?;
    let [elements, needles] = keys([list.values(), &needle])?;
    let mut found = Int64Builder::with_capacity(list.len());
    for row in 0..list.len() {
        if list.is_null(row) || needle.is_null(row) {
            found.append_null();
        } else {
            let place = range(list.value_offsets(), row).position(|at| elements.row(at) == needles.row(row));
            found.append_value(place.map_or(0, |place| place as i64 + 1));
        }
    }
    Ok(Arc::new(found.finish()))
}

/// All elements but those that equal the needle.
fn remove(rows: &Rows<'_>) -> Result<ArrayRef> {
    let item = shared_item(rows, 0, 1)?;
    let shared = lists_of(rows, 0..1, &item)?.remove(0);
    let [elements, needles] = keys([shared.values(), &cast_to(rows, 1, &item)?])?;
    let list = as_list(&rows.array(0)?)?;
    let mut picks = Picks::new(list.len());
    for row in 0..list.len() {
        if list.is_null(row) {
            picks.null();
            continue;
        }
        for (at, of_shared) in range(list.value_offsets(), row).zip(range(shared.value_offsets(), row)) {
            if elements.row(of_shared) != needles.row(row) {
                picks.pick(at);
            }
        }
        picks.close();
    }
    picks.list(list.values(), rows.result)
}

fn reverse(rows: &Rows<'_>) -> Result<ArrayRef> {
    let list = as_list(&rows.array(0)?)?;
    let mut picks = Picks::new(list.len());
    for row in 0..list.len() {
        if list.is_null(row) {
            picks.null();
        } else {
            range(list.value_offsets(), row).rev().for_each(|at| picks.pick(at));
            picks.close();
        }
    }
    picks.list(list.values(), rows.result)
}

fn slice_type(call: &Call<'_>) -> Result<SqlType> {
    Ok(same_array(call)?.nullable(call.any_nullable()))
}

/// Elements from `start` to `end`, both counted from 1 and included; negative ones count from the end, 0 is 1.
fn slice(rows: &Rows<'_>) -> Result<ArrayRef> {
    let list = as_list(&rows.array(0)?)?;
    let bound = |argument| cast_to(rows, argument, &Field::new("", DataType::Int64, true));
    let starts = bound(1)?;
    let ends = if rows.arguments() > 2 { Some(bound(2)?) } else { None };
    let starts = starts.as_primitive::<Int64Type>();
    let ends = ends.as_ref().map(|ends| ends.as_primitive::<Int64Type>());
    let mut picks = Picks::new(list.len());
    for row in 0..list.len() {
        if list.is_null(row) || starts.is_null(row) || ends.is_some_and(|ends| ends.is_null(row)) {
            picks.null();
            continue;
        }
        let elements = range(list.value_offsets(), row);
        let count = elements.len() as i64;
        let place = |place: i64| if place < 0 { place.saturating_add(count + 1) } else { place };
        let start = place(starts.value(row)).max(1);
        let end = match place(ends.map_or(count, |ends| ends.value(row))) {
            0 => 1.min(count),
            end => end.min(count),
        };
        (start..=end).for_each(|place| picks.pick(elements.start + place as usize - 1));
        picks.close();
    }
    picks.list(list.values(), rows.result)
}

fn sort_type(call: &Call<'_>) -> Result<SqlType> {
    for argument in 1..call.fields.len() {
        if call.literals[argument].is_none() {
            return Err(call.wrong(argument, "the literal TRUE or FALSE"));
        }
    }
    same_array(call)
}

/// Ascending with nulls first, or descending with nulls last; a third argument places the nulls otherwise.
fn sort(rows: &Rows<'_>) -> Result<ArrayRef> {
    use datafusion::common::ScalarValue::Boolean;
    let flag = |argument| match rows.constant(argument) {
        Some(Boolean(flag)) => *flag,
        _ => None,
    };
    let ascending = flag(1).unwrap_or(true);
    let options = SortOptions { descending: !ascending, nulls_first: flag(2).unwrap_or(ascending) };
    let list = as_list(&rows.array(0)?)?;
    let [elements] = keys_sorted([list.values()], options)?;
    let mut picks = Picks::new(list.len());
    for row in 0..list.len() {
        if list.is_null(row) {
            picks.null();
        } else {
            range(list.value_offsets(), row).for_each(|at| picks.pick(at));
            picks.open().sort_by(|a, b| elements.row(*a as usize).cmp(&elements.row(*b as usize)));
            picks.close();
        }
    }
    picks.list(list.values(), rows.result)
}

/// The largest or smallest element; nulls do not count.
fn extreme(rows: &Rows<'_>, wanted: Ordering) -> Result<ArrayRef> {
    let list = as_list(&rows.array(0)?)?;
    let values = list.values();
    let [elements] = keys([values])?;
    let best: UInt32Array = (0..list.len())
        .map(|row| {
            let candidates = range(list.value_offsets(), row).filter(|at| list.is_valid(row) && values.is_valid(*at));
            let better = |a: usize, b: usize| if elements.row(b).cmp(&elements.row(a)) == wanted { b } else { a };
            candidates.reduce(better).map(|at| at as u32)
        })
        .collect();
    Ok(compute::take(values, &best, None)?)
}

fn with_element_type(call: &Call<'_>, array: usize, element: usize) -> Result<SqlType> {
    let item = common_item(call, &[item_of(call, array)?, call.argument(element)])?;
    Ok(SqlType::new(array_of(&item), call.fields[array].is_nullable()))
}

/// The array (argument 0) and the element (argument 1), in the order of `first` and `second`.
fn with_element(rows: &Rows<'_>, first: usize, second: usize) -> Result<ArrayRef> {
    let Some(item) = item_field(rows.result.data_type()) else { return rows.array(0) };
    let item = item.as_ref().clone().with_nullable(true);
    let list = lists_of(rows, 0..1, &item)?.remove(0);
    let element = cast_to(rows, 1, &item)?;
    let values = compute::concat(&[list.values().as_ref(), element.as_ref()])?;
    let mut picks = Picks::new(list.len());
    for row in 0..list.len() {
        if list.is_null(row) {
            picks.null();
            continue;
        }
        for part in [first, second] {
            match part {
                0 => range(list.value_offsets(), row).for_each(|at| picks.pick(at)),
                _ => picks.pick(list.values().len() + row),
            }
        }
        picks.close();
    }
    picks.list(&values, rows.result)
}

fn join_type(call: &Call<'_>) -> Result<SqlType> {
    item_of(call, 0)?;
    call.plain(DataType::Utf8)
}

/// The elements in text with the delimiter between them; nulls are left out, or replaced by the third argument.
fn join(rows: &Rows<'_>) -> Result<ArrayRef> {
    let list = as_list(&rows.array(0)?)?;
    let item = item_field(list.data_type()).map_or(Field::new("", DataType::Null, true), |item| item.as_ref().clone());
    let push = to_text(list.values().as_ref(), &item, rows.zone)?;
    let delimiters = rows.strings(1)?;
    let replacements = if rows.arguments() > 2 { Some(rows.strings(2)?) } else { None };
    let mut builder = StringBuilder::with_capacity(list.len(), list.values().len() * 8);
    let mut text = String::new();
    for row in 0..list.len() {
        let replacement = replacements.as_ref().map(|texts| texts.is_valid(row).then(|| texts.value(row)));
        if list.is_null(row) || delimiters.is_null(row) || replacement == Some(None) {
            builder.append_null();
            continue;
        }
        text.clear();
        let mut separator = "";
        for at in range(list.value_offsets(), row) {
            if list.values().is_null(at) && replacement.is_none() {
                continue;
            }
            text.push_str(separator);
            separator = delimiters.value(row);
            match replacement.flatten() {
                Some(replacement) if list.values().is_null(at) => text.push_str(replacement),
                _ => push(at, &mut text),
            }
        }
        builder.append_value(&text);
    }
    Ok(Arc::new(builder.finish()))
}
