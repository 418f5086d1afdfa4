//! From keys to dense group numbers.

mod bytes;
mod fixed;
#[cfg(test)]
mod tests;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use self::bytes::BytesTable;
use self::fixed::FixedTable;
use crate::keys::{KeyEncoder, Keys};

/// Gives each distinct key a dense group number, for as long as the key is live.
///
/// Group numbers are handed out from 0 and reused after [`remove`](KeyTable::remove), so columns of state addressed by them
/// stay as long as the most keys that were ever live at once.
pub struct KeyTable {
    encoder: KeyEncoder,
    kept: Kept,
    added: Vec<u32>,
}

/// Keys by how long they are.
enum Kept {
    Numbers(FixedTable<9>),
    NumbersInGroups(FixedTable<13>),
    Bytes(BytesTable),
}

/// What [`KeyTable`] is for keys of one kind.
trait Table {
    fn len(&self) -> usize;
    fn groups(&self) -> usize;
    fn key(&self, group: u32) -> Option<&[u8]>;
    fn remove(&mut self, group: u32);
    fn is_live(&self, group: u32) -> bool;
    fn live(&self) -> Vec<u32>;
    fn clear(&mut self);
    fn bytes(&self) -> usize;
}

/// What is kept of the key of each group, by the group's number.
struct Numbered<E> {
    entries: Vec<E>,
    free: Vec<u32>,
}

// Derived, it would ask for entries that have a default.
impl<E> Default for Numbered<E> {
    fn default() -> Numbered<E> {
        Numbered { entries: Vec::new(), free: Vec::new() }
    }
}

impl<E> Numbered<E> {
    /// The number that this one gets.
    #[inline]
    fn add(&mut self, entry: E) -> u32 {
        match self.free.pop() {
            Some(group) => {
                self.entries[group as usize] = entry;
                group
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
        }
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.free.clear();
    }
}

impl KeyTable {
    /// An empty table for keys of these column types. Without columns, every row has the same key.
    pub fn new(types: &[DataType]) -> Result<KeyTable, ArrowError> {
        Ok(KeyTable::of(KeyEncoder::new(types)?))
    }

    /// An empty table for keys that are the number of a group (`UInt32`) and columns of these types.
    pub fn in_groups(types: &[DataType]) -> Result<KeyTable, ArrowError> {
        Ok(KeyTable::of(KeyEncoder::in_groups(types)?))
    }

    fn of(encoder: KeyEncoder) -> KeyTable {
        let kept = match &encoder {
            KeyEncoder::Number(_) => Kept::Numbers(FixedTable::default()),
            KeyEncoder::NumberInGroup(_) => Kept::NumbersInGroups(FixedTable::default()),
            _ => Kept::Bytes(BytesTable::default()),
        };
        KeyTable { encoder, kept, added: Vec::new() }
    }

    fn table(&self) -> &dyn Table {
        match &self.kept {
            Kept::Numbers(table) => table,
            Kept::NumbersInGroups(table) => table,
            Kept::Bytes(table) => table,
        }
    }

    fn table_mut(&mut self) -> &mut dyn Table {
        match &mut self.kept {
            Kept::Numbers(table) => table,
            Kept::NumbersInGroups(table) => table,
            Kept::Bytes(table) => table,
        }
    }

    /// Live keys.
    pub fn len(&self) -> usize {
        self.table().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One more than the largest group number handed out so far: how long columns of state must be.
    pub fn groups(&self) -> usize {
        self.table().groups()
    }

    /// Writes the group of each row to `groups` (cleared before), adding keys that are new. `rows` is the length of the columns, needed
    /// where there are none.
    pub fn intern(&mut self, columns: &[ArrayRef], rows: usize, groups: &mut Vec<u32>) -> Result<(), ArrowError> {
        groups.clear();
        self.added.clear();
        let keys = self.keys(columns, rows)?;
        let added = &mut self.added;
        match (&mut self.kept, &keys) {
            (Kept::Numbers(table), Keys::Numbers(keys)) => {
                groups.extend(keys.iter().map(|key| table.intern(key, added)));
            }
            (Kept::NumbersInGroups(table), Keys::NumbersInGroups(keys)) => {
                groups.extend(keys.iter().map(|key| table.intern(key, added)));
            }
            (Kept::Bytes(table), keys) => {
                groups.extend((0..keys.len()).map(|row| table.intern(keys.key(row), added)));
            }
            _ => unreachable!("an encoder makes one kind of keys"),
        }
        Ok(())
    }

    /// The group of each row, `None` where no live group has its key. Adds nothing.
    pub fn find(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<Option<u32>>, ArrowError> {
        let keys = self.keys(columns, rows)?;
        Ok(match (&self.kept, &keys) {
            (Kept::Numbers(table), Keys::Numbers(keys)) => keys.iter().map(|key| table.find(key)).collect(),
            (Kept::NumbersInGroups(table), Keys::NumbersInGroups(keys)) => {
                keys.iter().map(|key| table.find(key)).collect()
            }
            (Kept::Bytes(table), keys) => (0..keys.len()).map(|row| table.find(keys.key(row))).collect(),
            _ => unreachable!("an encoder makes one kind of keys"),
        })
    }

    fn keys(&self, columns: &[ArrayRef], rows: usize) -> Result<Keys, ArrowError> {
        match &self.encoder {
            KeyEncoder::Nothing => Ok(Keys::Nothing(rows)),
            encoder => encoder.encode(columns),
        }
    }

    /// The groups whose keys the last [`intern`](Self::intern) has added.
    pub fn added(&self) -> &[u32] {
        &self.added
    }

    /// The bytes of the key of a live group; `None` for null in a table of one column of texts.
    pub fn key(&self, group: u32) -> Option<&[u8]> {
        self.table().key(group)
    }

    /// Writes to `groups` (cleared before) the groups of keys that `other`, a table of the same types, has as `of_other`, adding those
    /// that are new.
    pub fn intern_from(&mut self, other: &KeyTable, of_other: &[u32], groups: &mut Vec<u32>) {
        groups.clear();
        self.added.clear();
        let added = &mut self.added;
        match (&mut self.kept, &other.kept) {
            (Kept::Numbers(table), Kept::Numbers(other)) => table.intern_from(other, of_other, groups, added),
            (Kept::NumbersInGroups(table), Kept::NumbersInGroups(other)) => {
                table.intern_from(other, of_other, groups, added);
            }
            (Kept::Bytes(table), Kept::Bytes(other)) => table.intern_from(other, of_other, groups, added),
            _ => unreachable!("tables of the same types keep one kind of keys"),
        }
    }

    /// Forgets the key of a live group; its number may be handed out again.
    pub fn remove(&mut self, group: u32) {
        self.table_mut().remove(group);
    }

    /// Whether the group has a key.
    pub fn is_live(&self, group: u32) -> bool {
        self.table().is_live(group)
    }

    /// Forgets every key, and keeps the memory for the next ones.
    pub fn clear(&mut self) {
        self.table_mut().clear();
        self.added.clear();
    }

    /// The key columns of these live groups, in that order.
    pub fn columns(&self, groups: &[u32]) -> Result<Vec<ArrayRef>, ArrowError> {
        match &self.kept {
            Kept::Numbers(table) => self.encoder.decode(groups.iter().map(|&group| Some(&table.get(group)[..]))),
            Kept::NumbersInGroups(table) => {
                self.encoder.decode(groups.iter().map(|&group| Some(&table.get(group)[..])))
            }
            Kept::Bytes(table) => self.encoder.decode(groups.iter().map(|&group| table.key(group))),
        }
    }

    /// Every live group, in ascending order.
    pub fn live(&self) -> impl Iterator<Item = u32> + use<> {
        self.table().live().into_iter()
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.table().bytes()
    }
}

/// Spreads 128 bits over 64. Only this table sees this hash: it need not be the one by which keys find their shard, and had better
/// not be, as the keys of one shard agree in that.
#[inline]
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ 0x9e37_79b9_7f4a_7c15) * u128::from(b ^ 0xa076_1d64_78bd_642f);
    let folded = (product as u64) ^ (product >> 64) as u64;
    let product = u128::from(folded) * 0xe703_7ed1_a0b4_28db;
    (product as u64) ^ (product >> 64) as u64
}
