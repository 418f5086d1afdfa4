//! `COLLECT`: the values of a group as a multiset.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int32Array, Int64Array, MapArray, StructArray, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute;
use arrow::datatypes::{DataType, Field, Fields};

use super::counted;
use super::distinct::Distinct;
use super::multiset::Multiset;
use super::types::{plain, refuse};
use super::{Accumulator, AggregateCall, AggregateFunction, Resolved};
use crate::error::Result;

/// `MULTISET<element>`: a map from element to how often it is in.
pub fn multiset_type(element: &DataType) -> DataType {
    DataType::Map(entries_field(element), false)
}

fn entries_field(element: &DataType) -> Arc<Field> {
    Arc::new(Field::new("entries", DataType::Struct(entry_fields(element)), false))
}

fn entry_fields(element: &DataType) -> Fields {
    [Field::new("key", element.clone(), false), Field::new("value", DataType::Int32, false)].into_iter().collect()
}

/// `COLLECT(x)`: without nulls; empty, not null, where nothing is in.
#[derive(Debug)]
pub(super) struct Collect;

impl AggregateFunction for Collect {
    fn name(&self) -> &str {
        "COLLECT"
    }

    fn resolve(&self, arguments: &[DataType]) -> Result<Resolved> {
        match arguments {
            [argument] => {
                let element = plain(argument);
                let result = multiset_type(&element);
                Ok(Resolved { arguments: vec![element], result, nullable: false })
            }
            _ => Err(refuse(self.name(), arguments, "one argument")),
        }
    }

    fn accumulator(&self, call: &AggregateCall) -> Result<Box<dyn Accumulator>> {
        if call.distinct {
            return Distinct::over(self, call);
        }
        let element = call.argument_type().clone();
        Ok(Box::new(Collecting { values: Multiset::new(vec![element.clone()])?, element }))
    }
}

struct Collecting {
    element: DataType,
    values: Multiset,
}

impl Accumulator for Collecting {
    fn resize(&mut self, groups: usize) {
        self.values.resize(groups);
    }

    fn update(&mut self, groups: &[u32], arguments: &[ArrayRef], weights: Option<&[i64]>) -> Result<()> {
        let Some(nulls) = arguments[0].logical_nulls().filter(|nulls| nulls.null_count() > 0) else {
            return self.values.add(groups, arguments, weights, |_, _| {});
        };
        let valid = BooleanArray::new(nulls.inner().clone(), None);
        let values = compute::filter(&arguments[0], &valid)?;
        let groups = compute::filter(&UInt32Array::from(groups.to_vec()), &valid)?;
        let weights =
            weights.map(|weights| compute::filter(&Int64Array::from(weights.to_vec()), &valid)).transpose()?;
        let weights: Option<Int64Array> = weights.map(|weights| weights.to_data().into());
        let groups: UInt32Array = groups.to_data().into();
        self.values.add(groups.values(), &[values], weights.as_ref().map(|weights| &weights.values()[..]), |_, _| {})
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![self.values.state_type()]
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.values.state(groups)?])
    }

    fn merge(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let rows = counted::unpack(groups, &state[0])?;
        self.values.add(&rows.groups, &rows.columns, Some(&rows.counts), |_, _| {})
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        let (lengths, mut columns, counts) = self.values.rows(groups, |count| count > 0)?;
        let counts = counts.into_iter().map(|count| i32::try_from(count).unwrap_or(i32::MAX));
        columns.push(Arc::new(Int32Array::from_iter_values(counts)));
        let entries = StructArray::try_new(entry_fields(&self.element), columns, None)?;
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(Arc::new(MapArray::try_new(entries_field(&self.element), offsets, entries, None, false)?))
    }

    fn clear(&mut self, groups: &[u32]) {
        self.values.clear(groups);
    }

    fn bytes(&self) -> usize {
        self.values.bytes()
    }
}
