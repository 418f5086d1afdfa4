//! Arrays as sets: distinct elements, union, difference, intersection; and their concatenation.

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef};
use arrow::compute;
use arrow::row::Row;
use tidemill_exec::{Error, Result};

use super::array::same_array;
use crate::functions::function::{Call, Function, Rows};
use crate::functions::lists::{Picks, common_item, item_of, keys, lists_of, range};
use crate::types::{SqlType, array_of, item_field};

pub fn all() -> Vec<Function> {
    vec![
        Function::new("array_distinct", 1, 1, same_array, |rows| combine(rows, Keep::Distinct)),
        Function::new("array_union", 2, 2, combined_type, |rows| combine(rows, Keep::Distinct)),
        Function::new("array_concat", 1, usize::MAX, combined_type, |rows| combine(rows, Keep::All)),
        Function::new("array_except", 2, 2, except_type, |rows| combine(rows, Keep::NotInSecond)),
        Function::new("array_intersect", 2, 2, combined_type, |rows| combine(rows, Keep::InSecond)),
    ]
}

/// Which elements of the arguments, read one after the other, the result has.
#[derive(Clone, Copy, PartialEq)]
enum Keep {
    All,
    Distinct,
    /// Distinct ones of the first argument.
    NotInSecond,
    InSecond,
}

fn combined_type(call: &Call<'_>) -> Result<SqlType> {
    let items: Result<Vec<SqlType>> = (0..call.fields.len()).map(|argument| item_of(call, argument)).collect();
    Ok(SqlType::new(array_of(&common_item(call, &items?)?), call.any_nullable()))
}

/// Nothing is taken away by a null array.
fn except_type(call: &Call<'_>) -> Result<SqlType> {
    Ok(combined_type(call)?.nullable(call.fields[0].is_nullable()))
}

fn combine(rows: &Rows<'_>, keep: Keep) -> Result<ArrayRef> {
    let Some(item) = item_field(rows.result.data_type()) else { return Err(Error::new("the result is an array")) };
    let lists = lists_of(rows, 0..rows.arguments(), item)?;
    let values: Vec<&dyn Array> = lists.iter().map(|list| list.values().as_ref()).collect();
    let values = compute::concat(&values)?;
    let [elements] = keys([&values])?;
    // Where the elements of each argument start among all of them.
    let mut starts = Vec::with_capacity(lists.len());
    let mut total = 0;
    for list in &lists {
        starts.push(total);
        total += list.values().len();
    }
    let places = |argument: usize, row: usize| {
        let elements = range(lists[argument].value_offsets(), row);
        starts[argument] + elements.start..starts[argument] + elements.end
    };
    let mut picks = Picks::new(rows.len);
    let mut seen: HashSet<Row<'_>> = HashSet::new();
    let mut second: HashSet<Row<'_>> = HashSet::new();
    for row in 0..rows.len {
        let is_null = |argument: usize| lists[argument].is_null(row);
        if is_null(0) || (keep != Keep::NotInSecond && (1..lists.len()).any(is_null)) {
            picks.null();
            continue;
        }
        seen.clear();
        second.clear();
        let of_first_only = matches!(keep, Keep::InSecond | Keep::NotInSecond);
        if of_first_only && !is_null(1) {
            second.extend(places(1, row).map(|at| elements.row(at)));
        }
        for argument in 0..if of_first_only { 1 } else { lists.len() } {
            for at in places(argument, row) {
                let element = elements.row(at);
                let wanted = match keep {
                    Keep::All => true,
                    Keep::Distinct => seen.insert(element),
                    Keep::NotInSecond => !second.contains(&element) && seen.insert(element),
                    Keep::InSecond => second.contains(&element) && seen.insert(element),
                };
                if wanted {
                    picks.pick(at);
                }
            }
        }
        picks.close();
    }
    picks.list(&values, rows.result)
}
