//! Which groups have changed since the last snapshot, so that a checkpoint costs what has changed.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, new_null_array};
use arrow::compute::concat;
use arrow::datatypes::{Field, Schema};
use tidemill_state::KeyTable;

use crate::error::Result;

/// Numbers are of groups, or of whatever else there is a row of state for.
#[derive(Default)]
pub(crate) struct Dirty {
    /// A bit per group.
    bits: Vec<u64>,
    /// Those whose bit is set.
    groups: Vec<u32>,
    /// Keys of groups that went.
    gone: Vec<Vec<ArrayRef>>,
}

impl Dirty {
    pub fn mark(&mut self, group: u32) {
        let (word, bit) = (group as usize / 64, 1 << (group % 64));
        if word >= self.bits.len() {
            self.bits.resize((word + 1).max(self.bits.len() * 2), 0);
        }
        if self.bits[word] & bit == 0 {
            self.bits[word] |= bit;
            self.groups.push(group);
        }
    }

    /// The groups of these keys go. Their numbers may be given to others, which are marked then, or are so already.
    pub fn gone(&mut self, keys: Vec<ArrayRef>) {
        self.gone.push(keys);
    }

    /// Those of `groups` that are marked, which they are no longer, and the keys of groups that went.
    pub fn take_of(&mut self, groups: &[u32]) -> (Vec<u32>, Vec<Vec<ArrayRef>>) {
        let is_marked =
            |bits: &[u64], group: u32| bits.get(group as usize / 64).is_some_and(|word| word >> (group % 64) & 1 == 1);
        let taken: Vec<u32> = groups.iter().copied().filter(|&group| is_marked(&self.bits, group)).collect();
        taken.iter().for_each(|group| self.bits[*group as usize / 64] &= !(1 << (group % 64)));
        self.groups.retain(|&group| is_marked(&self.bits, group));
        (taken, std::mem::take(&mut self.gone))
    }

    /// The groups marked since the last call, of which some may have gone, and the keys of those that went.
    pub fn take(&mut self) -> (Vec<u32>, Vec<Vec<ArrayRef>>) {
        // Bit by bit: after a small change most of the bits are as they were.
        for &group in &self.groups {
            self.bits[group as usize / 64] = 0;
        }
        (std::mem::take(&mut self.groups), std::mem::take(&mut self.gone))
    }
}

/// Things with numbers.
pub(super) trait Numbered {
    fn live(&self) -> Vec<u32>;
    fn count(&self) -> usize;
    fn is_live(&self, number: u32) -> bool;
}

impl Numbered for KeyTable {
    fn live(&self) -> Vec<u32> {
        KeyTable::live(self).collect()
    }

    fn count(&self) -> usize {
        self.len()
    }

    fn is_live(&self, number: u32) -> bool {
        KeyTable::is_live(self, number)
    }
}

/// What the next snapshot of `table` has to say: numbers, keys that went, and whether those numbers are all. Where most has changed, all is no more
/// work, and spares whoever brings the pieces together. Without a `Dirty` it is all.
pub(super) fn due(dirty: &mut Option<Dirty>, table: &impl Numbered) -> (Vec<u32>, Vec<Vec<ArrayRef>>, bool) {
    let (changed, gone) = match dirty {
        Some(dirty) => dirty.take(),
        None => return (table.live(), Vec::new(), true),
    };
    match changed.len() * 2 >= table.count() {
        true => (table.live(), Vec::new(), true),
        false => (changed.into_iter().filter(|&number| table.is_live(number)).collect(), gone, false),
    }
}

/// State columns of what has changed, with a column `deleted`: that which went, of which the first columns are given, comes first. What has
/// come back is among the changed.
pub(crate) fn with_deleted(mut columns: Vec<ArrayRef>, gone: Vec<Vec<ArrayRef>>) -> Result<Vec<ArrayRef>> {
    let changed = columns.first().map_or(0, |column| column.len());
    let gone_rows = gone.iter().map(|keys| keys[0].len()).sum();
    if gone_rows > 0 {
        for (n, column) in columns.iter_mut().enumerate() {
            let nothing = new_null_array(column.data_type(), gone_rows);
            let before: Vec<&dyn Array> = match n < gone[0].len() {
                true => gone.iter().map(|keys| keys[n].as_ref()).collect(),
                false => vec![nothing.as_ref()],
            };
            *column = concat(&before.into_iter().chain([column.as_ref()]).collect::<Vec<_>>())?;
        }
    }
    let deleted = (0..gone_rows + changed).map(|row| Some(row < gone_rows)).collect::<BooleanArray>();
    columns.push(Arc::new(deleted));
    Ok(columns)
}

/// State that consists of rows of `schema`, and what is known of each: columns of these names and, of changes, `deleted`. All columns have
/// different names.
pub(crate) fn state_table(schema: &Schema, beside: &[&str], columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    let names = schema.fields().iter().map(|field| field.name().as_str()).chain(beside.iter().copied());
    let mut fields: Vec<Field> = Vec::with_capacity(columns.len());
    for (n, (column, name)) in columns.iter().zip(names.chain(["deleted"])).enumerate() {
        let is_known = fields.iter().any(|field| field.name() == name);
        let name = if is_known { format!("{name}_{n}") } else { name.to_string() };
        fields.push(Field::new(name, column.data_type().clone(), true));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}
