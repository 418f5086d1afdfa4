//! Keys of any length.

use hashbrown::HashTable;
use twox_hash::XxHash3_64;

use super::{Numbered, Table, mix};

/// The table of keys that are bytes, or null. Short ones lie in the hash table itself, of long ones where they are.
#[derive(Default)]
pub(super) struct BytesTable {
    map: HashTable<Slot>,
    keys: Numbered<Entry>,
    /// The bytes of keys that do not fit into their entry.
    arena: Vec<u8>,
    /// Bytes of `arena` that belong to removed keys.
    garbage: usize,
}

struct Slot {
    entry: Entry,
    group: u32,
}

impl BytesTable {
    #[inline]
    pub fn intern(&mut self, key: Option<&[u8]>, added: &mut Vec<u32>) -> u32 {
        let (mut entry, hash) = Entry::of(key);
        if let Some(group) = self.find_entry(&entry, hash, key) {
            return group;
        }
        if let Some(key) = key.filter(|key| key.len() > INLINE) {
            entry.set_start(self.arena.len());
            self.arena.extend_from_slice(key);
        }
        let group = self.keys.add(entry);
        added.push(group);
        let arena = &self.arena;
        self.map.insert_unique(hash, Slot { entry, group }, |slot| slot.entry.hash(arena));
        group
    }

    #[inline]
    pub fn find(&self, key: Option<&[u8]>) -> Option<u32> {
        let (entry, hash) = Entry::of(key);
        self.find_entry(&entry, hash, key)
    }

    pub fn intern_from(&mut self, other: &Self, of_other: &[u32], groups: &mut Vec<u32>, added: &mut Vec<u32>) {
        groups.extend(of_other.iter().map(|&group| self.intern(other.key(group), added)));
    }

    /// `wanted` is what [`Entry::of`] gives of `key`.
    #[inline]
    fn find_entry(&self, wanted: &Entry, hash: u64, key: Option<&[u8]>) -> Option<u32> {
        let long = key.filter(|key| key.len() > INLINE);
        let found = self.map.find(hash, |slot| match long {
            None => slot.entry == *wanted,
            Some(key) => slot.entry.is_like(wanted) && slot.entry.key(&self.arena) == Some(key),
        });
        Some(found?.group)
    }

    fn compact(&mut self) {
        let mut arena = Vec::with_capacity(self.arena.len() - self.garbage);
        for entry in self.keys.entries.iter_mut().filter(|entry| entry.is_long()) {
            let (start, end) = (entry.start(), arena.len());
            arena.extend_from_slice(&self.arena[start..start + entry.len as usize]);
            entry.set_start(end);
        }
        self.map.iter_mut().for_each(|slot| slot.entry = self.keys.entries[slot.group as usize]);
        self.arena = arena;
        self.garbage = 0;
    }
}

impl Table for BytesTable {
    fn len(&self) -> usize {
        self.map.len()
    }

    fn groups(&self) -> usize {
        self.keys.entries.len()
    }

    fn key(&self, group: u32) -> Option<&[u8]> {
        self.keys.entries[group as usize].key(&self.arena)
    }

    fn remove(&mut self, group: u32) {
        let entry = &mut self.keys.entries[group as usize];
        let hash = entry.hash(&self.arena);
        if entry.is_long() {
            self.garbage += entry.len as usize;
        }
        entry.len = FREE;
        self.map
            .find_entry(hash, |slot| slot.group == group)
            .unwrap_or_else(|_| panic!("only live groups are removed"))
            .remove();
        self.keys.free.push(group);
        if self.garbage > 64 * 1024 && self.garbage * 2 > self.arena.len() {
            self.compact();
        }
    }

    fn is_live(&self, group: u32) -> bool {
        self.keys.entries.get(group as usize).is_some_and(|entry| entry.len != FREE)
    }

    fn live(&self) -> Vec<u32> {
        (0u32..).zip(&self.keys.entries).filter(|(_, entry)| entry.len != FREE).map(|(group, _)| group).collect()
    }

    fn clear(&mut self) {
        self.map.clear();
        self.keys.clear();
        self.arena.clear();
        self.garbage = 0;
    }

    fn bytes(&self) -> usize {
        self.arena.capacity()
            + self.keys.entries.capacity() * size_of::<Entry>()
            + self.map.capacity() * (1 + size_of::<Slot>())
    }
}

/// A key, in place if it is short: most words are. That spares the way to the arena, which with many keys is a cache miss per row, and the call to
/// compare bytes of any length.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry {
    /// The key and zeros; or where in the arena it starts, and half of its hash.
    bytes: [u8; INLINE],
    /// Of the key; or [`NULL`], or [`FREE`].
    len: u32,
}

const INLINE: usize = 12;
const NULL: u32 = u32::MAX;
const FREE: u32 = u32::MAX - 1;

impl Entry {
    /// And its hash. The place in the arena of a long key is still to be set.
    #[inline]
    fn of(key: Option<&[u8]>) -> (Entry, u64) {
        let mut bytes = [0; INLINE];
        let Some(key) = key else {
            let entry = Entry { bytes, len: NULL };
            return (entry, entry.hash(&[]));
        };
        // Arrow's arrays of keys hold less than 2 GiB.
        let len = key.len() as u32;
        if key.len() > INLINE {
            let hash = XxHash3_64::oneshot(key);
            bytes[8..].copy_from_slice(&((hash >> 16) as u32).to_le_bytes());
            return (Entry { bytes, len }, hash);
        }
        let (low, high) = padded(key);
        bytes[..8].copy_from_slice(&low.to_le_bytes());
        bytes[8..].copy_from_slice(&high.to_le_bytes());
        let entry = Entry { bytes, len };
        (entry, entry.hash(&[]))
    }

    #[inline]
    fn hash(&self, arena: &[u8]) -> u64 {
        match self.is_long() {
            true => XxHash3_64::oneshot(&arena[self.start()..self.start() + self.len as usize]),
            false => mix(self.low(), u64::from(self.high()) << 32 | u64::from(self.len)),
        }
    }

    /// Whether two long keys may be equal.
    #[inline]
    fn is_like(&self, other: &Entry) -> bool {
        self.len == other.len && self.high() == other.high()
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

    fn low(&self) -> u64 {
        u64::from_le_bytes(*self.bytes.first_chunk().expect("eight of twelve bytes"))
    }

    fn high(&self) -> u32 {
        u32::from_le_bytes(*self.bytes.last_chunk().expect("four of twelve bytes"))
    }

    fn start(&self) -> usize {
        self.low() as usize
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
