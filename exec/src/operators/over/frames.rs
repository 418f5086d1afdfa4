//! What functions keep per partition, and how they go from row to row.
//!
//! Rows of different partitions are taken together: a round has the next row of each partition, or the next rows that come together in the
//! order. Of a bounded frame, rows that fall out of it are taken back.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{filter, interleave, take};

use super::history::History;
use super::{Frame, OverFunction};
use crate::aggregate::Accumulator;
use crate::error::Result;
use crate::operators::AggregateColumn;

/// Rows that are due, in order.
pub(super) struct Due<'a> {
    pub rows: &'a RecordBatch,
    pub groups: &'a [u32],
    /// Numbers in their groups' history.
    pub numbers: &'a [u64],
    pub times: &'a [i64],
    /// A row in a round is alone of its group.
    pub single: Vec<Round>,
    /// With its peers.
    pub peers: Vec<Round>,
}

#[derive(Default)]
pub(super) struct Round {
    pub rows: Vec<u32>,
    /// Distinct.
    pub groups: Vec<u32>,
    /// By row, where its group is in `groups`.
    pub places: Vec<u32>,
}

/// An aggregate over a frame.
pub(super) struct Framed {
    column: AggregateColumn,
    pub frame: Frame,
    pub accumulator: Box<dyn Accumulator>,
    /// Where the arguments and the filter are in the history.
    past: (Vec<usize>, Option<usize>),
    /// By group, the number of the first row in the frame.
    starts: Vec<u64>,
}

impl Framed {
    /// `place`: where a column of the input is in the history.
    pub fn new(column: &AggregateColumn, frame: Frame, place: impl Fn(usize) -> usize) -> Result<Framed> {
        let past = match frame.is_bounded() {
            true => (column.arguments.iter().map(|&n| place(n)).collect(), column.filter.map(&place)),
            false => (Vec::new(), None),
        };
        let accumulator = column.call.function.accumulator(&column.call)?;
        Ok(Framed { column: column.clone(), frame, accumulator, past, starts: Vec::new() })
    }

    pub fn resize(&mut self, groups: usize) {
        self.accumulator.resize(groups);
        self.starts.resize(groups, 0);
    }

    pub fn start(&self, group: u32) -> u64 {
        self.starts[group as usize]
    }

    /// The results for all rows that are due.
    pub fn results(&mut self, due: &Due, history: Option<&History>) -> Result<ArrayRef> {
        let rounds = if matches!(self.frame, Frame::Rows(_)) { &due.single } else { &due.peers };
        let mut results = Vec::with_capacity(rounds.len());
        let mut places = vec![(0, 0); due.groups.len()];
        for (n, round) in rounds.iter().enumerate() {
            if let Some(history) = history.filter(|_| self.frame.is_bounded()) {
                let ends = round.rows.iter().map(|&row| row as usize);
                let starts = ends.map(|row| (due.groups[row], self.next_start(history, due, row)));
                self.expire(history, &starts.collect::<Vec<_>>())?;
            }
            self.take_in(due, round)?;
            results.push(self.accumulator.evaluate(&round.groups)?);
            round.rows.iter().zip(&round.places).for_each(|(&row, &place)| places[row as usize] = (n, place as usize));
        }
        Ok(interleave(&results.iter().map(|result| result.as_ref()).collect::<Vec<_>>(), &places)?)
    }

    fn next_start(&self, history: &History, due: &Due, row: usize) -> u64 {
        match self.frame {
            Frame::Rows(before) => due.numbers[row].saturating_sub(before.unwrap_or(u64::MAX)),
            Frame::Range(range) => {
                let least = due.times[row].saturating_sub_unsigned(range.unwrap_or(u64::MAX));
                self.start_at(history, due.groups[row], least)
            }
        }
    }

    /// The number of the first row of a group, of those in the frame, that is not before `least`.
    pub fn start_at(&self, history: &History, group: u32, least: i64) -> u64 {
        let (start, end) = (self.start(group), history.end(group));
        (start..end).find(|&number| history.time(group, number) >= least).unwrap_or(end)
    }

    /// Takes back the rows before these numbers of these groups.
    pub fn expire(&mut self, history: &History, starts: &[(u32, u64)]) -> Result<()> {
        let mut rows = Vec::new();
        for &(group, start) in starts {
            let of_group = &mut self.starts[group as usize];
            rows.extend((*of_group..start).map(|number| Some((group, number))));
            *of_group = start.max(*of_group);
        }
        if rows.is_empty() {
            return Ok(());
        }
        self.feed_past(history, &rows, -1)
    }

    fn feed_past(&mut self, history: &History, rows: &[Option<(u32, u64)>], weight: i64) -> Result<()> {
        let (arguments, condition) = &self.past;
        let arguments = arguments.iter().map(|&column| history.values(column, rows)).collect::<Result<Vec<_>>>()?;
        let condition = condition.map(|column| history.values(column, rows)).transpose()?;
        let groups = rows.iter().flatten().map(|(group, _)| *group).collect();
        self.feed(groups, arguments, condition, weight)
    }

    fn take_in(&mut self, due: &Due, round: &Round) -> Result<()> {
        let indices = UInt32Array::from(round.rows.clone());
        let column = |n: &usize| Ok(take(due.rows.column(*n), &indices, None)?);
        let arguments = self.column.arguments.iter().map(column).collect::<Result<Vec<_>>>()?;
        let condition = self.column.filter.iter().map(column).next().transpose()?;
        let groups = round.rows.iter().map(|&row| due.groups[row as usize]).collect();
        self.feed(groups, arguments, condition, 1)
    }

    fn feed(
        &mut self,
        mut groups: Vec<u32>,
        mut arguments: Vec<ArrayRef>,
        condition: Option<ArrayRef>,
        weight: i64,
    ) -> Result<()> {
        if let Some(condition) = condition {
            let condition = condition.as_boolean();
            let counts = |row: usize| condition.is_valid(row) && condition.value(row);
            let mask: BooleanArray = (0..groups.len()).map(|row| Some(counts(row))).collect();
            arguments = arguments.iter().map(|values| Ok(filter(values, &mask)?)).collect::<Result<_>>()?;
            groups = (0..groups.len()).filter(|&row| counts(row)).map(|row| groups[row]).collect();
        }
        let weights = self.column.call.retracting.then(|| vec![weight; groups.len()]);
        self.accumulator.update(&groups, &arguments, weights.as_deref())
    }

    /// After a restart: the frames of these groups are what they were after their last rows.
    pub fn recall(&mut self, history: &History, groups: impl Iterator<Item = u32>) -> Result<()> {
        let mut rows = Vec::new();
        for group in groups {
            let end = history.end(group);
            let Some(last) = end.checked_sub(1) else { continue };
            let start = match self.frame {
                Frame::Rows(before) => last.saturating_sub(before.unwrap_or(u64::MAX)),
                Frame::Range(range) => {
                    let least = history.time(group, last).saturating_sub_unsigned(range.unwrap_or(u64::MAX));
                    self.start_at(history, group, least)
                }
            };
            self.starts[group as usize] = start;
            rows.extend((start..end).map(|number| Some((group, number))));
        }
        if rows.is_empty() { Ok(()) } else { self.feed_past(history, &rows, 1) }
    }

    /// The group begins anew.
    pub fn clear(&mut self, group: u32) {
        self.accumulator.clear(&[group]);
        self.starts[group as usize] = 0;
    }
}

/// The values so many rows before those that are due.
pub(super) fn lag(
    due: &Due,
    history: &History,
    column: usize,
    offset: u64,
    default: Option<usize>,
) -> Result<ArrayRef> {
    let mut rows: Vec<Option<(u32, u64)>> = vec![None; due.groups.len()];
    for round in &due.peers {
        let mut last = vec![0; round.groups.len()];
        round
            .rows
            .iter()
            .zip(&round.places)
            .for_each(|(&row, &place)| last[place as usize] = due.numbers[row as usize]);
        for (&row, &place) in round.rows.iter().zip(&round.places) {
            let group = round.groups[place as usize];
            let number = last[place as usize].checked_sub(offset).filter(|&number| number >= history.first(group));
            rows[row as usize] = number.map(|number| (group, number));
        }
    }
    let values = history.values(column, &rows)?;
    let Some(default) = default else { return Ok(values) };
    let is_there: BooleanArray = rows.iter().map(|row| Some(row.is_some())).collect();
    Ok(arrow::compute::kernels::zip::zip(&is_there, &values, &Arc::clone(due.rows.column(default)))?)
}

/// The columns of the input that the history has: `keys`, and what functions read of rows before the current one.
pub(super) fn kept(keys: &[usize], functions: &[OverFunction]) -> Vec<usize> {
    let mut kept = keys.to_vec();
    for column in functions.iter().flat_map(OverFunction::reads) {
        if !kept.contains(&column) {
            kept.push(column);
        }
    }
    kept
}
