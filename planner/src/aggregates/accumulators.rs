//! Our accumulators behind DataFusion's two traits: many groups at once, and a single one.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow::compute;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{self, EmitTo, GroupsAccumulator};
use tidemill_exec::aggregate::{Accumulator, AggregateCall};

fn open(call: &AggregateCall) -> Result<Box<dyn Accumulator>> {
    Ok(call.function.accumulator(call)?)
}

/// Groups `0..n`.
fn first(n: usize) -> Vec<u32> {
    (0..n as u32).collect()
}

/// Many groups. What is emitted is also removed, and the numbers of the rest move down: that is done by state.
pub(super) struct Grouped {
    call: AggregateCall,
    inner: Box<dyn Accumulator>,
    groups: usize,
}

impl Grouped {
    pub fn new(call: AggregateCall) -> Result<Grouped> {
        Ok(Grouped { inner: open(&call)?, call, groups: 0 })
    }

    fn resize(&mut self, groups: usize) {
        self.groups = self.groups.max(groups);
        self.inner.resize(self.groups);
    }

    /// Forgets groups `0..emitted`.
    fn forget(&mut self, emitted: usize) -> Result<()> {
        let mut rest = open(&self.call)?;
        let kept = self.groups - emitted;
        if kept > 0 {
            let state = self.inner.state(&first(self.groups)[emitted..])?;
            rest.resize(kept);
            rest.merge(&first(kept), &state)?;
        }
        (self.inner, self.groups) = (rest, kept);
        Ok(())
    }

    fn emitted(&self, emit_to: EmitTo) -> usize {
        match emit_to {
            EmitTo::All => self.groups,
            EmitTo::First(n) => n,
        }
    }
}

impl GroupsAccumulator for Grouped {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.resize(total_num_groups);
        let (groups, values) = filtered(group_indices, values, filter)?;
        Ok(self.inner.update(&groups, &values, None)?)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.resize(total_num_groups);
        Ok(self.inner.merge(&numbers(group_indices), values)?)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let emitted = self.emitted(emit_to);
        let results = self.inner.evaluate(&first(emitted))?;
        self.forget(emitted)?;
        Ok(results)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let emitted = self.emitted(emit_to);
        let state = self.inner.state(&first(emitted))?;
        self.forget(emitted)?;
        Ok(state)
    }

    /// Each row as a group of its own.
    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |column| column.len());
        let (groups, values) = filtered(&(0..rows).collect::<Vec<_>>(), values, filter)?;
        let mut accumulator = open(&self.call)?;
        accumulator.resize(rows);
        accumulator.update(&groups, &values, None)?;
        Ok(accumulator.state(&first(rows))?)
    }

    fn size(&self) -> usize {
        self.inner.bytes()
    }
}

/// The rows for which `filter` is true; null counts as false.
fn filtered(groups: &[usize], values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<(Vec<u32>, Vec<ArrayRef>)> {
    let groups = numbers(groups);
    let Some(filter) = filter else { return Ok((groups, values.to_vec())) };
    let values = values.iter().map(|column| compute::filter(column, filter)).collect::<Result<_, _>>()?;
    let kept: UInt32Array = compute::filter(&UInt32Array::from(groups), filter)?.to_data().into();
    Ok((kept.values().to_vec(), values))
}

fn numbers(groups: &[usize]) -> Vec<u32> {
    groups.iter().map(|group| *group as u32).collect()
}

/// One group: aggregates without `GROUP BY`, and `OVER`.
pub(super) struct Single {
    name: String,
    /// Never contended: DataFusion wants accumulators that can be shared, but only one thread has this one.
    inner: Mutex<Box<dyn Accumulator>>,
    retracting: bool,
    zeros: Vec<u32>,
}

impl Single {
    pub fn new(call: AggregateCall) -> Result<Single> {
        let mut inner = open(&call)?;
        inner.resize(1);
        let (name, retracting) = (call.function.name().to_string(), call.retracting);
        Ok(Single { name, inner: Mutex::new(inner), retracting, zeros: Vec::new() })
    }

    /// The accumulator, and group 0 for each of so many rows.
    fn parts(&mut self, rows: usize) -> (&mut dyn Accumulator, &[u32]) {
        self.zeros.resize(rows.max(self.zeros.len()), 0);
        let inner = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        (inner.as_mut(), &self.zeros[..rows])
    }
}

impl fmt::Debug for Single {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)
    }
}

fn rows(columns: &[ArrayRef]) -> usize {
    columns.first().map_or(0, |column| column.len())
}

impl logical_expr::Accumulator for Single {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (inner, groups) = self.parts(rows(values));
        Ok(inner.update(groups, values, None)?)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (inner, groups) = self.parts(rows(values));
        Ok(inner.update(groups, values, Some(&vec![-1; groups.len()]))?)
    }

    fn supports_retract_batch(&self) -> bool {
        self.retracting
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let (inner, groups) = self.parts(rows(states));
        Ok(inner.merge(groups, states)?)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let (inner, group) = self.parts(1);
        ScalarValue::try_from_array(&inner.evaluate(group)?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let (inner, group) = self.parts(1);
        inner.state(group)?.iter().map(|column| ScalarValue::try_from_array(column, 0)).collect()
    }

    fn size(&self) -> usize {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).bytes() + self.zeros.capacity() * size_of::<u32>()
    }
}
