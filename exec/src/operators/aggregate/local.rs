//! The phase before the exchange: rows become partial states, one per key; or one per row, as long as there are almost as many keys as rows.

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

/// Where this many rows are almost as many groups, gathering costs more than it saves.
const GATHERED_MIN: usize = if cfg!(test) { 4 } else { 8 * 1024 };

/// For so many times as many rows then, each is a partial result of its own.
const PASSED_PER_GATHERED: usize = if cfg!(test) { 2 } else { 32 };

pub(super) struct LocalAggregating {
    groups: Groups,
    /// Rows in `groups`.
    gathered: usize,
    /// So many rows are still to be passed on one by one.
    passing: usize,
    /// States of single rows; it has no keys.
    singles: Groups,
    keys: Vec<usize>,
    schema: SchemaRef,
}

impl Operator for LocalAggregating {
    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        let keys: Vec<ArrayRef> = self.keys.iter().map(|&key| Arc::clone(batch.rows().column(key))).collect();
        if self.passing > 0 {
            self.passing = self.passing.saturating_sub(batch.len());
            return self.pass(keys, &batch, out);
        }
        let mut groups = Vec::new();
        self.groups.intern(&keys, batch.len(), &mut groups)?;
        self.gathered += batch.len();
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
        let (groups, singles) = (Groups::new(key_types, columns)?, Groups::new(&[], columns)?);
        Ok(LocalAggregating { groups, gathered: 0, passing: 0, singles, keys, schema })
    }

    /// Each row as a partial result.
    fn pass(&mut self, keys: Vec<ArrayRef>, batch: &Batch, out: &mut Output) -> Result<()> {
        let rows: Vec<u32> = (0..batch.len() as u32).collect();
        self.singles.make_room(rows.len());
        self.singles.update(&rows, batch.rows(), batch.weights().map(|weights| &weights.values()[..]))?;
        let columns = keys.into_iter().chain(self.singles.partials_of(&rows)?).collect();
        self.singles.reset(&rows);
        out.send(Batch::append(RecordBatch::try_new(Arc::clone(&self.schema), columns)?));
        Ok(())
    }

    fn emit(&mut self, out: &mut Output) -> Result<()> {
        if self.groups.keys.is_empty() {
            return Ok(());
        }
        let all: Vec<u32> = self.groups.keys.live().collect();
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), self.groups.partials(&all)?)?;
        out.send(Batch::append(rows));
        self.groups.clear();
        let gathered = std::mem::take(&mut self.gathered);
        if gathered >= GATHERED_MIN && all.len() > gathered / 4 * 3 {
            self.passing = gathered * PASSED_PER_GATHERED;
        }
        Ok(())
    }
}
