//! Former and present results, compared.

use arrow::array::{Array, ArrayRef, DynComparator};
use arrow::compute;

use crate::compare::comparator;
use crate::error::Result;

/// Former and present results one after the other, comparable by row.
pub(super) struct Results {
    pub(super) columns: Vec<ArrayRef>,
    comparators: Vec<DynComparator>,
}

impl Results {
    pub(super) fn new(before: &[Vec<ArrayRef>], now: Vec<ArrayRef>, rows_before: u32) -> Result<Results> {
        if rows_before == 0 {
            return Ok(Results { columns: now, comparators: Vec::new() });
        }
        let mut columns = Vec::with_capacity(now.len());
        let mut comparators = Vec::with_capacity(now.len());
        for (n, now) in now.into_iter().enumerate() {
            let mut parts: Vec<&dyn Array> = before.iter().map(|part| part[n].as_ref()).collect();
            parts.push(now.as_ref());
            let column = compute::concat(&parts)?;
            comparators.push(comparator(&column)?);
            columns.push(column);
        }
        Ok(Results { columns, comparators })
    }

    pub(super) fn equal(&self, a: u32, b: u32) -> bool {
        self.comparators.iter().all(|compare| compare(a as usize, b as usize).is_eq())
    }
}
