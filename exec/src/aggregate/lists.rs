//! Rows of each group in order of arrival, for aggregates whose result is a list of them.
//!
//! Equal rows are kept once for all groups, so a list is a queue of small numbers, and looking for the row that a retraction
//! takes out compares numbers.

use std::collections::{BTreeMap, VecDeque};

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use tidemill_state::KeyTable;

use super::Accumulator;
use super::counted;
use super::types::grow;
use crate::error::Result;

/// Makes results from rows in order.
pub(super) trait Finish: Send + 'static {
    /// Which rows of a group it needs.
    fn wants(&self) -> Wanted {
        Wanted::All
    }

    /// One result per list; list `i` is the next `lengths[i]` rows of `columns`.
    fn finish(&self, lengths: &[usize], columns: &[ArrayRef]) -> Result<ArrayRef>;
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    All,
    First,
    Last,
}

pub(super) struct Lists<F> {
    types: Vec<DataType>,
    /// Rows whose first column is null are not kept.
    skips_nulls: bool,
    finish: F,
    /// Row contents to row number, for all groups together.
    rows: KeyTable,
    /// How often each row number stands in a list.
    references: Vec<u64>,
    groups: Vec<VecDeque<u32>>,
    /// Rows taken out before they came; a phase that sees only part of the input has some.
    owed: BTreeMap<u32, Vec<u32>>,
    /// Row numbers in all lists.
    items: usize,
    scratch: Vec<u32>,
}

impl<F: Finish> Lists<F> {
    pub fn new(types: Vec<DataType>, skips_nulls: bool, finish: F) -> Result<Lists<F>> {
        Ok(Lists {
            skips_nulls,
            finish,
            rows: KeyTable::new(&types)?,
            types,
            references: Vec::new(),
            groups: Vec::new(),
            owed: BTreeMap::new(),
            items: 0,
            scratch: Vec::new(),
        })
    }

    fn add(&mut self, groups: &[u32], columns: &[ArrayRef], weights: Option<&[i64]>) -> Result<()> {
        let mut rows = std::mem::take(&mut self.scratch);
        self.rows.intern(columns, groups.len(), &mut rows)?;
        grow(&mut self.references, self.rows.groups());
        let nulls = columns[0].logical_nulls().filter(|_| self.skips_nulls);
        for (i, (&group, &row)) in groups.iter().zip(&rows).enumerate() {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(i)) {
                continue;
            }
            let weight = weights.map_or(1, |weights| weights[i]);
            (0..weight).for_each(|_| self.append(group, row));
            (weight..0).for_each(|_| self.take_out(group, row));
        }
        self.release(&mut rows);
        self.scratch = rows;
        Ok(())
    }

    fn append(&mut self, group: u32, row: u32) {
        if let Some(owed) = self.owed.get_mut(&group)
            && let Some(at) = owed.iter().position(|candidate| *candidate == row)
        {
            owed.remove(at);
            if owed.is_empty() {
                self.owed.remove(&group);
            }
            self.references[row as usize] -= 1;
            return;
        }
        self.groups[group as usize].push_back(row);
        self.references[row as usize] += 1;
        self.items += 1;
    }

    /// Takes out the earliest of the equal rows, as Flink does.
    fn take_out(&mut self, group: u32, row: u32) {
        let list = &mut self.groups[group as usize];
        match list.iter().position(|candidate| *candidate == row) {
            Some(at) => {
                list.remove(at);
                self.references[row as usize] -= 1;
                self.items -= 1;
            }
            None => {
                self.owed.entry(group).or_default().push(row);
                self.references[row as usize] += 1;
            }
        }
    }

    /// Forgets those of these rows that stand in no list. Only after a whole batch: until then their numbers are in use.
    fn release(&mut self, rows: &mut Vec<u32>) {
        rows.retain(|row| self.references[*row as usize] == 0);
        rows.sort_unstable();
        rows.dedup();
        rows.iter().for_each(|row| self.rows.remove(*row));
    }
}

impl<F: Finish> Accumulator for Lists<F> {
    fn resize(&mut self, groups: usize) {
        grow(&mut self.groups, groups);
    }

    fn update(&mut self, groups: &[u32], arguments: &[ArrayRef], weights: Option<&[i64]>) -> Result<()> {
        self.add(groups, arguments, weights)
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![counted::data_type(&self.types)]
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let (mut lengths, mut rows, mut counts) = (Vec::with_capacity(groups.len()), Vec::new(), Vec::new());
        for &group in groups {
            let start = rows.len();
            for &row in &self.groups[group as usize] {
                if rows.len() > start && rows.last() == Some(&row) {
                    counts[rows.len() - 1] += 1;
                } else {
                    rows.push(row);
                    counts.push(1i64);
                }
            }
            for &row in self.owed.get(&group).into_iter().flatten() {
                rows.push(row);
                counts.push(-1);
            }
            lengths.push(rows.len() - start);
        }
        Ok(vec![counted::pack(&self.types, lengths.into_iter(), self.rows.columns(&rows)?, counts)?])
    }

    fn merge(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let rows = counted::unpack(groups, &state[0])?;
        self.add(&rows.groups, &rows.columns, Some(&rows.counts))
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        let (mut lengths, mut rows) = (Vec::with_capacity(groups.len()), Vec::new());
        for &group in groups {
            let (list, start) = (&self.groups[group as usize], rows.len());
            match self.finish.wants() {
                Wanted::All => rows.extend(list),
                Wanted::First => rows.extend(list.front()),
                Wanted::Last => rows.extend(list.back()),
            }
            lengths.push(rows.len() - start);
        }
        self.finish.finish(&lengths, &self.rows.columns(&rows)?)
    }

    fn clear(&mut self, groups: &[u32]) {
        let mut rows = std::mem::take(&mut self.scratch);
        rows.clear();
        for &group in groups {
            let list = std::mem::take(&mut self.groups[group as usize]);
            self.items -= list.len();
            rows.extend(list);
            rows.extend(self.owed.remove(&group).into_iter().flatten());
        }
        rows.iter().for_each(|row| self.references[*row as usize] -= 1);
        self.release(&mut rows);
        self.scratch = rows;
    }

    fn bytes(&self) -> usize {
        self.rows.bytes()
            + self.references.capacity() * size_of::<u64>()
            + self.groups.capacity() * size_of::<VecDeque<u32>>()
            + self.items * size_of::<u32>()
    }
}
