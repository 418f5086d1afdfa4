//! Which groups have changed since the last snapshot, so that a checkpoint costs what has changed.

use arrow::array::ArrayRef;

#[derive(Default)]
pub(super) struct Dirty {
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
