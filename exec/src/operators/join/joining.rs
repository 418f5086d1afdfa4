//! The join as it runs.
//!
//! Rows go into the state of their side at once; what changes by them is worked out when it is to go out, from what each touched row was
//! before. Of a pair of rows that are there l and r times, and were l' and r' times before, l*r - l'*r' come out: the net change, with each
//! pair looked at once.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;

use super::condition::Condition;
use super::groups::Groups;
use super::side::{NONE, Side};
use super::{Join, JoinKind};
use crate::error::Result;
use crate::message::{Barrier, Batch};
use crate::operator::{Input, Operator, Output, TableSnapshot};
use crate::operators::Emit;
use crate::operators::aggregate::{PIECE_ROWS, key_types};

pub(in crate::operators) struct Joining {
    kind: JoinKind,
    condition: Option<Condition>,
    append: bool,
    /// By side, whether matches are counted for each row.
    by_row: [bool; 2],
    /// Rows without a partner come out when they are [forgotten](Joining::forget).
    of_pairs: bool,
    emit: Emit,
    schema: SchemaRef,
    groups: Groups,
    sides: [Side; 2],
}

/// A row to come out.
#[derive(Clone, Copy)]
struct Change {
    /// Changes of one group come out together, in the order in which groups were touched.
    rank: u32,
    rows: [u32; 2],
    /// Of a mark join.
    mark: bool,
    weight: i64,
    is_update: bool,
}

impl Joining {
    /// An instance without state. `incremental`: its snapshots are of what has changed since the last.
    pub fn new(spec: &Join, incremental: bool) -> Result<Joining> {
        Joining::counting([0, 1].map(|side| spec.counts_by_row(side)), spec, incremental)
    }

    fn counting(by_row: [bool; 2], spec: &Join, incremental: bool) -> Result<Joining> {
        let side =
            |n: usize| Side::new(&spec.inputs[n], &spec.keys[n], by_row[n], spec.append, spec.ttl[n], incremental);
        let condition = spec.condition.as_ref().map(|condition| Condition::new(condition, &spec.inputs));
        Ok(Joining {
            kind: spec.kind,
            condition: condition.transpose()?,
            append: spec.append && spec.kind.is_monotonic(),
            by_row,
            of_pairs: false,
            emit: spec.emit,
            schema: Arc::clone(&spec.schema),
            groups: Groups::new(&key_types(&spec.inputs[0], &spec.keys[0]), 2, spec.null_equals_null)?,
            sides: [side(0)?, side(1)?],
        })
    }

    /// One that emits each pair at once, and a row without a partner once it is [forgotten](Self::forget). Rows of both inputs stay.
    pub fn of_pairs(spec: &Join, incremental: bool) -> Result<Joining> {
        let by_row = [0, 1].map(|side| spec.kind.shows().iter().any(|show| show.side == side));
        Ok(Joining { append: true, of_pairs: true, ..Joining::counting(by_row, spec, incremental)? })
    }

    /// Takes rows in and emits their pairs; the numbers of those that are kept.
    pub fn pairs_of(&mut self, side: usize, batch: Batch, out: &mut Output) -> Result<Vec<u32>> {
        let numbers = self.take_in(side, batch)?;
        self.emit(out)?;
        Ok(numbers)
    }

    /// Forgets rows; those that come out without a partner, and have none, do now. Some may have been forgotten before.
    pub fn forget(&mut self, side: usize, rows: &[u32], out: &mut Output) -> Result<()> {
        let rows: Vec<u32> = rows.iter().copied().filter(|&row| self.sides[side].row(row).weight != 0).collect();
        let shows_unmatched = self.shows_unmatched(side);
        let mut alone = Vec::new();
        for &row in &rows {
            let of_row = self.sides[side].row(row);
            self.groups.forget(of_row.group, side, of_row.weight);
            if shows_unmatched && of_row.matches == 0 {
                let mut rows = [NONE; 2];
                rows[side] = row;
                let change = Change { rank: 0, rows, mark: false, weight: 1, is_update: false };
                alone.extend(std::iter::repeat_n(change, of_row.weight.max(0) as usize));
            }
        }
        for piece in alone.chunks(PIECE_ROWS) {
            out.send(self.batch(piece)?);
        }
        let empty = self.sides[side].forget(&rows)?;
        self.groups.remove_empty(empty, &self.sides);
        Ok(())
    }

    /// The values of a column in these rows of a side.
    pub fn values(&self, side: usize, column: usize, rows: &[u32]) -> Result<ArrayRef> {
        Ok(self.sides[side].some_columns(rows, &[column])?.swap_remove(0))
    }

    /// The numbers of all rows of a side.
    pub fn rows_of(&self, side: usize) -> Vec<u32> {
        self.sides[side].all()
    }

    /// Whether rows without a partner come out on this side.
    fn shows_unmatched(&self, side: usize) -> bool {
        self.kind.shows().iter().any(|show| show.side == side && !show.matched)
    }

    /// The numbers of rows, of those that may find a partner.
    fn take_in(&mut self, side: usize, batch: Batch) -> Result<Vec<u32>> {
        let shows_unmatched = self.shows_unmatched(side);
        self.groups.take_in(side, &mut self.sides[side], batch, shows_unmatched)
    }

    /// Emits what has changed since the last call.
    fn emit(&mut self, out: &mut Output) -> Result<()> {
        let mut changes = Vec::new();
        let by_row = self.by_row;
        if self.kind.has_pairs() || by_row != [false, false] {
            self.pairs(by_row, &mut changes)?;
        }
        self.alone(by_row, &mut changes);
        if !self.append {
            // What goes comes before what is there instead.
            changes.sort_by_key(|change| (change.rank, change.weight > 0));
        }
        for piece in changes.chunks(PIECE_ROWS) {
            out.send(self.batch(piece)?);
        }
        self.groups.settle(&mut self.sides)
    }

    /// Changes of pairs of which at least one row has been touched. Counts matches meanwhile, where that is done by row.
    fn pairs(&mut self, by_row: [bool; 2], changes: &mut Vec<Change>) -> Result<()> {
        let own: [usize; 2] = [0, 1].map(|side| self.sides[side].touched().len());
        let mut candidates: Vec<Change> = Vec::new();
        for side in [0, 1] {
            for n in 0..own[side] {
                let touched = self.sides[side].touched()[n];
                let row = self.sides[side].row(touched.row);
                if row.group == NONE {
                    continue;
                }
                let rank = self.groups.rank(row.group);
                let mut next = self.sides[1 - side].first_of(row.group);
                while let Some(partner) = next {
                    let other = self.sides[1 - side].row(partner);
                    let before = self.sides[1 - side].before(partner, own[1 - side]);
                    next = self.sides[1 - side].next_of(partner);
                    // Pairs of two touched rows are seen from the left.
                    if side == 0 || before.is_none() {
                        let was = before.map_or(other.weight, |before| before.weight);
                        let rows = if side == 0 { [touched.row, partner] } else { [partner, touched.row] };
                        let is_update = touched.is_update || before.is_some_and(|before| before.is_update);
                        let weight = row.weight * other.weight - touched.weight * was;
                        candidates.push(Change { rank, rows, mark: false, weight, is_update });
                        if candidates.len() >= PIECE_ROWS {
                            self.judge(by_row, own, &mut candidates, changes)?;
                        }
                    }
                }
            }
        }
        self.judge(by_row, own, &mut candidates, changes)
    }

    /// Keeps the candidates that fulfil the condition.
    fn judge(
        &mut self,
        by_row: [bool; 2],
        own: [usize; 2],
        candidates: &mut Vec<Change>,
        changes: &mut Vec<Change>,
    ) -> Result<()> {
        if let Some(condition) = self.condition.as_ref().filter(|_| !candidates.is_empty()) {
            let rows = |side: usize| candidates.iter().map(|change| change.rows[side]).collect();
            let matches = condition.holds(&self.sides, rows, candidates.len())?;
            let mut n = 0;
            candidates.retain(|_| {
                n += 1;
                matches.is_valid(n - 1) && matches.value(n - 1)
            });
        }
        for side in (0..2).filter(|&side| by_row[side]) {
            for change in candidates.iter() {
                let (row, partner) = (change.rows[side], change.rows[1 - side]);
                let is = self.sides[1 - side].row(partner).weight;
                let was = self.sides[1 - side].before(partner, own[1 - side]).map_or(is, |before| before.weight);
                // A row that was not there has not counted any partner yet.
                let is_new = self.sides[side].before(row, own[side]).is_some_and(|before| before.weight == 0);
                self.sides[side].add_matches(row, if is_new { is } else { is - was });
            }
        }
        match self.kind.has_pairs() {
            true => changes.extend(candidates.drain(..).filter(|change| change.weight != 0)),
            false => candidates.clear(),
        }
        Ok(())
    }

    /// Changes of rows that come out without a partner.
    fn alone(&self, by_row: [bool; 2], changes: &mut Vec<Change>) {
        for show in self.kind.shows() {
            let (side, other) = (&self.sides[show.side], 1 - show.side);
            let is_shown = |matches: i64| (matches != 0) == show.matched;
            let mut change = |row: u32, group: u32, was: bool, is: bool| {
                let now = side.row(row).weight;
                let before = side.before(row, usize::MAX);
                let then = before.map_or(now, |before| before.weight);
                let weight = if is { now } else { 0 } - if was { then } else { 0 };
                if weight != 0 {
                    let mut rows = [NONE; 2];
                    rows[show.side] = row;
                    let rank = if group == NONE { NONE } else { self.groups.rank(group) };
                    // A row that is shown in place of pairs is no half of an update.
                    let is_update = was && is && before.is_some_and(|before| before.is_update);
                    changes.push(Change { rank, rows, mark: show.matched, weight, is_update });
                }
            };
            for touched in side.touched() {
                let row = side.row(touched.row);
                let (was, is) = match row.group {
                    NONE => (0, 0),
                    _ if self.of_pairs => continue,
                    _ if by_row[show.side] => (touched.matches, row.matches),
                    group => {
                        let (was, is) = (self.groups.total_before(group, other), self.groups.total(group, other));
                        if is_shown(was) != is_shown(is) {
                            continue; // With all of its group, below.
                        }
                        (was, is)
                    }
                };
                change(touched.row, row.group, is_shown(was), is_shown(is));
            }
            if !by_row[show.side] {
                for &group in self.groups.touched() {
                    let (was, is) = (self.groups.total_before(group, other), self.groups.total(group, other));
                    if is_shown(was) != is_shown(is) {
                        side.of_group(group).for_each(|row| change(row, group, is_shown(was), is_shown(is)));
                    }
                }
            }
        }
    }

    /// The columns of both sides.
    fn columns(&self, changes: &[Change]) -> Result<Vec<ArrayRef>> {
        let of = |side: usize| {
            let rows: Vec<u32> = changes.iter().map(|change| change.rows[side]).collect();
            self.sides[side].columns(&rows)
        };
        Ok([of(0)?, of(1)?].concat())
    }

    fn batch(&self, changes: &[Change]) -> Result<Batch> {
        let mut columns = self.columns(changes)?;
        if !self.kind.has_pairs() {
            columns.truncate(self.sides[0].width());
        }
        if self.kind == JoinKind::Mark {
            columns.push(Arc::new(changes.iter().map(|change| Some(change.mark)).collect::<BooleanArray>()));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(changes.len()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        if !self.append {
            let weights: Int64Array = changes.iter().map(|change| change.weight).collect();
            let updates: BooleanArray = changes.iter().map(|change| Some(change.is_update)).collect();
            return Ok(Batch::with_updates(rows, weights, updates));
        }
        let batch = Batch::append(rows);
        match changes.iter().all(|change| change.weight == 1) {
            true => Ok(batch),
            false => {
                let each = (0u32..).zip(changes);
                let times = each.flat_map(|(n, change)| std::iter::repeat_n(n, change.weight as usize));
                batch.take(&times.collect::<Vec<u32>>().into())
            }
        }
    }
}

impl Operator for Joining {
    fn on_batch(&mut self, input: Input, batch: Batch, out: &mut Output) -> Result<()> {
        if self.emit == Emit::EachRow && !self.append {
            for n in 0..batch.len() {
                self.take_in(usize::from(input.0), batch.slice(n, 1))?;
                self.emit(out)?;
            }
            return Ok(());
        }
        self.take_in(usize::from(input.0), batch)?;
        // Results of rows that stay do too. Others go out once both sides have come equally far.
        if self.append { self.emit(out) } else { Ok(()) }
    }

    fn on_barrier(&mut self, barrier: &Barrier, out: &mut Output) -> Result<()> {
        self.emit(out)?;
        self.groups.forget_unused(&mut self.sides, barrier.time)
    }

    fn snapshot(&mut self) -> Result<Vec<TableSnapshot>> {
        let [left, right] = &mut self.sides;
        Ok(vec![left.snapshot("left")?, right.snapshot("right")?])
    }

    fn restore(&mut self, tables: Vec<TableSnapshot>) -> Result<()> {
        self.groups.restore(&mut self.sides, &tables, |side| ["left", "right"][side].to_string())
    }
}
