//! Sessions that hold their rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::SchemaRef;

use super::open::{Closed, Merged, OpenSessions};
use super::running::Contents;
use crate::error::Result;
use crate::message::Batch;
use crate::operator::{Output, TableSnapshot};
use crate::operators::aggregate::PIECE_ROWS;
use crate::operators::window::assign::window_columns;

/// Batches as they came, of rows that only appear, and per slot which of their rows it has. A batch goes when no slot has any.
pub(super) struct Rows {
    blocks: Vec<Block>,
    free: Vec<u32>,
    /// Block and row, in the order in which they came; those of a session that joined another follow its own.
    slots: Vec<Vec<(u32, u32)>>,
    /// Of what comes out: the rows' columns, and the window's.
    schema: SchemaRef,
    /// Where the session's keys are.
    keys: Vec<usize>,
}

struct Block {
    rows: RecordBatch,
    /// Rows that some slot has.
    held: usize,
}

impl Rows {
    pub fn new(schema: SchemaRef, keys: Vec<usize>) -> Rows {
        Rows { blocks: Vec::new(), free: Vec::new(), slots: Vec::new(), schema, keys }
    }

    /// The rows at these places.
    fn gather(&self, places: &[(u32, u32)]) -> Result<RecordBatch> {
        let blocks: Vec<&RecordBatch> = self.blocks.iter().map(|block| &block.rows).collect();
        let places: Vec<(usize, usize)> = places.iter().map(|&(block, row)| (block as usize, row as usize)).collect();
        Ok(interleave_record_batch(&blocks, &places)?)
    }

    fn release(&mut self, block: u32, rows: usize) {
        let held = &mut self.blocks[block as usize];
        held.held -= rows;
        if held.held == 0 {
            held.rows = held.rows.slice(0, 0);
            self.free.push(block);
        }
    }
}

impl Contents for Rows {
    const NAME: &'static str = "session-assign";

    fn is_ordered(&self) -> bool {
        true
    }

    fn add(&mut self, slots: &[u32], room: usize, batch: &Batch) -> Result<()> {
        self.slots.resize(room.max(self.slots.len()), Vec::new());
        let block = match self.free.pop() {
            Some(block) => block,
            None => {
                self.blocks.push(Block { rows: batch.rows().slice(0, 0), held: 0 });
                (self.blocks.len() - 1) as u32
            }
        };
        for (row, &slot) in (0u32..).zip(slots) {
            self.slots[slot as usize].push((block, row));
        }
        self.blocks[block as usize] = Block { rows: batch.rows().clone(), held: slots.len() };
        Ok(())
    }

    fn merge(&mut self, Merged { from, into }: &Merged) -> Result<()> {
        for (&from, &into) in from.iter().zip(into) {
            let moved = std::mem::take(&mut self.slots[from as usize]);
            self.slots[into as usize].extend(moved);
        }
        Ok(())
    }

    fn emit(&mut self, closed: &[Closed], open: &OpenSessions, out: &mut Output) -> Result<()> {
        let (mut places, mut starts, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for session in closed {
            let rows = std::mem::take(&mut self.slots[session.slot as usize]);
            starts.extend(std::iter::repeat_n(session.window.start, rows.len()));
            ends.extend(std::iter::repeat_n(session.window.end, rows.len()));
            places.extend(rows);
        }
        let clock = open.clock();
        let pieces = places.chunks(PIECE_ROWS).zip(starts.chunks(PIECE_ROWS).zip(ends.chunks(PIECE_ROWS)));
        for (places, (starts, ends)) in pieces {
            let mut columns: Vec<ArrayRef> = self.gather(places)?.columns().to_vec();
            let time_type = self.schema.field(columns.len() + 2).data_type().clone();
            columns.extend(window_columns(starts, ends, |end| clock.closes_at(end), &time_type));
            out.send(Batch::append(RecordBatch::try_new(Arc::clone(&self.schema), columns)?));
        }
        for (block, _) in places {
            self.release(block, 1);
        }
        Ok(())
    }

    /// The rows themselves: adding them again makes the same sessions.
    fn snapshot(&mut self, open: &OpenSessions) -> Result<TableSnapshot> {
        let places: Vec<(u32, u32)> =
            open.all().iter().flat_map(|session| self.slots[session.slot as usize].clone()).collect();
        let rows = match self.blocks.is_empty() {
            true => RecordBatch::new_empty(Arc::new(self.schema.project(&self.input_columns())?)),
            false => self.gather(&places)?,
        };
        Ok(TableSnapshot::by_key("rows", rows, self.keys.iter().copied()))
    }

    fn restore(&mut self, rows: RecordBatch, _: &mut OpenSessions) -> Result<Option<Batch>> {
        Ok((rows.num_rows() > 0).then(|| Batch::append(rows)))
    }
}

impl Rows {
    fn input_columns(&self) -> Vec<usize> {
        (0..self.schema.fields().len() - 3).collect()
    }
}
