//! How rows find the shard that handles them.

use arrow::array::UInt32Array;
use tidemill_state::{KeyGroup, hash_rows};

use crate::error::Result;
use crate::graph::Exchange;
use crate::message::Batch;

/// Splits batches over the shards of the next stage.
pub struct Router {
    exchange: Exchange,
    /// The sender's own shard.
    shard: u16,
    /// Shards of the receiving stage.
    targets: u16,
    /// Next target of `Spread`.
    next: u16,
}

impl Router {
    pub fn new(exchange: Exchange, shard: u16, targets: u16) -> Router {
        Router { exchange, shard, targets, next: shard % targets }
    }

    /// The shards this sender ever sends to.
    pub fn reachable(&self) -> Vec<u16> {
        match self.exchange {
            Exchange::Forward => vec![self.shard],
            _ => (0..self.targets).collect(),
        }
    }

    /// Calls `send(shard, rows)` for each shard that gets rows of `batch`, or learns from it that time has passed: then without rows.
    pub fn route(&mut self, batch: Batch, mut send: impl FnMut(u16, Batch)) -> Result<()> {
        let tells_time = batch.last_mark().is_some();
        match &self.exchange {
            Exchange::Forward => send(self.shard, batch),
            Exchange::Broadcast => (0..self.targets).for_each(|shard| send(shard, batch.clone())),
            _ if self.targets == 1 => send(0, batch),
            Exchange::Spread => {
                let target = self.next;
                self.next = (self.next + 1) % self.targets;
                if tells_time {
                    let time_only = batch.take(&UInt32Array::from(Vec::<u32>::new()))?;
                    (0..self.targets).filter(|&other| other != target).for_each(|other| send(other, time_only.clone()));
                }
                send(target, batch);
            }
            Exchange::Hash(columns) => {
                let keys: Vec<_> = columns.iter().map(|&column| batch.rows().column(column).clone()).collect();
                let mut rows_of: Vec<Vec<u32>> = vec![Vec::new(); usize::from(self.targets)];
                for (row, hash) in (0u32..).zip(hash_rows(&keys)?) {
                    rows_of[usize::from(KeyGroup::of(hash).shard(self.targets))].push(row);
                }
                for (shard, rows) in (0u16..).zip(rows_of) {
                    if rows.len() == batch.len() {
                        send(shard, batch.clone());
                    } else if !rows.is_empty() || tells_time {
                        send(shard, batch.take(&UInt32Array::from(rows))?);
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rows;
    use arrow::array::AsArray;
    use std::collections::BTreeMap;

    #[test]
    fn equal_keys_meet_in_one_shard_whatever_batch_they_came_in() {
        let mut owner: BTreeMap<String, u16> = BTreeMap::new();
        let mut router = Router::new(Exchange::Hash(vec![0]), 0, 4);
        let words: Vec<String> = (0..1000).map(|n| format!("word {}", n % 100)).collect();
        for chunk in words.chunks(37) {
            let batch = Batch::append(rows(&chunk.iter().map(String::as_str).collect::<Vec<_>>()));
            let mut routed = 0;
            router
                .route(batch, |shard, part| {
                    routed += part.len();
                    for word in part.rows().column(0).as_string::<i32>().iter().flatten() {
                        assert_eq!(*owner.entry(word.to_string()).or_insert(shard), shard);
                    }
                })
                .expect("strings can be hashed");
            assert_eq!(routed, chunk.len());
        }
        let used: std::collections::BTreeSet<u16> = owner.values().copied().collect();
        assert_eq!(used.len(), 4, "100 keys reach every shard");
    }
}
