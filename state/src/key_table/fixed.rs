//! Keys of one length.

use hashbrown::HashTable;

use super::{Numbered, Table, mix};

/// The table of keys that all have `N` bytes, 8 to 16, and begin with 0 or 1. They lie in the hash table itself, so that a known key is
/// found with one cache miss, or two if the table is very large; and by group.
#[derive(Default)]
pub(super) struct FixedTable<const N: usize> {
    map: HashTable<Slot<N>>,
    /// By group; what has no key begins with [`FREE`].
    keys: Numbered<[u8; N]>,
}

struct Slot<const N: usize> {
    key: [u8; N],
    group: u32,
}

const FREE: u8 = 2;

impl<const N: usize> FixedTable<N> {
    #[inline]
    pub fn intern(&mut self, key: &[u8; N], added: &mut Vec<u32>) -> u32 {
        let hash = hash(key);
        if let Some(slot) = self.map.find(hash, |slot| slot.key == *key) {
            return slot.group;
        }
        let group = self.keys.add(*key);
        added.push(group);
        self.map.insert_unique(hash, Slot { key: *key, group }, |slot| self::hash(&slot.key));
        group
    }

    #[inline]
    pub fn find(&self, key: &[u8; N]) -> Option<u32> {
        Some(self.map.find(hash(key), |slot| slot.key == *key)?.group)
    }

    pub fn get(&self, group: u32) -> &[u8; N] {
        &self.keys.entries[group as usize]
    }

    pub fn intern_from(&mut self, other: &Self, of_other: &[u32], groups: &mut Vec<u32>, added: &mut Vec<u32>) {
        groups.extend(of_other.iter().map(|&group| self.intern(other.get(group), added)));
    }
}

impl<const N: usize> Table for FixedTable<N> {
    fn len(&self) -> usize {
        self.map.len()
    }

    fn groups(&self) -> usize {
        self.keys.entries.len()
    }

    fn key(&self, group: u32) -> Option<&[u8]> {
        Some(self.get(group))
    }

    fn remove(&mut self, group: u32) {
        let key = std::mem::replace(&mut self.keys.entries[group as usize], [FREE; N]);
        self.map
            .find_entry(hash(&key), |slot| slot.group == group)
            .unwrap_or_else(|_| panic!("only live groups are removed"))
            .remove();
        self.keys.free.push(group);
    }

    fn is_live(&self, group: u32) -> bool {
        self.keys.entries.get(group as usize).is_some_and(|key| key[0] != FREE)
    }

    fn live(&self) -> Vec<u32> {
        (0u32..).zip(&self.keys.entries).filter(|(_, key)| key[0] != FREE).map(|(group, _)| group).collect()
    }

    fn clear(&mut self) {
        self.map.clear();
        self.keys.clear();
    }

    fn bytes(&self) -> usize {
        self.keys.entries.capacity() * N + self.map.capacity() * (1 + size_of::<Slot<N>>())
    }
}

#[inline]
fn hash<const N: usize>(key: &[u8; N]) -> u64 {
    let eight = |at: usize| u64::from_le_bytes(*key[at..].first_chunk().expect("at least eight bytes"));
    mix(eight(0), eight(N - 8))
}
