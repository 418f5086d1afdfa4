//! Per group, distinct rows and how often each is in: what `DISTINCT` and `COLLECT` keep.

use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::datatypes::DataType;
use tidemill_state::KeyTable;

use super::counted;
use super::types::grow;
use crate::error::Result;

/// No entry.
const NONE: u32 = u32::MAX;

/// Rows counted per group, in the order in which they appeared.
///
/// One hash table for all groups, over (group, row); its numbers address the entries, which are chained into a list per group.
pub(super) struct Multiset {
    types: Vec<DataType>,
    keys: KeyTable,
    entries: Vec<Entry>,
    lists: Vec<List>,
    scratch: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Entry {
    /// Below zero for a row taken out before it came; then it is not in.
    count: i64,
    previous: u32,
    next: u32,
    /// Whether it is in the list of its group; else `count` is 0.
    linked: bool,
}

#[derive(Clone, Copy)]
struct List {
    first: u32,
    last: u32,
    length: u32,
}

impl Default for Entry {
    fn default() -> Entry {
        Entry { count: 0, previous: NONE, next: NONE, linked: false }
    }
}

impl Default for List {
    fn default() -> List {
        List { first: NONE, last: NONE, length: 0 }
    }
}

impl Multiset {
    pub fn new(types: Vec<DataType>) -> Result<Multiset> {
        let keys = KeyTable::in_groups(&types)?;
        Ok(Multiset { types, keys, entries: Vec::new(), lists: Vec::new(), scratch: Vec::new() })
    }

    pub fn resize(&mut self, groups: usize) {
        grow(&mut self.lists, groups);
    }

    /// Adds rows; tells of each by which a row appeared in its group (true) or disappeared from it (false).
    pub fn add(
        &mut self,
        groups: &[u32],
        columns: &[ArrayRef],
        weights: Option<&[i64]>,
        mut changed: impl FnMut(usize, bool),
    ) -> Result<()> {
        let group_column: ArrayRef = Arc::new(UInt32Array::from(groups.to_vec()));
        let keys: Vec<ArrayRef> = [group_column].into_iter().chain(columns.iter().cloned()).collect();
        let mut entries = std::mem::take(&mut self.scratch);
        self.keys.intern(&keys, groups.len(), &mut entries)?;
        grow(&mut self.entries, self.keys.groups());
        for (row, (&group, &entry)) in groups.iter().zip(&entries).enumerate() {
            let before = self.entries[entry as usize].count;
            let after = before + weights.map_or(1, |weights| weights[row]);
            self.entries[entry as usize].count = after;
            if before <= 0 && after > 0 {
                // To the end, also if it was owed: it stands where it appeared.
                self.unlink(group, entry);
                self.link(group, entry);
                changed(row, true);
            } else {
                self.link(group, entry);
                if before > 0 && after <= 0 {
                    changed(row, false);
                }
            }
        }
        // Only now: until here, later rows of the batch might use the same entries.
        for (&group, &entry) in groups.iter().zip(&entries) {
            let Entry { count, linked, .. } = self.entries[entry as usize];
            if count == 0 && linked {
                self.unlink(group, entry);
                self.keys.remove(entry);
            }
        }
        self.scratch = entries;
        Ok(())
    }

    fn link(&mut self, group: u32, entry: u32) {
        let list = &mut self.lists[group as usize];
        if self.entries[entry as usize].linked {
            return;
        }
        match list.last {
            NONE => list.first = entry,
            last => self.entries[last as usize].next = entry,
        }
        let this = &mut self.entries[entry as usize];
        (this.previous, this.next, this.linked) = (list.last, NONE, true);
        list.last = entry;
        list.length += 1;
    }

    fn unlink(&mut self, group: u32, entry: u32) {
        let list = &mut self.lists[group as usize];
        let Entry { previous, next, linked, .. } = self.entries[entry as usize];
        if !linked {
            return;
        }
        match previous {
            NONE => list.first = next,
            previous => self.entries[previous as usize].next = next,
        }
        match next {
            NONE => list.last = previous,
            next => self.entries[next as usize].previous = previous,
        }
        self.entries[entry as usize].linked = false;
        list.length -= 1;
    }

    /// The entries of a group with their counts, in order.
    fn entries(&self, group: u32) -> impl Iterator<Item = (u32, i64)> {
        let first = self.lists[group as usize].first;
        let at = |entry: u32| (entry != NONE).then_some(entry);
        std::iter::successors(at(first), move |entry| at(self.entries[*entry as usize].next))
            .map(|entry| (entry, self.entries[entry as usize].count))
    }

    /// How many rows of each of these groups pass `keep` by their count; those rows in order; their counts.
    pub fn rows(&self, groups: &[u32], keep: impl Fn(i64) -> bool) -> Result<(Vec<usize>, Vec<ArrayRef>, Vec<i64>)> {
        let (mut lengths, mut entries, mut counts) = (Vec::with_capacity(groups.len()), Vec::new(), Vec::new());
        for &group in groups {
            let start = entries.len();
            for (entry, count) in self.entries(group).filter(|(_, count)| keep(*count)) {
                entries.push(entry);
                counts.push(count);
            }
            lengths.push(entries.len() - start);
        }
        let mut columns = self.keys.columns(&entries)?;
        columns.remove(0);
        Ok((lengths, columns, counts))
    }

    pub fn state_type(&self) -> DataType {
        counted::data_type(&self.types)
    }

    pub fn state(&self, groups: &[u32]) -> Result<ArrayRef> {
        let (lengths, columns, counts) = self.rows(groups, |_| true)?;
        counted::pack(&self.types, lengths.into_iter(), columns, counts)
    }

    pub fn clear(&mut self, groups: &[u32]) {
        for &group in groups {
            let mut entry = std::mem::take(&mut self.lists[group as usize]).first;
            while entry != NONE {
                let next = std::mem::take(&mut self.entries[entry as usize]).next;
                self.keys.remove(entry);
                entry = next;
            }
        }
    }

    pub fn bytes(&self) -> usize {
        self.keys.bytes() + self.entries.capacity() * size_of::<Entry>() + self.lists.capacity() * size_of::<List>()
    }
}
