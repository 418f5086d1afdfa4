//! Numbers that must not be swapped: epochs, checkpoints, key groups, event time.

use std::fmt;

/// How many key groups a job has: the unit of state that moves when a job is rescaled, and the most shards a stage may have.
pub const KEY_GROUPS: u16 = 128;

/// A stretch of the stream between two barriers, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    pub fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A snapshot of a whole job, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckpointId(pub u64);

/// Milliseconds since 1970-01-01 00:00:00 UTC; negative before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTime(pub i64);

impl EventTime {
    /// Nothing is known yet.
    pub const MIN: EventTime = EventTime(i64::MIN);
    /// The watermark at the end of input.
    pub const MAX: EventTime = EventTime(i64::MAX);
}

/// One of the [`KEY_GROUPS`] slices of the key space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyGroup(pub u16);

impl KeyGroup {
    /// The key group of a key with this hash (see [`hash_rows`](crate::hash_rows)).
    pub fn of(hash: u64) -> KeyGroup {
        // The high bits, because hash tables inside a shard use the low ones.
        KeyGroup(((hash >> 32) % u64::from(KEY_GROUPS)) as u16)
    }

    /// The shard, of `parallelism` many, that owns this key group.
    pub fn shard(self, parallelism: u16) -> u16 {
        (u32::from(self.0) * u32::from(parallelism) / u32::from(KEY_GROUPS)) as u16
    }
}

/// The key groups one shard owns: from `first` up to, not including, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyGroupRange {
    pub first: u16,
    pub end: u16,
}

impl KeyGroupRange {
    /// What shard number `shard` of `parallelism` many owns; the inverse of [`KeyGroup::shard`].
    pub fn of_shard(shard: u16, parallelism: u16) -> KeyGroupRange {
        let start = |n: u16| (u32::from(n) * u32::from(KEY_GROUPS)).div_ceil(u32::from(parallelism)) as u16;
        KeyGroupRange { first: start(shard), end: start(shard + 1) }
    }

    pub fn contains(&self, group: KeyGroup) -> bool {
        (self.first..self.end).contains(&group.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_group_belongs_to_exactly_the_shard_whose_range_holds_it() {
        for parallelism in 1..=KEY_GROUPS {
            for group in (0..KEY_GROUPS).map(KeyGroup) {
                let owners: Vec<u16> = (0..parallelism)
                    .filter(|&shard| KeyGroupRange::of_shard(shard, parallelism).contains(group))
                    .collect();
                assert_eq!(owners, [group.shard(parallelism)]);
            }
        }
    }
}
