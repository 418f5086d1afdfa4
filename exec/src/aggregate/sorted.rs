//! `ORDER BY` inside an aggregate: `ARRAY_AGG(item ORDER BY price)`.

use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::{self, SortColumn, SortOptions};
use arrow::datatypes::DataType;

use super::lists::{Finish, Lists};
use super::types::plain;
use super::{Accumulator, AggregateCall, AggregateFunction, Resolved};
use crate::error::Result;

/// An aggregate over the rows of a group in a given order instead of that of arrival. Its arguments are those of the aggregate,
/// then the columns to sort by. Equal rows stay in order of arrival.
///
/// All rows of a group are kept, and sorted whenever the result is asked for.
#[derive(Clone, Debug)]
pub struct Sorted {
    function: Arc<dyn AggregateFunction>,
    order: Vec<SortOptions>,
}

impl Sorted {
    pub fn new(function: Arc<dyn AggregateFunction>, order: Vec<SortOptions>) -> Sorted {
        Sorted { function, order }
    }
}

impl AggregateFunction for Sorted {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn resolve(&self, arguments: &[DataType]) -> Result<Resolved> {
        let (arguments, order) = arguments.split_at(arguments.len().saturating_sub(self.order.len()));
        let mut resolved = self.function.resolve(arguments)?;
        resolved.arguments.extend(order.iter().map(plain));
        Ok(resolved)
    }

    fn accumulator(&self, call: &AggregateCall) -> Result<Box<dyn Accumulator>> {
        let mut inner = AggregateCall { function: Arc::clone(&self.function), retracting: false, ..call.clone() };
        inner.arguments.truncate(call.arguments.len() - self.order.len());
        // Fails now rather than at the first result.
        self.function.accumulator(&inner)?;
        let finish = SortAndFeed { call: inner, order: self.order.clone() };
        Ok(Box::new(Lists::new(call.argument_types(), false, finish)?))
    }
}

struct SortAndFeed {
    call: AggregateCall,
    order: Vec<SortOptions>,
}

impl Finish for SortAndFeed {
    fn finish(&self, lengths: &[usize], columns: &[ArrayRef]) -> Result<ArrayRef> {
        let (arguments, order) = columns.split_at(self.call.arguments.len());
        let sorted = sort_lists(lengths, order, &self.order)?;
        let arguments = take_all(arguments, &sorted)?;
        let mut accumulator = self.call.function.accumulator(&self.call)?;
        accumulator.resize(lengths.len());
        accumulator.update(&list_numbers(lengths), &arguments, None)?;
        accumulator.evaluate(&(0..lengths.len() as u32).collect::<Vec<_>>())
    }
}

/// Which list each row is in, for lists of these lengths one after another.
fn list_numbers(lengths: &[usize]) -> Vec<u32> {
    (0u32..).zip(lengths).flat_map(|(list, length)| std::iter::repeat_n(list, *length)).collect()
}

/// The rows of all lists, each list sorted within its place; equal rows in their order.
pub(super) fn sort_lists(lengths: &[usize], order: &[ArrayRef], options: &[SortOptions]) -> Result<UInt32Array> {
    let lists = list_numbers(lengths);
    let numbers = |values: Vec<u32>| SortColumn { values: Arc::new(UInt32Array::from(values)), options: None };
    let by = order
        .iter()
        .zip(options)
        .map(|(column, options)| SortColumn { values: ArrayRef::clone(column), options: Some(*options) });
    let arrival = numbers((0..lists.len() as u32).collect());
    let sort: Vec<SortColumn> = [numbers(lists)].into_iter().chain(by).chain([arrival]).collect();
    Ok(compute::lexsort_to_indices(&sort, None)?)
}

pub(super) fn take_all(columns: &[ArrayRef], rows: &UInt32Array) -> Result<Vec<ArrayRef>> {
    Ok(columns.iter().map(|column| compute::take(column, rows, None)).collect::<Result<_, _>>()?)
}
