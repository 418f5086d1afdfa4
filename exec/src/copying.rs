//! Snapshots that are copied while rows go on coming: copy on write, as Flink's heap state does it, with the copies made ahead of writes
//! where there is time.
//!
//! At a checkpoint an operator notes which groups its snapshot is of ([`Copying`]) and goes on. A little at a time, it copies them and
//! hands them over; a group that is about to change is copied first. Whoever writes the checkpoint waits for the copies ([`Following`]).

use std::sync::Arc;

use arrow::array::RecordBatch;
use tokio::sync::{Mutex, mpsc};

use crate::error::{Error, Result};

/// So many groups are copied at once.
pub const GROUPS_AT_ONCE: usize = if cfg!(test) { 1 } else { 4096 };

/// What is still to be copied of a snapshot.
pub struct Copying {
    /// A bit per group that is still to be copied.
    bits: Vec<u64>,
    /// Some may have been copied already.
    groups: std::vec::IntoIter<u32>,
    /// Ends with `None`.
    pieces: mpsc::UnboundedSender<Option<RecordBatch>>,
}

impl Copying {
    /// Of these groups, each given once.
    pub fn new(groups: impl IntoIterator<Item = u32>) -> (Copying, Following) {
        let groups: Vec<u32> = groups.into_iter().collect();
        let mut bits = vec![0; groups.iter().max().map_or(0, |&last| last as usize / 64 + 1)];
        groups.iter().for_each(|&group| bits[group as usize / 64] |= 1 << (group % 64));
        let (pieces, rest) = mpsc::unbounded_channel();
        let following = Following(Arc::new(Mutex::new(Pieces { received: Vec::new(), rest: Some(rest) })));
        (Copying { bits, groups: groups.into_iter(), pieces }, following)
    }

    /// Those of `groups` that are still to be copied, which the caller does now.
    pub fn take_of(&mut self, groups: &[u32]) -> Vec<u32> {
        groups.iter().copied().filter(|&group| take(&mut self.bits, group)).collect()
    }

    /// The next groups to copy, which the caller does now; none: all have been.
    pub fn next(&mut self) -> Vec<u32> {
        let Copying { bits, groups, .. } = self;
        groups.by_ref().filter(|&group| take(bits, group)).take(GROUPS_AT_ONCE).collect()
    }

    /// Hands over copies.
    pub fn send(&self, rows: RecordBatch) {
        // Nobody may be there to take them: the checkpoint has been given up.
        let _ = self.pieces.send(Some(rows));
    }

    /// All has been copied.
    pub fn end(self) {
        let _ = self.pieces.send(None);
    }
}

fn take(bits: &mut [u64], group: u32) -> bool {
    let Some(word) = bits.get_mut(group as usize / 64) else { return false };
    let bit = 1 << (group % 64);
    let is_due = *word & bit != 0;
    *word &= !bit;
    is_due
}

/// Rows of a snapshot that are handed over after it.
#[derive(Clone, Debug)]
pub struct Following(Arc<Mutex<Pieces>>);

#[derive(Debug)]
struct Pieces {
    received: Vec<RecordBatch>,
    /// `None`: that was all.
    rest: Option<mpsc::UnboundedReceiver<Option<RecordBatch>>>,
}

impl Following {
    /// The piece of this number, counted from 0; `None` behind the last. They stay, so that they can be asked for again.
    ///
    /// # Errors
    /// The operator is gone and has not copied all.
    pub async fn piece(&self, number: usize) -> Result<Option<RecordBatch>> {
        let mut pieces = self.0.lock().await;
        loop {
            if let Some(piece) = pieces.received.get(number) {
                return Ok(Some(piece.clone()));
            }
            let Some(rest) = &mut pieces.rest else { return Ok(None) };
            match rest.recv().await {
                Some(Some(piece)) => pieces.received.push(piece),
                Some(None) => pieces.rest = None,
                None => return Err(Error::new("a task ended before it had handed over its state")),
            }
        }
    }
}
