//! The join of many inputs as it runs.
//!
//! Rows go into the state of their side at once; which combinations change by them is worked out when it is to go out.

use std::sync::Arc;

use arrow::array::{BooleanArray, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;

use super::combinations::{Combinations, Step, each_change};
use super::{JoinInput, MultiJoin};
use crate::error::Result;
use crate::message::{Barrier, Batch};
use crate::operator::{Input, Operator, Output, TableSnapshot};
use crate::operators::Emit;
use crate::operators::aggregate::{PIECE_ROWS, key_types};
use crate::operators::join::condition::Condition;
use crate::operators::join::groups::Groups;
use crate::operators::join::side::{NONE, Side};

pub(super) struct MultiJoining {
    steps: Vec<Step>,
    /// What came out stays.
    append: bool,
    emit: Emit,
    schema: SchemaRef,
    groups: Groups,
    sides: Vec<Side>,
}

impl MultiJoining {
    /// An instance without state. `incremental`: its snapshots are of what has changed since the last.
    pub fn new(spec: &MultiJoin, incremental: bool) -> Result<MultiJoining> {
        let inputs = &spec.inputs;
        let step = |input: &JoinInput| {
            let schemas = inputs.iter().map(|input| &input.schema);
            let condition = input.condition.as_ref().map(|condition| Condition::new(condition, schemas));
            Ok(Step { outer: input.outer, joined_by: input.joined_by.clone(), condition: condition.transpose()? })
        };
        let side =
            |input: &JoinInput| Side::new(&input.schema, &input.keys, false, spec.append, input.ttl, incremental);
        let key_types = key_types(&inputs[0].schema, &inputs[0].keys);
        Ok(MultiJoining {
            steps: inputs.iter().map(step).collect::<Result<_>>()?,
            append: spec.append && spec.is_monotonic(),
            emit: spec.emit,
            schema: Arc::clone(&spec.schema),
            groups: Groups::new(&key_types, inputs.len(), spec.null_equals_null)?,
            sides: inputs.iter().map(side).collect::<Result<_>>()?,
        })
    }

    /// Rows of an input whose key equals nothing come out, with nulls beside them.
    fn shows_unmatched(&self, input: usize) -> bool {
        input == 0 && self.steps[1..].iter().all(|step| step.outer)
    }

    fn take_in(&mut self, input: usize, batch: Batch) -> Result<()> {
        let shows_unmatched = self.shows_unmatched(input);
        self.groups.take_in(input, &mut self.sides[input], batch, shows_unmatched).map(drop)
    }

    /// Emits what has changed since the last call.
    fn emit(&mut self, out: &mut Output) -> Result<()> {
        let mut changes = Changes { of: self, waiting: Combinations::of(self.sides.len()), out };
        each_change(&self.sides, &self.groups, &self.steps, |found| changes.take(found))?;
        changes.take(self.alone())?;
        changes.send()?;
        self.groups.settle(&mut self.sides)
    }

    /// Changes of rows whose key equals nothing.
    fn alone(&self) -> Combinations {
        let mut alone = Combinations::of(self.sides.len());
        for touched in self.sides[0].touched() {
            let row = self.sides[0].row(touched.row);
            if row.group == NONE && row.weight != touched.weight {
                let rows = std::iter::once(touched.row).chain(std::iter::repeat(NONE));
                alone.push(NONE, rows, touched.weight, row.weight, touched.is_update);
            }
        }
        alone
    }

    fn rows(&self, of: &[Vec<u32>]) -> Result<RecordBatch> {
        let columns = self.sides.iter().zip(of).map(|(side, rows)| side.columns(rows)).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(of[0].len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns.concat(), &options)?)
    }
}

/// Combinations on their way out.
struct Changes<'a> {
    of: &'a MultiJoining,
    waiting: Combinations,
    out: &'a mut Output,
}

impl Changes<'_> {
    /// Further ones, of the last group or of later ones.
    fn take(&mut self, found: Combinations) -> Result<()> {
        self.waiting.extend(found);
        if self.waiting.len() < PIECE_ROWS {
            return Ok(());
        }
        // A group goes out as a whole, if not all rows stay anyway.
        let last = self.waiting.ranks.last().copied().unwrap_or_default();
        self.send_first(match self.of.append {
            true => self.waiting.len(),
            false => self.waiting.ranks.partition_point(|&rank| rank < last),
        })
    }

    fn send(&mut self) -> Result<()> {
        self.send_first(self.waiting.len())
    }

    fn send_first(&mut self, count: usize) -> Result<()> {
        let all = std::mem::take(&mut self.waiting);
        let weight = |n: usize| all.now[n] - all.before[n];
        let mut order: Vec<usize> = (0..count).collect();
        if !self.of.append {
            // What goes comes before what is there instead.
            order.sort_by_key(|&n| (all.ranks[n], weight(n) > 0));
        }
        for piece in order.chunks(PIECE_ROWS) {
            let numbers = all.rows.iter().map(|rows| piece.iter().map(|&n| rows[n]).collect()).collect::<Vec<_>>();
            let rows = self.of.rows(&numbers)?;
            if self.of.append {
                self.send_rows(Batch::append(rows), piece.iter().map(|&n| weight(n)))?;
            } else {
                let weights: Int64Array = piece.iter().map(|&n| weight(n)).collect();
                let updates: BooleanArray = piece.iter().map(|&n| Some(all.is_update[n])).collect();
                self.out.send(Batch::with_updates(rows, weights, updates));
            }
        }
        self.waiting = all;
        self.waiting.drop_first(count);
        Ok(())
    }

    /// Rows as often as they are there.
    fn send_rows(&mut self, rows: Batch, weights: impl Iterator<Item = i64> + Clone) -> Result<()> {
        if weights.clone().all(|weight| weight == 1) {
            self.out.send(rows);
            return Ok(());
        }
        let mut times = (0u32..).zip(weights).flat_map(|(n, weight)| std::iter::repeat_n(n, weight.max(0) as usize));
        loop {
            let piece: Vec<u32> = times.by_ref().take(PIECE_ROWS).collect();
            if piece.is_empty() {
                return Ok(());
            }
            self.out.send(rows.take(&piece.into())?);
        }
    }
}

impl Operator for MultiJoining {
    fn on_batch(&mut self, input: Input, batch: Batch, out: &mut Output) -> Result<()> {
        let input = usize::from(input.0);
        if self.emit == Emit::EachRow && !self.append {
            for n in 0..batch.len() {
                self.take_in(input, batch.slice(n, 1))?;
                self.emit(out)?;
            }
            return Ok(());
        }
        self.take_in(input, batch)?;
        // Results of rows that stay do too. Others go out once all inputs have come equally far.
        if self.append { self.emit(out) } else { Ok(()) }
    }

    fn on_barrier(&mut self, barrier: &Barrier, out: &mut Output) -> Result<()> {
        self.emit(out)?;
        self.groups.forget_unused(&mut self.sides, barrier.time)
    }

    fn snapshot(&mut self) -> Result<Vec<TableSnapshot>> {
        self.sides.iter_mut().enumerate().map(|(n, side)| side.snapshot(table(n))).collect()
    }

    fn restore(&mut self, tables: Vec<TableSnapshot>) -> Result<()> {
        self.groups.restore(&mut self.sides, &tables, table)
    }
}

/// What the table of an input is called.
fn table(input: usize) -> String {
    format!("input-{}", input + 1)
}
