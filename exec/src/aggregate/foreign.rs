//! An aggregate of DataFusion's behind our trait: everything that Flink lacks, and `ORDER BY` inside an aggregate.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::SortOptions;
use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr::Accumulator as ForeignAccumulator;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;

use super::lists::{Finish, Lists};
use super::sorted::{sort_lists, take_all};
use super::types::{gather, grow};
use super::{Accumulator, AggregateCall, AggregateFunction, Resolved};
use crate::error::{Error, Result};

/// An aggregate of DataFusion's, ready to be computed: with its arguments, `DISTINCT`, null treatment and `ORDER BY`.
///
/// Its accumulators are fed the arguments, and after them the columns of `ORDER BY`.
#[derive(Clone)]
pub struct Foreign {
    aggregate: Arc<AggregateFunctionExpr>,
    name: String,
}

impl Foreign {
    pub fn new(aggregate: Arc<AggregateFunctionExpr>) -> Foreign {
        Foreign { name: aggregate.fun().name().to_uppercase(), aggregate }
    }

    fn open(&self) -> Result<Box<dyn ForeignAccumulator>> {
        Ok(self.aggregate.create_accumulator()?)
    }
}

impl fmt::Debug for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Foreign({})", self.aggregate.name())
    }
}

impl AggregateFunction for Foreign {
    fn name(&self) -> &str {
        &self.name
    }

    /// The arguments have been coerced already: that was DataFusion's analyzer.
    fn resolve(&self, arguments: &[DataType]) -> Result<Resolved> {
        let result = self.aggregate.field();
        Ok(Resolved {
            arguments: arguments.to_vec(),
            result: result.data_type().clone(),
            nullable: result.is_nullable(),
        })
    }

    /// Over an updating input it keeps all rows of a group and computes the result from them each time: nothing is known of these
    /// functions that would let a row be taken out. The same with `ORDER BY`, for which some count on sorted input.
    fn accumulator(&self, call: &AggregateCall) -> Result<Box<dyn Accumulator>> {
        if call.retracting || !self.aggregate.order_bys().is_empty() {
            return Ok(Box::new(Lists::new(call.argument_types(), false, Replay(self.clone()))?));
        }
        let state_types = self.aggregate.state_fields()?.iter().map(|field| field.data_type().clone()).collect();
        Ok(Box::new(Foreigners { function: self.clone(), state_types, slots: Vec::new(), bytes: 0 }))
    }
}

/// Computes the result from the rows of a group.
struct Replay(Foreign);

impl Finish for Replay {
    fn finish(&self, lengths: &[usize], columns: &[ArrayRef]) -> Result<ArrayRef> {
        let order_bys = self.0.aggregate.order_bys();
        let order = &columns[columns.len() - order_bys.len()..];
        let options: Vec<SortOptions> = order_bys.iter().map(|sort| sort.options).collect();
        let columns = match order_bys {
            [] => columns.to_vec(),
            _ => take_all(columns, &sort_lists(lengths, order, &options)?)?,
        };
        let mut row = 0;
        let mut results = Vec::with_capacity(lengths.len());
        for &length in lengths {
            let rows: Vec<ArrayRef> = columns.iter().map(|column| column.slice(row, length)).collect();
            let mut accumulator = self.0.open()?;
            accumulator.update_batch(&rows)?;
            results.push(accumulator.evaluate()?);
            row += length;
        }
        to_array(results, self.0.aggregate.field().data_type())
    }
}

/// One accumulator of DataFusion's per group, for rows that only appear.
///
/// These give their state away when asked for it (but not when asked for the result), so one made from that state takes its place.
struct Foreigners {
    function: Foreign,
    state_types: Vec<DataType>,
    slots: Vec<Slot>,
    bytes: usize,
}

type Slot = RefCell<Option<Box<dyn ForeignAccumulator>>>;

impl Foreigners {
    /// Calls `feed` once per group that occurs, with the rows of that group in order.
    fn per_group(
        &mut self,
        groups: &[u32],
        columns: &[ArrayRef],
        feed: impl Fn(&mut dyn ForeignAccumulator, &[ArrayRef]) -> datafusion_common::Result<()>,
    ) -> Result<()> {
        let mut order: Vec<u32> = (0..groups.len() as u32).collect();
        order.sort_by_key(|row| groups[*row as usize]);
        let columns = take_all(columns, &UInt32Array::from(order.clone()))?;
        let mut start = 0;
        for run in gather(groups, &order).chunk_by(|a, b| a == b) {
            let rows: Vec<ArrayRef> = columns.iter().map(|column| column.slice(start, run.len())).collect();
            let slot = self.slots[run[0] as usize].get_mut();
            let before = slot.as_ref().map_or(0, |accumulator| accumulator.size());
            let accumulator = match slot {
                Some(accumulator) => accumulator,
                empty => empty.insert(self.function.open()?),
            };
            feed(accumulator.as_mut(), &rows)?;
            self.bytes = (self.bytes + accumulator.size()).saturating_sub(before);
            start += run.len();
        }
        Ok(())
    }

    fn state_of(&self, slot: &Slot) -> Result<Vec<ScalarValue>> {
        let mut slot = slot.borrow_mut();
        let Some(accumulator) = slot.as_mut() else { return Ok(self.function.open()?.state()?) };
        let state = accumulator.state()?;
        *slot = Some(self.restored(&state)?);
        Ok(state)
    }

    fn restored(&self, state: &[ScalarValue]) -> Result<Box<dyn ForeignAccumulator>> {
        let mut accumulator = self.function.open()?;
        let state = state.iter().map(ScalarValue::to_array).collect::<Result<Vec<_>, _>>()?;
        accumulator.merge_batch(&state)?;
        Ok(accumulator)
    }
}

impl Accumulator for Foreigners {
    fn resize(&mut self, groups: usize) {
        grow(&mut self.slots, groups);
    }

    fn update(&mut self, groups: &[u32], arguments: &[ArrayRef], weights: Option<&[i64]>) -> Result<()> {
        if weights.is_some_and(|weights| weights.iter().any(|weight| *weight != 1)) {
            return Err(Error::new(format!("cannot take rows out of {}", self.function.name))
                .why("it was planned for rows that only appear"));
        }
        self.per_group(groups, arguments, |accumulator, rows| accumulator.update_batch(rows))
    }

    fn state_types(&self) -> Vec<DataType> {
        self.state_types.clone()
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut columns: Vec<Vec<ScalarValue>> = vec![Vec::with_capacity(groups.len()); self.state_types.len()];
        for &group in groups {
            let state = self.state_of(&self.slots[group as usize])?;
            columns.iter_mut().zip(state).for_each(|(column, value)| column.push(value));
        }
        columns.into_iter().zip(&self.state_types).map(|(column, data_type)| to_array(column, data_type)).collect()
    }

    fn merge(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        self.per_group(groups, state, |accumulator, rows| accumulator.merge_batch(rows))
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        let mut results = Vec::with_capacity(groups.len());
        for &group in groups {
            results.push(match self.slots[group as usize].borrow_mut().as_mut() {
                Some(accumulator) => accumulator.evaluate()?,
                None => self.function.open()?.evaluate()?,
            });
        }
        to_array(results, self.function.aggregate.field().data_type())
    }

    fn clear(&mut self, groups: &[u32]) {
        for &group in groups {
            if let Some(accumulator) = self.slots[group as usize].take() {
                self.bytes = self.bytes.saturating_sub(accumulator.size());
            }
        }
    }

    fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>() + self.bytes
    }
}

fn to_array(values: Vec<ScalarValue>, data_type: &DataType) -> Result<ArrayRef> {
    if values.is_empty() {
        return Ok(arrow::array::new_empty_array(data_type));
    }
    Ok(ScalarValue::iter_to_array(values)?)
}
