//! `COUNT`, and `APPROX_COUNT_DISTINCT`, which here is exact.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Int64Type};

use super::distinct::Distinct;
use super::types::{combine, gather, grow, plain, refuse, reset, scatter};
use super::{Accumulator, AggregateCall, AggregateFunction, Resolved, same};
use crate::error::Result;

/// `COUNT(*)` counts rows, `COUNT(a, b)` rows in which none of them is null.
#[derive(Debug)]
pub(super) struct Count;

impl AggregateFunction for Count {
    fn name(&self) -> &str {
        "COUNT"
    }

    fn resolve(&self, arguments: &[DataType]) -> Result<Resolved> {
        Ok(Resolved { arguments: arguments.iter().map(plain).collect(), result: DataType::Int64, nullable: false })
    }

    fn counts_rows(&self, call: &AggregateCall) -> bool {
        call.arguments.is_empty() && !call.distinct
    }

    fn accumulator(&self, call: &AggregateCall) -> Result<Box<dyn Accumulator>> {
        if call.distinct {
            return Distinct::over(self, call);
        }
        Ok(Box::new(Counting { counts: Vec::new() }))
    }
}

/// Exact, because a streaming job keeps its values anyway to take them out again; a sketch could only add.
#[derive(Debug)]
pub(super) struct ApproxCountDistinct;

impl AggregateFunction for ApproxCountDistinct {
    fn name(&self) -> &str {
        "APPROX_COUNT_DISTINCT"
    }

    fn resolve(&self, arguments: &[DataType]) -> Result<Resolved> {
        match arguments {
            [_] => Count.resolve(arguments),
            _ => Err(refuse(self.name(), arguments, "one argument")),
        }
    }

    fn accumulator(&self, call: &AggregateCall) -> Result<Box<dyn Accumulator>> {
        Distinct::over(&Count, call)
    }
}

struct Counting {
    counts: Vec<i64>,
}

impl Accumulator for Counting {
    fn resize(&mut self, groups: usize) {
        grow(&mut self.counts, groups);
    }

    fn update(&mut self, groups: &[u32], arguments: &[ArrayRef], weights: Option<&[i64]>) -> Result<()> {
        let nulls = arguments.iter().fold(None, |nulls: Option<NullBuffer>, argument| {
            NullBuffer::union(nulls.as_ref(), argument.logical_nulls().as_ref())
        });
        match (weights, nulls.as_ref().filter(|nulls| nulls.null_count() > 0)) {
            (Some(weights), nulls) => scatter(&mut self.counts, groups, weights, nulls, |count, w| *count += w),
            (None, None) => groups.iter().for_each(|&group| self.counts[group as usize] += 1),
            (None, Some(nulls)) => nulls.valid_indices().for_each(|row| self.counts[groups[row] as usize] += 1),
        }
        Ok(())
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::Int64]
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(groups)?])
    }

    fn merge(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let counts = state[0].as_primitive::<Int64Type>();
        scatter(&mut self.counts, groups, counts.values(), counts.nulls(), |count, more| *count += more);
        Ok(())
    }

    fn absorb(&mut self, groups: &[u32], other: &dyn Accumulator, of_other: &[u32]) -> Result<()> {
        combine(&mut self.counts, groups, &same::<Counting>(other).counts, of_other, |count, more| *count += more);
        Ok(())
    }

    fn is_invertible(&self) -> bool {
        true
    }

    fn take_out(&mut self, groups: &[u32], other: &dyn Accumulator, of_other: &[u32]) -> Result<()> {
        combine(&mut self.counts, groups, &same::<Counting>(other).counts, of_other, |count, less| *count -= less);
        Ok(())
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from(gather(&self.counts, groups))))
    }

    fn clear(&mut self, groups: &[u32]) {
        reset(&mut self.counts, groups);
    }

    fn bytes(&self) -> usize {
        self.counts.capacity() * size_of::<i64>()
    }
}
