//! Keys: from rows to dense group numbers.
//!
//! A key of any number of columns becomes bytes (Arrow's row format, or for a single text column simply its bytes), the
//! bytes become a stable 64-bit hash, and a [`KeyTable`] gives each distinct key a small number that addresses the columns of
//! state beside it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, StringBuilder};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};
use hashbrown::HashTable;
use twox_hash::XxHash3_64;

/// A stable hash per row of the given key columns: the same in every run and version, so that it may decide which shard owns
/// a key. `columns` is not empty, all of one length.
pub fn hash_rows(columns: &[ArrayRef]) -> Result<Vec<u64>, ArrowError> {
    let types: Vec<DataType> = columns.iter().map(|column| column.data_type().clone()).collect();
    let mut encoder = KeyEncoder::new(&types)?;
    let keys = encoder.encode(columns)?;
    Ok((0..keys.len()).map(|row| hash(keys.key(row))).collect())
}

/// XXH3 with seed 0. Null is not a byte string, so it gets a hash of its own.
fn hash(key: Option<&[u8]>) -> u64 {
    match key {
        Some(bytes) => XxHash3_64::oneshot(bytes),
        None => 0x9e37_79b9_7f4a_7c15,
    }
}

/// Turns key columns into comparable bytes.
enum KeyEncoder {
    /// No columns: one key for every row.
    Nothing,
    /// One text column: its bytes as they are.
    Text,
    /// One binary column: its bytes as they are.
    Binary,
    /// Anything else, in Arrow's row format, where null is bytes too.
    Rows(RowConverter),
}

/// Encoded keys of one batch.
enum Keys {
    Nothing(usize),
    Text(arrow::array::StringArray),
    Binary(BinaryArray),
    Rows(Rows),
}

impl KeyEncoder {
    fn new(types: &[DataType]) -> Result<KeyEncoder, ArrowError> {
        Ok(match types {
            [] => KeyEncoder::Nothing,
            [DataType::Utf8] => KeyEncoder::Text,
            [DataType::Binary] => KeyEncoder::Binary,
            types => KeyEncoder::Rows(RowConverter::new(types.iter().cloned().map(SortField::new).collect())?),
        })
    }

    fn encode(&mut self, columns: &[ArrayRef]) -> Result<Keys, ArrowError> {
        Ok(match self {
            KeyEncoder::Nothing => unreachable!("keys without columns are counted by the caller"),
            KeyEncoder::Text => Keys::Text(columns[0].as_string::<i32>().clone()),
            KeyEncoder::Binary => Keys::Binary(columns[0].as_binary::<i32>().clone()),
            KeyEncoder::Rows(converter) => Keys::Rows(converter.convert_columns(columns)?),
        })
    }

    /// The inverse of `encode`.
    fn decode(&self, keys: &[Option<&[u8]>]) -> Result<Vec<ArrayRef>, ArrowError> {
        Ok(match self {
            KeyEncoder::Nothing => vec![],
            KeyEncoder::Text => {
                let mut builder =
                    StringBuilder::with_capacity(keys.len(), keys.iter().flatten().map(|key| key.len()).sum());
                for key in keys {
                    builder.append_option(key.map(|bytes| {
                        std::str::from_utf8(bytes).expect("a text key is stored as the text it came from")
                    }));
                }
                vec![Arc::new(builder.finish())]
            }
            KeyEncoder::Binary => {
                let mut builder =
                    BinaryBuilder::with_capacity(keys.len(), keys.iter().flatten().map(|key| key.len()).sum());
                keys.iter().for_each(|key| builder.append_option(*key));
                vec![Arc::new(builder.finish())]
            }
            KeyEncoder::Rows(converter) => {
                let parser = converter.parser();
                converter
                    .convert_rows(keys.iter().map(|key| parser.parse(key.expect("row format encodes null as bytes"))))?
            }
        })
    }
}

impl Keys {
    fn len(&self) -> usize {
        match self {
            Keys::Nothing(rows) => *rows,
            Keys::Text(array) => array.len(),
            Keys::Binary(array) => array.len(),
            Keys::Rows(rows) => rows.num_rows(),
        }
    }

    #[inline]
    fn key(&self, row: usize) -> Option<&[u8]> {
        match self {
            Keys::Nothing(_) => Some(&[]),
            Keys::Text(array) => array.is_valid(row).then(|| array.value(row).as_bytes()),
            Keys::Binary(array) => array.is_valid(row).then(|| array.value(row)),
            Keys::Rows(rows) => Some(rows.row(row).data()),
        }
    }
}

/// Gives each distinct key a dense group number, for as long as the key is live.
///
/// Group numbers are handed out from 0 and reused after [`remove`](KeyTable::remove), so columns of state addressed by them
/// stay as long as the most keys that were ever live at once.
pub struct KeyTable {
    encoder: KeyEncoder,
    map: HashTable<u32>,
    /// Per group: hash, and where its key lies in `arena`.
    entries: Vec<Entry>,
    arena: Vec<u8>,
    /// Bytes of `arena` that belong to removed keys.
    garbage: usize,
    free: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Entry {
    hash: u64,
    start: usize,
    len: u32,
    state: EntryState,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum EntryState {
    Bytes,
    Null,
    Free,
}

impl KeyTable {
    /// An empty table for keys of these column types. Without columns, every row has the same key.
    pub fn new(types: &[DataType]) -> Result<KeyTable, ArrowError> {
        Ok(KeyTable {
            encoder: KeyEncoder::new(types)?,
            map: HashTable::new(),
            entries: Vec::new(),
            arena: Vec::new(),
            garbage: 0,
            free: Vec::new(),
        })
    }

    /// Live keys.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// One more than the largest group number handed out so far: how long columns of state must be.
    pub fn groups(&self) -> usize {
        self.entries.len()
    }

    /// Writes the group of each row to `groups` (cleared before), adding keys that are new. `rows` is the length of the columns, needed
    /// where there are none.
    pub fn intern(&mut self, columns: &[ArrayRef], rows: usize, groups: &mut Vec<u32>) -> Result<(), ArrowError> {
        groups.clear();
        groups.reserve(rows);
        let keys = match &mut self.encoder {
            KeyEncoder::Nothing => Keys::Nothing(rows),
            encoder => encoder.encode(columns)?,
        };
        for row in 0..keys.len() {
            let key = keys.key(row);
            groups.push(self.intern_key(key));
        }
        Ok(())
    }

    #[inline]
    fn intern_key(&mut self, key: Option<&[u8]>) -> u32 {
        let hash = hash(key);
        let (entries, arena) = (&self.entries, &self.arena);
        if let Some(&group) = self.map.find(hash, |&group| {
            let entry = &entries[group as usize];
            entry.hash == hash && entry.key(arena) == key
        }) {
            return group;
        }
        let entry = Entry {
            hash,
            start: self.arena.len(),
            len: key.map_or(0, |bytes| bytes.len() as u32),
            state: if key.is_some() { EntryState::Bytes } else { EntryState::Null },
        };
        self.arena.extend_from_slice(key.unwrap_or_default());
        let group = match self.free.pop() {
            Some(group) => {
                self.entries[group as usize] = entry;
                group
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
        };
        let entries = &self.entries;
        self.map.insert_unique(hash, group, |&group| entries[group as usize].hash);
        group
    }

    /// Forgets the key of a live group; its number may be handed out again.
    pub fn remove(&mut self, group: u32) {
        let entry = &mut self.entries[group as usize];
        let hash = entry.hash;
        entry.state = EntryState::Free;
        self.garbage += entry.len as usize;
        self.map
            .find_entry(hash, |&candidate| candidate == group)
            .unwrap_or_else(|_| panic!("only live groups are removed"))
            .remove();
        self.free.push(group);
        if self.garbage > 64 * 1024 && self.garbage * 2 > self.arena.len() {
            self.compact();
        }
    }

    fn compact(&mut self) {
        let mut arena = Vec::with_capacity(self.arena.len() - self.garbage);
        for entry in self.entries.iter_mut().filter(|entry| entry.state == EntryState::Bytes) {
            let start = arena.len();
            arena.extend_from_slice(&self.arena[entry.start..entry.start + entry.len as usize]);
            entry.start = start;
        }
        self.arena = arena;
        self.garbage = 0;
    }

    /// The key columns of these live groups, in that order.
    pub fn columns(&self, groups: &[u32]) -> Result<Vec<ArrayRef>, ArrowError> {
        let keys: Vec<Option<&[u8]>> =
            groups.iter().map(|&group| self.entries[group as usize].key(&self.arena)).collect();
        self.encoder.decode(&keys)
    }

    /// Every live group, in ascending order.
    pub fn live(&self) -> impl Iterator<Item = u32> {
        (0u32..).zip(&self.entries).filter(|(_, entry)| entry.state != EntryState::Free).map(|(group, _)| group)
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.arena.capacity() + self.entries.capacity() * size_of::<Entry>() + self.map.capacity() * 5
    }
}

impl Entry {
    fn key<'a>(&self, arena: &'a [u8]) -> Option<&'a [u8]> {
        (self.state == EntryState::Bytes).then(|| &arena[self.start..self.start + self.len as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};

    fn text(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    #[test]
    fn equal_keys_share_a_group_and_null_is_a_key_of_its_own() {
        let mut table = KeyTable::new(&[DataType::Utf8]).unwrap();
        let mut groups = vec![];
        let keys = text(&[Some("a"), None, Some(""), Some("a"), None]);
        table.intern(&[keys], 5, &mut groups).unwrap();
        assert_eq!(groups, [0, 1, 2, 0, 1]);
        let back = table.columns(&[2, 1, 0]).unwrap();
        assert_eq!(back[0].as_ref(), text(&[Some(""), None, Some("a")]).as_ref());
    }

    #[test]
    fn a_removed_group_is_reused_and_the_rest_survives_compaction() {
        let mut table = KeyTable::new(&[DataType::Int64, DataType::Utf8]).unwrap();
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter(0..10_000));
        let words: ArrayRef = Arc::new(StringArray::from_iter_values((0..10_000).map(|n| format!("word number {n}"))));
        let mut groups = vec![];
        table.intern(&[Arc::clone(&numbers), Arc::clone(&words)], 10_000, &mut groups).unwrap();
        (0..9_000).for_each(|group| table.remove(group));
        assert_eq!(table.len(), 1_000);
        let back = table.columns(&(9_000..10_000).collect::<Vec<u32>>()).unwrap();
        assert_eq!(back[0].as_ref(), numbers.slice(9_000, 1_000).as_ref());
        assert_eq!(back[1].as_ref(), words.slice(9_000, 1_000).as_ref());
        table.intern(&[numbers, words], 10_000, &mut groups).unwrap();
        assert_eq!(table.groups(), 10_000);
    }

    #[test]
    fn without_columns_every_row_has_the_same_key() {
        let mut table = KeyTable::new(&[]).unwrap();
        let mut groups = vec![];
        table.intern(&[], 3, &mut groups).unwrap();
        assert_eq!(groups, [0, 0, 0]);
    }

    #[test]
    fn hashes_do_not_change_between_versions() {
        assert_eq!(
            hash_rows(&[text(&[Some("tidemill"), None])]).unwrap(),
            [13_737_932_734_112_943_510, 0x9e37_79b9_7f4a_7c15]
        );
    }
}
