//! From keys to dense group numbers.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use hashbrown::HashTable;
use twox_hash::XxHash3_64;

use crate::keys::{KeyEncoder, Keys};

/// Gives each distinct key a dense group number, for as long as the key is live.
///
/// Group numbers are handed out from 0 and reused after [`remove`](KeyTable::remove), so columns of state addressed by them
/// stay as long as the most keys that were ever live at once.
pub struct KeyTable {
    encoder: KeyEncoder,
    map: HashTable<u32>,
    entries: Vec<Entry>,
    /// The bytes of keys that do not fit into their entry.
    arena: Vec<u8>,
    /// Bytes of `arena` that belong to removed keys.
    garbage: usize,
    free: Vec<u32>,
    added: Vec<u32>,
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
        KeyTable {
            encoder,
            map: HashTable::new(),
            entries: Vec::new(),
            arena: Vec::new(),
            garbage: 0,
            free: Vec::new(),
            added: Vec::new(),
        }
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
        self.added.clear();
        let keys = self.keys(columns, rows)?;
        for row in 0..keys.len() {
            groups.push(self.intern_key(keys.key(row)));
        }
        Ok(())
    }

    /// The group of each row, `None` where no live group has its key. Adds nothing.
    pub fn find(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<Option<u32>>, ArrowError> {
        let keys = self.keys(columns, rows)?;
        let find = |row| {
            let key = keys.key(row);
            self.find_entry(&Entry::of(key), key)
        };
        Ok((0..keys.len()).map(find).collect())
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

    /// The bytes of the key of a live group; `None` for null in a table of one column.
    pub fn key(&self, group: u32) -> Option<&[u8]> {
        self.entries[group as usize].key(&self.arena)
    }

    /// Writes to `groups` (cleared before) the groups of keys that `other`, a table of the same types, has as `of_other`, adding those
    /// that are new.
    pub fn intern_from(&mut self, other: &KeyTable, of_other: &[u32], groups: &mut Vec<u32>) {
        groups.clear();
        groups.reserve(of_other.len());
        self.added.clear();
        for &group in of_other {
            let entry = other.entries[group as usize];
            groups.push(self.intern_entry(entry, entry.key(&other.arena)));
        }
    }

    #[inline]
    fn intern_key(&mut self, key: Option<&[u8]>) -> u32 {
        self.intern_entry(Entry::of(key), key)
    }

    /// `wanted` is the entry of `key`, wherever that lies.
    #[inline]
    fn intern_entry(&mut self, mut wanted: Entry, key: Option<&[u8]>) -> u32 {
        if let Some(group) = self.find_entry(&wanted, key) {
            return group;
        }
        if let Some(key) = key.filter(|key| key.len() > INLINE) {
            wanted.set_start(self.arena.len());
            self.arena.extend_from_slice(key);
        }
        let group = match self.free.pop() {
            Some(group) => {
                self.entries[group as usize] = wanted;
                group
            }
            None => {
                self.entries.push(wanted);
                (self.entries.len() - 1) as u32
            }
        };
        self.added.push(group);
        let entries = &self.entries;
        self.map.insert_unique(wanted.hash, group, |&group| entries[group as usize].hash);
        group
    }

    #[inline]
    fn find_entry(&self, wanted: &Entry, key: Option<&[u8]>) -> Option<u32> {
        let long = key.filter(|key| key.len() > INLINE);
        let found = self.map.find(wanted.hash, |&group| {
            let entry = &self.entries[group as usize];
            match long {
                None => entry.len == wanted.len && entry.bytes == wanted.bytes,
                Some(key) => entry.hash == wanted.hash && entry.key(&self.arena) == Some(key),
            }
        });
        found.copied()
    }

    /// Forgets the key of a live group; its number may be handed out again.
    pub fn remove(&mut self, group: u32) {
        let entry = &mut self.entries[group as usize];
        let hash = entry.hash;
        if entry.is_long() {
            self.garbage += entry.len as usize;
        }
        entry.len = FREE;
        self.map
            .find_entry(hash, |&candidate| candidate == group)
            .unwrap_or_else(|_| panic!("only live groups are removed"))
            .remove();
        self.free.push(group);
        if self.garbage > 64 * 1024 && self.garbage * 2 > self.arena.len() {
            self.compact();
        }
    }

    /// Whether the group has a key.
    pub fn is_live(&self, group: u32) -> bool {
        self.entries.get(group as usize).is_some_and(|entry| entry.len != FREE)
    }

    /// Forgets every key, and keeps the memory for the next ones.
    pub fn clear(&mut self) {
        self.map.clear();
        self.entries.clear();
        self.arena.clear();
        self.garbage = 0;
        self.free.clear();
        self.added.clear();
    }

    fn compact(&mut self) {
        let mut arena = Vec::with_capacity(self.arena.len() - self.garbage);
        for entry in self.entries.iter_mut().filter(|entry| entry.is_long()) {
            let (start, end) = (entry.start(), arena.len());
            arena.extend_from_slice(&self.arena[start..start + entry.len as usize]);
            entry.set_start(end);
        }
        self.arena = arena;
        self.garbage = 0;
    }

    /// The key columns of these live groups, in that order.
    pub fn columns(&self, groups: &[u32]) -> Result<Vec<ArrayRef>, ArrowError> {
        self.encoder.decode(groups.iter().map(|&group| self.entries[group as usize].key(&self.arena)))
    }

    /// Every live group, in ascending order.
    pub fn live(&self) -> impl Iterator<Item = u32> {
        (0u32..).zip(&self.entries).filter(|(_, entry)| entry.len != FREE).map(|(group, _)| group)
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.arena.capacity() + self.entries.capacity() * size_of::<Entry>() + self.map.capacity() * 5
    }
}

/// A key, in place if it is short: most words are, and so is a number of 64 bits in row format (9 bytes). That spares the way to
/// the arena, which with many keys is a cache miss per row, and the call to compare bytes of any length.
#[derive(Clone, Copy)]
struct Entry {
    /// The key and zeros, or where in the arena it starts.
    bytes: [u8; INLINE],
    /// Of the key; or [`NULL`], or [`FREE`].
    len: u32,
    hash: u64,
}

const INLINE: usize = 12;
const NULL: u32 = u32::MAX;
const FREE: u32 = u32::MAX - 1;

impl Entry {
    /// The place in the arena of a long key is still to be set.
    #[inline]
    fn of(key: Option<&[u8]>) -> Entry {
        let Some(key) = key else { return Entry { bytes: [0; INLINE], len: NULL, hash: mix(u64::from(NULL), 0) } };
        // Arrow's arrays of keys hold less than 2 GiB.
        let len = key.len() as u32;
        if key.len() > INLINE {
            return Entry { bytes: [0; INLINE], len, hash: XxHash3_64::oneshot(key) };
        }
        let (low, high) = padded(key);
        let mut bytes = [0; INLINE];
        bytes[..8].copy_from_slice(&low.to_le_bytes());
        bytes[8..].copy_from_slice(&high.to_le_bytes());
        Entry { bytes, len, hash: mix(low, u64::from(high) << 32 | u64::from(len)) }
    }

    fn is_long(&self) -> bool {
        self.len > INLINE as u32 && self.len < FREE
    }

    fn key<'a>(&'a self, arena: &'a [u8]) -> Option<&'a [u8]> {
        match self.len {
            NULL | FREE => None,
            len if len as usize <= INLINE => Some(&self.bytes[..len as usize]),
            len => Some(&arena[self.start()..self.start() + len as usize]),
        }
    }

    fn start(&self) -> usize {
        u64::from_le_bytes(self.bytes[..8].try_into().expect("eight of twelve bytes")) as usize
    }

    fn set_start(&mut self, start: usize) {
        self.bytes[..8].copy_from_slice(&(start as u64).to_le_bytes());
    }
}

/// Up to twelve bytes as numbers, in a few loads that overlap: copying so few bytes by a call costs more than all the rest.
#[inline]
fn padded(key: &[u8]) -> (u64, u32) {
    let four = |at: usize| u32::from_le_bytes([key[at], key[at + 1], key[at + 2], key[at + 3]]);
    match key.len() {
        0 => (0, 0),
        len @ 1..4 => {
            let (first, middle, last) = (u64::from(key[0]), u64::from(key[len / 2]), u64::from(key[len - 1]));
            (first | middle << (8 * (len / 2)) | last << (8 * (len - 1)), 0)
        }
        len @ 4..8 => (u64::from(four(0)) | u64::from(four(len - 4)) << (8 * (len - 4)), 0),
        len => {
            let low = u64::from(four(0)) | u64::from(four(4)) << 32;
            (low, (u64::from(four(len - 4)) >> (8 * (12 - len))) as u32)
        }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use arrow::array::{AsArray, Int64Array, StringArray};

    fn text(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    #[test]
    fn keys_of_another_table_are_known_by_their_bytes() {
        let column = |words: &[Option<&str>]| vec![text(words)];
        let table = || KeyTable::new(&[DataType::Utf8]).expect("strings are keys");
        let (mut from, mut to) = (table(), table());
        let mut groups = Vec::new();
        let words = [Some("short"), None, Some("longer than what fits into an entry"), Some("")];
        from.intern(&column(&words), 4, &mut groups).expect("strings are keys");
        to.intern(&column(&[Some("another"), words[2], words[0]]), 3, &mut groups).expect("strings are keys");
        to.intern_from(&from, &[0, 1, 2, 3], &mut groups);
        assert_eq!(groups, [2, 3, 1, 4]);
        assert_eq!(&to.columns(&groups).expect("groups are live")[..], &column(&words)[..]);
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
    fn keys_of_every_length_around_the_inline_limit_are_told_apart_and_come_back() {
        let alphabet = "abcdefghijklmnop\0";
        let mut words: Vec<String> = (0..=16).map(|len| alphabet[..len].to_string()).collect();
        words.extend((1..=16).map(|len| format!("{}\0", &alphabet[..len])));
        words.extend((1..=16).flat_map(|len| {
            (0..len).map(move |at| (0..len).map(|n| if n == at { 'X' } else { 'a' }).collect::<String>())
        }));
        words.sort();
        words.dedup();
        let mut table = KeyTable::new(&[DataType::Utf8]).unwrap();
        let mut groups = vec![];
        let column: ArrayRef = Arc::new(StringArray::from_iter_values(&words));
        for _ in 0..2 {
            table.intern(&[Arc::clone(&column)], words.len(), &mut groups).unwrap();
            assert_eq!(groups, (0..words.len() as u32).collect::<Vec<_>>());
        }
        assert_eq!(table.columns(&groups).unwrap()[0].as_ref(), column.as_ref());
        assert_eq!(table.columns(&[0]).unwrap()[0].as_string::<i32>().value(0), "");
    }

    #[test]
    fn keys_are_found_without_being_added() {
        let mut table = KeyTable::new(&[DataType::Utf8]).unwrap();
        let mut groups = vec![];
        table.intern(&[text(&[Some("a"), None, Some("more than twelve bytes")])], 3, &mut groups).unwrap();
        table.remove(0);
        let wanted = text(&[Some("more than twelve bytes"), Some("a"), None, Some("more than thirteen bytes")]);
        assert_eq!(table.find(&[wanted], 4).unwrap(), [Some(2), None, Some(1), None]);
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn a_cleared_table_numbers_keys_anew() {
        let mut table = KeyTable::new(&[DataType::Utf8]).unwrap();
        let mut groups = vec![];
        table.intern(&[text(&[Some("a"), Some("more than twelve bytes")])], 2, &mut groups).unwrap();
        table.clear();
        assert!(table.is_empty());
        table.intern(&[text(&[Some("more than twelve bytes"), Some("b")])], 2, &mut groups).unwrap();
        assert_eq!(groups, [0, 1]);
        assert_eq!(table.columns(&[1]).unwrap()[0].as_ref(), text(&[Some("b")]).as_ref());
    }
}
