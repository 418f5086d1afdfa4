//! Compares rows of one column.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, DynComparator, make_comparator};
use arrow::compute::SortOptions;

use crate::error::Result;

/// Compares rows of `column` by their places in it; a type without an order is compared by content, as equal or not.
pub fn comparator(column: &ArrayRef) -> Result<DynComparator> {
    match make_comparator(column, column, SortOptions::default()) {
        Ok(comparator) => Ok(comparator),
        Err(_) => {
            let column = Arc::clone(column);
            Ok(Box::new(move |a, b| {
                // Only equal or not is asked for.
                if column.slice(a, 1).to_data() == column.slice(b, 1).to_data() {
                    Ordering::Equal
                } else {
                    Ordering::Less
                }
            }))
        }
    }
}
