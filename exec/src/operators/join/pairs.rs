//! Each row of a left input with its matches, as they are when it comes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion_physical_expr::PhysicalExpr;

use super::given::{ALONE, FIRST, FURTHER, with_mark};
use super::side::NONE;
use crate::error::Result;
use crate::message::Batch;
use crate::operators::aggregate::PIECE_ROWS;

/// Makes rows of the columns of the left and those of the right.
#[derive(Clone, Debug)]
pub(crate) struct Pairs {
    /// Rows of the left without a match come out with nulls.
    pub outer: bool,
    /// What else must be true of a pair: over the columns of both.
    pub condition: Option<Arc<dyn PhysicalExpr>>,
    /// The left may take rows back. For those no match is looked for, and a column more says what [`Given`](super::Given) needs to know.
    is_marked: bool,
    /// Of the condition's input.
    both: SchemaRef,
    schema: SchemaRef,
}

impl Pairs {
    /// `schema`: the columns of the left, then those of the right.
    pub fn new(outer: bool, condition: Option<Arc<dyn PhysicalExpr>>, is_marked: bool, schema: &SchemaRef) -> Pairs {
        let nullable = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let both = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
        let schema = if is_marked { with_mark(schema) } else { Arc::clone(schema) };
        Pairs { outer, condition, is_marked, both, schema }
    }

    /// Calls `emit` with the rows of `left` in their order, each once per match, with its weight and the marks around it.
    ///
    /// `matches` gives the numbers of the rows that match one of the left, `right` the columns of rows of such numbers, which are null for
    /// [`NONE`].
    pub fn of<M: Iterator<Item = u32>>(
        &self,
        left: &Batch,
        matches: impl Fn(usize) -> M,
        right: impl Fn(&[u32]) -> Result<Vec<ArrayRef>>,
        mut emit: impl FnMut(Batch),
    ) -> Result<()> {
        let mut start = 0;
        let mut pairs: Vec<(u32, u32)> = Vec::new();
        for row in 0..left.len() {
            let takes_back = self.is_marked && left.weight(row) < 0;
            let matches = (!takes_back).then(|| matches(row));
            pairs.extend(matches.into_iter().flatten().map(|of_right| ((row - start) as u32, of_right)));
            let is_last = row + 1 == left.len();
            if pairs.len() >= PIECE_ROWS || is_last {
                let piece = if start == 0 && is_last { left.clone() } else { left.slice(start, row + 1 - start) };
                emit(self.piece(&piece, std::mem::take(&mut pairs), &right)?);
                start = row + 1;
            }
        }
        Ok(())
    }

    fn piece(
        &self,
        left: &Batch,
        mut pairs: Vec<(u32, u32)>,
        right: &impl Fn(&[u32]) -> Result<Vec<ArrayRef>>,
    ) -> Result<Batch> {
        if let Some(condition) = self.condition.as_ref().filter(|_| !pairs.is_empty()) {
            let (rows, _) = self.rows(left, &pairs, right, None)?;
            let holds = condition.evaluate(&rows)?.into_array(pairs.len())?;
            let holds = holds.as_boolean();
            let mut n = 0;
            pairs.retain(|_| {
                n += 1;
                holds.is_valid(n - 1) && holds.value(n - 1)
            });
        }
        if self.outer || self.is_marked {
            pairs = padded(&pairs, left.len() as u32);
        }
        let marks = self.is_marked.then(|| marks(&pairs));
        let (rows, origin) = self.rows(left, &pairs, right, marks)?;
        left.derived(rows, &origin)
    }

    fn rows(
        &self,
        left: &Batch,
        pairs: &[(u32, u32)],
        right: &impl Fn(&[u32]) -> Result<Vec<ArrayRef>>,
        mark: Option<Int32Array>,
    ) -> Result<(RecordBatch, UInt32Array)> {
        let (of_left, of_right): (Vec<u32>, Vec<u32>) = pairs.iter().copied().unzip();
        let origin = UInt32Array::from(of_left);
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for column in left.rows().columns() {
            columns.push(take(column, &origin, None)?);
        }
        columns.extend(right(&of_right)?);
        columns.extend(mark.map(|mark| Arc::new(mark) as ArrayRef));
        let schema = if columns.len() == self.schema.fields().len() { &self.schema } else { &self.both };
        let options = RecordBatchOptions::new().with_row_count(Some(pairs.len()));
        Ok((RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?, origin))
    }
}

/// How these pairs belong together.
fn marks(pairs: &[(u32, u32)]) -> Int32Array {
    let mark = |n: usize| match pairs[n] {
        (_, NONE) => ALONE,
        (left, _) if n > 0 && pairs[n - 1].0 == left => FURTHER,
        _ => FIRST,
    };
    (0..pairs.len()).map(|n| Some(mark(n))).collect()
}

/// With a pair for each of the first `rows` that has none.
fn padded(pairs: &[(u32, u32)], rows: u32) -> Vec<(u32, u32)> {
    let mut padded = Vec::with_capacity(pairs.len().max(rows as usize));
    let mut pairs = pairs.iter().copied().peekable();
    for row in 0..rows {
        if pairs.peek().is_none_or(|(of_left, _)| *of_left != row) {
            padded.push((row, NONE));
        }
        while let Some(pair) = pairs.next_if(|(of_left, _)| *of_left == row) {
            padded.push(pair);
        }
    }
    padded
}

/// The rows of `columns` with these numbers, which are null for [`NONE`].
pub(crate) fn numbered(columns: &[ArrayRef], numbers: &[u32]) -> Result<Vec<ArrayRef>> {
    let places: UInt32Array = numbers.iter().map(|&row| (row != NONE).then_some(row)).collect();
    crate::operators::aggregate::take_all(columns, &places)
}
