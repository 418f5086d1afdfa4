//! `VAR_POP`, `VAR_SAMP`, `STDDEV_POP`, `STDDEV_SAMP`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Float64Builder, Int64Array, ListBuilder};
use arrow::compute;
use arrow::datatypes::{DataType, Field, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use arrow::error::ArrowError;

use super::distinct::Distinct;
use super::types::{average, gather, grow, number, refuse, reset, scatter};
use super::{Accumulator, AggregateCall, AggregateFunction, Resolved};
use crate::error::Result;

/// Computed in DOUBLE, but of the type that an average would have: integers are truncated, as in Flink.
#[derive(Debug)]
pub(super) struct Variance {
    pub name: &'static str,
    /// Over n - 1 instead of n, and null for a single value.
    pub sample: bool,
    /// The standard deviation.
    pub root: bool,
}

impl AggregateFunction for Variance {
    fn name(&self) -> &str {
        self.name
    }

    fn resolve(&self, arguments: &[DataType]) -> Result<Resolved> {
        let argument = match arguments {
            [argument] => number(argument),
            _ => None,
        };
        let argument = argument.ok_or_else(|| refuse(self.name, arguments, "one number"))?;
        Ok(Resolved { result: average(&argument), arguments: vec![argument], nullable: true })
    }

    fn accumulator(&self, call: &AggregateCall) -> Result<Box<dyn Accumulator>> {
        if call.distinct {
            return Distinct::over(self, call);
        }
        Ok(Box::new(Deviations {
            sample: self.sample,
            root: self.root,
            result: call.result.data_type().clone(),
            slots: Vec::new(),
            owed: BTreeMap::new(),
        }))
    }
}

/// Welford's running mean and sum of squared deviations: neither loses digits when the values are large and close together.
#[derive(Clone, Copy, Default)]
struct Moments {
    count: i64,
    mean: f64,
    /// Sum of the squared distances to the mean.
    squares: f64,
}

impl Moments {
    #[inline]
    fn add(&mut self, value: f64) {
        self.count += 1;
        let before = value - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (value - self.mean);
    }

    /// The inverse of `add`, also of a value yet to come. Needs another to stay, because of none there is no mean; or that this is
    /// the only one.
    fn try_remove(&mut self, value: f64) -> bool {
        match self.count {
            2.. => {
                self.count -= 1;
                let before = value - self.mean;
                self.mean -= before / self.count as f64;
                self.squares -= before * (value - self.mean);
                true
            }
            1 if self.mean == value && self.squares == 0.0 => {
                *self = Moments::default();
                true
            }
            _ => false,
        }
    }

    /// Chan's: as if the values of `other` had been added.
    fn merge(&mut self, other: Moments) {
        if self.count == 0 {
            *self = other;
        } else if other.count > 0 {
            let count = self.count + other.count;
            let (n, m, all) = (self.count as f64, other.count as f64, count as f64);
            let distance = other.mean - self.mean;
            self.mean += m / all * distance;
            self.squares += other.squares + n * m / all * distance * distance;
            self.count = count;
        }
    }
}

struct Deviations {
    sample: bool,
    root: bool,
    result: DataType,
    slots: Vec<Moments>,
    /// Values to take out as soon as enough others are in: those taken out before they came.
    owed: BTreeMap<u32, Vec<f64>>,
}

impl Deviations {
    fn remove(&mut self, group: u32, value: f64) {
        if !self.slots[group as usize].try_remove(value) {
            self.owed.entry(group).or_default().push(value);
        }
    }

    /// Takes out what was owed and can be.
    fn settle(&mut self, group: u32) {
        if let Some(owed) = self.owed.get_mut(&group) {
            let slot = &mut self.slots[group as usize];
            owed.retain(|value| !slot.try_remove(*value));
            if owed.is_empty() {
                self.owed.remove(&group);
            }
        }
    }

    /// Values that are in, less those that should not be.
    fn count(&self, group: u32) -> i64 {
        self.slots[group as usize].count - self.owed.get(&group).map_or(0, |owed| owed.len() as i64)
    }
}

impl Accumulator for Deviations {
    fn resize(&mut self, groups: usize) {
        grow(&mut self.slots, groups);
    }

    fn update(&mut self, groups: &[u32], arguments: &[ArrayRef], weights: Option<&[i64]>) -> Result<()> {
        let values = compute::cast(&arguments[0], &DataType::Float64)?;
        let values = values.as_primitive::<Float64Type>();
        let Some(weights) = weights else {
            scatter(&mut self.slots, groups, values.values(), values.nulls(), Moments::add);
            if !self.owed.is_empty() {
                groups.iter().for_each(|&group| self.settle(group));
            }
            return Ok(());
        };
        for (row, (&group, value)) in groups.iter().zip(values).enumerate() {
            let Some(value) = value else { continue };
            (0..weights[row]).for_each(|_| self.slots[group as usize].add(value));
            (weights[row]..0).for_each(|_| self.remove(group, value));
            self.settle(group);
        }
        Ok(())
    }

    fn state_types(&self) -> Vec<DataType> {
        let owed = DataType::List(Arc::new(Field::new_list_field(DataType::Float64, true)));
        vec![DataType::Int64, DataType::Float64, DataType::Float64, owed]
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let slots = gather(&self.slots, groups);
        let mut owed = ListBuilder::new(Float64Builder::new());
        for group in groups {
            owed.values().append_slice(self.owed.get(group).map_or(&[], |owed| owed));
            owed.append(true);
        }
        Ok(vec![
            Arc::new(Int64Array::from_iter_values(slots.iter().map(|slot| slot.count))),
            Arc::new(Float64Array::from_iter_values(slots.iter().map(|slot| slot.mean))),
            Arc::new(Float64Array::from_iter_values(slots.iter().map(|slot| slot.squares))),
            Arc::new(owed.finish()),
        ])
    }

    fn merge(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let counts = state[0].as_primitive::<Int64Type>();
        let (means, squares) = (state[1].as_primitive::<Float64Type>(), state[2].as_primitive::<Float64Type>());
        let owed = state[3].as_list::<i32>();
        for (row, &group) in groups.iter().enumerate() {
            let other = Moments { count: counts.value(row), mean: means.value(row), squares: squares.value(row) };
            self.slots[group as usize].merge(other);
            for value in owed.value(row).as_primitive::<Float64Type>().values() {
                self.remove(group, *value);
            }
            self.settle(group);
        }
        Ok(())
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        let results = groups.iter().map(|&group| {
            let (count, squares) = (self.count(group), self.slots[group as usize].squares);
            let over = count - i64::from(self.sample);
            // Where values were taken out, rounding may leave something of a single one, or less than nothing.
            let variance = if count == 1 { 0.0 } else { squares.max(0.0) / over as f64 };
            (over > 0).then_some(if self.root { variance.sqrt() } else { variance })
        });
        Ok(narrow(results.collect(), &self.result)?)
    }

    fn clear(&mut self, groups: &[u32]) {
        reset(&mut self.slots, groups);
        groups.iter().for_each(|group| drop(self.owed.remove(group)));
    }

    fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Moments>()
    }
}

/// As Flink casts a DOUBLE: cut to 32 bits (64 for BIGINT), of which TINYINT and SMALLINT keep the lowest. A DECIMAL that does not fit
/// is null.
fn narrow(results: Float64Array, to: &DataType) -> Result<ArrayRef, ArrowError> {
    Ok(match to {
        DataType::Int8 => Arc::new(results.unary::<_, Int8Type>(|value| value as i32 as i8)),
        DataType::Int16 => Arc::new(results.unary::<_, Int16Type>(|value| value as i32 as i16)),
        DataType::Int32 => Arc::new(results.unary::<_, Int32Type>(|value| value as i32)),
        DataType::Int64 => Arc::new(results.unary::<_, Int64Type>(|value| value as i64)),
        other => compute::cast(&results, other)?,
    })
}
