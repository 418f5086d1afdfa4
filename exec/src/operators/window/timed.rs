//! Rows and the watermarks between them, gathered so that many small results travel as one batch.

use arrow::array::RecordBatch;
use arrow::compute;
use arrow::datatypes::SchemaRef;
use tidemill_state::EventTime;

use crate::error::Result;
use crate::message::{Batch, Mark};
use crate::operator::Output;
use crate::operators::aggregate::send_in_pieces;

/// What an operator emits while it works on one message.
pub(in crate::operators) struct Timed<'a> {
    schema: &'a SchemaRef,
    parts: Vec<RecordBatch>,
    rows: usize,
    marks: Vec<Mark>,
}

impl<'a> Timed<'a> {
    pub fn new(schema: &'a SchemaRef) -> Timed<'a> {
        Timed { schema, parts: Vec::new(), rows: 0, marks: Vec::new() }
    }

    pub fn rows(&mut self, rows: RecordBatch) {
        self.rows += rows.num_rows();
        self.parts.push(rows);
    }

    /// Later than those before it.
    pub fn watermark(&mut self, time: EventTime) {
        match self.marks.last_mut() {
            Some(last) if last.row == self.rows => last.time = time,
            _ => self.marks.push(Mark { row: self.rows, time }),
        }
    }

    /// Sends everything, in order.
    pub fn send(mut self, out: &mut Output) -> Result<()> {
        // A mark before all rows, or the last watermark of all, which ends what it closes, is a message of its own.
        let end = self.marks.pop_if(|mark| mark.time == EventTime::MAX);
        let rows = match &self.parts[..] {
            [] => {
                self.marks.last().into_iter().for_each(|mark| out.watermark(mark.time));
                end.into_iter().for_each(|mark| out.watermark(mark.time));
                return Ok(());
            }
            [only] => only.clone(),
            several => compute::concat_batches(self.schema, several)?,
        };
        send_in_pieces(Batch::append(rows).with_marks(self.marks), out);
        end.into_iter().for_each(|mark| out.watermark(mark.time));
        Ok(())
    }
}
