//! The writer of a log: rows of one shard become parts.

use async_trait::async_trait;
use bytes::Bytes;
use tidemill_state::checkpoint::Store;
use tidemill_state::{CheckpointId, Epoch};

use super::part::{Encoding, Part};
use crate::changelog::ChangeBatch;
use crate::checkpoint::put;
use crate::connect::Writer;
use crate::error::Result;
use crate::operator::JobToken;

/// What is encoded together: many small batches cost little more than one.
const BATCH_ROWS: usize = 8 << 10;

/// A part of this size goes into a file while rows still come: no more than that is in memory, and is written twice if the worst happens.
const PART_BYTES: usize = 8 << 20;

/// A part of at most this size is in the manifest, which is written anyhow.
const INLINE_BYTES: usize = 16 << 10;

pub struct Logging {
    store: Store,
    token: JobToken,
    shard: u16,
    parallelism: u16,
    /// Above every checkpoint that there can be by now, so that its files are taken for those of one that is being written.
    next: CheckpointId,
    epoch: Epoch,
    /// Files so far.
    files: usize,
    waiting: Vec<ChangeBatch>,
    waiting_rows: usize,
    waiting_bytes: usize,
    encoding: Option<Encoding>,
    encoded_rows: u64,
    parts: Vec<Part>,
    has_ended: bool,
}

impl Logging {
    pub fn new(store: Store, token: JobToken, shard: u16, parallelism: u16) -> Logging {
        Logging {
            store,
            token,
            shard,
            parallelism,
            next: token.first,
            epoch: Epoch(0),
            files: 0,
            waiting: Vec::new(),
            waiting_rows: 0,
            waiting_bytes: 0,
            encoding: None,
            encoded_rows: 0,
            parts: Vec::new(),
            has_ended: false,
        }
    }

    fn encode(&mut self) -> Result<()> {
        let Some(first) = self.waiting.first() else { return Ok(()) };
        let encoding = match &mut self.encoding {
            Some(encoding) => encoding,
            none => none.insert(Encoding::new(&first.rows.schema())?),
        };
        encoding.push(&self.waiting)?;
        self.encoded_rows += self.waiting_rows as u64;
        self.waiting.clear();
        (self.waiting_rows, self.waiting_bytes) = (0, 0);
        Ok(())
    }

    /// What is encoded becomes a part.
    async fn seal(&mut self) -> Result<()> {
        let Some(encoding) = self.encoding.take() else { return Ok(()) };
        let (bytes, rows) = (encoding.finish()?, std::mem::take(&mut self.encoded_rows));
        let part = Part::new(self.shard, self.parallelism, self.epoch);
        let part = match bytes.len() > INLINE_BYTES {
            true => {
                let path = self.next_path();
                part.in_file(put(&self.store, path, bytes, rows).await?)
            }
            false => part.with_rows(bytes),
        };
        self.parts.push(part);
        Ok(())
    }

    /// Of no other run, shard or sink of the job.
    fn next_path(&mut self) -> String {
        self.files += 1;
        let JobToken { first, part, .. } = self.token;
        format!("chk-{}/log.{part}.{}.{}-{}.arrow", self.next.0, self.shard, first.0, self.files)
    }
}

#[async_trait]
impl Writer for Logging {
    async fn write(&mut self, changes: ChangeBatch) -> Result<()> {
        if changes.rows.num_rows() == 0 {
            return Ok(());
        }
        self.waiting_rows += changes.rows.num_rows();
        self.waiting_bytes += changes.rows.get_array_memory_size();
        self.waiting.push(changes);
        if self.waiting_rows >= BATCH_ROWS || self.waiting_bytes >= PART_BYTES {
            self.encode()?;
        }
        match self.encoding.as_ref().is_some_and(|encoding| encoding.bytes() >= PART_BYTES) {
            true => self.seal().await,
            false => Ok(()),
        }
    }

    async fn flush(&mut self, epoch: Epoch) -> Result<()> {
        self.epoch = epoch;
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        self.has_ended = true;
        Ok(())
    }

    async fn prepare(&mut self, checkpoint: CheckpointId) -> Result<Vec<Bytes>> {
        self.encode()?;
        self.seal().await?;
        self.next = CheckpointId(checkpoint.0 + 1);
        if std::mem::take(&mut self.has_ended) {
            self.parts.push(Part::new(self.shard, self.parallelism, self.epoch).end());
        }
        std::mem::take(&mut self.parts).iter().map(Part::to_bytes).collect()
    }
}
