//! The phase before the exchange: rows become partial states, one per key.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};

use super::AggregateColumn;
use super::groups::Groups;
use crate::error::Result;
use crate::message::{Barrier, Batch};
use crate::operator::{Input, Operator, Output};

/// Partial results go out at the latest when so many keys have gathered: the exchange evens out, and memory stays bounded.
pub(in crate::operators) const LOCAL_GROUPS: usize = 32 * 1024;

/// The same for long keys.
pub(in crate::operators) const LOCAL_BYTES: usize = 16 << 20;

pub(super) struct LocalAggregating {
    groups: Groups,
    keys: Vec<usize>,
    schema: SchemaRef,
}

impl Operator for LocalAggregating {
    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        let keys: Vec<ArrayRef> = self.keys.iter().map(|&key| Arc::clone(batch.rows().column(key))).collect();
        let mut groups = Vec::new();
        self.groups.intern(&keys, batch.len(), &mut groups)?;
        self.groups.update(&groups, batch.rows(), batch.weights().map(|weights| &weights.values()[..]))?;
        if self.groups.keys.len() >= LOCAL_GROUPS || self.groups.keys.bytes() > LOCAL_BYTES {
            self.emit(out)?;
        }
        Ok(())
    }

    fn on_barrier(&mut self, _: &Barrier, out: &mut Output) -> Result<()> {
        self.emit(out)
    }
}

impl LocalAggregating {
    pub(super) fn new(
        key_types: &[DataType],
        keys: Vec<usize>,
        columns: &[AggregateColumn],
        schema: SchemaRef,
    ) -> Result<LocalAggregating> {
        Ok(LocalAggregating { groups: Groups::new(key_types, columns)?, keys, schema })
    }

    fn emit(&mut self, out: &mut Output) -> Result<()> {
        if self.groups.keys.is_empty() {
            return Ok(());
        }
        let all: Vec<u32> = self.groups.keys.live().collect();
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), self.groups.partials(&all)?)?;
        out.send(Batch::append(rows));
        self.groups.clear();
        Ok(())
    }
}
