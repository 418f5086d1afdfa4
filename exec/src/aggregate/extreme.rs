//! `MIN` and `MAX`.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;

use super::chosen::{Chosen, Greatest, Least};
use super::counted;
use super::domain::{Domain, with_domain};
use super::types::{grow, plain, refuse};
use super::{Accumulator, AggregateCall, AggregateFunction, Resolved};
use crate::error::Result;

#[derive(Debug)]
pub(super) struct Extreme {
    pub max: bool,
}

impl AggregateFunction for Extreme {
    fn name(&self) -> &str {
        if self.max { "MAX" } else { "MIN" }
    }

    fn resolve(&self, arguments: &[DataType]) -> Result<Resolved> {
        match arguments {
            [argument] if !plain(argument).is_nested() && !argument.is_null() => {
                let result = plain(argument);
                Ok(Resolved { arguments: vec![result.clone()], result, nullable: true })
            }
            _ => Err(refuse(self.name(), arguments, "one argument of a type that has an order")),
        }
    }

    /// `DISTINCT` changes nothing.
    fn accumulator(&self, call: &AggregateCall) -> Result<Box<dyn Accumulator>> {
        Ok(with_domain!(call.argument_type(), domain => match (call.retracting, self.max) {
            (false, false) => Box::new(Chosen::<_, Least>::new(domain)),
            (false, true) => Box::new(Chosen::<_, Greatest>::new(domain)),
            (true, max) => Box::new(Counts { domain, groups: Vec::new(), max, entries: 0, heap: 0 }),
        }))
    }
}

/// How often each value is in, in order: what it takes to know the next extreme when the last one is taken out.
struct Counts<D: Domain> {
    domain: D,
    /// Counts may be below zero until the row that was taken out too early has come. None is zero.
    groups: Vec<BTreeMap<D::Kept, i64>>,
    max: bool,
    entries: usize,
    heap: usize,
}

impl<D: Domain> Counts<D> {
    fn add(&mut self, groups: &[u32], values: &ArrayRef, weight: impl Fn(usize) -> i64) -> Result<()> {
        let (slots, entries, heap) = (&mut self.groups, &mut self.entries, &mut self.heap);
        self.domain.for_each(values, |row, value| {
            let (counts, weight) = (&mut slots[groups[row] as usize], weight(row));
            match counts.get_mut(value) {
                Some(count) if *count + weight == 0 => {
                    if let Some((kept, _)) = counts.remove_entry(value) {
                        *heap -= D::heap(&kept);
                        *entries -= 1;
                    }
                }
                Some(count) => *count += weight,
                None => {
                    let kept = D::keep(value);
                    *heap += D::heap(&kept);
                    *entries += 1;
                    counts.insert(kept, weight);
                }
            }
        })
    }
}

impl<D: Domain> Accumulator for Counts<D> {
    fn resize(&mut self, groups: usize) {
        grow(&mut self.groups, groups);
    }

    fn update(&mut self, groups: &[u32], arguments: &[ArrayRef], weights: Option<&[i64]>) -> Result<()> {
        match weights {
            None => self.add(groups, &arguments[0], |_| 1),
            Some(weights) => self.add(groups, &arguments[0], |row| weights[row]),
        }
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![counted::data_type(std::slice::from_ref(self.domain.data_type()))]
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let maps = || groups.iter().map(|&group| &self.groups[group as usize]);
        let values = self.domain.array(maps().flat_map(|counts| counts.keys().map(|kept| Some(kept.borrow()))))?;
        let counts = maps().flat_map(|counts| counts.values().copied()).collect();
        Ok(vec![counted::pack(&[values.data_type().clone()], maps().map(BTreeMap::len), vec![values], counts)?])
    }

    fn merge(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let rows = counted::unpack(groups, &state[0])?;
        self.add(&rows.groups, &rows.columns[0], |row| rows.counts[row])
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        self.domain.array(groups.iter().map(|&group| {
            let mut counts = self.groups[group as usize].iter().filter(|(_, count)| **count > 0);
            let extreme = if self.max { counts.next_back() } else { counts.next() };
            extreme.map(|(kept, _)| kept.borrow())
        }))
    }

    fn clear(&mut self, groups: &[u32]) {
        for &group in groups {
            let counts = std::mem::take(&mut self.groups[group as usize]);
            self.entries -= counts.len();
            self.heap -= counts.keys().map(D::heap).sum::<usize>();
        }
    }

    fn bytes(&self) -> usize {
        // A node of a B-tree is two thirds full on average.
        let entry = (size_of::<D::Kept>() + size_of::<i64>()) * 3 / 2;
        self.groups.capacity() * size_of::<BTreeMap<D::Kept, i64>>() + self.entries * entry + self.heap
    }
}
