//! The rows that an operator keeps, whichever batch they came in.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array, new_null_array};
use arrow::compute;
use arrow::datatypes::{SchemaRef, TimestampMillisecondType};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column;

use super::MatchRecognize;
use crate::error::{Error, Result};

/// Where a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowRef {
    chunk: u32,
    row: u32,
}

/// Rows by the batches they came in. A batch is kept while a row of it is; when most rows in memory are not needed, those that are move
/// together.
pub(super) struct RowStore {
    schema: SchemaRef,
    chunks: Vec<Option<Chunk>>,
    free: Vec<u32>,
    /// In chunks, whether needed or not.
    rows: usize,
    kept: usize,
}

struct Chunk {
    rows: RecordBatch,
    times: Vec<i64>,
    /// By variable: where the part of its condition that only looks at the row is true; `None` if it has no such part, or could not be
    /// computed for all rows and is computed for those it is asked of.
    truths: Vec<Option<BooleanArray>>,
    kept: usize,
}

/// Fewer rows are not worth moving.
const COMPACT_ROWS: usize = 16 * 1024;

impl RowStore {
    pub fn new(schema: SchemaRef) -> RowStore {
        RowStore { schema, chunks: Vec::new(), free: Vec::new(), rows: 0, kept: 0 }
    }

    /// Keeps rows, and says where the first of them is; the others follow.
    ///
    /// # Errors
    /// The time of a row is null.
    pub fn add(&mut self, spec: &MatchRecognize, rows: RecordBatch) -> Result<u32> {
        let times = rows.column(spec.time).as_primitive::<TimestampMillisecondType>();
        if times.null_count() > 0 {
            let column = spec.input.field(spec.time).name();
            return Err(Error::new(format!("a row has no place in the order: its time, column {column}, is null"))
                .fix(format!("leave such rows out in a view: SELECT * FROM t WHERE {column} IS NOT NULL")));
        }
        let truth = |condition: &Arc<dyn PhysicalExpr>| {
            let array = condition.evaluate(&rows).ok()?.into_array(rows.num_rows()).ok()?;
            array.as_boolean_opt().cloned()
        };
        let truths = spec.variables.iter().map(|variable| truth(variable.row.as_ref()?)).collect();
        let kept = rows.num_rows();
        let chunk = Chunk { times: times.values().to_vec(), truths, kept, rows };
        self.rows += kept;
        self.kept += kept;
        Ok(match self.free.pop() {
            Some(free) => {
                self.chunks[free as usize] = Some(chunk);
                free
            }
            None => {
                self.chunks.push(Some(chunk));
                self.chunks.len() as u32 - 1
            }
        })
    }

    pub fn row(chunk: u32, row: usize) -> RowRef {
        RowRef { chunk, row: row as u32 }
    }

    fn chunk(&self, row: RowRef) -> &Chunk {
        self.chunks[row.chunk as usize].as_ref().expect("the batch of a row that is kept is there")
    }

    pub fn time(&self, row: RowRef) -> i64 {
        self.chunk(row).times[row.row as usize]
    }

    /// Whether the part of a variable's condition that only looks at the row is true.
    pub fn holds(&self, spec: &MatchRecognize, variable: usize, row: RowRef) -> Result<bool> {
        let Some(condition) = &spec.variables[variable].row else { return Ok(true) };
        let (chunk, index) = (self.chunk(row), row.row as usize);
        match &chunk.truths[variable] {
            Some(truths) => Ok(truths.is_valid(index) && truths.value(index)),
            None => is_true(&condition.evaluate(&chunk.rows.slice(index, 1))?.into_array(1)?),
        }
    }

    /// The row is not needed any more. It is there until the next [`tidy`](Self::tidy).
    pub fn release(&mut self, row: RowRef) {
        self.kept -= 1;
        if let Some(chunk) = &mut self.chunks[row.chunk as usize] {
            chunk.kept -= 1;
        }
    }

    /// Forgets batches without rows that are needed. Says whether the others should be moved together: then call
    /// [`compact`](Self::compact).
    pub fn tidy(&mut self, holders: usize) -> bool {
        for (number, place) in self.chunks.iter_mut().enumerate() {
            if let Some(chunk) = place.take_if(|chunk| chunk.kept == 0) {
                self.rows -= chunk.rows.num_rows();
                self.free.push(number as u32);
            }
        }
        self.rows > 2 * self.kept + COMPACT_ROWS.max(holders)
    }

    /// Moves rows together. `rows` are all that are needed.
    pub fn compact(&mut self, spec: &MatchRecognize, rows: Vec<&mut RowRef>) -> Result<()> {
        let moved = self.batch(&rows.iter().map(|row| **row).collect::<Vec<_>>())?;
        *self = RowStore::new(Arc::clone(&self.schema));
        let chunk = self.add(spec, moved)?;
        rows.into_iter().enumerate().for_each(|(n, row)| *row = RowStore::row(chunk, n));
        Ok(())
    }

    /// These rows, in this order.
    pub fn batch(&self, rows: &[RowRef]) -> Result<RecordBatch> {
        let (chunks, places) = self.places(rows);
        match &chunks[..] {
            [] => Ok(RecordBatch::new_empty(Arc::clone(&self.schema))),
            chunks => {
                let batches: Vec<&RecordBatch> = chunks.iter().map(|chunk| &chunk.rows).collect();
                Ok(compute::interleave_record_batch(&batches, &places)?)
            }
        }
    }

    /// `expression` over each of these rows; null where there is none.
    pub fn values(&self, expression: &Arc<dyn PhysicalExpr>, rows: &[Option<RowRef>]) -> Result<ArrayRef> {
        let present: Vec<RowRef> = rows.iter().copied().flatten().collect();
        let values = match (column(expression), &present[..]) {
            (_, []) => return Ok(new_null_array(&expression.data_type(&self.schema)?, rows.len())),
            (Some(column), &[row]) => self.chunk(row).rows.column(column).slice(row.row as usize, 1),
            (Some(column), present) => {
                let (chunks, places) = self.places(present);
                let arrays: Vec<&dyn Array> = chunks.iter().map(|chunk| chunk.rows.column(column).as_ref()).collect();
                compute::interleave(&arrays, &places)?
            }
            (None, present) => expression.evaluate(&self.batch(present)?)?.into_array(present.len())?,
        };
        if present.len() == rows.len() {
            return Ok(values);
        }
        let mut next = 0..;
        let places: UInt32Array = rows.iter().map(|row| row.and_then(|_| next.next())).collect();
        Ok(compute::take(&values, &places, None)?)
    }

    /// The batches that rows are in, and where they are in these.
    fn places(&self, rows: &[RowRef]) -> (Vec<&Chunk>, Vec<(usize, usize)>) {
        let mut numbers: Vec<u32> = rows.iter().map(|row| row.chunk).collect();
        numbers.dedup();
        numbers.sort_unstable();
        numbers.dedup();
        let chunks = numbers.iter().map(|&chunk| self.chunk(RowRef { chunk, row: 0 })).collect();
        let place = |row: &RowRef| (numbers.partition_point(|&chunk| chunk < row.chunk), row.row as usize);
        (chunks, rows.iter().map(place).collect())
    }
}

fn column(expression: &Arc<dyn PhysicalExpr>) -> Option<usize> {
    let any: &dyn std::any::Any = expression.as_ref();
    any.downcast_ref::<Column>().map(Column::index)
}

/// Of an array of one truth value.
pub(super) fn is_true(array: &ArrayRef) -> Result<bool> {
    let truth = array.as_boolean_opt().ok_or_else(|| {
        Error::new(format!("a condition of DEFINE is of type {}", array.data_type())).fix("write a comparison")
    })?;
    Ok(truth.is_valid(0) && truth.value(0))
}
