//! `DISTINCT` for any aggregate: what is inside sees a value when it appears in its group, and again when it disappears.

use arrow::array::{ArrayRef, UInt32Array};
use arrow::datatypes::DataType;

use super::counted;
use super::multiset::Multiset;
use super::sorted::take_all;
use super::types::gather;
use super::{Accumulator, AggregateCall, AggregateFunction};
use crate::error::Result;

pub(super) struct Distinct {
    values: Multiset,
    /// A function of `values`: its own state is not kept, but made again from them.
    inner: Box<dyn Accumulator>,
}

impl Distinct {
    /// `function(DISTINCT ..)`.
    pub fn over(function: &dyn AggregateFunction, call: &AggregateCall) -> Result<Box<dyn Accumulator>> {
        let values = Multiset::new(call.argument_types())?;
        Ok(Box::new(Distinct { values, inner: function.accumulator(&call.without_distinct())? }))
    }

    fn add(&mut self, groups: &[u32], columns: &[ArrayRef], weights: Option<&[i64]>) -> Result<()> {
        let (mut rows, mut changes, mut vanished) = (Vec::new(), Vec::new(), false);
        self.values.add(groups, columns, weights, |row, appeared| {
            rows.push(row as u32);
            changes.push(if appeared { 1 } else { -1 });
            vanished |= !appeared;
        })?;
        if rows.is_empty() {
            return Ok(());
        }
        let groups = gather(groups, &rows);
        let columns = take_all(columns, &UInt32Array::from(rows))?;
        self.inner.update(&groups, &columns, vanished.then_some(&changes))
    }
}

impl Accumulator for Distinct {
    fn resize(&mut self, groups: usize) {
        self.values.resize(groups);
        self.inner.resize(groups);
    }

    fn update(&mut self, groups: &[u32], arguments: &[ArrayRef], weights: Option<&[i64]>) -> Result<()> {
        self.add(groups, arguments, weights)
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![self.values.state_type()]
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.values.state(groups)?])
    }

    fn merge(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let rows = counted::unpack(groups, &state[0])?;
        self.add(&rows.groups, &rows.columns, Some(&rows.counts))
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        self.inner.evaluate(groups)
    }

    fn clear(&mut self, groups: &[u32]) {
        self.values.clear(groups);
        self.inner.clear(groups);
    }

    fn bytes(&self) -> usize {
        self.values.bytes() + self.inner.bytes()
    }
}
