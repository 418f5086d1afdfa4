//! Groups on disk, and which go there.

use arrow::array::{ArrayRef, RecordBatch};
use tidemill_state::{KeyTable, SpillTable, SpilledFile, SpilledTable};

use crate::error::{Error, Result};

/// Groups that nobody has asked for lately. By the CLOCK algorithm (Corbató 1968), a good likeness of the least recently used: those that
/// were asked for since the last time stay, as long as they are at most half.
pub(super) struct Cold {
    table: SpillTable,
    /// By group.
    marks: Vec<u8>,
}

/// It was asked for since groups last went to disk.
const RECENT: u8 = 1;
/// There is a copy on disk, which is out of date.
const COPIED: u8 = 2;

impl Cold {
    pub fn new(table: SpillTable) -> Cold {
        Cold { table, marks: Vec::new() }
    }

    /// Groups on disk.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Takes those of the groups added last to `keys` from disk that are there; `asked` were asked for.
    pub fn take(&mut self, keys: &KeyTable, asked: &[u32]) -> Result<(Vec<u32>, Vec<ArrayRef>)> {
        self.marks.resize(keys.groups().max(self.marks.len()), 0);
        asked.iter().for_each(|&group| self.marks[group as usize] |= RECENT);
        let added = keys.added();
        if self.table.is_empty() || added.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let (found, columns) = self.table.take(added.iter().map(|&group| keys.key(group)))?;
        let found: Vec<u32> = found.into_iter().map(|n| added[n]).collect();
        found.iter().for_each(|&group| self.marks[group as usize] |= COPIED);
        Ok((found, columns))
    }

    /// How many groups may be in memory, if those that are there take `bytes`. Columns do not give memory back, but what is free in them
    /// is used again: so groups are counted, by what one takes.
    pub fn room(&self, keys: &KeyTable, bytes: usize) -> usize {
        (keys.groups() as u128 * self.table.share() as u128 / bytes.max(1) as u128) as usize
    }

    /// The groups that go to disk if memory has become short, in the order of their keys. `bytes` is what all in memory take.
    pub fn victims(&mut self, keys: &KeyTable, bytes: usize) -> Vec<u32> {
        let room = self.room(keys, bytes);
        if keys.len() <= room {
            return Vec::new();
        }
        let mut groups: Vec<u32> = keys.live().filter(|&group| SpillTable::takes(keys.key(group))).collect();
        // Those asked for come last, and stay if there is room.
        groups.sort_by_key(|&group| self.marks[group as usize] & RECENT);
        groups.truncate(keys.len() - room / 2);
        groups.sort_unstable_by_key(|&group| keys.key(group));
        self.marks.iter_mut().for_each(|mark| *mark &= !RECENT);
        groups
    }

    /// Writes groups to disk, whose memory is then free.
    pub fn put<'a>(
        &mut self,
        pieces: impl Iterator<Item = Result<(Vec<Option<&'a [u8]>>, Vec<ArrayRef>)>>,
    ) -> Result<()> {
        self.table.put::<Error>(pieces)
    }

    /// These groups go for good: copies of them must not come back.
    pub fn remove(&mut self, keys: &KeyTable, groups: &[u32]) -> Result<()> {
        for &group in groups {
            let mark = std::mem::take(&mut self.marks[group as usize]);
            if mark & COPIED != 0 {
                self.table.remove(keys.key(group))?;
            }
        }
        Ok(())
    }

    /// Those whose memory is free are no longer known by their numbers.
    pub fn forget(&mut self, groups: &[u32]) {
        groups.iter().for_each(|&group| self.marks[group as usize] = 0);
    }

    pub fn freeze(&self) -> SpilledTable {
        self.table.freeze()
    }

    /// Writes rows to a file of their own.
    pub fn log(&self, first: RecordBatch, others: impl Iterator<Item = Result<RecordBatch>>) -> Result<SpilledFile> {
        let schema = first.schema();
        self.table.log(&schema, std::iter::once(Ok(first)).chain(others))
    }
}
