//! Groups touched since their results last went out.

use arrow::array::{Array, ArrayRef};

/// Groups touched since their results last went out, and what their results were before.
#[derive(Default)]
pub(super) struct Changed {
    /// A bit per group: whether it is among `entries`. So small that it stays in the cache.
    touched: Vec<u64>,
    pub entries: Vec<Entry>,
    /// By group, which row touched it last; only where results go out in that order.
    last_touch: Vec<u64>,
    /// Rows seen.
    touches: u64,
    pub before: Vec<Vec<ArrayRef>>,
    pub rows_before: u32,
}

pub(super) struct Entry {
    pub group: u32,
    /// Its row in the concatenation of `before`, or `None` if it had no result.
    pub before: Option<u32>,
}

impl Changed {
    /// Makes room for groups `0..groups`; `in_order`: results go out in the order of [`touched_last`](Self::touched_last).
    pub fn make_room(&mut self, groups: usize, in_order: bool) {
        self.touched.resize(groups.div_ceil(64).max(self.touched.len()), 0);
        if in_order {
            self.last_touch.resize(groups.max(self.last_touch.len()), 0);
        }
    }

    /// Whether it has not been touched before. It is up to the caller then to add its entry.
    #[inline]
    pub fn touch(&mut self, group: u32) -> bool {
        let (word, bit) = (&mut self.touched[group as usize / 64], 1 << (group % 64));
        let is_first = *word & bit == 0;
        *word |= bit;
        is_first
    }

    /// A row of each of these groups has come, in this order.
    pub fn touched_last(&mut self, groups: &[u32]) {
        for &group in groups {
            self.touches += 1;
            self.last_touch[group as usize] = self.touches;
        }
    }

    /// In the order in which they were touched last.
    pub fn sort(&mut self) {
        self.entries.sort_by_cached_key(|entry| self.last_touch[entry.group as usize]);
    }

    /// Once the results of all entries have gone out, but for those of `others`. The memory is kept, so that a small epoch costs little beside
    /// a large state.
    pub fn told(&mut self, others: Vec<Entry>) {
        for entry in self.entries.drain(..) {
            self.touched[entry.group as usize / 64] &= !(1 << (entry.group % 64));
        }
        if others.iter().all(|entry| entry.before.is_none()) {
            self.before.clear();
            self.rows_before = 0;
        }
        self.entries.extend(others);
    }

    /// About the memory that they take until their results have gone out, and while they go.
    pub fn bytes(&self) -> usize {
        let before = self.before.iter().flatten().map(|column| column.get_array_memory_size()).sum::<usize>();
        let emitted = self.entries.len() * 2 * size_of::<(u32, u32, i64)>() + 2 * before;
        let by_group = (self.touched.capacity() + self.last_touch.capacity()) * size_of::<u64>();
        by_group + self.entries.capacity() * size_of::<Entry>() + before + emitted
    }
}
