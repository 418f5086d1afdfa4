//! `BOOL_AND` (also `EVERY`) and `BOOL_OR`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};

use super::types::{gather, grow, refuse, reset};
use super::{Accumulator, AggregateCall, AggregateFunction, Resolved};
use crate::error::Result;

#[derive(Debug)]
pub(super) struct Logical {
    /// Whether one true suffices.
    pub any: bool,
}

impl AggregateFunction for Logical {
    fn name(&self) -> &str {
        if self.any { "BOOL_OR" } else { "BOOL_AND" }
    }

    fn resolve(&self, arguments: &[DataType]) -> Result<Resolved> {
        match arguments {
            [DataType::Boolean] => {
                Ok(Resolved { arguments: arguments.to_vec(), result: DataType::Boolean, nullable: true })
            }
            _ => Err(refuse(self.name(), arguments, "one BOOLEAN")),
        }
    }

    /// `DISTINCT` changes nothing.
    fn accumulator(&self, _call: &AggregateCall) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Votes { any: self.any, slots: Vec::new() }))
    }
}

/// How many are false, how many true: that can be taken back, a single bit could not.
struct Votes {
    any: bool,
    slots: Vec<[i64; 2]>,
}

impl Accumulator for Votes {
    fn resize(&mut self, groups: usize) {
        grow(&mut self.slots, groups);
    }

    fn update(&mut self, groups: &[u32], arguments: &[ArrayRef], weights: Option<&[i64]>) -> Result<()> {
        for (row, value) in arguments[0].as_boolean().iter().enumerate() {
            if let Some(value) = value {
                let weight = weights.map_or(1, |weights| weights[row]);
                self.slots[groups[row] as usize][usize::from(value)] += weight;
            }
        }
        Ok(())
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::Int64; 2]
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let slots = gather(&self.slots, groups);
        let counts = |of: usize| Arc::new(Int64Array::from_iter_values(slots.iter().map(|slot| slot[of]))) as ArrayRef;
        Ok(vec![counts(0), counts(1)])
    }

    fn merge(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        for (of, counts) in state.iter().enumerate() {
            for (&group, count) in groups.iter().zip(counts.as_primitive::<Int64Type>().values()) {
                self.slots[group as usize][of] += count;
            }
        }
        Ok(())
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        let results = groups.iter().map(|&group| {
            let [no, yes] = self.slots[group as usize];
            (no + yes > 0).then_some(if self.any { yes > 0 } else { no <= 0 })
        });
        Ok(Arc::new(results.collect::<BooleanArray>()))
    }

    fn clear(&mut self, groups: &[u32]) {
        reset(&mut self.slots, groups);
    }

    fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<[i64; 2]>()
    }
}
